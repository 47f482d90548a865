//! The memory that chunks take: how much there is, who has it, and the buffers in it.

mod budget;
mod buffer;
mod hashing;
mod pool;

pub(crate) use budget::{MemoryBudget, Share};
pub use buffer::Buffer;
pub(crate) use pool::BufferPool;
