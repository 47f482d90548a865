//! A datastore that a web server publishes: its files lie below an `https://` URL.

use std::fmt;

use zeroize::Zeroizing;

use crate::backend::http::{Client, Want, check_still_there, is_dubious};
use crate::backend::retry::Retry;
use crate::backend::secret::SecretValue;
use crate::backend::{ArchivePath, Backend, Connection, FetchError, Request, layout, one_by_one};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Index;
use crate::format::blob::is_begun_as_blob;
use crate::format::name::SnapshotPath;
use crate::net::Dialer;
use crate::net::proxy::basic;
use crate::place::HttpsUrl;
use crate::rate_limit::RateLimit;

/// The credentials that requests are made with.
#[derive(Clone)]
pub(crate) enum Credentials {
    Basic {
        name: String,
        password: Zeroizing<String>,
    },
    Bearer(Zeroizing<String>),
}

/// A datastore below a URL. Such a datastore can't be listed.
pub(crate) struct Https {
    /// The URL of the datastore. It ends with a slash, and has no credentials in it.
    base: String,
    authorization: Option<SecretValue>,
    dialer: Dialer,
    retry: Retry,
    /// The client that reads small files.
    client: Client,
}

impl Https {
    /// A datastore at a URL. Credentials in the URL take precedence over `credentials`. Connects to
    /// nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for credentials that a header can't carry.
    pub(crate) fn new(
        url: &HttpsUrl,
        credentials: Option<Credentials>,
        dialer: Dialer,
        retry: Retry,
    ) -> Result<Https> {
        let own = url.credentials().map(|user| Credentials::Basic {
            name: user.name.clone(),
            password: user.password.clone(),
        });
        let credentials = own.or(credentials);
        let authorization = credentials.as_ref().map(header).transpose()?;
        Ok(Https {
            base: url.as_str().to_owned(),
            client: Client::new(dialer.clone(), authorization.clone(), retry.cancel.clone()),
            authorization,
            dialer,
            retry,
        })
    }

    fn file_url(&self, snapshot: &SnapshotPath, file: &str) -> String {
        format!("{}{}", self.base, layout::file(snapshot, file))
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

    /// Each connection has a client of its own, and with it one TCP connection that is kept alive.
    /// The TCP connection ends when the restore is cancelled or the worker drops its connection, so
    /// a chunk that came damaged is fetched again over another TCP connection.
    fn connect<'a>(
        &'a self,
        archive: &ArchivePath,
        cancel: &'a Cancel,
        rate_limit: &'a RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        let dialer = self.dialer.rate_limited(rate_limit);
        let authorization = self.authorization.clone();
        let mut chunks = Chunks {
            client: Client::new(dialer, authorization, cancel.clone()),
            base: &self.base,
            index: self.file_url(&archive.snapshot, &archive.file),
            last: None,
        };
        Ok(one_by_one(move |request| chunks.fetch(request)))
    }
}

/// A worker's connection to the chunks.
struct Chunks<'a> {
    client: Client,
    base: &'a str,
    /// The URL of the archive's index.
    index: String,
    /// The URL of the last chunk that came.
    last: Option<String>,
}

impl Chunks<'_> {
    /// Fetches one chunk. After a failure the client connects anew by itself.
    fn fetch(&mut self, request: &mut Request) -> Result<(), FetchError> {
        let url = format!("{}{}", self.base, layout::chunk(&request.digest()));
        let limit = request.limit();
        let answer = self.client.get(&url, Want::File);
        let read = answer.and_then(|answer| answer.read_into(request.buffer(), limit));
        let read = read.map_err(FetchError::from);
        if is_dubious(&read, &*request.buffer()) {
            self.check_place()?;
        } else if read.is_ok() {
            self.last = Some(url);
        }
        read
    }

    /// Checks that the place still has the archive's index, and the last chunk that came.
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
    // The credentials are never shown.
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
