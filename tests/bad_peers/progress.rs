//! Servers that stall, or send so little that it comes to the same.

use std::time::Duration;

use testkit::{Fault, PbsOptions, PbsServer, SessionEnd, When, within};

use crate::{LIMIT, PATIENCE, Peer, SNAPSHOT, each, serial};

/// Longer than the pauses of a trickle, which is one byte a second.
const MORE_PATIENCE: Duration = Duration::from_millis(2500);

/// One thread, and a server that is busy for much longer than it may be silent.
fn busy() -> Peer {
    let options = PbsOptions::new().latency(Duration::from_millis(50));
    Peer::sized(options, 2000, 4096)
}

#[test]
fn an_answer_that_stalls_among_busy_ones_is_a_stall() {
    within(LIMIT, || {
        each(
            vec![
                ("silence", (Fault::Stall, PATIENCE)),
                ("half of it", (Fault::StallInBody, PATIENCE)),
                ("a trickle", (Fault::Trickle, MORE_PATIENCE)),
            ],
            |name, (fault, patience)| {
                let peer = busy();
                let digest = peer.disk().digests[10];
                peer.server.on_chunk(&digest, When::First(1), fault);
                let options = peer.options().progress_timeout(patience);
                let (_, retries) = peer.retries_with(options, &serial()).unwrap();
                let words = "in vain, while it answered later requests";
                let is_told = retries.iter().any(|retry| retry.contains(words));
                assert!(is_told, "{name}: {retries:?}");
            },
        );
    });
}

#[test]
fn a_trickle_is_a_stall_though_each_byte_comes_in_time() {
    within(LIMIT, || {
        let options = |peer: &Peer| peer.options().progress_timeout(MORE_PATIENCE);
        each(
            vec![
                ("manifest", Some("index.json.blob")),
                ("index", Some("drive-scsi0.img.fidx")),
                ("chunk", None),
            ],
            |name, file| {
                let peer = Peer::new();
                let (when, fault) = (When::First(1), Fault::Trickle);
                match file {
                    Some(file) => peer.server.on_file(file, when, fault),
                    None => peer.server.on_chunk(&peer.disk().digests[5], when, fault),
                }
                let report = peer.restore_with(options(&peer), &serial());
                let report = report.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                assert_eq!(report.retries > 0, file.is_none(), "{name}");
            },
        );
        let peer = Peer::new();
        peer.server.on_login(When::First(1), Fault::Trickle);
        peer.server.on_list(When::First(1), Fault::Trickle);
        let datastore = options(&peer)
            .password(PbsServer::PASSWORD)
            .open(&peer.server.user_repository("store1"));
        assert_eq!(datastore.unwrap().snapshots().unwrap().len(), 1);
    });
}

#[test]
fn a_session_that_nobody_uses_is_ended_after_some_seconds() {
    within(LIMIT, || {
        let peer = Peer::new();
        let datastore = peer.options().open(&peer.server.repository("store1"));
        let snapshot = datastore.unwrap().snapshot(SNAPSHOT).unwrap();
        let archive = snapshot.archive(crate::DISK).unwrap();
        // Manifest and index came over one session.
        assert_eq!(peer.server.counts().sessions, 1);
        peer.wait_until(|| peer.server.session_ends() == [SessionEnd::Clean]);
        // Without that session there are others.
        let mut target = chunk_restore::StreamTarget::new(Vec::new());
        serial().run(&archive, &mut target).unwrap();
        assert_eq!(testkit::sha256(&target.into_inner()), peer.disk().sha256);
        assert_eq!(peer.server.counts().sessions, 2);
    });
}
