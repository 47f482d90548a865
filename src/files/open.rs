//! Finds the archives that a name stands for, and reads how the file archive begins.

use crate::datastore::snapshot::{Archive, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::files::source::Source;
use crate::files::tree::Tree;
use crate::restore::Restore;

/// The names of a file archive, and of the two halves of a split one.
const WHOLE: &str = ".pxar";
const METADATA: &str = ".mpxar";
const PAYLOADS: &str = ".ppxar";

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
    let mut stem = None;
    for suffix in [WHOLE, METADATA, PAYLOADS] {
        stem = stem.or_else(|| short.strip_suffix(suffix));
    }
    let Some(stem) = stem else {
        let message = format!("{name} is no file archive: their names end with {WHOLE}");
        return Err(Error::new(ErrorKind::Invalid, message));
    };
    let metadata = format!("{stem}{METADATA}");
    if short.ends_with(WHOLE) && (is_listed(short) || !is_listed(&metadata)) {
        return Ok((snapshot.archive(name)?, None));
    }
    let payloads = format!("{stem}{PAYLOADS}");
    Ok((
        snapshot.archive(&metadata)?,
        Some(snapshot.archive(&payloads)?),
    ))
}
