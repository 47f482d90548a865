//! A datastore that a web server publishes: its files below an `https://` URL. Knows nothing of what the files mean.

use std::fmt;

use ureq::http::Uri;
use zeroize::Zeroizing;

use crate::backend::http::{Client, Want, check_still_there, is_dubious};
use crate::backend::retry::Retry;
use crate::backend::secret::SecretValue;
use crate::backend::{Answer, ArchivePath, Backend, Connection, FetchError, Request};
use crate::cancel::Cancel;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Index;
use crate::format::blob::is_begun_as_blob;
use crate::format::name::SnapshotPath;
use crate::net::Dialer;
use crate::net::address::{Address, User};
use crate::net::proxy::basic;
use crate::rate_limit::RateLimit;

/// Who asks.
#[derive(Clone)]
pub(crate) enum Credentials {
    Basic {
        name: String,
        password: Zeroizing<String>,
    },
    Bearer(Zeroizing<String>),
}

/// A datastore below a URL. It can't be listed.
pub(crate) struct Https {
    /// Ends with a slash; has no credentials in it.
    base: String,
    authorization: Option<SecretValue>,
    dialer: Dialer,
    retry: Retry,
    /// For small files.
    client: Client,
}

impl Https {
    /// A datastore at `https://[user:password@]host[:port]/path/`. Connects to nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a URL of another form, or credentials that a header can't carry.
    pub(crate) fn new(
        url: &str,
        credentials: Option<Credentials>,
        dialer: Dialer,
        retry: Retry,
    ) -> Result<Https> {
        // The URL may hold a password, so it is not shown.
        let invalid = || {
            let message =
                "the URL of a datastore is written as https://[user:password@]host[:port]/path/";
            Error::new(ErrorKind::Invalid, message)
        };
        let rest = url.strip_prefix("https://").ok_or_else(invalid)?;
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = Address::parse(place).ok_or_else(invalid)?;
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        if path.contains(['?', '#']) {
            return Err(invalid());
        }
        let slash = if path.is_empty() || path.ends_with('/') {
            ""
        } else {
            "/"
        };
        let base = format!("https://{place}/{path}{slash}");
        base.parse::<Uri>()
            .map_err(|error| invalid().because(error))?;
        let credentials = match address.user {
            Some(User { name, password }) => Some(Credentials::Basic { name, password }),
            None => credentials,
        };
        let authorization = credentials.as_ref().map(header).transpose()?;
        Ok(Https {
            base,
            client: Client::new(dialer.clone(), authorization.clone(), retry.cancel.clone()),
            authorization,
            dialer,
            retry,
        })
    }

    fn file_url(&self, snapshot: &SnapshotPath, file: &str) -> String {
        let mut url = self.base.clone();
        for name in snapshot.namespace.components() {
            url.push_str("ns/");
            url.push_str(name);
            url.push('/');
        }
        format!("{url}{}/{file}", snapshot.snapshot)
    }
}

impl Backend for Https {
    fn read_file(
        &self,
        snapshot: &SnapshotPath,
        file: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let url = self.file_url(snapshot, file);
        (self.retry).run(|| Ok(self.client.get(&url, Want::File)?.read(limit)?))
    }

    /// Each connection has a client of its own, and with it one TCP connection that is kept alive: it ends with its
    /// restore's cancel and with the worker's connection, so what came damaged comes anew over another.
    fn connect<'a>(
        &'a self,
        archive: &ArchivePath,
        cancel: &'a Cancel,
        throttle: &'a RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        let dialer = self.dialer.throttled(throttle);
        let authorization = self.authorization.clone();
        Ok(Box::new(Chunks {
            client: Client::new(dialer, authorization, cancel.clone()),
            base: &self.base,
            index: self.file_url(&archive.snapshot, &archive.file),
            last: None,
            requested: None,
        }))
    }
}

/// A worker's way to the chunks.
struct Chunks<'a> {
    client: Client,
    base: &'a str,
    /// The URL of the archive's index.
    index: String,
    /// The URL of the last chunk that came.
    last: Option<String>,
    requested: Option<Request>,
}

impl Connection for Chunks<'_> {
    fn request(&mut self, request: Request) -> Result<(), FetchError> {
        self.requested = Some(request);
        Ok(())
    }

    fn receive(&mut self) -> Result<Answer, FetchError> {
        let Some(mut request) = self.requested.take() else {
            return Err(FetchError::Fatal("nothing was requested".into()));
        };
        // After a failure the client connects anew by itself.
        let result = self.fetch(&mut request);
        Ok(Answer {
            id: request.id,
            blob: request.blob,
            result,
        })
    }
}

impl Chunks<'_> {
    fn fetch(&mut self, request: &mut Request) -> Result<(), FetchError> {
        let url = chunk_url(self.base, &request.digest);
        let answer = self.client.get(&url, Want::File);
        let read = answer.and_then(|answer| answer.read_into(&mut request.blob, request.limit));
        let read = read.map_err(FetchError::from);
        if is_dubious(&read, &request.blob) {
            self.check_place()?;
        } else if read.is_ok() {
            self.last = Some(url);
        }
        read
    }

    /// Whether the place still has the archive's index, and the last chunk that came.
    fn check_place(&self) -> Result<(), FetchError> {
        let check = |url: &str, is_right| {
            let answer = self.client.get(url, Want::Beginning);
            let beginning = answer.and_then(|answer| answer.read_beginning());
            check_still_there(url, beginning.map_err(FetchError::from), is_right)
        };
        check(&self.index, Index::is_begun_by)?;
        match &self.last {
            Some(last) => check(last, is_begun_as_blob),
            None => Ok(()),
        }
    }
}

fn chunk_url(base: &str, digest: &Digest) -> String {
    let name = digest.to_string();
    format!("{base}.chunks/{}/{name}", &name[..4])
}

fn header(credentials: &Credentials) -> Result<SecretValue> {
    let text = match credentials {
        Credentials::Basic { name, password } => basic(name, password),
        Credentials::Bearer(token) => Zeroizing::new(["Bearer ", token].concat()),
    };
    SecretValue::new(text).ok_or_else(|| {
        let message = "the credentials hold a character that they may not";
        Error::new(ErrorKind::Invalid, message)
    })
}

impl fmt::Debug for Credentials {
    // Never what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::Basic { .. } => "Basic(..)",
            Credentials::Bearer(_) => "Bearer(..)",
        })
    }
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Https({})", self.base)
    }
}
