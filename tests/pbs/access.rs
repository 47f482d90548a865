//! Who is let in, to whom, and to what there is.

use chunk_restore::{ErrorKind, OpenOptions};
use testkit::{PbsServer, within};

use crate::{LIMIT, SNAPSHOT, open, restore, store, trusting};

#[test]
fn a_user_signs_in_once_and_again_when_the_ticket_has_expired() {
    within(LIMIT, || {
        let (store, info) = store();
        let server = PbsServer::start(store);
        let options = trusting(&server).password(PbsServer::PASSWORD);
        let datastore = options.open(&server.user_repository("store1")).unwrap();
        restore(&datastore, &info).unwrap();
        assert_eq!(server.counts().logins, 1);
        server.expire_tickets();
        restore(&datastore, &info).unwrap();
        assert_eq!(server.counts().logins, 2);
    });
}

#[test]
fn wrong_credentials_are_denied_and_not_tried_again() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        for (repository, secret) in [
            (server.repository("store1"), "wrong"),
            (server.user_repository("store1"), "wrong"),
        ] {
            let before = server.counts().refused;
            let datastore = trusting(&server)
                .password(secret)
                .open(&repository)
                .unwrap();
            let error = datastore.snapshot(SNAPSHOT).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
            assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
            assert_eq!(server.counts().refused, before + 1);
        }
    });
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        let datastore = open(&server);
        let error = datastore
            .snapshot("vm/100/2020-01-01T00:00:00Z")
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(SNAPSHOT), "{error}");
        let elsewhere = trusting(&server)
            .open(&server.repository("nostore"))
            .unwrap();
        let error = elsewhere.snapshot(SNAPSHOT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(
            format!("{error:?}").contains("no such datastore"),
            "{error:?}"
        );
    });
}

#[test]
fn a_certificate_that_does_not_match_names_both_fingerprints() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        let other = "00:".repeat(31) + "00";
        let options = trusting(&server).fingerprint(other.parse().unwrap());
        let error = options
            .open(&server.repository("store1"))
            .unwrap()
            .snapshot(SNAPSHOT)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        let text = format!("{error:?}");
        assert!(
            text.contains(&other) && text.contains(&server.fingerprint()),
            "{text}"
        );
        // Neither a fingerprint nor a chain.
        let options = OpenOptions::new().password(PbsServer::SECRET);
        let error = options
            .open(&server.repository("store1"))
            .unwrap()
            .snapshot(SNAPSHOT)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(
            format!("{error:?}").contains(&server.fingerprint()),
            "{error:?}"
        );
    });
}
