//! The traits that each kind of place implements, so that backups can be restored from it:
//! [`Backend`] and [`Connection`].

pub(crate) mod directory;
#[cfg(any(feature = "https", feature = "s3"))]
mod http;
#[cfg(feature = "https")]
pub(crate) mod https;
mod info;
pub mod layout;
mod one_by_one;
#[cfg(feature = "pbs")]
pub(crate) mod pbs;
mod request;
pub(crate) mod retry;
#[cfg(feature = "s3")]
pub(crate) mod s3;
#[cfg(feature = "tls")]
mod secret;

use std::time::Duration;

use crate::cancel::Cancel;
use crate::digest::Digest;
use crate::format::name::{GroupName, Namespace, SnapshotPath};

pub use crate::cancel::Cancelled;
pub use crate::error::{BoxError, FetchError};
pub use crate::memory::Buffer;
pub use crate::rate_limit::RateLimit;
pub use info::SnapshotInfo;
pub use one_by_one::one_by_one;
pub use request::{Answer, Request};

/// A place that holds a datastore: implement it to restore from a new kind of place.
///
/// A backend answers with bytes as they are stored. The library checks everything that a backend
/// says.
///
/// Two methods are enough to restore: [`read_file`](Backend::read_file) and [`connect`](Backend::connect). A place that answers
/// one request at a time gets its connections from [`one_by_one()`]; one that has several requests in flight implements
/// [`Connection`].
///
/// ```
/// use std::collections::HashMap;
///
/// use chunk_restore::backend::{self, ArchivePath, Backend, Connection, FetchError, RateLimit};
/// use chunk_restore::format::SnapshotPath;
/// use chunk_restore::{Cancel, Datastore, Digest, ErrorKind};
///
/// #[derive(Default)]
/// struct InMemory {
///     /// By snapshot and name, such as `vm/100/2026-01-02T03:04:05Z/index.json.blob`.
///     files: HashMap<String, Vec<u8>>,
///     chunks: HashMap<Digest, Vec<u8>>,
/// }
///
/// impl Backend for InMemory {
///     fn read_file(
///         &self,
///         snapshot: &SnapshotPath,
///         file: &str,
///         limit: u64,
///     ) -> Result<Vec<u8>, FetchError> {
///         let path = format!("{}/{file}", snapshot.snapshot);
///         match self.files.get(&path) {
///             None => Err(FetchError::Missing),
///             Some(bytes) if bytes.len() as u64 > limit => Err(FetchError::TooLong),
///             Some(bytes) => Ok(bytes.clone()),
///         }
///     }
///
///     fn connect<'a>(
///         &'a self,
///         _archive: &ArchivePath,
///         _cancel: &'a Cancel,
///         _rate_limit: &'a RateLimit,
///     ) -> Result<Box<dyn Connection + 'a>, FetchError> {
///         Ok(backend::one_by_one(|request| {
///             match self.chunks.get(&request.digest()) {
///                 None => Err(FetchError::Missing),
///                 Some(blob) if blob.len() > request.limit() => Err(FetchError::TooLong),
///                 Some(blob) => {
///                     request.buffer().extend_from_slice(blob);
///                     Ok(())
///                 }
///             }
///         }))
///     }
/// }
///
/// let datastore = Datastore::new(InMemory::default());
/// let error = datastore.snapshot("vm/100/2026-01-02T03:04:05Z").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// ```
///
/// The example `custom_backend.rs` restores a disk from such a place.
pub trait Backend: Send + Sync {
    /// Reads a file of a snapshot whole, such as `index.json.blob` or `drive-scsi0.img.fidx`.
    ///
    /// # Errors
    /// [`FetchError::Missing`] where there is no such file, and [`FetchError::TooLong`] where it has more than `limit`
    /// bytes, which must not be read into memory to find out.
    fn read_file(
        &self,
        snapshot: &SnapshotPath,
        file: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError>;

    /// Lists the snapshots of a namespace, finished and unfinished, in any order. Where `group` is
    /// given, only the snapshots of that group are listed.
    ///
    /// # Errors
    /// [`FetchError::Missing`] if there is no such namespace; [`FetchError::Unsupported`], the
    /// default, if the place can't list snapshots. A group that does not exist has no snapshots,
    /// which is no error.
    fn snapshots(
        &self,
        namespace: &Namespace,
        group: Option<&GroupName>,
    ) -> Result<Vec<SnapshotInfo>, FetchError> {
        let _ = (namespace, group);
        Err(FetchError::Unsupported)
    }

    /// Says which things among the snapshots of a namespace, or of one of its groups, no listing
    /// shows, and why: sentences for people, such as "the folder vm/100/copy is passed over: its
    /// name is not the time of a snapshot". There are none by default.
    fn passed_over(&self, namespace: &Namespace, group: Option<&GroupName>) -> Vec<String> {
        let _ = (namespace, group);
        Vec::new()
    }

    /// The namespaces directly below a namespace, in any order.
    ///
    /// # Errors
    /// As [`snapshots`](Backend::snapshots).
    fn namespaces(&self, parent: &Namespace) -> Result<Vec<Namespace>, FetchError> {
        let _ = parent;
        Err(FetchError::Unsupported)
    }

    /// The user or token that a group belongs to, for places whose listing does not name the owner.
    ///
    /// # Errors
    /// [`FetchError::Unsupported`], the default, if the place does not know the owner.
    fn owner(&self, namespace: &Namespace, group: &GroupName) -> Result<String, FetchError> {
        let _ = (namespace, group);
        Err(FetchError::Unsupported)
    }

    /// How the place delivers chunks. The restore chooses its number of threads by this.
    fn concurrency(&self) -> Concurrency {
        Concurrency::OneByOne
    }

    /// Fetches a few MiB that the place need not search for, over one connection, and returns the
    /// number of bytes that came.
    ///
    /// # Errors
    /// [`FetchError::Unsupported`], the default, if the place has no such data; else the reason why
    /// the data could not be fetched.
    fn speedtest(&self, snapshot: &SnapshotPath) -> Result<u64, FetchError> {
        let _ = snapshot;
        Err(FetchError::Unsupported)
    }

    /// Opens a connection for the chunks of one archive. This is called on the worker thread that
    /// will use the connection.
    ///
    /// Anything that this method or the connection waits for should end within a second after
    /// `cancel` is cancelled. The connection should read chunks no faster than `rate_limit` allows.
    ///
    /// # Errors
    /// The reason why no connection could be opened.
    fn connect<'a>(
        &'a self,
        archive: &ArchivePath,
        cancel: &'a Cancel,
        rate_limit: &'a RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError>;
}

/// How a place delivers chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Concurrency {
    /// The chunks come without a network to wait for. Requesting more chunks at once than there are
    /// threads to decode them gains nothing, and only spreads the work over more memory.
    Local,
    /// The chunks come over a network, one at a time on each connection.
    OneByOne,
    /// The chunks come over a network, several at a time on each connection.
    Multiplexed,
}

