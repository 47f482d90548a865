//! Random bytes, and random options in random pieces.

use proptest::prelude::*;

use super::*;

/// How much a reply to one option may have here.
const REPLY_LEN_MAX: usize = 1 << 10;

/// Feeds a handshake with pieces of input; gives all replies, and the step that ended it.
fn run(offer: Offer<'_>, pieces: &[&[u8]]) -> (Vec<u8>, Option<Step>) {
    let mut negotiation = Negotiation::new(offer);
    let mut all = Vec::new();
    for piece in pieces {
        negotiation.push(piece);
        loop {
            let mut output = Vec::new();
            let step = negotiation.advance(&mut output);
            assert!(output.len() <= REPLY_LEN_MAX);
            all.extend(output);
            match step {
                Step::Reply => {}
                Step::Read => break,
                Step::StartTls | Step::Transmit(_) | Step::End => return (all, Some(step)),
            }
        }
    }
    (all, None)
}

/// A client's bytes: its flags, and options of which some are sound.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let data = prop_oneof![
        Just(Vec::new()),
        Just(wants("a", &[3])),
        Just(wants("zz", &[1, 3])),
        Just(queries("a", &["base:allocation"])),
        Just(vec![0; 70_000]),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    let options = (0..13_u32, data).prop_map(|(number, data)| option(number, &data));
    let junk = proptest::collection::vec(any::<u8>(), 0..20);
    let parts = prop_oneof![9 => options, 1 => junk];
    let flags = prop_oneof![9 => 0..4_u32, 1 => any::<u32>()];
    (flags, proptest::collection::vec(parts, 0..6))
        .prop_map(|(flags, parts)| [&flags.to_be_bytes()[..], &parts.concat()].concat())
}

proptest! {
    #[test]
    fn the_replies_do_not_depend_on_how_the_bytes_are_cut(
        input in input(),
        len in 1..5000_usize,
        requires_tls in any::<bool>(),
    ) {
        let exports = exports(&["a", "b"]);
        let offer = Offer { requires_tls, ..offer(&exports) };
        let whole = run(offer, &[&input]);
        let pieces: Vec<&[u8]> = input.chunks(len).collect();
        prop_assert_eq!(whole, run(offer, &pieces));
    }

    #[test]
    fn random_bytes_are_answered_without_a_panic(
        input in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let exports = exports(&["a"]);
        run(offer(&exports), &[&[0, 0, 0, 1], &input]);
    }
}
