//! Makes datastores, damaged ones too, and restores them the slow and simple way. Knows nothing of chunk-restore: it
//! is a second opinion on the formats, so it shares no code with what it tests.
//!
//! ```
//! use testkit::{Image, InMemory, SnapshotBuilder, Workload, restore};
//!
//! let store = InMemory::new();
//! let info = SnapshotBuilder::new("vm/100/2026-01-02T03:04:05Z")
//!     .image("drive-scsi0.img", Image::new(Workload::Typical, 1, 100_000, 4096))
//!     .blob("qemu-server.conf", b"cores: 2\n")
//!     .write_to(&store);
//! let archive = info.archive("drive-scsi0.img");
//! let data = restore(&archive.index, |digest| store.chunk(digest), None);
//! assert_eq!(testkit::sha256(&data), archive.sha256);
//! ```
//!
//! File archives are in [`pxar`]: trees, their archives in all layouts, a reader that is slow and strict, and archives
//! that attack who extracts them.
//!
//! It is for tests: whatever goes wrong is a panic that says what was wrong, and keys and IVs are made from seeds.

#![allow(
    clippy::exhaustive_enums,
    reason = "the testkit is not published: all code that matches on its enums is in this repository"
)]

mod blob;
mod chunks;
mod image;
mod index;
mod key;
mod manifest;
mod model;
pub mod pxar;
mod server;
mod snapshot;
mod store;
mod within;

pub use blob::{BlobKind, decode, encode, encode_auto};
pub use image::{Image, IntoImage, Prng, Workload};
pub use index::{DynamicIndex, FixedIndex};
pub use key::{Kdf, TestKey, chunk_digest, hex, sha256};
pub use manifest::{CryptMode, Manifest, ManifestFile, canonical, unix_time};
pub use model::{index_entries, restore};
pub use server::certificate::{Authority, Identity};
pub use server::fault::{ConnectionFault, Fault, SessionFault, When};
pub use server::gate::Gate;
pub use server::pbs::raw::{self, Raw};
pub use server::pbs::{Counts, PbsOptions, PbsServer, SessionEnd};
pub use server::process::{ServerProcess, serve, serve_if_asked};
pub use server::proxy::ProxyServer;
pub use server::s3::{S3Counts, S3Fault, S3Options, S3Server};
pub use server::source::Source;
pub use server::web::{StaticCounts, StaticOptions, StaticServer};
pub use snapshot::{ArchiveInfo, SnapshotBuilder, SnapshotInfo};
pub use store::{Folder, InMemory, Store};
pub use within::within;
