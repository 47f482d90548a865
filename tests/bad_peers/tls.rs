//! Servers that are not who they should be, and connections that break below HTTP.

use chunk_restore::{ErrorKind, OpenOptions};
use tempfile::NamedTempFile;
use testkit::{Authority, ConnectionFault, Identity, PbsOptions, PbsServer, When, within};

use crate::{LIMIT, Peer, assert_error, each, serial};

fn ca_file(pem: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    file
}

#[test]
fn plain_http_and_garbage_on_the_port_are_said_and_not_tried_again() {
    within(LIMIT, || {
        for (fault, words) in [
            (ConnectionFault::PlainHttp, "plain HTTP"),
            (ConnectionFault::Garbage, "cannot set up TLS"),
        ] {
            let peer = Peer::new();
            peer.server.on_connection(When::Always, fault);
            let error = peer.look(peer.options()).unwrap_err();
            assert_error(words, &error, ErrorKind::Denied, words);
            assert_eq!(peer.server.counts().connections, 1, "{fault:?}");
        }
    });
}

#[test]
fn a_certificate_must_be_valid_and_of_this_host() {
    within(LIMIT, || {
        let authority = Authority::new();
        let expired = Identity::expired();
        let expired_pem = expired.pem().to_owned();
        let stranger = Identity::for_host("other.example");
        let stranger_pem = stranger.pem().to_owned();
        for (name, identity, pem) in [
            ("expired", expired, expired_pem),
            ("wrong host", stranger, stranger_pem),
            (
                "wrong host of an authority",
                authority.identity_for("other.example"),
                authority.pem(),
            ),
            (
                "another authority",
                Authority::new().identity_for("127.0.0.1"),
                authority.pem(),
            ),
        ] {
            let peer = Peer::with(PbsOptions::new().identity(identity));
            let file = ca_file(&pem);
            let options = OpenOptions::new()
                .password(PbsServer::SECRET)
                .ca_file(file.path());
            let error = peer.look(options).unwrap_err();
            assert_error(name, &error, ErrorKind::Denied, &peer.server.fingerprint());
            assert_eq!(peer.server.counts().connections, 1, "{name}");
        }
        let identity = authority.identity_for("127.0.0.1");
        let peer = Peer::with(PbsOptions::new().identity(identity));
        let file = ca_file(&authority.pem());
        let options = OpenOptions::new()
            .password(PbsServer::SECRET)
            .ca_file(file.path());
        peer.look(options).unwrap();
    });
}

#[test]
fn a_certificate_of_its_own_authority_is_trusted_where_it_is_given_and_its_name_and_dates_are_right()
 {
    within(LIMIT, || {
        let look = |identity: Identity, pem: &str| {
            let peer = Peer::with(PbsOptions::new().identity(identity));
            let file = ca_file(pem);
            let options = OpenOptions::new()
                .password(PbsServer::SECRET)
                .ca_file(file.path());
            peer.look(options)
        };
        let own = Identity::of_its_own_authority();
        let pem = own.pem().to_owned();
        look(own, &pem).unwrap();
        let stranger = Identity::of_its_own_authority_for("other.example");
        let expired = Identity::of_its_own_expired_authority();
        for (identity, words) in [(stranger, "not valid for name"), (expired, "expired")] {
            let pem = identity.pem().to_owned();
            let error = look(identity, &pem).unwrap_err();
            assert_error(words, &error, ErrorKind::Denied, words);
        }
        // Another one of the same name.
        let error = look(Identity::of_its_own_authority(), &pem).unwrap_err();
        assert_error("another", &error, ErrorKind::Denied, "is not trusted");
    });
}

#[test]
fn a_fingerprint_is_enough_for_a_certificate_of_version_1() {
    within(LIMIT, || {
        for options in [PbsOptions::new(), PbsOptions::new().tls12_only()] {
            let peer = Peer::with(options.identity(Identity::of_version_1()));
            peer.look(peer.options()).unwrap();
            let error = peer.look(OpenOptions::new().password("x")).unwrap_err();
            assert_error("unpinned", &error, ErrorKind::Denied, "is not trusted");
        }
    });
}

#[test]
fn a_key_that_can_not_be_used_is_named_and_no_fingerprint_is_advised() {
    within(LIMIT, || {
        for (identity, words) in [
            (Identity::with_p521_key(), "has a P-521 key"),
            (Identity::with_short_rsa_key(), "an RSA key of 1024 bits"),
        ] {
            let peer = Peer::with(PbsOptions::new().identity(identity));
            for options in [
                peer.options(),
                OpenOptions::new().password(PbsServer::SECRET),
            ] {
                let error = peer.look(options).unwrap_err();
                assert_error(words, &error, ErrorKind::Denied, words);
                let text = format!("{error:?}");
                assert!(!text.contains(&peer.server.fingerprint()), "{text}");
            }
            assert_eq!(peer.server.counts().connections, 2, "{words}");
        }
    });
}

#[test]
fn a_connection_that_fails_before_it_stands_is_made_again() {
    within(LIMIT, || {
        each(
            vec![
                ("closed", ConnectionFault::Close),
                ("reset", ConnectionFault::Reset),
                ("silent in TLS", ConnectionFault::StallInTls),
                ("cut in TLS", ConnectionFault::CutAfter(100)),
                ("stalled in TLS", ConnectionFault::StallAfter(100)),
            ],
            |name, fault| {
                let peer = Peer::new();
                peer.server.on_connection(When::First(2), fault);
                let restored = peer.restore(&serial());
                restored.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                assert!(peer.server.counts().connections >= 3, "{name}");
                peer.wait_until_left();
            },
        );
    });
}

#[test]
fn a_connection_that_never_stands_is_given_up_after_five_attempts() {
    within(LIMIT, || {
        each(
            vec![
                ("closed", (ConnectionFault::Close, "lost the connection")),
                (
                    "silent in TLS",
                    (ConnectionFault::StallInTls, "the TLS handshake"),
                ),
                (
                    "stalled in the answer",
                    (ConnectionFault::StallAfter(600), "in vain"),
                ),
            ],
            |name, (fault, words)| {
                let peer = Peer::new();
                peer.server.on_connection(When::Always, fault);
                let error = peer.look(peer.options()).unwrap_err();
                assert_error(name, &error, ErrorKind::Unavailable, words);
                assert_eq!(peer.server.counts().connections, 5, "{name}");
                peer.wait_until_left();
            },
        );
    });
}

#[test]
fn a_connection_may_end_at_any_byte() {
    within(LIMIT, || {
        // The handshake and the files take about 3 KB, the chunks 66 KB.
        let early = (0..3500).step_by(250);
        let late = (3500..75_000).step_by(5501);
        for offset in early.chain(late) {
            each(
                vec![
                    ("cut", ConnectionFault::CutAfter(offset)),
                    ("reset", ConnectionFault::ResetAfter(offset)),
                    ("stalled", ConnectionFault::StallAfter(offset)),
                ],
                |name, fault| {
                    let peer = Peer::new();
                    peer.server.on_connection(When::First(1), fault);
                    let restored = peer.restore(&serial());
                    restored.unwrap_or_else(|error| panic!("{name} after {offset}: {error:?}"));
                    peer.wait_until_left();
                },
            );
        }
    });
}
