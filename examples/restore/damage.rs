//! What could not be had of an archive, for people and for programs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;

use chunk_restore::{Archive, Damage, ErrorKind};
use serde_json::{Value, json};

use crate::failure::name_of;
use crate::reading::open_at_once;

/// What the list of damage begins with: its members are sorted.
const BEGIN: &[u8] = b"{\n  \"archive\": ";

/// `lost: 4194304 bytes at offset 0 (position 0): chunk 3f2a..c1 is missing`.
pub(crate) fn text(damage: &Damage) -> String {
    format!(
        "lost: {} bytes at offset {} (position {}): chunk {} is {}",
        damage.len,
        damage.offset,
        damage.position,
        damage.digest,
        name_of(damage.kind)
    )
}

/// `3 chunks are lost: 2 missing, 1 corrupt`.
pub(crate) fn summary(damage: &[Damage]) -> String {
    let chunks = match damage.len() {
        1 => "1 chunk is lost".to_owned(),
        many => format!("{many} chunks are lost"),
    };
    let kinds = [
        ErrorKind::Missing,
        ErrorKind::Corrupt,
        ErrorKind::Unreadable,
    ];
    let counts = kinds.map(|kind| {
        let count = damage.iter().filter(|damage| damage.kind == kind).count();
        (count, name_of(kind))
    });
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(count, kind)| format!("{count} {kind}"))
        .collect();
    format!("{chunks}: {}", counts.join(", "))
}

pub(crate) fn json(damage: &Damage) -> Value {
    json!({
        "position": damage.position,
        "offset": damage.offset,
        "len": damage.len,
        "digest": damage.digest.to_string(),
        "reason": name_of(damage.kind),
    })
}

/// Writes the list of all damage for programs; `range` is what was restored of the archive.
pub(crate) fn write_map(
    path: &Path,
    name: &str,
    archive: &Archive,
    range: Range<u64>,
    target: &str,
    damage: &[Damage],
) -> io::Result<()> {
    let map = json!({
        "namespace": archive.path().snapshot.namespace.to_string(),
        "snapshot": archive.path().snapshot.snapshot.to_string(),
        "archive": name,
        "len": archive.index().len(),
        "range": { "offset": range.start, "len": range.end - range.start },
        "target": target,
        "damage": damage.iter().map(json).collect::<Vec<_>>(),
    });
    if !is_map_or_new(path)? {
        let message = "there is a file of that name that is no list of damage";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let mut file = open_at_once(
        OpenOptions::new().write(true).create(true).truncate(true),
        path,
    )?;
    file.write_all(format!("{map:#}\n").as_bytes())
}

/// Takes a list of damage away that is true no more; what is none stays.
pub(crate) fn remove_map(path: &Path) {
    if path.is_file() && is_map_or_new(path).unwrap_or(false) {
        let _ = fs::remove_file(path);
    }
}

/// Whether a path is free for a list of damage: there is one, or no file.
fn is_map_or_new(path: &Path) -> io::Result<bool> {
    if !path.is_file() {
        return Ok(true);
    }
    let mut begin = Vec::new();
    File::open(path)?
        .take(BEGIN.len() as u64)
        .read_to_end(&mut begin)?;
    Ok(begin.is_empty() || begin == BEGIN)
}
