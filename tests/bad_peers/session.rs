//! Servers that refuse, stall or say something else than what was asked for.

use std::time::{Duration, Instant};

use chunk_restore::{Error, ErrorKind, OpenOptions, Result};
use testkit::{Fault, PbsOptions, PbsServer, Raw, SessionFault, When, raw, within};

use crate::{LIMIT, Peer, SNAPSHOT, assert_error, each, serial};

fn refused(status: u16, text: &str) -> SessionFault {
    SessionFault::Refused {
        status,
        text: text.to_owned(),
    }
}

fn raw(steps: Vec<Raw>) -> SessionFault {
    SessionFault::Raw(steps)
}

fn look_as(peer: &Peer, repository: &str, password: &str) -> Result<()> {
    let options = peer.options().password(password);
    options.open(repository)?.snapshot(SNAPSHOT).map(drop)
}

#[test]
fn who_may_not_read_is_told_so_at_once() {
    within(LIMIT, || {
        let peer = Peer::with(
            PbsOptions::new()
                .user_without_rights("poor@pbs", "pw")
                .token_without_rights("poor@pbs!ci", "pw")
                .tfa_user("careful@pbs", "pw"),
        );
        let at = peer.server.address();
        for (identity, words) in [
            ("poor@pbs", "no permissions"),
            ("poor@pbs!ci", "no permissions"),
            ("careful@pbs", "use an API token"),
            ("nobody@pbs", "could not sign in"),
            ("nobody@pbs!ci", "authentication failed"),
        ] {
            let error = look_as(&peer, &format!("{identity}@{at}:store1"), "pw").unwrap_err();
            assert_error(identity, &error, ErrorKind::Denied, words);
        }
        // Without a password nobody is asked.
        let before = peer.server.counts().connections;
        let options = OpenOptions::new();
        let error = peer.look(options).unwrap_err();
        assert_error("no password", &error, ErrorKind::Denied, "PBS_PASSWORD");
        assert_eq!(peer.server.counts().connections, before);
    });
}

#[test]
fn what_there_is_not_is_not_found() {
    within(LIMIT, || {
        let peer = Peer::new();
        let open = |store: &str| peer.options().open(&peer.server.repository(store)).unwrap();
        let not_found =
            |name: &str, error: Error| assert_error(name, &error, ErrorKind::NotFound, "");
        not_found("store", open("other").snapshot(SNAPSHOT).unwrap_err());
        not_found("store, listed", open("other").snapshots().unwrap_err());
        not_found("group", open("store1").snapshot("vm/999").unwrap_err());
        let other = "vm/100/2020-01-01T00:00:00Z";
        not_found("snapshot", open("store1").snapshot(other).unwrap_err());
        let elsewhere = open("store1").in_namespace("no/such".parse().unwrap());
        not_found("namespace", elsewhere.snapshot(SNAPSHOT).unwrap_err());
        not_found("namespace, listed", elsewhere.snapshots().unwrap_err());
        let snapshot = open("store1").snapshot(SNAPSHOT).unwrap();
        not_found("archive", snapshot.archive("other.img").unwrap_err());
    });
}

#[test]
fn a_session_that_is_refused_for_good_is_asked_for_once() {
    within(LIMIT, || {
        each(
            vec![
                ("302", (refused(302, ""), ErrorKind::Unavailable, "302")),
                ("403", (refused(403, "no"), ErrorKind::Denied, "403")),
                (
                    "404",
                    (
                        refused(404, "no"),
                        ErrorKind::Unavailable,
                        "is it a Proxmox Backup Server?",
                    ),
                ),
                (
                    "501",
                    (
                        refused(501, "no"),
                        ErrorKind::Unavailable,
                        "is it a Proxmox Backup Server?",
                    ),
                ),
                (
                    "a web page",
                    (
                        refused(200, "<!DOCTYPE html><title>Sign in"),
                        ErrorKind::Unavailable,
                        "with a web page",
                    ),
                ),
                (
                    "400",
                    (
                        refused(400, "parameter verification failed"),
                        ErrorKind::Unavailable,
                        "parameter",
                    ),
                ),
                (
                    "another protocol",
                    (
                        SessionFault::OtherProtocol,
                        ErrorKind::Unavailable,
                        "another protocol",
                    ),
                ),
                (
                    "no upgrade",
                    (
                        SessionFault::NotUpgraded,
                        ErrorKind::Unavailable,
                        "did not switch",
                    ),
                ),
            ],
            |name, (fault, kind, words)| {
                let peer = Peer::new();
                peer.server.on_session(When::Always, fault);
                let error = peer.look(peer.options()).unwrap_err();
                assert_error(name, &error, kind, words);
                // Who may not see something is told what there is instead.
                let most = if name == "403" { 2 } else { 1 };
                assert!(peer.server.counts().connections <= most, "{name}");
                peer.wait_until_left();
            },
        );
    });
}

