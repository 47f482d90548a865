//! The canonical form of a manifest, which is the text that is signed.

use serde_json::{Map, Value};

use crate::error::Result;
use crate::format::manifest::corrupt;

/// The text that is signed: all members except two, as JSON without white space, sorted by name.
pub(super) fn canonical(members: &Map<String, Value>) -> Result<Vec<u8>> {
    let signed = |name: &str| name != "signature" && name != "unprotected";
    let mut out = Vec::new();
    write_object(members.iter().filter(|(name, _)| signed(name)), &mut out)?;
    Ok(out)
}

/// Sorts the members here, since other crates may switch on a feature that makes serde_json keep
/// the order of the text.
fn write_object<'a>(
    members: impl Iterator<Item = (&'a String, &'a Value)>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut members: Vec<_> = members.collect();
    members.sort_by_key(|(name, _)| *name);
    out.push(b'{');
    for (at, (name, value)) in members.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_scalar(&Value::String(name.clone()), out);
        out.push(b':');
        write_value(value, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_value(value: &Value, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Null => {
            return Err(corrupt(
                "it has a null in it, which the format does not allow",
            ));
        }
        Value::Object(members) => write_object(members.iter(), out)?,
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(item, out)?;
            }
            out.push(b']');
        }
        scalar => write_scalar(scalar, out),
    }
    Ok(())
}

fn write_scalar(value: &Value, out: &mut Vec<u8>) {
    out.extend(value.to_string().bytes());
}
