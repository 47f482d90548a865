//! Places that are out of reach for a while, or for good: how long they are waited for, and what is made of their return.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chunk_restore::{ErrorKind, Event, Report, Restore, Result, Scope, StreamTarget};
use testkit::{ConnectionFault, Fault, Identity, PbsOptions, When, sha256, within};

use crate::{DISK, LIMIT, Peer, SNAPSHOT};

/// A half of it is waited for the first chunk, a quarter for one that others are far ahead of.
const PATIENCE: Duration = Duration::from_secs(4);

/// So large that a trickle takes minutes for a chunk.
const LARGE: u64 = 256 << 10;

fn peer(chunks: u64) -> Peer {
    Peer::sized(PbsOptions::new(), chunks, LARGE)
}

/// A restore whose connections may be silent for longer than it has patience.
fn restore(peer: &Peer, restore: &Restore) -> Result<Report> {
    let options = peer.options().progress_timeout(10 * PATIENCE);
    peer.restore_with(options, &restore.clone().patience(PATIENCE))
}

#[test]
fn a_dead_link_is_given_up_when_patience_ends() {
    within(LIMIT, || {
        for fault in [Fault::Stall, Fault::StallInBody, Fault::Reset] {
            let peer = peer(16);
            peer.server.on_any_chunk(When::From(4), fault.clone());
            let begun = Instant::now();
            let restore = Restore::new().salvage(true).patience(PATIENCE);
            let error = peer.restore(&restore).unwrap_err();
            assert!(begun.elapsed() >= PATIENCE, "{fault:?}");
            assert_eq!(
                (error.kind(), error.scope()),
                (ErrorKind::Unavailable, Some(Scope::Place)),
                "{error:?}"
            );
            assert!(error.to_string().contains("since 20"), "{error:?}");
            assert!(error.position().is_some());
        }
    });
}

#[test]
fn connections_that_trickle_from_one_moment_on_are_made_anew() {
    within(LIMIT, || {
        let peer = peer(64);
        // Those that there are when some chunks have come; each goes on with 1 KiB a second.
        let fault = ConnectionFault::TrickleAfter(5 * LARGE);
        peer.server.on_connection(When::First(4), fault);
        let restore_four = Restore::new().threads(4).in_flight(16);
        let report = restore(&peer, &restore_four).unwrap();
        assert!(report.retries > 0, "{report:?}");
    });
}

#[test]
fn where_all_connections_trickle_from_the_start_another_is_tried() {
    within(LIMIT, || {
        let peer = peer(16);
        // The handshake and the index come as they should.
        let fault = ConnectionFault::TrickleAfter(20_000);
        peer.server.on_connection(When::First(4), fault);
        let restore_four = Restore::new().threads(4).in_flight(16);
        let report = restore(&peer, &restore_four).unwrap();
        assert!(report.retries > 0, "{report:?}");
    });
}

#[test]
fn a_slow_line_is_waited_for() {
    within(LIMIT, || {
        // Each chunk takes longer than there is patience.
        let peer = Peer::sized(PbsOptions::new().rate(20 << 10), 4, 128 << 10);
        let one_by_one = Restore::new().threads(4).in_flight(4);
        let report = restore(&peer, &one_by_one).unwrap();
        assert!(report.elapsed > PATIENCE);
    });
}

#[test]
fn a_rate_is_no_silence() {
    within(LIMIT, || {
        let peer = Peer::sized(PbsOptions::new(), 8, 16 << 10);
        let slow = Restore::new().rate(16 << 10).in_flight(8);
        let report = restore(&peer, &slow.threads(1)).unwrap();
        assert!(
            report.elapsed > PATIENCE && report.retries == 0,
            "{report:?}"
        );
    });
}

#[test]
fn a_server_that_ends_and_comes_back_is_gone_on_with() {
    within(LIMIT, || {
        let identity = Identity::self_signed();
        let start = |port: u16, store| {
            let options = PbsOptions::new().identity(identity.clone()).port(port);
            options.latency(Duration::from_millis(5)).start(store)
        };
        let Peer {
            store,
            info,
            server,
        } = Peer::sized(PbsOptions::new(), 400, 4096);
        drop(server);
        let server = start(0, Arc::clone(&store));
        let port = server.port();
        let peer = Peer {
            server,
            store: Arc::clone(&store),
            info,
        };
        let datastore = peer
            .options()
            .open(&peer.server.repository("store1"))
            .unwrap();
        let archive = datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
        let expected = peer.disk().sha256;
        let server = RefCell::new(Some(peer.server));
        let (mut retries, mut back) = (0, None);
        let mut target = StreamTarget::new(Vec::new());
        let report = Restore::new().run_with(&archive, &mut target, |event| match event {
            Event::Progress(report) if report.chunks == 100 && back.is_none() => {
                drop(server.take());
            }
            Event::Retried(_) => {
                retries += 1;
                // By now it was found to be out of reach, and only looked for.
                if retries == 40 {
                    back = Some(Instant::now());
                    server.replace(Some(start(port, Arc::clone(&store))));
                }
            }
            _ => {}
        });
        report.unwrap();
        assert_eq!(sha256(&target.into_inner()), expected);
        // It takes 2 s; a machine that runs all of this at once may need longer.
        assert!(back.unwrap().elapsed() < Duration::from_secs(20));
    });
}
