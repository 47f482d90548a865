//! The end of a server: everything ends soon after the cancel, whatever clients do.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use chunk_restore::{Cancel, ErrorKind};
use testkit::{Image, Workload, within};

use crate::client::*;
use crate::served::{Served, exporting, reader_of};
use crate::support::{Fault, Script};
use crate::{CHUNK, LIMIT, disk};

#[test]
fn a_cancel_ends_clients_that_are_silent_idle_or_deaf() {
    within(LIMIT, || {
        let served = Served::image(disk().0);
        let mut silent = UnixStream::connect(served.path()).unwrap();
        let mut half = Client::connect(&served);
        half.stream.write_all(b"IHAVEOPT").unwrap();
        let mut idle = Client::structured(&served);
        let mut deaf = Client::simple(&served);
        for cookie in 0..100 {
            deaf.request(READ, 0, cookie, 0, 4 << 20);
        }
        served.wait_for(|report| report.connections_total == 4 && report.requests >= 73);
        served.end().unwrap();
        assert!(half.is_at_end() && idle.is_at_end());
        assert!(silent.write_all(&[0; 100]).is_err());
    });
}

#[test]
fn a_read_that_waits_for_a_place_fails_with_eshutdown() {
    within(LIMIT, || {
        for is_structured in [false, true] {
            let image = Image::new(Workload::Incompressible, 2, 10 * CHUNK, CHUNK);
            let script = Script::of(image, CHUNK);
            let digest = script.digests()[5];
            let watch = std::sync::Arc::clone(&script.watch);
            let served = Served::script(script.fault(digest, Fault::Stall));
            let mut client = match is_structured {
                false => Client::simple(&served),
                true => Client::structured(&served),
            };
            client.request(READ, 0, 1, 5 * CHUNK, 512);
            while !watch.has_stalled() {
                std::thread::yield_now();
            }
            served.cancel();
            let failure = client.reply_to_read(5 * CHUNK, 512).unwrap_err();
            assert_eq!(failure.error, ESHUTDOWN);
            assert!(client.is_at_end());
            served.end().unwrap();
        }
    });
}

#[test]
fn a_server_that_was_cancelled_before_serves_nobody() {
    let (archive, _) = Script::of(disk().0, CHUNK).archive();
    let cancel = Cancel::new();
    let server = exporting(reader_of(&archive, &Cancel::new()));
    cancel.cancel();
    Served::start(server, &cancel).end().unwrap();
}

#[test]
fn a_listener_that_does_not_listen_is_an_error() {
    let (archive, _) = Script::of(disk().0, CHUNK).archive();
    let server = exporting(reader_of(&archive, &Cancel::new()));
    let (socket, _other) = UnixStream::pair().unwrap();
    let listener = std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket));
    // Data makes the socket readable, as a client that waits would.
    let mut other = _other;
    other.write_all(b"x").unwrap();
    let error = server.run(listener, &Cancel::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