/// What may pass: the name, the fault, and words of the error where it does not.
fn passing() -> Vec<(&'static str, (SessionFault, &'static str))> {
    let answered = |steps: &[Raw]| {
        let start = [Raw::Send(raw::settings(&[])), Raw::ReadUntilRequest];
        raw([&start, steps].concat())
    };
    vec![
        ("a lock", (SessionFault::Locked, "lock")),
        ("500", (refused(500, "out of order"), "out of order")),
        ("503", (refused(503, "busy"), "busy")),
        ("no answer to the upgrade", (SessionFault::Stall, "in vain")),
        (
            "garbage instead of HTTP/2",
            (SessionFault::Garbage, "not HTTP/2"),
        ),
        ("silence instead of HTTP/2", (raw(vec![]), "in vain")),
        (
            "the end instead of HTTP/2",
            (raw(vec![Raw::Close]), "closed the session"),
        ),
        (
            "a PING before SETTINGS",
            (raw(vec![Raw::Send(raw::ping(false))]), "not HTTP/2"),
        ),
        (
            "no room for a stream",
            (
                raw(vec![
                    Raw::Send(raw::settings(&[(3, 0)])),
                    Raw::Wait(Duration::from_millis(50)),
                    Raw::Close,
                ]),
                "",
            ),
        ),
        (
            "GOAWAY at once",
            (
                raw(vec![
                    Raw::Send(raw::settings(&[])),
                    Raw::Send(raw::goaway(0, 11)),
                    Raw::Close,
                ]),
                "",
            ),
        ),
        (
            "a file that stalls",
            (
                answered(&[Raw::Send(raw::headers(1, &[(":status", "200")], false))]),
                "in vain",
            ),
        ),
        (
            "a file that is cut",
            (
                answered(&[
                    Raw::Send(raw::headers(
                        1,
                        &[(":status", "200"), ("content-length", "500")],
                        false,
                    )),
                    Raw::Send(raw::data(1, &[7; 100], false)),
                    Raw::Cut,
                ]),
                "lost the connection",
            ),
        ),
    ]
}

#[test]
fn a_session_that_fails_twice_is_opened_again() {
    within(LIMIT, || {
        each(passing(), |name, (fault, _)| {
            let peer = Peer::new();
            peer.server.on_session(When::First(2), fault);
            let restored = peer.restore(&serial());
            restored.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert!(peer.server.counts().connections >= 3, "{name}");
            peer.wait_until_left();
        });
    });
}

#[test]
fn a_session_that_always_fails_is_given_up_after_five_attempts() {
    within(LIMIT, || {
        each(passing(), |name, (fault, words)| {
            let peer = Peer::new();
            peer.server.on_session(When::Always, fault);
            let error = peer.look(peer.options()).unwrap_err();
            assert_error(name, &error, ErrorKind::Unavailable, words);
            // For one that is locked it is asked, each time, whether its backup still runs.
            let each = if name == "a lock" { 2 } else { 1 };
            assert_eq!(peer.server.counts().connections, 5 * each, "{name}");
            peer.wait_until_left();
        });
    });
}

