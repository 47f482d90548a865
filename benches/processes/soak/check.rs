//! Compares what is restored with what it must be, chunk by chunk. Knows nothing of where it comes from.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use chunk_restore::Report;

use crate::store::Disk;

/// Takes the bytes of a disk from its start on.
#[derive(Debug)]
pub(crate) struct Check {
    right: File,
    held: Vec<u8>,
    chunk: u64,
    offset: u64,
    wrong: BTreeSet<u64>,
}

impl Check {
    pub(crate) fn against(right: &Path, disk: Disk) -> Check {
        Check {
            right: File::open(right).expect("it was made"),
            held: vec![0; 64 << 10],
            chunk: disk.chunk(),
            offset: 0,
            wrong: BTreeSet::new(),
        }
    }

    /// The bytes of a file, instead of those that are written.
    pub(crate) fn of_file(mut self, path: &Path) -> Check {
        let mut file = File::open(path).expect("it was restored");
        io::copy(&mut file, &mut self).expect("both can be read");
        self
    }

    /// Fails unless all is right but what is said to be damaged, and that is wrong.
    pub(crate) fn judge(&self, disk: Disk, report: &Report) -> Result<(), String> {
        let damaged = report.damage.iter().map(|damage| damage.position as u64);
        let damaged: BTreeSet<u64> = damaged.collect();
        if self.offset != disk.len() {
            return Err(format!("{} bytes instead of {}", self.offset, disk.len()));
        }
        if self.wrong != damaged {
            return Err(format!(
                "wrong: {:?}; damaged, as it says: {damaged:?}",
                self.wrong
            ));
        }
        Ok(())
    }
}

impl Write for Check {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Up to the end of a chunk, so that what is wrong belongs to one.
        let left = self.chunk - self.offset % self.chunk;
        let len = bytes.len().min(self.held.len()).min(left as usize);
        let held = &mut self.held[..len];
        self.right.read_exact(held)?;
        if held != &bytes[..len] {
            self.wrong.insert(self.offset / self.chunk);
        }
        self.offset += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
