//! The result of a server's verification of a snapshot. Does no I/O.

use serde_json::Value;

/// The result of the server's last verification of a snapshot. No signature protects it: the server
/// can claim anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Whether the server found all chunks there and whole.
    pub is_ok: bool,
    /// When the verification began, in Unix seconds.
    pub time: Option<i64>,
}

impl Verification {
    /// Reads a state and the id of the task that found it, as manifests and listings have them;
    /// `None` where the state is unknown.
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

/// When a task began, from its id: `UPID:node:pid:pstart:task:starttime:type:id:user:`, with
/// hexadecimal numbers.
fn task_begin(upid: &str) -> Option<i64> {
    let mut parts = upid.split(':');
    (parts.next() == Some("UPID")).then_some(())?;
    i64::from_str_radix(parts.nth(4)?, 16).ok()
}
