//! Clients that break the rules: each harms itself alone.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chunk_restore::{Cancel, Restore};
use testkit::{Image, Workload, within};

use crate::client::*;
use crate::served::{Served, exporting};
use crate::support::Script;
use crate::{CHUNK, LIMIT, disk};

#[test]
fn garbage_instead_of_a_handshake_ends_that_connection_alone() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        let mut good = Client::structured(&served);
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 5000], &[0; 5000]] {
            let mut stream = UnixStream::connect(served.path()).unwrap();
            // The server may have closed the connection before it took all bytes.
            let _ = stream.write_all(garbage);
            let mut client = Client::over(stream);
            assert_eq!(client.bytes(18)[..8], *b"NBDMAGIC");
            assert!(client.is_at_end());
        }
        assert!(good.read(0, 4096).unwrap() == bytes[..4096]);
    });
}

#[test]
fn unknown_options_are_refused_and_the_handshake_goes_on() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        let mut client = Client::connect(&served);
        // Extended headers are among them.
        for option in [4, 11, 12, 0xffff_ffff] {
            assert_eq!(client.option(option, b"some data"), ERR_UNSUP);
        }
        assert_eq!(client.option(99, &vec![0; 1 << 20]), ERR_UNSUP);
        client.go("drive-scsi0.img");
        assert!(client.read(0, 4096).unwrap() == bytes[..4096]);
    });
}

#[test]
fn impossible_requests_are_invalid_and_the_connection_goes_on() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let end = bytes.len() as u64;
        let served = Served::image(image);
        for mut client in [Client::simple(&served), Client::structured(&served)] {
            let requests = [
                (READ, 0, end, 1),
                (READ, 0, end - 1, 2),
                (READ, 0, u64::MAX, 4096),
                (READ, 0, 0, 0),
                (READ, 0, 0, 0xffff_ffff),
                (READ, 1 << 15, 0, 512),
                (CACHE, 0, end, 1),
                (CACHE, 1, 0, 512),
                (BLOCK_STATUS, 0, end - 1, 2),
                (BLOCK_STATUS, 0, 0, 0),
                // A flush that was not offered, and a command that nobody knows.
                (3, 0, 0, 0),
                (99, 0, 0, 0),
            ];
            for (command, flags, at, len) in requests {
                client.request(command, flags, 1, at, len);
                let failure = client.outcome().unwrap_err();
                assert_eq!(failure.error, EINVAL, "{command} {at} {len}");
            }
            assert!(client.read(end - 5, 5).unwrap() == bytes[bytes.len() - 5..]);
        }
        assert_eq!(served.report().failures, 2 * 12);
    });
}

#[test]
fn a_status_without_a_chosen_context_is_invalid() {
    within(LIMIT, || {
        let served = Served::image(disk().0);
        let mut client = Client::simple(&served);
        client.request(BLOCK_STATUS, 0, 1, 0, 4096);
        assert_eq!(client.outcome().unwrap_err().error, EINVAL);
    });
}

#[test]
fn a_read_is_as_long_as_the_client_was_told_and_32_mib_if_it_did_not_ask() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image_with(image, |server| server.block_max(1 << 20));
        let mut client = Client::structured(&served);
        assert_eq!(client.read(0, (1 << 20) + 1).unwrap_err().error, EINVAL);
        assert!(client.read(0, 1 << 20).unwrap() == bytes[..1 << 20]);
        let mut client = Client::connect(&served);
        client.send_option(EXPORT_NAME, b"");
        client.bytes(10);
        assert!(client.read(0, 4 << 20).unwrap() == bytes[..4 << 20]);
    });
}

#[test]
fn writes_are_refused_after_their_data_was_skipped() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        for mut client in [Client::simple(&served), Client::structured(&served)] {
            client.request(WRITE, 0, 1, 0, 3 << 20);
            client.stream.write_all(&vec![0x25; 3 << 20]).unwrap();
            assert_eq!(client.outcome().unwrap_err().error, EPERM);
            for command in [TRIM, WRITE_ZEROES] {
                client.request(command, 0, 1, 0, 1 << 20);
                assert_eq!(client.outcome().unwrap_err().error, EPERM);
            }
            assert!(client.read(0, 4096).unwrap() == bytes[..4096]);
        }
    });
}

