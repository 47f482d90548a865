//! The bytes of the NBD protocol: bytes in, checked items out, and replies back into bytes. This
//! module does no I/O, and uses nothing else of the crate.

mod negotiation;
mod option;
mod option_reply;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use negotiation::{Agreement, ExportInfo, Negotiation, Offer, Step, greeting};
pub(crate) use reply::{
    DATA_HEADER_LEN, DESCRIPTOR_LEN, ErrorCode, SIMPLE_LEN, STATUS_HEADER_LEN, data, descriptor,
    done, error, error_at, hole, simple, status,
};
pub(crate) use request::{Command, HEADER_LEN, Request, Rules};
pub(crate) use wire::STRING_LEN_MAX;

/// The longest read that a client may ask for if it was told no other maximum, in bytes.
pub(crate) const REQUEST_LEN_MAX: u32 = 32 << 20;

/// The longest read that is answered in one piece if the client asks for that, in bytes. The
/// protocol demands at least 64 KiB.
pub(crate) const UNFRAGMENTED_LEN_MAX: u32 = 128 << 10;
