//! Restores backups of a Proxmox Backup Server with plain threads: in order, verified, with bounded memory, and without
//! an async runtime.
//!
//! ```no_run
//! use chunk_restore::{Datastore, FileTarget, Restore};
//!
//! fn main() -> chunk_restore::Result<()> {
//!     let datastore = Datastore::open("/mnt/datastore")?;
//!     let snapshot = datastore.snapshot("vm/100")?;
//!     let archive = snapshot.archive("drive-scsi0.img")?;
//!     let report = Restore::new().run(&archive, &mut FileTarget::create("disk.raw")?)?;
//!     println!("{report}");
//!     Ok(())
//! }
//! ```
//!
//! # Words
//!
//! A *chunk* is a stored piece of some MiB, named by its *digest*; a *blob* is its encoded form: compressed, encrypted,
//! both or neither. An *index* lists the chunks of an *archive*, such as a disk's image. A *manifest* lists the archives
//! of a *snapshot*, and snapshots live in a *datastore*, which a [`Backend`](backend::Backend) reads. A *position* is a chunk's place in the
//! index, an *offset* a byte in the archive.
//!
//! # Places
//!
//! [`OpenOptions::open`] takes the name of a place, and [`Datastore::open`] does so with what the environment says:
//!
//! | name | place |
//! |---|---|
//! | `restore@pbs!ci@pbs.example.org:store1` | a datastore of a running Proxmox Backup Server, with the secret of the token, or the password of the user, from `OpenOptions::password` |
//! | `https://backups.example.org/` | a datastore that a web server publishes, with `OpenOptions::basic_auth`, `OpenOptions::bearer_token` or nothing; it can't be listed, so snapshots are named in full |
//! | `s3://bucket/store1` | a datastore that PBS 4 keeps in an S3 bucket, with `OpenOptions::s3_credentials` or `OpenOptions::s3_from_env`; on a server of your own with `OpenOptions::s3_endpoint` |
//! | `/mnt/datastore`, `dir:PATH` | a datastore in a folder |
//!
//! A program that wants to know what a name says, such as the host, parses it as a [`Place`]. A place of another kind is a
//! [`Backend`](backend::Backend) of your own.
//!
//! A server is trusted if the system's root certificates, or those in `OpenOptions::ca_file`, vouch for it, or else if its
//! certificate has the fingerprint in `OpenOptions::fingerprint`. A program can find out the fingerprint of a certificate
//! that is not trusted, to ask somebody: `UntrustedCertificate` is the cause of the error.
//!
//! What fails because of the place, such as a lost connection or an overloaded server, is tried again for as long as there
//! is [`patience`](Restore::patience) with it. What is wrong with a chunk alone is looked at twice, and counts as damage
//! then: [`Error::scope`] tells the two apart, and what this machine itself lacks. While a restore has a session with a
//! Proxmox Backup Server, its snapshot can't be pruned; the session that a snapshot was opened with is ended when it was
//! not used for 10 seconds. S3 gives no such lock: a chunk that a garbage collection deletes meanwhile is an error of kind
//! [`ErrorKind::Missing`].
//!
//! # The road of a chunk
//!
//! [`Restore::run`] turns the calling thread into the writer. It walks the index in order, passes over what need not be fetched,
//! and asks for the other chunks ahead of time, by a window of so many chunks as the memory has room for. Worker threads, each
//! with a [`Connection`](backend::Connection) of its own, fetch the blob, decrypt and decompress it, compare its digest, and send it back; what comes
//! early waits for its turn. The writer hands the data to the [`Target`](target::Target) strictly in order.
//!
//! What need not be fetched:
//!
//! - chunks of zeros, which are known by their digest;
//! - what the target holds already, of a restore that was cut off or of an earlier state of the same disk
//!   ([`FileTarget::reuse`], [`DeviceTarget::reuse`]): it is hashed ahead of the writer, on all cores, and kept where it is right;
//! - a chunk that occurs again: it is copied within the target, or, where that can't be read back, kept in memory;
//! - what a [`Seed`] has.
//!
//! Of several places ([`Datastore::any_of`]) each has its own workers. The first is asked, and the next where a chunk is
//! missing or damaged there, or the place is out of reach. A chunk that is late can be raced ([`Restore::race`]).
//!
//! # What holds
//!
//! - Only bytes whose digest was verified reach a target, each once, in order, without gaps.
//! - [`Target::finish`](target::Target::finish) is called after the last position of the index was committed, and nowhere else. So an
//!   [`Ok`] means: everything is there, and as durable as the target can make it.
//! - Memory for chunks stays within [`Restore::memory`], which runs at the same time share. Lengths that come from outside are bounded before anything is
//!   allocated; a blob can't decode to more than its chunk's length.
//! - Of several failures the first is returned. It names the chunk, its position and offset, and says whether it is
//!   *missing*, *corrupt*, *unreadable* or merely could *not be fetched*: see [`ErrorKind`].
//! - Whatever stops a restore, running it again goes on with it. What is there is believed only by its digest.
//! - With [`Restore::salvage`], zeros take the place of chunks that are lost, and [`Report::damage`] lists them all.
//! - With a key, a manifest must be signed by it, unless the caller allows otherwise by name.
//!   Archives that the manifest says are encrypted take encrypted chunks only, others only plain ones.
//! - No restore goes on for more than a second after [`Cancel::cancel`], what the file system takes aside; its threads have
//!   ended when it returns. A panic in a target, a backend or an observer is raised again on the calling thread.
//! - Neither errors nor `Debug` nor logs, at trace level too, show secrets, and nothing panics on what a server, a file
//!   or a user says.
//!
//! # Features
//!
//! - `pbs` (on): Proxmox Backup Servers, over HTTP/2 of our own on rustls.
//! - `https` (on): datastores that a web server publishes.
//! - `s3` (on): datastores in S3 buckets.
//! - `master-key` (off): `recover_key`, which needs the `rsa` crate.
//!
//! Folders need none of them. `tls` is what the first three share, and no use by itself.
#![forbid(unsafe_code)]

pub mod backend;
mod cancel;
mod datastore;
mod digest;
pub mod environment;
mod error;
mod fetch;
pub mod format;
mod memory;
#[cfg(feature = "tls")]
mod net;
mod open;
pub mod place;
mod rate_limit;
mod reading;
mod report;
mod restore;
pub mod target;

pub use backend::SnapshotInfo;
pub use cancel::Cancel;
pub use datastore::Datastore;
pub use datastore::listing::GroupInfo;
pub use datastore::snapshot::{Archive, Snapshot};
pub use digest::{Digest, Fingerprint};
pub use error::{Error, ErrorKind, Result, Scope};
pub use fetch::seed::Seed;
pub use format::Key;
#[cfg(feature = "tls")]
pub use net::UntrustedCertificate;
pub use open::OpenOptions;
pub use place::Place;
pub use report::{Damage, Event, PlaceReport, Report};
pub use restore::Restore;
pub use restore::plan::Plan;
pub use target::{DeviceTarget, FileTarget, StreamTarget};
