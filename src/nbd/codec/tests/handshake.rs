//! Options and their replies.

use super::*;
use crate::nbd::codec::greeting;

const TRANSMISSION_FLAGS: u16 = 1 | 1 << 1 | 1 << 8 | 1 << 10;
const SEND_DF: u16 = 1 << 7;

#[test]
fn the_greeting_is_that_of_the_fixed_newstyle_protocol() {
    assert_eq!(&greeting(), b"NBDMAGICIHAVEOPT\0\x03");
}

#[test]
fn a_client_with_flags_that_no_server_offered_is_not_answered() {
    let exports = exports(&["a"]);
    let mut negotiation = Negotiation::new(offer(&exports));
    negotiation.push(&4_u32.to_be_bytes());
    assert_eq!(negotiation.advance(&mut Vec::new()), Step::End);
}

#[test]
fn an_unknown_option_is_refused_and_the_next_one_is_answered() {
    let exports = exports(&["a"]);
    let mut client = Client::new(offer(&exports), FIXED);
    for number in [0, 4, EXTENDED_HEADERS, 12, u32::MAX] {
        assert_eq!(client.kinds(number, b"data"), [ERR_UNSUP]);
    }
    assert_eq!(client.kinds(LIST, b""), [SERVER, ACK]);
}

#[test]
fn a_list_names_all_exports() {
    let exports = exports(&["a", "drive-scsi0.img"]);
    let mut client = Client::new(offer(&exports), FIXED);
    let (_, replies) = client.ask(LIST, b"");
    assert_eq!(replies[0].data, b"\0\0\0\x01a");
    assert_eq!(replies[1].data, b"\0\0\0\x0fdrive-scsi0.img");
    assert_eq!((replies.len(), replies[2].kind), (3, ACK));
    assert_eq!(client.kinds(LIST, b"x"), [ERR_INVALID]);
}

#[test]
fn an_abort_is_acknowledged() {
    let exports = exports(&["a"]);
    for data in [&b""[..], b"ignored"] {
        let mut client = Client::new(offer(&exports), FIXED);
        let (step, replies) = client.ask(ABORT, data);
        assert_eq!((step, replies[0].kind), (Step::End, ACK));
    }
}

#[test]
fn an_export_is_chosen_by_its_name_alone_with_zeroes_for_old_clients() {
    let exports = exports(&["a", "b"]);
    for (flags, len) in [(0, 134), (FIXED, 134), (FIXED_WITHOUT_ZEROES, 10), (2, 10)] {
        let mut client = Client::new(offer(&exports), flags);
        let (step, output) = client.send(&option(EXPORT_NAME, b"b"));
        let expected = Agreement {
            export: 1,
            is_structured: false,
            has_allocation: false,
            request_max: 32 << 20,
        };
        assert_eq!(step, Step::Transmit(expected));
        assert_eq!(output[..8], (1_u64 << 30).to_be_bytes());
        assert_eq!(output[8..10], TRANSMISSION_FLAGS.to_be_bytes());
        assert_eq!(output.len(), len);
    }
    let mut client = Client::new(offer(&exports), FIXED);
    let (step, output) = client.send(&option(EXPORT_NAME, b"c"));
    assert_eq!((step, output.len()), (Step::End, 0));
}

#[test]
fn a_client_of_the_unfixed_protocol_may_only_name_an_export() {
    let exports = exports(&["a"]);
    let mut client = Client::new(offer(&exports), 0);
    let (step, output) = client.send(&option(LIST, b""));
    assert_eq!((step, output.len()), (Step::End, 0));
}

#[test]
fn go_tells_what_was_asked_for_and_begins_the_transmission() {
    let exports = exports(&["a"]);
    let mut client = Client::new(offer(&exports), FIXED);
    let (step, replies) = client.ask(GO, &wants("a", &[1, 3, 999]));
    let expected = Agreement {
        export: 0,
        is_structured: false,
        has_allocation: false,
        request_max: 1 << 20,
    };
    assert_eq!(step, Step::Transmit(expected));
    let kinds: Vec<u32> = replies.iter().map(|reply| reply.kind).collect();
    assert_eq!(kinds, [REP_INFO, REP_INFO, REP_INFO, ACK]);
    let flags = TRANSMISSION_FLAGS.to_be_bytes();
    let export = [&b"\0\0"[..], &(1_u64 << 30).to_be_bytes(), &flags].concat();
    assert_eq!(replies[0].data, export);
    assert_eq!(replies[1].data, b"\0\x01a");
    assert_eq!(replies[2].data, b"\0\x03\0\0\0\x01\0\0\x10\0\0\x10\0\0");
}

#[test]
fn info_tells_the_same_and_the_handshake_goes_on() {
    let exports = exports(&["a"]);
    let mut client = Client::new(offer(&exports), FIXED);
    assert_eq!(client.kinds(INFO, &wants("a", &[])), [REP_INFO, ACK]);
    assert_eq!(client.kinds(INFO, &wants("b", &[])), [ERR_UNKNOWN]);
    assert_eq!(client.kinds(GO, &wants("b", &[3])), [ERR_UNKNOWN]);
    assert_eq!(client.kinds(GO, b"\0\0\0\xffa\0\0"), [ERR_INVALID]);
    // A client that did not ask for the maximum may read as much as the protocol's default.
    assert_eq!(client.go("a", &[]).request_max, 32 << 20);
}

