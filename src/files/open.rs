//! Finds the archives that a name stands for, and reads how the file archive begins.

use crate::datastore::snapshot::{Archive, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::files::name::ArchivePart;
use crate::files::source::Source;
use crate::files::tree::Tree;
use crate::restore::Restore;

/// Opens the archive of this name.
pub(super) fn open(restore: &Restore, snapshot: &Snapshot, name: &str) -> Result<Tree> {
    let (metadata, payloads) = archives(snapshot, name)?;
    let payloads = payloads.map(|archive| Source::open(restore, &archive));
    Tree::open(Source::open(restore, &metadata)?, payloads.transpose()?)
}

/// The archive of this name, or the two halves of a split one.
fn archives(snapshot: &Snapshot, name: &str) -> Result<(Archive, Option<Archive>)> {
    let short = name.strip_suffix(".didx").unwrap_or(name);
    let is_listed = |name: &str| snapshot.manifest().file(name).is_some();
    let Some((stem, part)) = ArchivePart::of(name) else {
        let ending = ArchivePart::Whole.ending();
        let message = format!("{name} is no file archive: their names end with {ending}");
        return Err(Error::new(ErrorKind::Invalid, message));
    };
    let metadata = ArchivePart::Metadata.name(stem);
    if part == ArchivePart::Whole && (is_listed(short) || !is_listed(&metadata)) {
        return Ok((snapshot.archive(name)?, None));
    }
    let payloads = ArchivePart::Payloads.name(stem);
    Ok((
        snapshot.archive(&metadata)?,
        Some(snapshot.archive(&payloads)?),
    ))
}
