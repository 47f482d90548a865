//! `restore find`: looks for entries of a file archive by patterns.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use chunk_restore::files::{FileEntry, Node, Pattern};

use crate::arguments::Options;
use crate::entries::Entries;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file_archive::FileArchive;
use crate::file_arguments::Find;
use crate::interrupt::Interrupt;
use crate::output::Output;

pub(crate) fn run(
    find: &Find,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let rules = Rule::all(&find.patterns)?;
    let archive = FileArchive::open(&find.archive, options, interrupt, output)?;
    let mut entries = Entries::new(&archive.files, find.listed, output)?;
    let _running = interrupt.run()?;
    let found = archive.files.entries().filter(|entry| match entry {
        Ok(entry) => matches(&rules, entry),
        Err(_) => true,
    });
    entries.print_paths(found)
}

/// A pattern, and whether what it matches is left out.
struct Rule {
    pattern: Pattern,
    excludes: bool,
}

impl Rule {
    fn all(patterns: &[OsString]) -> Result<Vec<Rule>, Failure> {
        let rules = patterns.iter().map(|text| {
            let bytes = text.as_bytes();
            let included = bytes.strip_prefix(b"!");
            Ok(Rule {
                pattern: Pattern::new(included.unwrap_or(bytes))?,
                excludes: included.is_some(),
            })
        });
        let rules = rules.collect::<Result<Vec<_>, Failure>>()?;
        if rules.iter().all(|rule| rule.excludes) {
            return Err(
                Failure::usage("each pattern excludes, so that nothing can be found").advises(
                    "name what to look for first, such as '**', and what to leave out after it",
                ),
            );
        }
        Ok(rules)
    }
}

/// Whether the last pattern that matches an entry takes it. The root is never found: patterns are for
/// what is in it.
fn matches(rules: &[Rule], entry: &FileEntry) -> bool {
    let is_directory = matches!(&entry.node, Node::Entry(entry) if entry.is_directory());
    let mut last_first = rules.iter().rev();
    let decides = last_first.find(|rule| rule.pattern.matches(&entry.path, is_directory));
    !entry.path.as_os_str().is_empty() && decides.is_some_and(|rule| !rule.excludes)
}
