//! An archive that is read by offset, and what messages call it.

use crate::datastore::snapshot::Archive;
use crate::error::{Error, ErrorKind, Result};
use crate::files::pxar::{Problem, PxarError};
use crate::read::Reader;
use crate::restore::Restore;

/// A file archive that is not split, or a half of a split one.
pub(crate) struct Source {
    /// What messages call the archive: its file and its snapshot.
    name: String,
    reader: Reader,
}

impl Source {
    pub(super) fn open(restore: &Restore, archive: &Archive) -> Result<Source> {
        let path = archive.path();
        Ok(Source {
            name: format!("{} of {}", path.file, path.snapshot),
            reader: restore.reader(archive)?,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(super) fn len(&self) -> u64 {
        self.reader.len()
    }

    /// Reads from an offset up to the end of the chunk there, as far as there is room in the buffer:
    /// the next chunk may hold nothing that is needed. Returns how many bytes were read, and 0 only
    /// at the end of the archive.
    pub(super) fn read_in_chunk(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let left = self.reader.chunk_end(offset).saturating_sub(offset);
        let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.reader.read_at(&mut buffer[..len], offset)
    }

    /// Fills the buffer. `path` is that of the entry or directory that the bytes belong to.
    pub(super) fn read_exact(&self, buffer: &mut [u8], offset: u64, path: &[u8]) -> Result<()> {
        match self.reader.read_at(buffer, offset)? == buffer.len() {
            true => Ok(()),
            false => Err(self.corrupt(Problem::CutShort, self.len(), path)),
        }
    }

    /// An error that names the archive: it is damaged.
    pub(super) fn corrupt(&self, problem: Problem, offset: u64, path: &[u8]) -> Error {
        self.wrap(PxarError::new(problem, offset, path))
    }

    /// The same for an error that a decoder found.
    pub(super) fn wrap(&self, error: PxarError) -> Error {
        let message = format!("{} is damaged", self.name);
        Error::new(ErrorKind::Corrupt, message)
            .at_offset(error.offset())
            .because(error)
    }
}
