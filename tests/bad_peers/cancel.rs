//! Whatever a server keeps a client waiting with, cancel ends it. Every other limit is an hour here.

use std::thread;
use std::time::Duration;

use chunk_restore::{Cancel, ErrorKind, OpenOptions, StreamTarget};
use testkit::raw::{self, kind};
use testkit::{ConnectionFault, Fault, Gate, PbsServer, Raw, SessionFault, When, within};

use crate::frames::{STREAM, send};
use crate::{DISK, Peer, SNAPSHOT, Slow, assert_error, each, serial};

/// Enough for a machine that is busy, and far from an hour.
const LIMIT: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

impl Peer {
    fn patient(&self, cancel: &Cancel) -> OpenOptions {
        let options = self.options().cancel(cancel);
        let options = options.connect_timeout(HOUR).tls_timeout(HOUR);
        options.progress_timeout(HOUR)
    }

    /// Looks at the snapshot, or lists them; cancels when it is time.
    fn cancelled_look(&self, name: &str, is_listing: bool, when: impl FnOnce()) {
        let cancel = Cancel::new();
        let options = self.patient(&cancel);
        let look = || match is_listing {
            true => {
                let options = options.password(PbsServer::PASSWORD);
                let datastore = options.open(&self.server.user_repository("store1"))?;
                datastore.snapshots().map(drop)
            }
            false => {
                let datastore = options.open(&self.server.repository("store1"))?;
                datastore.snapshot(SNAPSHOT)?.archive(DISK).map(drop)
            }
        };
        thread::scope(|scope| {
            let looking = scope.spawn(look);
            when();
            cancel.cancel();
            let error = looking.join().unwrap().unwrap_err();
            assert_error(name, &error, ErrorKind::Cancelled, "");
        });
        self.wait_until_left();
    }
}

#[test]
fn cancel_ends_the_wait_for_a_connection() {
    within(LIMIT, || {
        each(
            vec![
                ("in TLS", ConnectionFault::StallInTls),
                ("in the middle of TLS", ConnectionFault::StallAfter(100)),
                ("while it pauses", ConnectionFault::Close),
            ],
            |name, fault| {
                let peer = Peer::new();
                peer.server.on_connection(When::Always, fault);
                peer.cancelled_look(name, false, || {
                    peer.wait_until(|| peer.server.counts().connections > 0);
                });
            },
        );
    });
}

#[test]
fn cancel_ends_the_wait_for_a_session() {
    within(LIMIT, || {
        let peer = Peer::new();
        peer.server.on_session(When::Always, SessionFault::Stall);
        peer.cancelled_look("upgrade", false, || {
            peer.wait_until(|| peer.server.session_requests() > 0);
        });
    });
}

#[test]
fn cancel_ends_the_wait_for_a_file() {
    within(LIMIT, || {
        let manifest_in_part = |peer: &Peer| peer.opening()[..2].to_vec();
        let index_in_part = |peer: &Peer| peer.opening()[..4].to_vec();
        let head = |stream| raw::headers(stream, &[(":status", "200")], false);
        let part = |stream| [head(stream), raw::data(stream, b"part", false)].concat();
        type Opening<'a> = &'a (dyn Fn(&Peer) -> Vec<Raw> + Sync);
        let cases: Vec<(_, (Opening<'_>, _))> = vec![
            ("manifest", (&manifest_in_part, vec![])),
            ("manifest in part", (&manifest_in_part, part(1))),
            ("index", (&index_in_part, vec![])),
            ("index in part", (&index_in_part, part(3))),
        ];
        each(cases, |name, (opening, part)| {
            let peer = Peer::new();
            let is_asked = Gate::new();
            let mut script = opening(&peer);
            script.extend([send(part), Raw::Open(is_asked.clone())]);
            peer.server
                .on_session(When::Always, SessionFault::Raw(script));
            peer.cancelled_look(name, false, || is_asked.wait());
        });
    });
}

#[test]
fn cancel_ends_the_wait_for_a_ticket_or_a_list() {
    within(LIMIT, || {
        let peer = Peer::new();
        peer.server.on_login(When::Always, Fault::Stall);
        peer.cancelled_look("ticket", true, || {
            peer.wait_until(|| peer.server.counts().logins > 0);
        });
        peer.server.clear_faults();
        peer.server.on_list(When::Always, Fault::StallInBody);
        peer.cancelled_look("list", true, || {
            peer.wait_until(|| peer.server.counts().listings > 0);
        });
    });
}

#[test]
fn cancel_ends_the_wait_of_a_worker_for_its_session() {
    within(LIMIT, || {
        let is_asked = Gate::new();
        let index = [
            Raw::Send(raw::settings(&[])),
            Raw::ReadUntilRequest,
            Raw::Open(is_asked.clone()),
        ];
        let peer = Peer::new();
        // The first thread has the session that the snapshot was opened with.
        peer.server.on_any_chunk(When::Always, Fault::Stall);
        peer.server
            .on_session(When::Nth(2), SessionFault::Raw(index.to_vec()));
        let datastore = peer.patient(&Cancel::new());
        let datastore = datastore.open(&peer.server.repository("store1")).unwrap();
        let archive = datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
        let cancel = Cancel::new();
        thread::scope(|scope| {
            let restore = serial().threads(2).cancel(&cancel);
            let restoring = scope.spawn(move || {
                let mut target = StreamTarget::new(Vec::new());
                restore.run(&archive, &mut target).map(drop)
            });
            is_asked.wait();
            cancel.cancel();
            let error = restoring.join().unwrap().unwrap_err();
            assert_error("index", &error, ErrorKind::Cancelled, "");
        });
        peer.wait_until_left();
    });
}

#[test]
fn cancel_ends_the_wait_for_a_sign_of_life() {
    within(LIMIT, || {
        let peer = Peer::new();
        let mut script = peer.opening();
        for position in 0..crate::CHUNKS as usize {
            let answer = raw::answer(STREAM + 2 * position as u32, &peer.blob(position));
            script.extend([Raw::ReadUntilRequest, send(answer)]);
        }
        // The ping of a client that has nothing to ask for is not answered.
        let is_pinged = Gate::new();
        script.extend([Raw::ReadUntil(kind::PING), Raw::Open(is_pinged.clone())]);
        peer.server
            .on_session(When::Always, SessionFault::Raw(script));
        let datastore = peer.patient(&Cancel::new());
        let datastore = datastore.open(&peer.server.repository("store1")).unwrap();
        let archive = datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
        let cancel = Cancel::new();
        thread::scope(|scope| {
            let restore = serial().cancel(&cancel);
            let is_cancelled = Gate::new();
            // All chunks are there, and the first is not written.
            let mut target = StreamTarget::new(Slow {
                begun: Gate::new(),
                end: is_cancelled.clone(),
            });
            let restoring = scope.spawn(move || restore.run(&archive, &mut target).map(drop));
            is_pinged.wait();
            cancel.cancel();
            is_cancelled.open();
            let error = restoring.join().unwrap().unwrap_err();
            assert_error("ping", &error, ErrorKind::Cancelled, "");
        });
        peer.wait_until_left();
    });
}
