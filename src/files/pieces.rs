//! Reads the bytes of a file in pieces, and bridges lost ones with zeros if that is wanted.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result, Scope};
use crate::files::pxar::Shown;
use crate::files::{FileDamage, FileReader};

/// How much of a file is read at once.
pub(crate) const PIECE_LEN: usize = 1 << 20;

/// A piece of a file.
pub(crate) enum Piece<'a> {
    Data(&'a [u8]),
    /// As many bytes are lost.
    Lost(u64),
}

/// Reads a file from its start to its end.
pub(crate) struct Pieces<'a> {
    reader: &'a FileReader,
    path: &'a Path,
    salvage: bool,
    position: u64,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(reader: &'a FileReader, path: &'a Path, salvage: bool) -> Pieces<'a> {
        Pieces {
            reader,
            path,
            salvage,
            position: 0,
        }
    }

    /// The next piece, which is read into `buffer`; `None` at the end. Adds to `damage` what is
    /// lost.
    ///
    /// # Errors
    /// Why a chunk could not be fetched, unless it is lost and salvage is on;
    /// [`Corrupt`](ErrorKind::Corrupt) if the archive ends before the file does.
    pub(crate) fn next<'b>(
        &mut self,
        buffer: &'b mut [u8],
        damage: &mut Vec<FileDamage>,
    ) -> Result<Option<Piece<'b>>> {
        if self.position >= self.reader.len() {
            return Ok(None);
        }
        // Within one chunk, so that a lost chunk takes nothing else with it.
        let end = self.reader.chunk_end(self.position);
        let whole = buffer.len();
        let len = usize::try_from(end - self.position).map_or(whole, |len| len.min(whole));
        match self.reader.read_at(&mut buffer[..len], self.position) {
            Ok(0) => {
                let message = format!(
                    "the archive ends before the bytes of {} do",
                    Shown(self.path.as_os_str().as_bytes())
                );
                Err(Error::new(ErrorKind::Corrupt, message))
            }
            Ok(len) => {
                self.position += len as u64;
                Ok(Some(Piece::Data(&buffer[..len])))
            }
            Err(error) if self.salvage && error.scope() == Some(Scope::Chunk) => {
                let lost = self.position..end;
                self.position = end;
                damage.push(FileDamage {
                    path: self.path.to_owned(),
                    range: lost.clone(),
                    kind: error.kind(),
                });
                Ok(Some(Piece::Lost(lost.end - lost.start)))
            }
            Err(error) => Err(error),
        }
    }
}
