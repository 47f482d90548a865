//! A datastore in an S3 bucket, as PBS 4 keeps it.

mod credentials;
mod endpoint;
mod listing;
mod refusal;

use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use rusty_s3::{Bucket, Credentials, S3Action};
use url::Url;
use zeroize::Zeroizing;

use crate::backend::http::{Answer, Client, Unfit, Want, check_still_there, is_dubious};
use crate::backend::retry::Retry;
use crate::backend::s3::listing::Lister;
use crate::backend::secret::SecretValue;
use crate::backend::{
    ArchivePath, Backend, Connection, FetchError, Request, SnapshotInfo, layout, one_by_one,
};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::format::Index;
use crate::format::blob::is_begun_as_blob;
use crate::format::name::{GroupName, Namespace, SnapshotPath};
use crate::net::Dialer;
use crate::place;

pub(crate) use credentials::Keyring;
pub(crate) use endpoint::Server;

/// How long a signature is valid. Each request is signed when it is made, so this only bounds how
/// far the clocks may differ. S3 servers accept no greater difference with other kinds of
/// signature.
const EXPIRY: Duration = Duration::from_secs(15 * 60);

/// The most clients that are kept: as many as manifests are read at a time.
const MOST_IDLE: usize = 8;

/// A datastore whose objects lie below a prefix in a bucket.
pub(crate) struct S3 {
    store: Store,
    dialer: Dialer,
    retry: Retry,
    /// Idle clients that read whole objects, each with its own connection.
    idle: Mutex<Vec<Client>>,
}

/// Where the objects are, and the credentials to ask for them.
struct Store {
    bucket: Bucket,
    /// The prefix of all keys: the datastore's name and a slash.
    prefix: String,
    keyring: Keyring,
}

impl S3 {
    /// A datastore in a bucket. Connects to nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a malformed endpoint or region.
    pub(crate) fn new(
        place: &place::Bucket,
        server: &Server,
        keyring: Keyring,
        dialer: Dialer,
        retry: Retry,
    ) -> Result<S3> {
        let store = Store {
            bucket: endpoint::bucket(place.name(), server)?,
            prefix: format!("{}/", place.datastore()),
            keyring,
        };
        Ok(S3 {
            store,
            dialer,
            retry,
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

    /// Reads an object whole. The client is kept for the next object, since a listing reads many.
    fn read(&self, key: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let idle = self.idle.lock().pop();
        let mut client = idle.unwrap_or_else(|| self.client(&self.retry.cancel));
        let read = (self.retry).run(|| {
            let answer = self.store.object(&mut client, key, Want::File)?;
            answer.read(limit).map_err(|unfit| self.store.sort(unfit))
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
    fn object(&self, client: &mut Client, key: &str, want: Want) -> Result<Answer, FetchError> {
        let key = format!("{}{key}", self.prefix);
        let sign = |with: &Credentials| self.bucket.get_object(Some(with), &key).sign(EXPIRY);
        self.get(client, sign, want)
    }

    /// Sends a request that `sign` signs, and sends it once more if the credentials had expired and
    /// others are there by now.
    fn get(
        &self,
        client: &mut Client,
        sign: impl Fn(&Credentials) -> Url,
        want: Want,
    ) -> Result<Answer, FetchError> {
        let credentials = self.keyring.current();
        let answer = match self.send(client, sign(&credentials), want) {
            Err(Unfit::Refused(refused)) if refusal::is_expired(&refused) => {
                match self.keyring.instead_of(&credentials) {
                    Some(others) => self.send(client, sign(&others), want),
                    None => Err(Unfit::Refused(refused)),
                }
            }
            answer => answer,
        };
        answer.map_err(|unfit| self.sort(unfit))
    }

    fn send(&self, client: &mut Client, signed: Url, want: Want) -> Result<Answer, Unfit> {
        let signed = Zeroizing::new(String::from(signed));
        let (url, query) = signed.split_once('?').unwrap_or((&signed, ""));
        let query = SecretValue::new(Zeroizing::new(query.to_owned()))
            .expect("what is not ASCII is encoded in a URL");
        client.get_signed(url, query, want)
    }

    fn sort(&self, unfit: Unfit) -> FetchError {
        match unfit {
            Unfit::Failed(error) => error,
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
        match self.read(&key_of(&layout::file(snapshot, file)), limit) {
            // If not even the datastore is there, the error says so.
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
        let key = key_of(&layout::owner(namespace, group));
        let bytes = self.read(&key, layout::OWNER_LEN_MAX)?;
        let text = String::from_utf8(bytes).map_err(FetchError::transient)?;
        Ok(layout::parse_owner(&text).to_owned())
    }

    /// Each connection has a client of its own, and with it one TCP connection that is kept alive.
    fn connect<'a>(
        &'a self,
        archive: &ArchivePath,
        cancel: &'a Cancel,
        rate_limit: &'a crate::rate_limit::RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        let dialer = self.dialer.rate_limited(rate_limit);
        let mut chunks = Chunks {
            place: self,
            index: key_of(&layout::file(&archive.snapshot, &archive.file)),
            last: None,
            client: Client::signing(dialer, cancel.clone()),
        };
        Ok(one_by_one(move |request| chunks.fetch(request)))
    }
}

/// A worker's connection to the chunks.
struct Chunks<'a> {
    place: &'a S3,
    /// The key of the archive's index.
    index: String,
    /// The key of the last chunk that came.
    last: Option<String>,
    client: Client,
}

impl Chunks<'_> {
    /// Fetches one chunk. After a failure the client connects anew by itself.
    fn fetch(&mut self, request: &mut Request) -> Result<(), FetchError> {
        let store = &self.place.store;
        let key = layout::chunk(&request.digest());
        let limit = request.limit();
        let read = store
            .object(&mut self.client, &key, Want::File)
            .and_then(|answer| {
                let read = answer.read_into(request.buffer(), limit);
                read.map_err(|unfit| store.sort(unfit))
            });
        if is_dubious(&read, &*request.buffer()) {
            self.check_place()?;
        } else if read.is_ok() {
            self.last = Some(key);
        }
        read
    }

    /// Checks that the place still has the archive's index, and the last chunk that came.
    fn check_place(&mut self) -> Result<(), FetchError> {
        let (store, client) = (&self.place.store, &mut self.client);
        let mut check = |key: &str, is_right| {
            let answer = store.object(client, key, Want::Beginning);
            let beginning = answer
                .and_then(|answer| (answer.read_beginning()).map_err(|unfit| store.sort(unfit)));
            let name = format!("the object {key}");
            check_still_there(&name, beginning, is_right)
        };
        check(&self.index, Index::is_begun_by)?;
        match &self.last {
            Some(last) => check(last, is_begun_as_blob),
            None => Ok(()),
        }
    }
}

/// The key of a path in the folder that holds everything but the chunks.
fn key_of(path: &str) -> String {
    format!("{}{path}", layout::S3_CONTENTS)
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
