//! Servers that speak HTTP/2 badly, from the first answer to a chunk on.

use std::time::Duration;

use chunk_restore::ErrorKind;
use testkit::raw::{self, kind};
use testkit::{Raw, SessionFault, When, within};

use crate::frames::{STREAM, bad_answers, send, violations};
use crate::{CHUNKS, LIMIT, Peer, assert_error, each, serial};

#[test]
fn what_breaks_the_rules_is_an_error_that_says_so() {
    within(LIMIT, || {
        let cases = [violations(), bad_answers()].concat();
        each(cases, |name, (steps, words)| {
            let peer = Peer::new();
            peer.on_first_chunk(When::Always, &steps);
            let error = peer.restore(&serial().attempts(1)).unwrap_err();
            assert_error(name, &error, ErrorKind::Unavailable, words);
            assert_eq!(error.position(), Some(0), "{name}: {error:?}");
            peer.wait_until_left();
        });
    });
}

#[test]
fn what_breaks_the_rules_once_is_got_over_in_a_new_session() {
    within(LIMIT, || {
        let cases = [violations(), bad_answers()].concat();
        each(cases, |name, (steps, _)| {
            let peer = Peer::new();
            // What fails only one answer leaves the others waiting in that session, until it ends.
            let steps = [
                steps,
                vec![Raw::Wait(Duration::from_millis(50)), Raw::Close],
            ]
            .concat();
            peer.on_first_chunk(When::First(1), &steps);
            let report = peer.restore(&serial());
            let report = report.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert!(report.retries > 0, "{name}");
            assert!(peer.server.counts().connections >= 2, "{name}");
            peer.wait_until_left();
        });
    });
}

#[test]
fn padding_odd_frames_and_slow_pieces_are_no_faults() {
    within(LIMIT, || {
        let peer = Peer::new();
        let mut script = peer.opening();
        let pause = || Raw::Wait(Duration::from_millis(500));
        for position in 0..CHUNKS as usize {
            let (blob, stream) = (peer.blob(position), STREAM + 2 * position as u32);
            script.push(Raw::ReadUntilRequest);
            script.push(send(raw::headers(stream, &[(":status", "103")], false)));
            script.push(send(raw::headers(stream, &[(":status", "200")], false)));
            let (start, rest) = blob.split_at(blob.len() / 2);
            for half in [start, rest] {
                let padded = [&[200], half, &[0; 200]].concat();
                script.push(send(raw::frame(kind::DATA, raw::PADDED, stream, &padded)));
                script.push(send(raw::frame(0xee, 0xff, stream, b"unknown")));
                if position == 3 {
                    // Longer together than a server may be silent.
                    script.push(pause());
                }
            }
            script.push(send(raw::headers(stream, &[("trailer", "x")], true)));
        }
        peer.server
            .on_session(When::Always, SessionFault::Raw(script));
        peer.restore(&serial().attempts(1)).unwrap();
    });
}

#[test]
fn goaway_in_the_middle_fails_only_what_the_server_did_not_look_at() {
    within(LIMIT, || {
        let peer = Peer::new();
        let mut script = peer.opening();
        script.extend([
            Raw::ReadUntilRequest,
            Raw::ReadUntilRequest,
            Raw::ReadUntilRequest,
            Raw::ReadUntilRequest,
            // The answers to the first two follow.
            send(raw::goaway(STREAM + 2, 0)),
            Raw::Wait(Duration::from_millis(100)),
            send(raw::answer(STREAM, &peer.blob(0))),
            send(raw::answer(STREAM + 2, &peer.blob(1))),
            Raw::Close,
        ]);
        peer.server
            .on_session(When::First(1), SessionFault::Raw(script));
        let report = peer.restore(&serial()).unwrap();
        assert!(report.retries > 0);
        // The second session, which is a true one, was asked for all the others, once.
        let requests = |position: usize| peer.server.requests(&peer.disk().digests[position]);
        let all: Vec<u64> = (0..CHUNKS as usize).map(requests).collect();
        assert_eq!((all[0], all[1]), (0, 0));
        assert!(all[2..].iter().all(|count| *count == 1), "{all:?}");
    });
}
