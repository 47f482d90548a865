//! The way to the server: what is there at its name and port, or is not.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use chunk_restore::backend::FetchError;
use chunk_restore::{Error, ErrorKind, OpenOptions};
use testkit::{PbsServer, ProxyServer, within};

use crate::{LIMIT, SNAPSHOT, open, store, trusting};

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Five attempts with the pauses between them take four times as long.
const AT_ONCE: Duration = Duration::from_secs(5);

#[track_caller]
fn fails_at_once(options: OpenOptions, repository: &str, words: &str) -> Error {
    let begun = Instant::now();
    let datastore = options.password("secret").open(repository).unwrap();
    let error = datastore.snapshot(SNAPSHOT).unwrap_err();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(format!("{error:?}").contains(words), "{error:?}");
    error
}

#[test]
fn a_mistyped_host_or_port_is_said_at_once() {
    within(LIMIT, || {
        let at = format!("127.0.0.1:{}", free_port());
        let repository = format!("a@pbs!b@{at}:store1");
        fails_at_once(
            OpenOptions::new(),
            &repository,
            &format!("cannot connect to {at}"),
        );
        let repository = "a@pbs!b@no-such-host.invalid:store1";
        fails_at_once(OpenOptions::new(), repository, "no-such-host.invalid:8007");
    });
}

#[test]
fn a_proxy_that_is_not_there_is_named_and_not_the_server() {
    within(LIMIT, || {
        let proxy = format!("127.0.0.1:{}", free_port());
        let options = OpenOptions::new().proxy(format!("http://{proxy}"));
        let words = format!("cannot connect to the proxy {proxy}");
        let error = fails_at_once(options, "a@pbs!b@pbs.example:store1", &words);
        assert!(!format!("{error:?}").contains("pbs.example"), "{error:?}");
    });
}

#[test]
fn a_proxy_that_can_not_connect_is_asked_once() {
    within(LIMIT, || {
        let proxy = ProxyServer::start();
        let options = OpenOptions::new().proxy(proxy.url());
        fails_at_once(options, "a@pbs!b@127.0.0.1:1:store1", "answered 502");
        assert_eq!(proxy.connects(), ["127.0.0.1:1"]);
    });
}

#[test]
fn a_server_that_was_reached_and_goes_away_may_come_back() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        let options = trusting(&server).attempts(2);
        let datastore = options.open(&server.repository("store1")).unwrap();
        datastore.snapshots().unwrap();
        let unreached = open(&server);
        drop(server);
        for (datastore, is_final) in [(datastore, false), (unreached, true)] {
            let error = datastore.snapshots().unwrap_err();
            let cause = std::error::Error::source(&error).unwrap();
            let cause = cause.downcast_ref::<FetchError>().unwrap();
            assert_eq!(matches!(cause, FetchError::Fatal(_)), is_final, "{error:?}");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        }
    });
}
