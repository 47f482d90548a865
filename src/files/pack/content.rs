//! Copies the contents of files in pieces. With `salvage`, zeros stand for lost bytes.

use crate::error::Result;
use crate::files::FileEntry;
use crate::files::pack::report::Progress;
use crate::files::pieces::{PIECE_LEN, Piece, Pieces};
use crate::files::selected::Selected;

/// Copies the contents of files, one after the other.
#[derive(Debug)]
pub(super) struct Contents {
    buffer: Vec<u8>,
    salvage: bool,
}

impl Contents {
    pub(super) fn new(salvage: bool) -> Contents {
        Contents {
            buffer: Vec::new(),
            salvage,
        }
    }

    /// Hands all bytes of a file to `write`, in pieces. `found` was the last entry of `selected`.
    pub(super) fn copy(
        &mut self,
        selected: &Selected,
        found: &FileEntry,
        progress: &mut Progress<'_>,
        mut write: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if let Some(content) = selected.content_at_hand(found) {
            write(content)?;
            progress.add_bytes(content.len());
            return Ok(());
        }
        let reader = selected.content(found)?;
        let mut pieces = Pieces::new(&reader, &found.path, self.salvage);
        self.buffer.resize(PIECE_LEN, 0);
        while let Some(piece) = pieces.next(&mut self.buffer, progress.damage())? {
            selected.check_cancelled()?;
            let mut lost = match piece {
                Piece::Data(bytes) => {
                    write(bytes)?;
                    progress.add_bytes(bytes.len());
                    continue;
                }
                Piece::Lost(len) => len,
            };
            self.buffer.fill(0);
            while lost > 0 {
                selected.check_cancelled()?;
                let len = usize::try_from(lost).map_or(PIECE_LEN, |lost| lost.min(PIECE_LEN));
                write(&self.buffer[..len])?;
                progress.add_bytes(len);
                lost -= len as u64;
            }
        }
        Ok(())
    }
}
