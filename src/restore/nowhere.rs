//! The target of a verification, which keeps nothing.

use std::io;
use std::sync::Arc;

use crate::target::{Existing, ReadAt, Target};

/// A target that takes all bytes and keeps none. It claims that it can copy, so that each chunk is
/// fetched only once.
pub(super) struct Nowhere;

impl Target for Nowhere {
    fn existing(&self) -> Existing {
        Existing::Blank(Arc::new(Nowhere))
    }

    fn write(&mut self, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn write_zeros(&mut self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn copy(&mut self, _from: u64, _len: u64) -> io::Result<bool> {
        Ok(true)
    }

    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        Ok(())
    }
}

impl ReadAt for Nowhere {
    fn read_exact_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
