//! A Proxmox Backup Server, read over its reader protocol.

mod body;
mod chunks;
mod exchange;
mod explain;
mod h2;
mod head;
mod idle;
mod list;
mod listing;
mod login;
mod refusal;
mod session;
mod stall;
mod upgrade;

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::backend::pbs::chunks::Chunks;
use crate::backend::pbs::exchange::Server;
use crate::backend::pbs::explain::{no_longer_there, of_place};
use crate::backend::pbs::idle::IdleSlot;
use crate::backend::pbs::login::Login;
use crate::backend::pbs::refusal::other_than;
use crate::backend::pbs::session::Session;
use crate::backend::retry::Retry;
use crate::backend::{ArchivePath, Backend, Concurrency, Connection, FetchError, SnapshotInfo};
use crate::cancel::Cancel;
use crate::digest::Hasher;
use crate::error::{Error, ErrorKind};
use crate::format::index::HEADER;
use crate::format::name::{GroupName, Namespace, SnapshotPath};
use crate::net::Dialer;
use crate::net::body_text::{TELLING, is_web_page};
use crate::place::Repository;
use crate::rate_limit::RateLimit;

/// How many times the server's test data is requested. Each request brings 1 MiB, and this many
/// tell the speed.
const SPEEDTESTS: usize = 64;
const MAX_SPEEDTEST: u64 = 16 << 20;

/// The most bytes that are read of an answer that may be a web page.
const LONGEST_PAGE: u64 = 1 << 20;

/// How long a session is kept for its next use. A session holds a lock on the snapshot on the
/// server, so that nobody can prune it. No router or firewall on the way forgets a connection in so
/// short a time.
const IDLE: Duration = Duration::from_secs(10);

/// A datastore on a Proxmox Backup Server.
pub(crate) struct Pbs {
    repository: Repository,
    login: Login,
    dialer: Dialer,
    retry: Retry,
    /// The session that last read small files, kept for the next small file or for the first
    /// worker.
    last: IdleSlot<Last>,
    /// The snapshot that was last found to be on the server, and when.
    last_seen: Mutex<Option<(SnapshotPath, Instant)>>,
}

struct Last {
    session: Session,
    snapshot: SnapshotPath,
    /// The index that the session downloaded last. The session may fetch the chunks of this index.
    index: Option<String>,
}

impl Pbs {
    /// A datastore that is not connected to yet.
    pub(crate) fn new(
        repository: Repository,
        secret: Option<Zeroizing<String>>,
        dialer: Dialer,
        retry: Retry,
    ) -> Pbs {
        Pbs {
            login: Login::new(&repository, secret),
            repository,
            dialer,
            retry,
            last: IdleSlot::new(IDLE),
            last_seen: Mutex::new(None),
        }
    }

    fn server<'a>(&'a self, cancel: &'a Cancel) -> Server<'a> {
        Server {
            repository: &self.repository,
            dialer: &self.dialer,
            cancel,
        }
    }

    /// Opens a new session for a snapshot. An expired ticket is replaced once.
    fn session(
        &self,
        snapshot: &SnapshotPath,
        cancel: &Cancel,
        rate_limit: &RateLimit,
    ) -> Result<Session, FetchError> {
        let server = Server {
            dialer: &self.dialer.rate_limited(rate_limit),
            ..self.server(cancel)
        };
        let mut is_second = false;
        loop {
            let proof = self.login.proof(&server)?;
            let request = upgrade::request(&self.repository, snapshot, &proof);
            let stream = server.dial()?;
            let authority = self.repository.authority();
            let progress = self.dialer.progress();
            match Session::open(stream, &request, authority, progress, cancel.clone()) {
                Err(FetchError::Denied(_)) if !is_second && self.login.forget(&proof) => {
                    is_second = true
                }
                result => return result,
            }
        }
    }

    /// Makes one attempt to read a file, over the last session if that is of the same snapshot.
    fn read_once(
        &self,
        snapshot: &SnapshotPath,
        file: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        // A session that failed is not put back.
        let last = self.last.take().filter(|last| last.snapshot == *snapshot);
        let mut last = match last {
            Some(last) => last,
            None => Last {
                session: (self.session(snapshot, &self.retry.cancel, &RateLimit::default()))
                    .map_err(|refusal| self.explain_session(snapshot, refusal))?,
                snapshot: snapshot.clone(),
                index: None,
            },
        };
        let mut bytes = Vec::new();
        let downloaded = last
            .session
            .download(file, limit, &mut |piece| bytes.extend_from_slice(piece));
        match &downloaded {
            Ok(()) if is_index(file) => last.index = Some(file.to_owned()),
            Ok(()) | Err(FetchError::Missing) => {}
            Err(_) => return downloaded.map(|()| bytes),
        }
        if is_web_page(&bytes) {
            return Err(other_than(file, &bytes));
        }
        self.last.park(last);
        downloaded.map(|()| bytes)
    }

