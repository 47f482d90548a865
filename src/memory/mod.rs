//! The memory that chunks take: how much there is, who has it, and the buffers in it.

mod budget;
mod buffer;
mod hashing;
mod permits;
mod pool;
mod share;

pub(crate) use budget::MemoryBudget;
pub use buffer::Buffer;
pub(crate) use permits::DecodePermits;
pub(crate) use pool::BufferPool;
pub(crate) use share::MemoryShare;
