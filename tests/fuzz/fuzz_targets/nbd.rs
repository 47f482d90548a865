//! Whatever a client sends, the NBD server's handshake ends in the same way however the bytes are cut, keeps no more than one
//! option of them, and serves only requests that lie within the export.
#![no_main]

use libfuzzer_sys::fuzz_target;

use codec::{
    Command, ExportInfo, HEADER_LEN, Negotiation, Offer, REQUEST_LEN_MAX, Request, Rules, Step,
};

/// The codec is not public; it uses nothing else of the library.
#[allow(dead_code, reason = "replies are made by the server")]
#[allow(unused_imports, reason = "replies are made by the server")]
#[path = "../../../src/nbd/codec/mod.rs"]
mod codec;

/// The bytes that a server receives at once in this test.
const PIECE_LEN: usize = 37;

/// A reply lists all exports at the most.
const REPLY_LEN_MAX: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, bytes)) = bytes.split_first() else {
        return;
    };
    let exports = ["drive-scsi0.img", "b"].map(|name| ExportInfo {
        name: name.to_owned(),
        len: 1 << 40,
    });
    let exports = &exports[usize::from(mode & 1)..];
    let offer = Offer {
        exports,
        block_max: 1 << 20,
        requires_tls: mode & 2 != 0,
    };
    let negotiation = || match mode & 4 {
        0 => Negotiation::new(offer),
        _ => Negotiation::new(offer).secured(),
    };
    let (output, rest, end) = shake_hands(negotiation(), bytes, bytes.len().max(1));
    let (same_output, _, same_end) = shake_hands(negotiation(), bytes, PIECE_LEN);
    assert_eq!((&output, end), (&same_output, same_end));
    let Some(Step::Transmit(agreement)) = end else {
        return;
    };
    let rules = Rules {
        export_len: exports[agreement.export].len,
        request_max: agreement.request_max,
        is_structured: agreement.is_structured,
        has_allocation: agreement.has_allocation,
    };
    for header in rest.as_chunks::<HEADER_LEN>().0 {
        let Some(request) = Request::parse(header) else {
            return;
        };
        let (offset, len) = match request.check(rules) {
            Command::Read { offset, len, .. } | Command::Cache { offset, len } => {
                assert!(len <= REQUEST_LEN_MAX && len <= rules.request_max);
                (offset, len)
            }
            Command::BlockStatus { offset, len, .. } => {
                assert!(agreement.has_allocation && agreement.is_structured);
                (offset, len)
            }
            Command::Disconnect | Command::Refuse { .. } => continue,
        };
        assert!(len > 0 && offset + u64::from(len) <= rules.export_len);
    }
});

/// All replies, the bytes that came with the last option, and the step that ended the handshake.
fn shake_hands(
    mut negotiation: Negotiation<'_>,
    bytes: &[u8],
    len: usize,
) -> (Vec<u8>, Vec<u8>, Option<Step>) {
    let mut all = Vec::new();
    for piece in bytes.chunks(len) {
        negotiation.push(piece);
        loop {
            let mut output = Vec::new();
            let step = negotiation.advance(&mut output);
            assert!(output.len() <= REPLY_LEN_MAX);
            all.extend(output);
            match step {
                Step::Reply => {}
                Step::Read => break,
                Step::StartTls | Step::Transmit(_) | Step::End => {
                    return (all, negotiation.into_rest(), Some(step));
                }
            }
        }
    }
    (all, Vec::new(), None)
}
