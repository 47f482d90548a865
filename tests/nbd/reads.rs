//! Reads, questions for extents, and hints, as good clients send them.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use chunk_restore::nbd::Server;
use chunk_restore::{Cancel, Restore};
use testkit::{Image, Prng, Workload, within};

use crate::client::*;
use crate::served::{Served, exporting, reader_of};
use crate::support::Script;
use crate::{CHUNK, LIMIT, bytes_of, disk, extents};

#[test]
fn reads_at_random_offsets_bring_the_bytes_of_the_disk() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        let mut clients = [Client::simple(&served), Client::structured(&served)];
        let mut prng = Prng::new(3);
        for _ in 0..200 {
            let at = prng.next_u64() as usize % bytes.len();
            let most = [4096, 300_000, 3 << 20][prng.next_u64() as usize % 3];
            let len = 1 + prng.next_u64() as usize % most.min(bytes.len() - at);
            for client in &mut clients {
                let data = client.read(at as u64, len as u32).unwrap();
                assert!(data == bytes[at..at + len], "{len} at {at}");
            }
        }
    });
}

#[test]
fn zeros_are_sent_as_holes_and_data_in_pieces() {
    within(LIMIT, || {
        let mut bytes = vec![0; 12 * CHUNK as usize];
        Prng::new(1).fill(&mut bytes[..6 * CHUNK as usize]);
        let served = Served::image(Image::from_bytes(bytes, CHUNK));
        let mut client = Client::structured(&served);
        client.request(READ, 0, 9, 100, 12 * CHUNK as u32 - 200);
        let mut seen = Vec::new();
        loop {
            let chunk = client.chunk();
            assert_eq!(chunk.cookie, 9);
            let offset = u64::from_be_bytes(chunk.payload[..8].try_into().unwrap());
            seen.push((chunk.kind, offset, chunk.payload.len()));
            if chunk.is_last {
                break;
            }
        }
        // The first piece ends at a multiple of 4096.
        let piece = 2 * CHUNK as usize;
        let expected = [
            (1, 100, 8 + piece - 100),
            (1, 2 * CHUNK, 8 + piece),
            (1, 4 * CHUNK, 8 + piece),
            (2, 6 * CHUNK, 12),
        ];
        assert_eq!(seen, expected);
        // Only data is counted.
        assert_eq!(served.report().bytes, 6 * CHUNK - 100);
    });
}

#[test]
fn a_reply_that_must_not_be_split_has_one_piece_or_is_refused() {
    within(LIMIT, || {
        let mut bytes = vec![0; 12 * CHUNK as usize];
        Prng::new(1).fill(&mut bytes[..2 * CHUNK as usize]);
        let served = Served::image(Image::from_bytes(bytes.clone(), CHUNK));
        let mut client = Client::structured(&served);
        // Data and zeros.
        client.request(READ, DF, 1, 512, 2 * CHUNK as u32);
        let chunk = client.chunk();
        assert_eq!((chunk.is_last, chunk.kind), (true, 1));
        assert!(chunk.payload[8..] == bytes[512..512 + 2 * CHUNK as usize]);
        // Zeros alone.
        client.request(READ, DF, 1, 4 * CHUNK, 2 * CHUNK as u32);
        let chunk = client.chunk();
        assert_eq!((chunk.is_last, chunk.kind), (true, 2));
        client.request(READ, DF, 1, 0, 2 * CHUNK as u32 + 1);
        assert_eq!(client.outcome().unwrap_err().error, EOVERFLOW);
        assert!(client.read(0, 512).unwrap() == bytes[..512]);
    });
}

#[test]
fn extents_are_told_whole_cut_and_one_by_one() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let expected: Vec<(u32, bool)> = (extents(&bytes).iter())
            .map(|(_, len, is_zero)| (*len as u32, *is_zero))
            .collect();
        assert!(expected.len() > 10);
        let served = Served::image(image);
        let mut client = Client::structured(&served);
        let len = bytes.len() as u32;
        assert_eq!(client.status(0, 0, len).unwrap(), expected);
        assert_eq!(client.status(REQ_ONE, 0, len).unwrap(), expected[..1]);
        let (first, is_zero) = expected[0];
        let cut = client.status(0, 10, first).unwrap();
        assert_eq!(cut, [(first - 10, is_zero), (10, !is_zero)]);
        let one = client.status(REQ_ONE, 10, 20).unwrap();
        assert_eq!(one, [(20, is_zero)]);
    });
}

#[test]
fn a_reply_lists_at_most_16384_extents() {
    within(LIMIT, || {
        let (chunk, count) = (4096, 17_000);
        let mut bytes = vec![0; count * chunk];
        for data in bytes.chunks_mut(2 * chunk) {
            data[0] = 1;
        }
        let script = Script::of(Image::from_bytes(bytes, chunk as u64), chunk as u64);
        let served = Served::script(script);
        let mut client = Client::structured(&served);
        let extents = client.status(0, 0, (count * chunk) as u32).unwrap();
        assert_eq!(extents.len(), 16_384);
        assert!(extents.iter().all(|(len, _)| *len == chunk as u32));
    });
}

#[test]
fn a_hint_is_answered_without_data_and_has_the_chunks_fetched() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let script = Script::of(image, CHUNK);
        let watch = Arc::clone(&script.watch);
        let served = Served::script(script);
        let mut client = Client::simple(&served);
        client.request(CACHE, 0, 1, 0, 8 * CHUNK as u32);
        client.outcome().unwrap();
        while watch.requests() == 0 {
            thread::yield_now();
        }
        for mut client in [Client::simple(&served), Client::structured(&served)] {
            client.request(CACHE, 0, 1, 0, 1 << 20);
            client.outcome().unwrap();
            assert!(client.read(0, 1 << 20).unwrap() == bytes[..1 << 20]);
        }
    });
}

