//! Many clients at once, and clients that stop reading.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::thread;

use testkit::within;

use crate::client::*;
use crate::served::Served;
use crate::{LIMIT, disk};

/// 64 requests that wait, 8 that are served, and one for which there is no room.
const READ_AHEAD_OF_REPLIES_MAX: u64 = 64 + 8 + 1;

#[test]
fn sixty_four_clients_read_the_same_disk_at_once() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        thread::scope(|scope| {
            for number in 0..64 {
                let (served, bytes) = (&served, &bytes);
                scope.spawn(move || {
                    let mut client = match number % 2 {
                        0 => Client::simple(served),
                        _ => Client::structured(served),
                    };
                    for (position, part) in bytes.chunks(700_000).enumerate() {
                        let at = position as u64 * 700_000;
                        let data = client.read(at, part.len() as u32).unwrap();
                        assert!(data == part);
                    }
                });
            }
        });
        assert_eq!(served.report().connections_total, 64);
    });
}

#[test]
fn clients_that_stop_reading_are_not_read_and_hold_up_nobody() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        let mut deaf = Vec::new();
        for number in 0..8 {
            let mut client = match number % 2 {
                0 => Client::simple(&served),
                _ => Client::structured(&served),
            };
            let requests = (0..100).map(|cookie| request(READ, 0, cookie, 0, 4 << 20));
            let requests: Vec<_> = requests.collect();
            client.stream.write_all(&requests.concat()).unwrap();
            deaf.push(client);
        }
        let most = 8 * READ_AHEAD_OF_REPLIES_MAX;
        served.wait_for(|report| report.requests == most);
        let mut client = Client::structured(&served);
        for (position, part) in bytes.chunks(1 << 20).enumerate() {
            let at = (position << 20) as u64;
            assert!(client.read(at, part.len() as u32).unwrap() == part);
        }
        let own = bytes.chunks(1 << 20).count() as u64;
        assert_eq!(served.report().requests, most + own);
        // A client that reads again gets everything.
        let mut client = deaf.swap_remove(0);
        for _ in 0..100 {
            assert!(client.reply_to_read(0, 4 << 20).unwrap() == bytes[..4 << 20]);
        }
    });
}

#[test]
fn connects_without_a_request_lock_nobody_out() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image_with(image, |server| server.connections(8));
        let mut reading = Client::structured(&served);
        let mut silent = Vec::new();
        for _ in 0..300 {
            silent.push(UnixStream::connect(served.path()).unwrap());
        }
        served.wait_for(|report| report.connections_total == 301);
        let report = served.report();
        assert!(report.connections <= 8);
        assert_eq!(report.turned_away, 301 - 8);
        for _ in 0..10_000 {
            drop(UnixStream::connect(served.path()).unwrap());
        }
        let mut other = Client::structured(&served);
        assert!(other.read(0, 4096).unwrap() == bytes[..4096]);
        assert!(reading.read(0, 4096).unwrap() == bytes[..4096]);
    });
}

#[test]
fn a_client_too_many_is_closed_and_those_that_read_stay() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image_with(image, |server| server.connections(2));
        let mut clients = [Client::structured(&served), Client::structured(&served)];
        let mut third = Client::over(UnixStream::connect(served.path()).unwrap());
        assert!(third.is_at_end());
        for client in &mut clients {
            assert!(client.read(0, 4096).unwrap() == bytes[..4096]);
        }
        let [first, _second] = clients;
        drop(first);
        served.wait_for(|report| report.connections == 1);
        let mut client = Client::structured(&served);
        assert!(client.read(0, 4096).unwrap() == bytes[..4096]);
    });
}
