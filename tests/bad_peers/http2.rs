//! Servers that speak HTTP/2 badly, from the first answer to a chunk on.

use std::time::Duration;

use chunk_restore::{ErrorKind, Event, StreamTarget};
use testkit::raw::{self, kind};
use testkit::{Gate, PbsOptions, Raw, SessionFault, When, sha256, within};

use crate::frames::{STREAM, bad_answers, send, violations};
use crate::{CHUNKS, DISK, LIMIT, PATIENCE, Peer, SNAPSHOT, Slow, each, serial};

#[test]
fn what_breaks_the_rules_is_an_error_that_says_so() {
    within(LIMIT, || {
        let cases = [violations(), bad_answers()].concat();
        each(cases, |name, (steps, words)| {
            let peer = Peer::new();
            peer.on_first_chunk(When::Always, &steps);
            let (kind, position, text) = peer.first_failure(&serial());
            assert_eq!(
                (kind, position),
                (ErrorKind::Unavailable, Some(0)),
                "{name}: {text}"
            );
            assert!(text.contains(words), "{name}: {text}");
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
        let pause = || Raw::Wait(PATIENCE / 2);
        for position in 0..CHUNKS as usize {
            let (blob, stream) = (peer.blob(position), STREAM + 2 * position as u32);
            script.push(Raw::ReadUntilRequest);
            script.push(send(raw::headers(stream, &[(":status", "103")], false)));
            script.push(send(raw::headers(stream, &[(":status", "200")], false)));
            if (3..7).contains(&position) {
                // Longer together than a server may be silent.
                script.push(pause());
            }
            let (start, rest) = blob.split_at(blob.len() / 2);
            for half in [start, rest] {
                let padded = [&[200], half, &[0; 200]].concat();
                script.push(send(raw::frame(kind::DATA, raw::PADDED, stream, &padded)));
                script.push(send(raw::frame(0xee, 0xff, stream, b"unknown")));
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

#[test]
fn more_data_than_flow_control_grants_ends_the_session() {
    const MIB: usize = 1 << 20;
    within(LIMIT, || {
        let peer = Peer::sized(PbsOptions::new(), CHUNKS, MIB as u64);
        let are_queued = Gate::new();
        let mut script = vec![
            send(raw::settings(&[])),
            Raw::ReadUntilRequest,
            Raw::Await(are_queued.clone()),
            send(raw::answer(1, &peer.disk().index)),
        ];
        // All chunks are asked for at once, since all wait for this session.
        script.extend(vec![Raw::ReadUntilRequest; CHUNKS as usize]);
        // What follows data before the header is thrown away, and its window, of 2 GiB, is not widened any more. There
        // is much patience with waste as long as other answers come.
        let stream = |position: usize| 3 + 2 * position as u32;
        let waste = raw::data(stream(0), &vec![0; MIB], false);
        for position in 1..CHUNKS as usize {
            let answer = raw::answer(stream(position), &peer.blob(position));
            script.extend([Raw::Repeat(128, waste.clone()), send(answer)]);
        }
        script.push(Raw::Repeat(200, waste));
        peer.server
            .on_session(When::Nth(2), SessionFault::Raw(script));
        let options = peer.options().progress_timeout(LIMIT);
        let datastore = options.open(&peer.server.repository("store1")).unwrap();
        let archive = datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
        // This ends the session that has the index, so that the worker must open one.
        datastore.snapshot("vm/7/2020-01-01T00:00:00Z").unwrap_err();
        let mut target = StreamTarget::new(Vec::new());
        let mut retries = String::new();
        let restore = serial().in_flight(CHUNKS as usize);
        let restored = restore.run_with(&archive, &mut target, |event| match event {
            Event::Retried(error) => retries += &format!("{error:?}\n"),
            _ => are_queued.open(),
        });
        restored.unwrap();
        assert_eq!(sha256(&target.into_inner()), peer.disk().sha256);
        for words in [
            "data came before the header",
            "more data than the window allows (FLOW_CONTROL_ERROR)",
        ] {
            assert!(retries.contains(words), "{retries}");
        }
    });
}

#[test]
fn the_reason_of_a_goodbye_that_came_while_nothing_was_asked_is_told() {
    within(LIMIT, || {
        let peer = Peer::new();
        let (has_written, is_gone) = (Gate::new(), Gate::new());
        let mut script = peer.opening();
        script.extend([
            Raw::ReadUntilRequest,
            send(raw::answer(STREAM, &peer.blob(0))),
            Raw::Await(has_written.clone()),
            send(raw::goaway(STREAM, 11)),
            Raw::Open(is_gone.clone()),
            Raw::Close,
        ]);
        peer.server
            .on_session(When::First(1), SessionFault::Raw(script));
        let datastore = peer.options().open(&peer.server.repository("store1"));
        let archive = datastore.unwrap().snapshot(SNAPSHOT).unwrap();
        let archive = archive.archive(DISK).unwrap();
        // The next chunk is asked for when this one is written.
        let mut target = StreamTarget::new(Slow {
            begun: has_written,
            end: is_gone,
        });
        let mut retries = Vec::new();
        let restore = serial().in_flight(1);
        let restored = restore.run_with(&archive, &mut target, |event| {
            if let Event::Retried(error) = event {
                retries.push(format!("{error:?}"));
            }
        });
        restored.unwrap();
        let [retry] = &retries[..] else {
            panic!("{retries:?}");
        };
        assert!(retry.contains("ENHANCE_YOUR_CALM"), "{retry}");
    });
}