#[test]
fn many_outstanding_requests_are_each_answered_once_by_their_cookie() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        let mut client = Client::structured(&served);
        let mut prng = Prng::new(4);
        let mut open = HashMap::new();
        for cookie in 0..64 {
            let at = prng.next_u64() % (bytes.len() as u64 - 70_000);
            let len = 1 + prng.next_u64() as u32 % 70_000;
            client.request(READ, 0, cookie, at, len);
            open.insert(cookie, (at, vec![0xff; len as usize]));
        }
        while !open.is_empty() {
            let chunk = client.chunk();
            let (at, data) = open.get_mut(&chunk.cookie).unwrap();
            apply(&chunk, *at, data).unwrap();
            if chunk.is_last {
                let (at, data) = open.remove(&chunk.cookie).unwrap();
                assert!(data == bytes[at as usize..][..data.len()]);
            }
        }
        assert_eq!(served.report().requests, 64);
    });
}

#[test]
fn requests_that_come_at_once_are_one_stream_that_is_read_ahead() {
    const COUNT: u64 = 8;
    const LEN: u64 = 8 * CHUNK;
    within(LIMIT, || {
        let image = Image::new(Workload::Incompressible, 5, 400 * CHUNK, CHUNK);
        let script = Script::of(image, CHUNK);
        let (watch, digests) = (Arc::clone(&script.watch), script.digests());
        let cancel = Cancel::new();
        let restore = Restore::new().in_flight(16).cancel(&cancel);
        let reader = restore.reader(&script.archive().0).unwrap();
        let served = Served::start(exporting(reader), &cancel);
        let mut client = Client::structured(&served);
        for cookie in 0..COUNT {
            client.request(READ, 0, cookie, cookie * LEN, LEN as u32);
        }
        let mut open = COUNT;
        while open > 0 {
            open -= u64::from(client.chunk().is_last);
        }
        // One, two and four chunks ahead, and so on, although each request was read by another worker.
        let farthest = (COUNT * LEN / CHUNK) as usize + 31;
        while watch.requests_for(&digests[farthest]) == 0 {
            thread::yield_now();
        }
    });
}

#[test]
fn what_is_outstanding_at_a_disconnect_is_answered() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        let mut client = Client::simple(&served);
        client.request(READ, 0, 1, 0, 100_000);
        client.request(DISC, 0, 2, 0, 0);
        assert!(client.reply_to_read(0, 100_000).unwrap() == bytes[..100_000]);
        assert!(client.is_at_end());
        served.wait_for(|report| report.connections == 0);
    });
}

#[test]
fn an_old_client_names_its_export_and_gets_zeroes_behind_the_flags() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let served = Served::image(image);
        let mut client = Client::connect(&served);
        client.send_option(EXPORT_NAME, b"drive-scsi0.img");
        assert_eq!(client.u64(), bytes.len() as u64);
        client.bytes(2);
        assert!(client.read(5, 512).unwrap() == bytes[5..517]);
        let mut client = Client::connect(&served);
        client.send_option(EXPORT_NAME, b"another");
        assert!(client.is_at_end());
    });
}

#[test]
fn each_of_several_exports_has_its_own_bytes() {
    within(LIMIT, || {
        let cancel = Cancel::new();
        let mut server = Server::new();
        let disks: Vec<Image> = (0..3)
            .map(|seed| Image::new(Workload::Incompressible, seed, 3 * CHUNK, CHUNK))
            .collect();
        for (number, image) in disks.iter().enumerate() {
            let (archive, _) = Script::of(image.clone(), CHUNK).archive();
            let name = format!("drive-scsi{number}.img");
            server = server.export(name, reader_of(&archive, &cancel)).unwrap();
        }
        let served = Served::start(server, &cancel);
        for (number, image) in disks.iter().enumerate() {
            let mut client = Client::connect(&served);
            client.go(&format!("drive-scsi{number}.img"));
            assert!(client.read(0, 3 * CHUNK as u32).unwrap() == bytes_of(image));
        }
    });
}

#[test]
fn a_tcp_port_serves_as_a_unix_socket_does() {
    within(LIMIT, || {
        let (image, bytes) = disk();
        let cancel = Cancel::new();
        let (archive, _) = Script::of(image, CHUNK).archive();
        let server = exporting(reader_of(&archive, &cancel));
        let (_served, address) = Served::start_tcp(server, &cancel);
        let mut client = Client::greet(TcpStream::connect(address).unwrap());
        client.negotiate_structured("");
        client.go("");
        assert!(client.read(0, 2 << 20).unwrap() == bytes[..2 << 20]);
    });
}

#[test]
fn a_name_is_taken_once_and_must_be_one() {
    let (archive, _) = Script::of(disk().0, CHUNK).archive();
    let reader = reader_of(&archive, &Cancel::new());
    let server = exporting(reader.clone());
    for name in ["", "drive-scsi0.img", "a\0b", &"x".repeat(4097)] {
        let server = Server::new().export("drive-scsi0.img", reader.clone());
        let error = server.unwrap().export(name, reader.clone()).unwrap_err();
        assert_eq!(error.kind(), chunk_restore::ErrorKind::Invalid);
    }
    drop(server);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = Server::new().run(listener, &Cancel::new()).unwrap_err();
    assert_eq!(error.kind(), chunk_restore::ErrorKind::Invalid);
}