#[test]
fn a_write_that_nobody_would_skip_ends_the_connection() {
    within(LIMIT, || {
        let served = Served::image(disk().0);
        let mut client = Client::structured(&served);
        client.request(WRITE, 0, 1, 0, (32 << 20) + 1);
        assert!(client.is_at_end());
    });
}

#[test]
fn bytes_that_are_no_request_end_the_connection_after_the_replies() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        let mut client = Client::simple(&served);
        client.request(READ, 0, 1, 0, 100_000);
        client.stream.write_all(&[0x42; 100]).unwrap();
        assert!(client.reply_to_read(0, 100_000).unwrap() == bytes[..100_000]);
        assert!(client.is_at_end());
    });
}

#[test]
fn clients_that_die_anywhere_are_forgotten() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        let mut good = Client::structured(&served);
        // Before a byte, in an option, in a request, in the data of a write, in a reply.
        drop(UnixStream::connect(served.path()).unwrap());
        let mut client = Client::connect(&served);
        client.stream.write_all(b"IHAVE").unwrap();
        drop(client);
        let mut client = Client::simple(&served);
        client
            .stream
            .write_all(&request(READ, 0, 1, 0, 512)[..20])
            .unwrap();
        drop(client);
        let mut client = Client::simple(&served);
        client.request(WRITE, 0, 1, 0, 1 << 20);
        client.stream.write_all(&[0; 1000]).unwrap();
        drop(client);
        let mut client = Client::structured(&served);
        for cookie in 0..64 {
            client.request(READ, 0, cookie, 0, 4 << 20);
        }
        client.bytes(1000);
        drop(client);
        served.wait_for(|report| report.connections == 1);
        assert!(good.read(0, 4 << 20).unwrap() == bytes[..4 << 20]);
    });
}

#[test]
fn a_client_that_sends_no_more_gets_its_replies() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        let mut client = Client::simple(&served);
        client.request(READ, 0, 1, 0, 4 << 20);
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert!(client.reply_to_read(0, 4 << 20).unwrap() == bytes[..4 << 20]);
        assert!(client.is_at_end());
    });
}

#[test]
fn a_handshake_that_takes_too_long_is_ended() {
    within(LIMIT, || {
        let limit = Duration::from_millis(50);
        let served = Served::image_with(disk().0, |server| server.handshake_limit(limit));
        let mut silent = Client::over(UnixStream::connect(served.path()).unwrap());
        let mut slow = Client::connect(&served);
        silent.bytes(18);
        assert!(silent.is_at_end() && slow.is_at_end());
        // The limit is that of the handshake alone.
        let mut client = Client::simple(&served);
        served.wait_for(|report| report.connections == 1);
        client.read(0, 4096).unwrap();
    });
}

#[test]
fn what_a_client_that_is_gone_asked_for_is_neither_read_nor_kept() {
    const COUNT: u64 = 40;
    const LEN: u64 = 4 * CHUNK;
    const STEP: u64 = 5;
    within(LIMIT, || {
        let chunks = COUNT * STEP + 10;
        let image = Image::new(Workload::Incompressible, 5, chunks * CHUNK, CHUNK);
        let script = Script::of(image, CHUNK);
        let (watch, digests) = (Arc::clone(&script.watch), script.digests());
        let position_of = |request: u64| (COUNT - 1 - request) * STEP;
        let cancel = Cancel::new();
        let restore = Restore::new().memory(17 * CHUNK).in_flight(4);
        let reader = restore.cancel(&cancel).reader(&script.archive().0);
        let served = Served::start(exporting(reader.unwrap()), &cancel);
        let mut client = Client::structured(&served);
        // The client takes no reply, so the first ones are stuck.
        for request in 0..COUNT {
            let offset = position_of(request) * CHUNK;
            client.request(READ, 0, request, offset, LEN as u32);
        }
        served.wait_for(|report| report.requests == COUNT);
        drop(client);
        served.wait_for(|report| report.connections == 0);
        for request in COUNT / 2..COUNT {
            let digest = &digests[position_of(request) as usize];
            assert_eq!(watch.requests_for(digest), 0, "{request}");
        }
        // The memory is free for what is read ahead of others.
        let mut other = Client::structured(&served);
        let first = COUNT * STEP;
        for position in first..first + 2 {
            other.read(position * CHUNK, CHUNK as u32).unwrap();
        }
        while watch.requests_for(&digests[first as usize + 2]) == 0 {
            thread::yield_now();
        }
    });
}
