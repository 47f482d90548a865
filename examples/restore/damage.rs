//! Texts and JSON about chunks that are lost.

use chunk_restore::{Damage, ErrorKind};
use serde_json::{Value, json};

use crate::failure::name_of;

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
