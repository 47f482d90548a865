//! Lists of snapshots and groups, as tables and as events.

use chunk_restore::format::{CryptMode, Verification};
use chunk_restore::{GroupInfo, SnapshotInfo};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;
use crate::size::Size;
use crate::table::Table;

/// The most characters of a comment in a table; the rest is cut off.
const COMMENT: usize = 100;

pub(crate) fn snapshots(snapshots: &[SnapshotInfo], output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return (snapshots.iter()).try_for_each(|info| output.answer("", &snapshot_json(info)));
    }
    if snapshots.is_empty() {
        return Ok(());
    }
    let header = [
        "snapshot",
        "size",
        "encrypted",
        "verified",
        "protected",
        "files",
        "comment",
    ];
    let mut table = Table::new(header, 1);
    for info in snapshots {
        table.row(snapshot_row(info));
    }
    (table.lines()).try_for_each(|line| output.answer(line, &Value::Null))
}

/// The row of a snapshot in the table. Facts that are not known are left blank.
fn snapshot_row(info: &SnapshotInfo) -> [String; 7] {
    let size = match info.size {
        _ if !info.is_finished => "unfinished".to_owned(),
        Some(size) => Size::of(size).to_string(),
        None => String::new(),
    };
    let is_encrypted = match info.crypt_mode {
        Some(CryptMode::Encrypt) => "yes",
        Some(CryptMode::SignOnly) => "signed",
        Some(CryptMode::None) => "no",
        _ => "",
    };
    let is_protected = match info.is_protected {
        Some(true) => "yes",
        _ => "",
    };
    let comment = info.comment.as_deref().unwrap_or_default();
    [
        info.name.to_string(),
        size,
        is_encrypted.to_owned(),
        info.verification.as_ref().map(verified).unwrap_or_default(),
        is_protected.to_owned(),
        info.files.as_deref().unwrap_or_default().join(" "),
        cut(comment.lines().next().unwrap_or_default()),
    ]
}

fn cut(comment: &str) -> String {
    match comment.char_indices().nth(COMMENT) {
        Some((end, _)) => format!("{} ..", &comment[..end]),
        None => comment.to_owned(),
    }
}

fn snapshot_json(info: &SnapshotInfo) -> Value {
    json!({
        "event": "snapshot",
        "name": info.name.to_string(),
        "finished": info.is_finished,
        "size": info.size,
        "files": info.files,
        "crypt_mode": info.crypt_mode.map(crypt_mode),
        "key": info.key_fingerprint.map(|key| key.to_string()),
        "verified": info.verification.as_ref().map(verified_json),
        "protected": info.is_protected,
        "owner": info.owner,
        "comment": info.comment,
    })
}

pub(crate) fn groups(groups: &[GroupInfo], output: &Output) -> Result<(), Failure> {
    let mut table = Table::new(["group", "snapshots", "last", "owner"], 1);
    for group in groups {
        let last = group.last.as_ref();
        let json = json!({
            "event": "group",
            "name": group.name.to_string(),
            "snapshots": group.snapshots,
            "last": last.map(ToString::to_string),
            "owner": group.owner,
        });
        if output.is_json() {
            output.answer("", &json)?;
        }
        table.row([
            group.name.to_string(),
            group.snapshots.to_string(),
            last.map(|last| last.time_text()).unwrap_or_default(),
            group.owner.clone().unwrap_or_default(),
        ]);
    }
    if output.is_json() || groups.is_empty() {
        return Ok(());
    }
    (table.lines()).try_for_each(|line| output.answer(line, &Value::Null))
}

/// `ok 2026-11-23`: the state that the server found, and the day on which it did.
pub(crate) fn verified(verification: &Verification) -> String {
    let state = state(verification);
    match time(verification) {
        Some(time) => format!("{state} {}", time.split('T').next().unwrap_or_default()),
        None => state.to_owned(),
    }
}

pub(crate) fn verified_json(verification: &Verification) -> Value {
    json!({ "state": state(verification), "time": time(verification) })
}

fn state(verification: &Verification) -> &'static str {
    match verification.is_ok {
        true => "ok",
        false => "failed",
    }
}

fn time(verification: &Verification) -> Option<String> {
    let time = Timestamp::from_second(verification.time?).ok()?;
    Some(time.to_string())
}

/// The name of a crypt mode in manifests.
pub(crate) fn crypt_mode(mode: CryptMode) -> &'static str {
    match mode {
        CryptMode::Encrypt => "encrypt",
        CryptMode::SignOnly => "sign-only",
        _ => "none",
    }
}
