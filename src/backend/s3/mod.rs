//! A datastore in an S3 bucket, as PBS 4 keeps it. Knows nothing of what the files mean.

mod in_flight;
mod listing;
mod place;
mod refusal;

use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use rusty_s3::{Bucket, Credentials, S3Action};
use zeroize::Zeroizing;

use crate::backend::http::{Answer, Client, Unfit, Want, check_still_there, is_dubious};
use crate::backend::retry::Retry;
use crate::backend::s3::in_flight::InFlightLimit;
use crate::backend::s3::listing::Lister;
use crate::backend::s3::refusal::Trouble;
use crate::backend::secret::SecretValue;
use crate::backend::{
    Answer as ChunkAnswer, ArchivePath, Backend, Connection, FetchError, Request, SnapshotInfo,
};
use crate::cancel::Cancel;
use crate::digest::Digest;
use crate::error::Result;
use crate::format::Index;
use crate::format::blob::is_begun_as_blob;
use crate::format::name::{GroupName, Namespace, SnapshotPath};
use crate::net::Dialer;

pub(crate) use place::Server;

/// How long a signature holds. Each request is signed when it is made, so this is only how far the clocks may differ;
/// S3 servers take no more from other signatures.
const EXPIRY: Duration = Duration::from_secs(15 * 60);

/// As many manifests as are read at a time.
const MOST_IDLE: usize = 8;

/// The owner of a group is one line.
const MAX_OWNER: u64 = 4 << 10;

/// A datastore below a prefix of a bucket.
pub(crate) struct S3 {
    store: Store,
    dialer: Dialer,
    retry: Retry,
    in_flight: InFlightLimit,
    /// Clients for whole objects, each with its connection.
    idle: Mutex<Vec<Client>>,
}

/// Where the objects are, and who asks for them.
struct Store {
    bucket: Bucket,
    /// What all keys begin with: the datastore's name and a slash.
    prefix: String,
    credentials: Credentials,
}

impl S3 {
    /// A datastore at `s3://BUCKET/DATASTORE`. Connects to nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a place, an endpoint or a region of another form.
    pub(crate) fn new(
        place: &str,
        server: &Server,
        credentials: Credentials,
        dialer: Dialer,
        retry: Retry,
    ) -> Result<S3> {
        let (bucket, prefix) = place::parse(place, server)?;
        let store = Store {
            bucket,
            prefix,
            credentials,
        };
        Ok(S3 {
            store,
            dialer,
            retry,
            in_flight: InFlightLimit::new(),
            idle: Mutex::default(),
        })
    }

    fn lister(&self) -> Lister<'_> {
        Lister {
            store: &self.store,
            client: self.client(&self.retry.cancel),
            retry: &self.retry,
        }
    }

    /// Reads an object whole. Clients are kept for the next, since a listing reads many.
    fn read(&self, key: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let idle = self.idle.lock().pop();
        let mut client = idle.unwrap_or_else(|| self.client(&self.retry.cancel));
        let read = (self.retry).run(|| {
            let answer = self.store.object(&mut client, key, Want::File)?;
            let read = answer.read(limit).map_err(|unfit| self.store.sort(unfit));
            Ok(read?)
        });
        let mut idle = self.idle.lock();
        if idle.len() < MOST_IDLE {
            idle.push(client);
        }
        read
    }

    fn client(&self, cancel: &Cancel) -> Client {
        Client::signing(self.dialer.clone(), cancel.clone())
    }
}

impl Store {
    fn object(&self, client: &mut Client, key: &str, want: Want) -> Result<Answer, Trouble> {
        let key = format!("{}{key}", self.prefix);
        let action = self.bucket.get_object(Some(&self.credentials), &key);
        self.get(client, &action, want)
    }

    /// Signs a request and makes it.
    fn get<'a>(
        &self,
        client: &mut Client,
        action: &impl S3Action<'a>,
        want: Want,
    ) -> Result<Answer, Trouble> {
        let signed = Zeroizing::new(String::from(action.sign(EXPIRY)));
        let (url, query) = signed.split_once('?').unwrap_or((&signed, ""));
        let query = SecretValue::new(Zeroizing::new(query.to_owned()))
            .expect("what is not ASCII is encoded in a URL");
        (client.get_signed(url, query, want)).map_err(|unfit| self.sort(unfit))
    }

    fn sort(&self, unfit: Unfit) -> Trouble {
        match unfit {
            Unfit::Failed(error) => error.into(),
            Unfit::Refused(refused) => refusal::sort(self.bucket.name(), *refused),
        }
    }
}

