//! Servers for tests: a PBS, a static web server, an S3 server, a proxy. Their protocols are other people's (h2, hyper, rustls), so that
//! the client meets implementations that its authors did not write. They know nothing of chunk-restore.
//!
//! ```
//! use std::sync::Arc;
//! use testkit::{Fault, Image, InMemory, PbsServer, SnapshotBuilder, When, Workload};
//!
//! let store = Arc::new(InMemory::new());
//! let info = SnapshotBuilder::new("vm/100/2026-01-02T03:04:05Z")
//!     .image("drive-scsi0.img", Image::new(Workload::Typical, 1, 100_000, 4096))
//!     .write_to(&*store);
//! let server = PbsServer::start(store);
//! server.on_chunk(&info.archives[0].digests[3], When::Nth(1), Fault::Stall);
//! assert!(server.repository("store1").starts_with("restore@pbs!ci@127.0.0.1:"));
//! ```
//!
//! Faults are data, and chosen by counting, never by chance or by the clock.

pub(crate) mod certificate;
mod der;
pub(crate) mod fault;
pub(crate) mod gate;
pub(crate) mod http1;
pub(crate) mod listen;
pub(crate) mod pbs;
pub(crate) mod play;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod s3;
pub(crate) mod source;
pub(crate) mod url;
pub(crate) mod web;
pub(crate) mod wire;

use std::sync::{Mutex, MutexGuard};

/// Locks what no one leaves half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no one panics while changing it")
}
