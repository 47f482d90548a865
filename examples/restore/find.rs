//! `restore find`: looks for entries of a file archive by patterns.

use std::os::unix::ffi::OsStrExt;

use chunk_restore::files::{FileEntry, Node, Selection};

use crate::entries::Entries;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file_archive::{self, FileArchive};
use crate::file_arguments::Find;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::output::Output;

pub(crate) fn run(
    find: &Find,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    file_archive::check_includes(&find.patterns)?;
    let mut wanted = Selection::default();
    for pattern in &find.patterns {
        wanted = wanted.pattern(pattern.as_bytes())?;
    }
    let archive = FileArchive::open(&find.archive, options, interrupt, output)?;
    let mut entries = Entries::new(&archive.files, find.listed, output)?;
    let _running = interrupt.run()?;
    let found = archive.files.entries().filter(|entry| match entry {
        // Only what a pattern matches itself is found, and not what else its folder holds.
        Ok(entry) => wanted.takes(&entry.path, is_directory(entry), false),
        Err(_) => true,
    });
    entries.print_paths(found)
}

fn is_directory(entry: &FileEntry) -> bool {
    matches!(&entry.node, Node::Entry(entry) if entry.is_directory())
}
