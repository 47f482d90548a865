//! `restore ls`: lists entries of a file archive.

use std::path::Path;

use chunk_restore::files::{Files, Node};

use crate::entries::Entries;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file_archive::FileArchive;
use crate::file_arguments::Ls;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::output::Output;

pub(crate) fn run(
    ls: &Ls,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let archive = FileArchive::open(&ls.archive, options, interrupt, output)?;
    let mut entries = Entries::new(&archive.files, ls.listed, output)?;
    let _running = interrupt.run()?;
    let path = ls.path.as_deref().unwrap_or(Path::new("/"));
    let entry = archive.entry(path)?;
    let files: &Files = &archive.files;
    match &entry.node {
        Node::Entry(found) if !found.is_directory() => entries.print_paths([Ok(entry)].into_iter()),
        Node::Entry(_) if ls.recursive => entries.print_paths(files.walk(&entry.path)?),
        Node::Entry(_) => entries.print_names(files.list(&entry.path)?),
        _ => entries.print_paths([Ok(entry)].into_iter()),
    }
}
