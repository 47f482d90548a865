//! Parsers: they turn bytes into checked values. They do no I/O.
//!
//! The formats are those of Proxmox Backup Server, versions 1 to 4. All of them can be read, and
//! none is written.

pub(crate) mod blob;
pub(crate) mod index;
pub(crate) mod key;
pub(crate) mod manifest;
pub(crate) mod name;
pub(crate) mod verification;

pub use crate::digest::ParseDigestError;
pub use blob::{ChunkDecoder, Rejected, Verified};
pub use index::{Chunk, Index};
pub use key::{Key, KeyFile};
#[cfg(feature = "master-key")]
pub use key::{MasterKey, MasterKeyFile};
pub use manifest::{CryptMode, Manifest, ManifestFile};
pub use name::{BackupType, GroupName, Namespace, SnapshotName, SnapshotPath};
pub use verification::Verification;
