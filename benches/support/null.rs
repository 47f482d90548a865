//! A target that takes everything and keeps nothing.

use std::io;

use chunk_restore::target::Target;

pub(crate) struct Null;

impl Target for Null {
    fn write(&mut self, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn write_zeros(&mut self, _len: u64) -> io::Result<()> {
        Ok(())
    }
    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        Ok(())
    }
}