#[test]
fn the_only_export_is_also_the_default_and_one_of_two_is_not() {
    let only = exports(&["a"]);
    assert_eq!(Client::new(offer(&only), FIXED).go("", &[]).export, 0);
    let two = exports(&["a", "b"]);
    let mut client = Client::new(offer(&two), FIXED);
    assert_eq!(client.kinds(GO, &wants("", &[])), [ERR_UNKNOWN]);
}

#[test]
fn structured_replies_bring_the_flag_df() {
    let exports = exports(&["a"]);
    let mut client = Client::new(offer(&exports), FIXED);
    assert_eq!(client.kinds(STRUCTURED_REPLY, b"x"), [ERR_INVALID]);
    assert_eq!(client.kinds(STRUCTURED_REPLY, b""), [ACK]);
    let (_, replies) = client.ask(INFO, &wants("a", &[]));
    let flags = (TRANSMISSION_FLAGS | SEND_DF).to_be_bytes();
    assert_eq!(replies[0].data[10..], flags);
    assert!(client.go("a", &[]).is_structured);
}

#[test]
fn metadata_contexts_come_after_structured_replies_only() {
    let exports = exports(&["a"]);
    let mut client = Client::new(offer(&exports), FIXED);
    let all = queries("a", &[]);
    assert_eq!(client.kinds(LIST_META_CONTEXT, &all), [ERR_INVALID]);
    let chosen = queries("a", &["base:allocation"]);
    assert_eq!(client.kinds(SET_META_CONTEXT, &chosen), [ERR_INVALID]);
    client.kinds(STRUCTURED_REPLY, b"");
    let (_, replies) = client.ask(LIST_META_CONTEXT, &all);
    assert_eq!(replies[0].kind, META_CONTEXT);
    assert_eq!(replies[0].data, b"\0\0\0\0base:allocation");
    assert!(!client.go("a", &[]).has_allocation);
}

#[test]
fn contexts_are_listed_by_wildcard_and_chosen_by_their_full_name() {
    let exports = exports(&["a"]);
    let mut client = Client::new(offer(&exports), FIXED);
    client.kinds(STRUCTURED_REPLY, b"");
    let mut kinds = |number, query| client.kinds(number, &queries("a", &[query]));
    assert_eq!(kinds(LIST_META_CONTEXT, "base:"), [META_CONTEXT, ACK]);
    let allocation = "base:allocation";
    assert_eq!(kinds(LIST_META_CONTEXT, allocation), [META_CONTEXT, ACK]);
    assert_eq!(kinds(LIST_META_CONTEXT, "qemu:"), [ACK]);
    assert_eq!(kinds(SET_META_CONTEXT, "base:"), [ACK]);
    assert_eq!(kinds(SET_META_CONTEXT, "qemu:dirty-bitmap:x"), [ACK]);
    let both = queries("a", &["qemu:allocation-depth", allocation]);
    let (_, replies) = client.ask(SET_META_CONTEXT, &both);
    assert_eq!(replies[0].data, b"\0\0\0\x01base:allocation");
    assert!(client.go("a", &[]).has_allocation);
}

#[test]
fn a_context_counts_for_its_own_export_and_until_the_next_choice() {
    let exports = exports(&["a", "b"]);
    let chosen = queries("a", &["base:allocation"]);
    let mut client = Client::new(offer(&exports), FIXED);
    client.kinds(STRUCTURED_REPLY, b"");
    client.kinds(SET_META_CONTEXT, &chosen);
    assert!(!client.go("b", &[]).has_allocation);

    for replaced in [queries("a", &[]), queries("c", &[]), b"junk".to_vec()] {
        let mut client = Client::new(offer(&exports), FIXED);
        client.kinds(STRUCTURED_REPLY, b"");
        client.kinds(SET_META_CONTEXT, &chosen);
        client.kinds(SET_META_CONTEXT, &replaced);
        assert!(!client.go("a", &[]).has_allocation);
    }
}

#[test]
fn long_data_is_skipped_and_refused_and_the_next_option_is_answered() {
    let exports = exports(&["a"]);
    let len = 3 << 20;
    for (number, expected) in [(INFO, ERR_TOO_BIG), (99, ERR_UNSUP)] {
        let mut client = Client::new(offer(&exports), FIXED);
        let bytes = option(number, &vec![b'x'; len]);
        let (last, rest) = bytes.split_last().unwrap();
        for part in rest.chunks(4096) {
            let (step, output) = client.send(part);
            assert_eq!((step, output.len()), (Step::Read, 0));
        }
        let (step, output) = client.send(&[*last]);
        assert_eq!((step, parse(&output)[0].kind), (Step::Reply, expected));
        assert_eq!(client.kinds(LIST, b""), [SERVER, ACK]);
    }
    let mut client = Client::new(offer(&exports), FIXED);
    let (step, _) = client.send(&option(EXPORT_NAME, &vec![b'x'; len]));
    assert_eq!(step, Step::End);
}

#[test]
fn bytes_behind_the_last_option_are_kept_for_the_transmission() {
    let exports = exports(&["a"]);
    let mut client = Client::new(offer(&exports), FIXED);
    let mut bytes = option(GO, &wants("a", &[]));
    bytes.extend(b"request");
    assert!(matches!(client.send(&bytes).0, Step::Transmit(_)));
    assert_eq!(client.0.into_rest(), b"request");
}

#[test]
fn an_option_without_its_magic_ends_the_handshake() {
    let exports = exports(&["a"]);
    let mut client = Client::new(offer(&exports), FIXED);
    assert_eq!(client.send(b"GET / HTTP/1.1\r\n").0, Step::End);
}