    /// The session that read the archive's index, unless another worker took it before.
    fn last_session(
        &self,
        archive: &ArchivePath,
        cancel: &Cancel,
        rate_limit: &RateLimit,
    ) -> Option<Session> {
        let fits = |last: &Last| {
            last.snapshot == archive.snapshot && last.index.as_ref() == Some(&archive.file)
        };
        let mut session = self.last.take_if(fits)?.session;
        session.listen_to(cancel, rate_limit);
        Some(session)
    }
}

impl Backend for Pbs {
    fn read_file(
        &self,
        snapshot: &SnapshotPath,
        file: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        self.retry.run(|| self.read_once(snapshot, file, limit))
    }

    fn snapshots(
        &self,
        namespace: &Namespace,
        group: Option<&GroupName>,
    ) -> Result<Vec<SnapshotInfo>, FetchError> {
        let server = self.server(&self.retry.cancel);
        let listed =
            (self.retry).run(|| listing::snapshots(&server, &self.login, namespace, group));
        listed.map_err(|refusal| self.explain_namespace(namespace, refusal))
    }

    fn namespaces(&self, parent: &Namespace) -> Result<Vec<Namespace>, FetchError> {
        let server = self.server(&self.retry.cancel);
        (self.retry).run(|| listing::namespaces(&server, &self.login, parent))
    }

    fn speedtest(&self, snapshot: &SnapshotPath) -> Result<u64, FetchError> {
        let mut session = self.session(snapshot, &self.retry.cancel, &RateLimit::default())?;
        let mut len = 0;
        for _ in 0..SPEEDTESTS {
            session.fetch("/speedtest", MAX_SPEEDTEST, &mut |piece| {
                len += piece.len() as u64
            })?;
        }
        Ok(len)
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::Multiplexed
    }

    fn connect<'a>(
        &'a self,
        archive: &ArchivePath,
        cancel: &'a Cancel,
        rate_limit: &'a RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        let session = match self.last_session(archive, cancel, rate_limit) {
            Some(session) => session,
            None => self.session_for(archive, cancel, rate_limit)?,
        };
        Ok(Box::new(Chunks {
            session,
            place: self,
            snapshot: archive.snapshot.clone(),
            cancel,
        }))
    }
}

impl Pbs {
    /// Opens a new session that may fetch the chunks of an archive. The server allows that once the
    /// session has downloaded the archive's index.
    ///
    /// # Errors
    /// No error is about a chunk: errors mean that the snapshot or its index is gone or changed, or
    /// that the server can't be asked.
    fn session_for(
        &self,
        archive: &ArchivePath,
        cancel: &Cancel,
        rate_limit: &RateLimit,
    ) -> Result<Session, FetchError> {
        let mut session = match self.session(&archive.snapshot, cancel, rate_limit) {
            Err(FetchError::Missing) => return Err(no_longer_there(&archive.snapshot)),
            opened => opened.map_err(of_place)?,
        };
        let (mut entries, mut header) = (Hasher::default(), HEADER);
        let mut start = Vec::new();
        // A web page in place of the index may be longer than the index.
        let limit = archive.len.max(LONGEST_PAGE);
        let downloaded = session.download(&archive.file, limit, &mut |piece| {
            let missing = TELLING.saturating_sub(start.len());
            start.extend_from_slice(&piece[..missing.min(piece.len())]);
            let skipped = header.min(piece.len());
            header -= skipped;
            entries.update(&piece[skipped..]);
        });
        let cause = match downloaded {
            Ok(()) if entries.finish() == archive.csum => return Ok(session),
            Ok(()) if is_web_page(&start) => return Err(other_than(&archive.file, &start)),
            Ok(()) => None,
            Err(FetchError::Missing) => return Err(no_longer_there(&archive.snapshot)),
            Err(FetchError::TooLong) => Some(FetchError::TooLong),
            Err(error) => return Err(of_place(error)),
        };
        let message = format!(
            "{} is not on the server as the manifest lists it",
            archive.file
        );
        let error = Error::new(ErrorKind::Corrupt, message);
        Err(FetchError::Fatal(match cause {
            Some(cause) => error.because(cause).into(),
            None => error.into(),
        }))
    }
}

fn is_index(file: &str) -> bool {
    file.ends_with(".fidx") || file.ends_with(".didx")
}

impl fmt::Debug for Pbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pbs({})", self.repository)
    }
}