#[test]
fn small_files_that_are_wrong_are_corrupt_and_those_that_come_badly_are_asked_for_again() {
    within(LIMIT, || {
        each(
            vec![
                ("empty", (Fault::EmptyBlob, ErrorKind::Corrupt)),
                ("damaged", (Fault::Corrupt, ErrorKind::Corrupt)),
                (
                    "other",
                    (Fault::Replace(b"no blob".to_vec()), ErrorKind::Corrupt),
                ),
                (
                    "endless",
                    (Fault::Replace(vec![0; 32 << 20]), ErrorKind::Corrupt),
                ),
                (
                    "302",
                    (
                        Fault::Redirect("/elsewhere".to_owned()),
                        ErrorKind::Unavailable,
                    ),
                ),
                ("403", (Fault::Status(403), ErrorKind::Denied)),
            ],
            |name, (fault, kind)| {
                let peer = Peer::new();
                peer.server.on_file("index.json.blob", When::Always, fault);
                let error = peer.look(peer.options()).unwrap_err();
                assert_error(name, &error, kind, "");
            },
        );
        each(
            vec![
                ("500", Fault::Status(500)),
                ("stall", Fault::Stall),
                ("trickle", Fault::Trickle),
                ("reset stream", Fault::RstInBody(2)),
                ("cut", Fault::CutAfter(20)),
            ],
            |name, fault| {
                for file in ["index.json.blob", "drive-scsi0.img.fidx"] {
                    let peer = Peer::new();
                    peer.server.on_file(file, When::First(1), fault.clone());
                    let restored = peer.restore(&serial());
                    restored.unwrap_or_else(|error| panic!("{name} of {file}: {error:?}"));
                }
            },
        );
    });
}

#[test]
fn lists_and_tickets_that_come_badly_are_asked_for_again() {
    within(LIMIT, || {
        let list = |peer: &Peer| {
            let options = peer.options().password(PbsServer::PASSWORD);
            let datastore = options.open(&peer.server.user_repository("store1"));
            datastore.unwrap().snapshots()
        };
        each(
            vec![
                ("500", Fault::Status(500)),
                ("stall", Fault::Stall),
                ("trickle", Fault::Trickle),
                ("reset", Fault::Reset),
                ("cut", Fault::CutAfter(20)),
            ],
            |name, fault| {
                for options in [PbsOptions::new(), PbsOptions::new().chunked_listing()] {
                    let peer = Peer::with(options);
                    peer.server.on_login(When::First(1), fault.clone());
                    peer.server.on_list(When::First(1), fault.clone());
                    let listed = list(&peer).unwrap_or_else(|error| panic!("{name}: {error:?}"));
                    assert_eq!(listed.len(), 1, "{name}");
                }
            },
        );
        // What is something else, or has no end, is not asked for again.
        let peer = Peer::new();
        let other = Fault::Replace(b"no JSON".to_vec());
        peer.server.on_list(When::Always, other.clone());
        let error = list(&peer).unwrap_err();
        assert_error("list", &error, ErrorKind::Unavailable, "not a listing");
        peer.server.on_login(When::Always, other);
        let error = list(&peer).unwrap_err();
        assert_error("ticket", &error, ErrorKind::Unavailable, "is not a ticket");
        let endless = Fault::Replace(vec![b' '; 128 << 10]);
        peer.server.clear_faults();
        peer.server.on_login(When::Always, endless);
        let error = list(&peer).unwrap_err();
        assert_error("endless", &error, ErrorKind::Unavailable, "longer than");
    });
}

#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    within(LIMIT, || {
        let busy = Fault::Busy { retry_after: 2 };
        each(
            vec![("chunk", 0), ("file", 1), ("sign-in", 2), ("list", 3)],
            |name, case| {
                let peer = Peer::new();
                let digest = peer.disk().digests[5];
                match case {
                    0 => peer.server.on_chunk(&digest, When::First(1), busy.clone()),
                    1 => peer
                        .server
                        .on_file("index.json.blob", When::First(1), busy.clone()),
                    2 => peer.server.on_login(When::First(1), busy.clone()),
                    _ => peer.server.on_list(When::First(1), busy.clone()),
                }
                let begun = Instant::now();
                match case {
                    2 => {
                        let repository = peer.server.user_repository("store1");
                        look_as(&peer, &repository, PbsServer::PASSWORD).unwrap();
                    }
                    3 => {
                        let datastore = peer.options().open(&peer.server.repository("store1"));
                        assert_eq!(datastore.unwrap().snapshots().unwrap().len(), 1);
                    }
                    _ => drop(peer.restore(&serial()).unwrap()),
                }
                assert!(begun.elapsed() >= Duration::from_secs(2), "{name}");
            },
        );
    });
}