/// One worker's connection to the chunks of one archive. It is made and used on one thread.
///
/// Only a place that has several requests in flight on one connection needs to implement it: [`one_by_one()`] makes the
/// connection of any other place.
///
/// A connection that returns an error from [`receive`](Connection::receive), or is dropped, is not used again.
pub trait Connection {
    /// How many requests the connection should have in flight. 0 means that the connection takes no
    /// more requests: the restore opens another one once those in flight are answered.
    fn depth(&self) -> usize {
        1
    }

    /// Called about every 20 seconds while there is nothing to fetch, so that no server, proxy or
    /// router drops the idle connection.
    ///
    /// # Errors
    /// The connection is dead.
    fn keep_alive(&mut self) -> Result<(), FetchError> {
        Ok(())
    }

    /// Asks for a chunk, and does not wait for the answer. Called with at most [`depth`](Connection::depth) - 1
    /// requests unanswered.
    ///
    /// # Errors
    /// The connection is dead.
    fn request(&mut self, request: Request) -> Result<(), FetchError>;

    /// Waits for the answer to any one of the unanswered requests. Called only while there is one.
    ///
    /// # Errors
    /// The connection is dead, and no request will be answered any more. A failure of one chunk
    /// alone is reported in its [`Answer`].
    fn receive(&mut self) -> Result<Answer, FetchError>;

    /// Like [`receive`](Connection::receive), but returns `None` if no answer has come whole after `limit`: the restore may have
    /// more to request meanwhile. It calls this at the start of its work, until a place has answered for the first time.
    /// Without an implementation of its own, this waits until an answer comes.
    ///
    /// # Errors
    /// As [`receive`](Connection::receive).
    fn receive_within(&mut self, limit: Duration) -> Result<Option<Answer>, FetchError> {
        let _ = limit;
        self.receive().map(Some)
    }
}

/// An archive of a snapshot, named by the file that holds its index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArchivePath {
    /// The snapshot.
    pub snapshot: SnapshotPath,
    /// The name of the index file, such as `drive-scsi0.img.fidx`.
    pub file: String,
    /// The length of that file, in bytes.
    pub len: u64,
    /// The file's checksum in the manifest: SHA-256 over everything after the file's header of
    /// 4,096 bytes.
    pub csum: Digest,
}

impl ArchivePath {
    /// The archive's name as people type it: the name of the file without `.fidx` or `.didx`.
    #[must_use]
    pub fn archive_name(&self) -> &str {
        self.file
            .rsplit_once('.')
            .map_or(&self.file, |(name, _)| name)
    }
}
