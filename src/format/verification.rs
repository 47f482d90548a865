//! What a server's verification of a snapshot found. Does no I/O.

use serde_json::Value;

/// What the server's last verification of a snapshot found. Nothing protects it: the server says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Whether all chunks were there and whole.
    pub is_ok: bool,
    /// When it was begun, in Unix seconds.
    pub time: Option<i64>,
}

impl Verification {
    /// Reads a state and the id of its task, as manifests and listings have them; `None` for what has no known state.
    pub(crate) fn parse(value: &Value) -> Option<Verification> {
        let text = |name| value.get(name).and_then(Value::as_str);
        let is_ok = match text("state")? {
            "ok" => true,
            "failed" => false,
            _ => return None,
        };
        let time = text("upid").and_then(task_begin);
        Some(Verification { is_ok, time })
    }
}

/// When a task was begun: `UPID:node:pid:pstart:task:starttime:type:id:user:`, with hexadecimal numbers.
fn task_begin(upid: &str) -> Option<i64> {
    let mut parts = upid.split(':');
    (parts.next() == Some("UPID")).then_some(())?;
    i64::from_str_radix(parts.nth(4)?, 16).ok()
}
