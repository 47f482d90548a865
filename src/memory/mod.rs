//! The memory that chunks take: how much of it there is, which run has how much, and the buffers
//! that chunks lie in.
//!
//! - [`MemoryBudget`] bounds the bytes for the chunks of all runs of a restore and its clones.
//! - [`MemoryShare`] is the part of the budget that one run has: how many slots for chunks.
//! - [`DecodePermits`] bounds how many chunks are decoded at once.
//! - [`BufferPool`] keeps memory for the buffers of one run, and [`Buffer`] is one of them.
//! - [`ReceivedBytes`] counts the bytes of chunks that places have sent.

mod budget;
mod buffer;
mod hashing;
mod page_aligned;
mod permits;
mod pool;
mod received;
mod share;

pub(crate) use budget::MemoryBudget;
pub use buffer::Buffer;
pub(crate) use permits::DecodePermits;
pub(crate) use pool::BufferPool;
pub(crate) use received::ReceivedBytes;
pub(crate) use share::MemoryShare;
