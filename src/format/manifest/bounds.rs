//! Limits the size of a manifest before its JSON is parsed, since parsed JSON can take a hundred
//! times the memory of its text.

use crate::error::Result;
use crate::format::manifest::corrupt;

/// The most bytes of JSON that a manifest may have.
pub(crate) const MAX_MANIFEST: usize = 32 << 20;

/// The most objects and lists in a manifest; each file is one object.
const MAX_CONTAINERS: usize = 1 << 17;

/// The most values of any kind in a manifest; a file has five.
const MAX_VALUES: usize = 1 << 20;

/// Counts what the text has if it is JSON. In a text that is not JSON, the parser reads no more
/// than was counted.
pub(super) fn check(json: &[u8]) -> Result<()> {
    if json.len() > MAX_MANIFEST {
        return Err(corrupt(format!("it has more than {MAX_MANIFEST} bytes")));
    }
    let (mut containers, mut values) = (0, 1);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                containers += 1;
                values += 1;
            }
            b',' if !in_string => values += 1,
            _ => {}
        }
    }
    if containers > MAX_CONTAINERS {
        return Err(corrupt(format!(
            "it has {containers} objects and lists, and none has more than {MAX_CONTAINERS}"
        )));
    }
    if values > MAX_VALUES {
        return Err(corrupt(format!(
            "it has {values} values, and none has more than {MAX_VALUES}"
        )));
    }
    Ok(())
}
