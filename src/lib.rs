//! Restores backups of a Proxmox Backup Server (PBS) with plain threads: in order, verified, with
//! bounded memory, and without an async runtime. The library runs on Linux.
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
//! A *chunk* is a stored piece of an archive, of some MiB, and its *digest* is its name. A *blob* is
//! the form in which the datastore keeps a chunk: compressed, encrypted, both or neither. An *index*
//! lists the chunks of an *archive*, such as the image of a disk. A *manifest* lists the archives of
//! a *snapshot*. Snapshots lie in a *datastore*, and a [`Backend`](backend::Backend) reads a
//! datastore in one kind of *place*. A *position* is the place of a chunk in the index; an *offset*
//! is a byte in the archive.
//!
//! # Places
//!
//! [`OpenOptions::open`] opens a place by its name. [`Datastore::open`] does the same with the keys
//! and secrets that the environment holds.
//!
//! | name | place |
//! |---|---|
//! | `restore@pbs!ci@pbs.example.org:store1` | a datastore of a running PBS; `OpenOptions::password` takes the secret of the token, or the password of the user |
//! | `https://backups.example.org/` | a datastore that a web server publishes, with `OpenOptions::basic_auth`, `OpenOptions::bearer_token` or no sign-in; a web server can't list snapshots, so a snapshot is named in full |
//! | `s3://bucket/store1` | a datastore that PBS 4 keeps in an S3 bucket, with `OpenOptions::s3_credentials` or `OpenOptions::s3_from_env`; `OpenOptions::s3_endpoint` names a server of your own |
//! | `pve:backup` | the datastore of a storage of Proxmox VE, on one of its nodes: `/etc/pve` says all the rest ([`pve`]) |
//! | `/mnt/datastore`, `dir:PATH` | a datastore in a folder |
//!
//! A program that wants to know what a name says, such as the host, parses it as a [`Place`]. For a
//! place of another kind, implement [`Backend`](backend::Backend).
//!
//! The library trusts a server if the system's root certificates, or those in
//! `OpenOptions::ca_file`, vouch for its certificate, or if the certificate has the fingerprint in
//! `OpenOptions::fingerprint`. If a certificate is not trusted, the cause of the error is an
//! `UntrustedCertificate`, which holds the fingerprint, so that a program can ask somebody.
//!
//! A failure of a place, such as a lost connection or an overloaded server, is tried again for as
//! long as there is [`patience`](Restore::patience) with the place. A chunk that is itself wrong is
//! looked at twice, and then counts as damage. [`Error::scope`] says whose failure it is: the
//! chunk's, the place's, or this machine's.
//!
//! While a restore has a session with a PBS, the server does not prune the snapshot. The session
//! that a snapshot was opened with ends when nobody used it for 10 seconds. S3 has no such lock: if
//! a garbage collection deletes a chunk meanwhile, the error is of kind [`ErrorKind::Missing`].
//!
//! # The way of a chunk
//!
//! The thread that calls [`Restore::run`] becomes the writer. The writer walks the index in order,
//! passes over the chunks that need not be fetched, and asks for the others ahead of time, as many
//! as the memory has room for. Worker threads, each with a [`Connection`](backend::Connection) of its
//! own, fetch a blob, decrypt and decompress it, compare the digest, and send the chunk to the
//! writer. A chunk that comes early waits for its turn. The writer gives the data to the
//! [`Target`](target::Target) strictly in order.
//!
//! [`Restore::reader`] opens an archive for the other way to read: a [`Reader`] gives any bytes at any
//! time, to any number of threads, as a file system or a virtual machine asks for them. A thread of
//! the reader's own drives the same workers. [`Reader::fill`] makes a file of the archive meanwhile.
//!
//! These chunks are not fetched:
//!
//! - Chunks of zeros: their digest is known.
//! - Chunks that the target holds already, after a restore that was cut off, or as an earlier state
//!   of the same disk ([`FileTarget::reuse`], [`DeviceTarget::reuse`]). The restore hashes them ahead
//!   of the writer, on all cores, and keeps those that are right.
//! - Chunks that occur again: the restore copies them within the target or, if it can't read the
//!   target back, keeps them in memory.
//! - Chunks that a [`Seed`] has.
//!
//! If a datastore has several places ([`Datastore::any_of`]), each place has workers of its own. The
//! restore asks the first place for a chunk, and the next place if the chunk is missing or damaged
//! there or the place is out of reach. With [`Restore::race`], it asks a second time for a chunk
//! that is late, and takes the first answer.
//!
//! # Files
//!
//! Backups of containers and hosts are *file archives* (`root.pxar`, or `root.mpxar` with
//! `root.ppxar`). `files::Files` opens one: it lists the entries, looks up a path, and reads single
//! files, and fetches only the chunks that it needs. `files::Extract` extracts all of them or a part,
//! with everything that the archive says of them, and changes nothing outside its folder.
//! `Files::pack` makes a tar or zip archive of them. `files::pxar` decodes a file archive from any
//! stream of bytes.
//!
//! # Guarantees
//!
//! - A target gets only bytes whose digest was verified, each once, in order, without gaps.
//! - [`Target::finish`](target::Target::finish) is called after the last position of the index was
//!   committed, and at no other time. So [`Ok`] means that everything is there, and as durable as the
//!   target can make it.
//! - Memory for chunks stays within [`Restore::memory`], which runs at the same time share. Lengths
//!   that come from outside are bounded before anything is allocated; a blob can't decode to more
//!   than the length of its chunk.
//! - Of several failures, the first is returned. The error names the chunk, its position and its
//!   offset, and says whether the chunk is *missing*, *corrupt* or *unreadable*, or merely could *not
//!   be fetched* ([`ErrorKind`]).
//! - Whatever stops a restore, running it again continues it. What the target holds is believed only
//!   by its digest. Extracted files are believed by their length and time, which they get once their
//!   data is durable, or compared with the archive if that is wanted.
//! - With [`Restore::salvage`], zeros take the place of lost chunks, and [`Report::damage`] lists all
//!   of them. A chunk that merely could not be reached is never replaced by zeros.
//! - With a key, a manifest must be signed by that key, unless the caller allows otherwise by name.
//!   An archive that is encrypted by its manifest takes encrypted chunks only, any other archive only
//!   plain chunks.
//! - A restore ends within a second after [`Cancel::cancel`], unless the file system holds it up. Its
//!   threads have ended when it returns; those of a target that was not finished end when the target
//!   is dropped. A panic in a target, a backend or an observer is raised again on the calling thread.
//! - Errors, `Debug` and logs show no secrets, not even at trace level. Nothing that a server, a file
//!   or a user says makes the library panic.
//!
//! # Features
//!
//! - `pbs` (on): running PBS, over an HTTP/2 client of our own on rustls.
//! - `https` (on): datastores that a web server publishes.
//! - `s3` (on): datastores in S3 buckets.
//! - `files` (on): the files in the archives of containers and hosts, one by one.
//! - `nbd` (on): an NBD server ([`nbd::Server`]), which lets QEMU, libnbd and the Linux kernel read
//!   archives at any offset.
//! - `master-key` (off): `OpenOptions::master_key`, which needs the `rsa` crate.
//!
//! Datastores in folders need none of these. The feature `tls` is what the first three share; it is
//! of no use by itself.
// docs.rs shows which feature an item needs. Only a nightly rustdoc can.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod backend;
mod cancel;
mod datastore;
mod digest;
pub mod environment;
mod error;
mod fetch;
#[cfg(feature = "files")]
pub mod files;
pub mod format;
mod memory;
#[cfg(feature = "nbd")]
pub mod nbd;
#[cfg(feature = "tls")]
mod net;
mod open;
pub mod place;
pub mod pve;
mod rate_limit;
pub mod read;
mod reading;
mod report;
mod restore;
mod sample;
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
pub use read::Reader;
pub use report::{Damage, Event, PlaceReport, Report};
pub use restore::Restore;
pub use restore::plan::Plan;
pub use sample::Sample;
pub use target::{DeviceTarget, FileTarget, StreamTarget};
