//! A server for NBD (network block device), the protocol by which QEMU, libnbd and the Linux kernel
//! read a disk over a socket: each archive becomes an export that can be read at any offset.
//!
//! ```no_run
//! use std::os::unix::net::UnixListener;
//!
//! use chunk_restore::{Cancel, Datastore, Restore, nbd};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let datastore = Datastore::open("/mnt/datastore")?;
//!     let archive = datastore.snapshot("vm/100")?.archive("drive-scsi0.img")?;
//!     let cancel = Cancel::new();
//!     let reader = Restore::new().cancel(&cancel).reader(&archive)?;
//!     let server = nbd::Server::new().export("drive-scsi0.img", reader)?;
//!     server.run(UnixListener::bind("/run/user/1000/nbd.sock")?, &cancel)?;
//!     Ok(())
//! }
//! ```
//!
//! Exports are read-only. Clients see which parts are zeros, and need not read those parts. A read
//! that fails is an I/O error for the client that asked, with the reason as text where the client
//! understands it; the connection and all others go on.
//!
//! # What bounds the server
//!
//! | what | bound |
//! |---|---|
//! | connections at once | [`Server::connections`], 128 by default |
//! | a handshake | [`Server::handshake_limit`], 10 s by default; 64 KiB for one option |
//! | one read | [`Server::block_max`], 32 MiB by default and at the most |
//! | requests of a connection that are not answered yet | 64 that wait, and 8 that are served |
//! | open reads of a connection whose chunks are fetched before their turn | the first 4 MiB, and all of the read that goes beyond 4 MiB |
//! | what the command `CACHE` has fetched | as many chunks as may be read ahead at once: [`Reader::prefetch`](crate::Reader::prefetch) |
//! | buffers of a connection | 256 KiB, in pieces of up to 128 KiB |
//! | extents in one reply | 16,384 |
//!
//! Chunks take memory of the [`Reader`](crate::Reader) only. A reply is copied out of the reader
//! piece by piece, and a piece is sent while it is in a buffer of the connection. So a client that
//! stops reading holds the buffers of its own connection, and no chunk.
//!
//! # Replies whose success is announced first
//!
//! Clients that understand structured replies get an error at the offset where it happened, after
//! the pieces before it. A simple reply, such as the Linux kernel's client expects, says first
//! whether the whole read succeeded. For a read of more than 128 KiB, the server therefore reads
//! the range twice: once to see that all of it can be read, and once to send it. The second time,
//! the chunks are normally still in memory. If a chunk is not, and can't be read any more, the
//! server must close the connection, as the protocol demands. A structured reply that must not be
//! split (the flag DF) may have 128 KiB.

mod answer;
mod buffers;
mod channel;
mod codec;
mod connection;
mod link;
mod listener;
mod peers;
mod server;
mod service;
mod tally;
mod tls;
mod transmission;

pub use listener::Listener;
pub use server::Server;
pub use tally::ServerReport;
pub use tls::Tls;
