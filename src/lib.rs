//! Restores Proxmox Backup Server backups with plain threads: in order, verified, with bounded memory.

#![forbid(unsafe_code)]

mod backend;
mod buffer;
mod cancel;
mod datastore;
mod digest;
mod environment;
mod error;
mod format;
mod open;
mod pipeline;
mod report;
mod restore;
mod target;

pub use backend::{Answer, ArchivePath, Backend, Connection, FetchError, Request, SnapshotInfo};
pub use buffer::{Buffer, Buffers};
pub use cancel::Cancel;
pub use datastore::Datastore;
pub use datastore::snapshot::{Archive, Snapshot};
pub use digest::{Digest, Fingerprint, NotHex};
pub use environment::passphrase;
pub use error::{BoxError, Error, ErrorKind, Result};
pub use format::blob::{ChunkDecoder, Rejected, Verified};
pub use format::index::{Chunk, Index};
pub use format::key::{Key, KeyFile};
pub use format::manifest::{CryptMode, Manifest, ManifestFile};
pub use format::name::{BackupType, GroupName, Namespace, SnapshotName, SnapshotPath};
pub use open::Options;
pub use pipeline::plan::Plan;
pub use report::{Event, Report};
pub use restore::Restore;
pub use target::Target;
pub use target::file::FileTarget;
pub use target::stream::StreamTarget;