impl Backend for S3 {
    fn read_file(
        &self,
        snapshot: &SnapshotPath,
        file: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        match self.read(&key_of(snapshot, file), limit) {
            // Where not even the datastore is there, that is what is to be said.
            Err(FetchError::Missing) => match self.lister().check_datastore() {
                Err(FetchError::Fatal(error)) => Err(FetchError::Fatal(error)),
                _ => Err(FetchError::Missing),
            },
            read => read,
        }
    }

    fn snapshots(
        &self,
        namespace: &Namespace,
        group: Option<&GroupName>,
    ) -> Result<Vec<SnapshotInfo>, FetchError> {
        self.lister().snapshots(namespace, group)
    }

    fn namespaces(&self, parent: &Namespace) -> Result<Vec<Namespace>, FetchError> {
        self.lister().namespaces(parent)
    }

    fn owner(&self, namespace: &Namespace, group: &GroupName) -> Result<String, FetchError> {
        let key = format!("{}{group}/owner", folder_of(namespace));
        let text = String::from_utf8(self.read(&key, MAX_OWNER)?).map_err(FetchError::transient)?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// Each connection has a client of its own, and with it one TCP connection that is kept alive.
    fn connect<'a>(
        &'a self,
        archive: &ArchivePath,
        cancel: &'a Cancel,
        throttle: &'a crate::rate_limit::RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        let dialer = self.dialer.throttled(throttle);
        Ok(Box::new(Chunks {
            place: self,
            index: key_of(&archive.snapshot, &archive.file),
            last: None,
            client: Client::signing(dialer, cancel.clone()),
            cancel,
            requested: None,
        }))
    }
}

/// A worker's way to the chunks.
struct Chunks<'a> {
    place: &'a S3,
    /// The key of the archive's index.
    index: String,
    /// The key of the last chunk that came.
    last: Option<String>,
    client: Client,
    cancel: &'a Cancel,
    requested: Option<Request>,
}

impl Connection for Chunks<'_> {
    fn request(&mut self, request: Request) -> Result<(), FetchError> {
        self.requested = Some(request);
        Ok(())
    }

    fn receive(&mut self) -> Result<ChunkAnswer, FetchError> {
        let Some(mut request) = self.requested.take() else {
            return Err(FetchError::Fatal("nothing was requested".into()));
        };
        // After a failure the client connects anew by itself.
        let result = self.fetch(&mut request);
        Ok(ChunkAnswer {
            id: request.id,
            blob: request.blob,
            result,
        })
    }
}

impl Chunks<'_> {
    fn fetch(&mut self, request: &mut Request) -> Result<(), FetchError> {
        let turn = self.place.in_flight.acquire(self.cancel)?;
        let store = &self.place.store;
        let key = chunk_key(&request.digest);
        let read = match store.object(&mut self.client, &key, Want::File) {
            Ok(answer) => (answer.read_into(&mut request.blob, request.limit))
                .map_err(|unfit| store.sort(unfit)),
            Err(trouble) => Err(trouble),
        };
        match &read {
            Ok(()) => turn.succeeded(),
            Err(trouble) if trouble.is_slow_down => turn.slow_down(),
            Err(_) => drop(turn),
        }
        let read = read.map_err(FetchError::from);
        if is_dubious(&read, &request.blob) {
            self.check_place()?;
        } else if read.is_ok() {
            self.last = Some(key);
        }
        read
    }

    /// Whether the place still has the archive's index, and the last chunk that came.
    fn check_place(&mut self) -> Result<(), FetchError> {
        let (store, client) = (&self.place.store, &mut self.client);
        let mut check = |key: &str, is_right| {
            let answer = store.object(client, key, Want::Beginning);
            let beginning = answer
                .and_then(|answer| (answer.read_beginning()).map_err(|unfit| store.sort(unfit)));
            let name = format!("the object {key}");
            check_still_there(&name, beginning.map_err(FetchError::from), is_right)
        };
        check(&self.index, Index::is_begun_by)?;
        match &self.last {
            Some(last) => check(last, is_begun_as_blob),
            None => Ok(()),
        }
    }
}

fn key_of(snapshot: &SnapshotPath, file: &str) -> String {
    let folder = folder_of(&snapshot.namespace);
    format!("{folder}{}/{file}", snapshot.snapshot)
}

/// The folder of a namespace, with a slash at its end.
fn folder_of(namespace: &Namespace) -> String {
    let names = namespace.components().map(|name| format!("ns/{name}/"));
    [".cnt/".to_owned()].into_iter().chain(names).collect()
}

fn chunk_key(digest: &Digest) -> String {
    let name = digest.to_string();
    format!(".chunks/{}/{name}", &name[..4])
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "S3({}{})",
            self.store.bucket.base_url(),
            self.store.prefix
        )
    }
}
