//! Finds entries again, which were found before, by their offsets.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::Result;
use crate::files::pxar::{Item, Problem, PxarError};
use crate::files::{FileEntry, Files, Node};
use crate::read::ReadReport;

/// How much is read at once of an entry: most fit in.
const ENTRY_READ_LEN: usize = 4096;

impl Files {
    /// The entry at an offset of the archive, as [`Node::offset`] gives it of an entry that was found
    /// before. This reads the entry alone, and none of the directories around it. `directory` is the
    /// path of the directory that the entry was found in: the path of the result begins with it.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the archive is damaged there, or if no entry begins
    /// there; otherwise why a chunk could not be fetched. The root does not begin with a name, as
    /// other entries do: take [`root`](Files::root).
    pub fn entry_at(&self, directory: impl AsRef<Path>, offset: u64) -> Result<FileEntry> {
        let (tree, directory) = (&self.0, directory.as_ref());
        let below = |error: PxarError| error.below(directory.as_os_str().as_bytes());
        let refused = |problem| tree.wrap(below(PxarError::new(problem, offset, b"")));
        let mut decoder = tree.decoder_at(offset);
        let mut buffer = vec![0; ENTRY_READ_LEN];
        loop {
            let len = (tree.source()).read_in_chunk(&mut buffer, decoder.position())?;
            let mut input = &buffer[..len];
            let item = decoder.decode(&mut input);
            let node = match item.map_err(|error| tree.wrap(below(error)))? {
                Some(Item::Entry(entry)) => Node::Entry(entry),
                Some(Item::HardLink(link)) => Node::HardLink(link),
                Some(_) => return Err(refused(Problem::Table)),
                None if len == 0 => return Err(refused(Problem::CutShort)),
                None => continue,
            };
            let path = directory.join(OsStr::from_bytes(node.name()));
            return Ok(FileEntry { path, node });
        }
    }

    /// What was read of the archive so far, of both halves if it is split. The places are those of the
    /// half with the metadata.
    #[must_use]
    pub fn report(&self) -> ReadReport {
        let mut readers = self.0.readers();
        let first = readers.next().map(|reader| reader.report());
        readers.fold(first.unwrap_or_default(), |mut sum, reader| {
            let report = reader.report();
            sum.reads += report.reads;
            sum.bytes += report.bytes;
            sum.chunks += report.chunks;
            sum.hits += report.hits;
            sum.fetched += report.fetched;
            sum.retries += report.retries;
            sum
        })
    }
}
