//! The headers in a payload archive (`.ppxar`).

use crate::files::pxar::error::Problem;
use crate::files::pxar::item::{HEADER_LEN, Header, ItemKind, u64_at};

/// The marker at the start of a payload archive.
const START: u64 = 0x834c_68c2_194a_4ed2;

/// Makes sure that a payload archive begins with these 16 bytes.
///
/// # Errors
/// [`Problem::PayloadStart`]: this is no payload archive.
pub fn check_payload_start(bytes: &[u8; 16]) -> Result<(), Problem> {
    let is_start = (u64_at(bytes, 0), u64_at(bytes, 8)) == (START, HEADER_LEN);
    is_start.then_some(()).ok_or(Problem::PayloadStart)
}

/// Makes sure that these 16 bytes are the header of a payload of `len` bytes. They lie in the
/// payload archive before the [`offset`](super::Payload::offset) of the payload.
///
/// # Errors
/// [`Problem::PayloadHeader`]: the payload archive has something else there.
pub fn check_payload_header(bytes: &[u8; 16], len: u64) -> Result<(), Problem> {
    let header = Header::parse(bytes, 0);
    let is_payload =
        header.is_ok_and(|header| header.kind == ItemKind::Payload && header.len == len);
    is_payload.then_some(()).ok_or(Problem::PayloadHeader)
}
