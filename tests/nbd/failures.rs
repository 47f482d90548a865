//! Chunks that can't be read: an error for the read that needs them, and for no other.

use testkit::{Image, Workload, within};

use crate::client::*;
use crate::served::Served;
use crate::support::{Fault, Script};
use crate::{CHUNK, LIMIT, bytes_of};

const COUNT: u64 = 40;

fn damaged(fault: Fault) -> (Served, Vec<u8>) {
    let image = Image::new(Workload::Incompressible, 2, COUNT * CHUNK, CHUNK);
    let bytes = bytes_of(&image);
    let mut script = Script::of(image, CHUNK);
    let digest = script.digests()[10];
    for _ in 0..999 {
        script = script.fault(digest, fault);
    }
    (Served::script(script), bytes)
}

#[test]
fn a_read_of_a_lost_chunk_fails_with_the_reason_and_the_offset() {
    within(LIMIT, || {
        for fault in [Fault::Missing, Fault::Corrupt, Fault::Unreadable] {
            let (served, bytes) = damaged(fault);
            let mut client = Client::structured(&served);
            let at = 10 * CHUNK;
            let failure = client.read(at + 100, 512).unwrap_err();
            assert_eq!(failure.error, EIO);
            assert!(failure.message.contains("chunk"), "{}", failure.message);
            assert_eq!(failure.offset, Some(at + 100));
            // The connection goes on, and so do others.
            for mut client in [client, Client::structured(&served)] {
                assert!(client.read(at - 512, 512).unwrap() == bytes[at as usize - 512..][..512]);
            }
            let after = at + CHUNK;
            assert!(
                Client::simple(&served).read(after, 512).unwrap() == bytes[after as usize..][..512]
            );
        }
    });
}

#[test]
fn the_pieces_before_a_lost_chunk_are_sent_and_the_error_lies_behind_them() {
    within(LIMIT, || {
        let (served, bytes) = damaged(Fault::Missing);
        let mut client = Client::structured(&served);
        client.request(READ, 0, 1, 0, (COUNT * CHUNK) as u32);
        let mut data = vec![0; bytes.len()];
        let mut sent = 0;
        let failure = loop {
            let chunk = client.chunk();
            match apply(&chunk, 0, &mut data) {
                Ok(()) => sent += chunk.payload.len() - 8,
                Err(failure) => {
                    assert!(chunk.is_last);
                    break failure;
                }
            }
        };
        // The pieces have 2 chunks each.
        assert_eq!(sent, 10 * CHUNK as usize);
        assert!(data[..sent] == bytes[..sent]);
        assert_eq!(failure.offset, Some(10 * CHUNK));
    });
}

#[test]
fn a_simple_reply_fails_as_a_whole_and_the_next_one_is_sound() {
    within(LIMIT, || {
        let (served, bytes) = damaged(Fault::Corrupt);
        let mut client = Client::simple(&served);
        for len in [512, 1 << 20] {
            let failure = client.read(10 * CHUNK, len).unwrap_err();
            assert_eq!(failure.error, EIO);
        }
        let at = 11 * CHUNK as usize;
        assert!(client.read(at as u64, 1 << 20).unwrap() == bytes[at..][..1 << 20]);
    });
}

#[test]
fn a_reply_that_must_not_be_split_fails_as_a_whole() {
    within(LIMIT, || {
        let (served, _) = damaged(Fault::Missing);
        let mut client = Client::structured(&served);
        client.request(READ, DF, 1, 9 * CHUNK, 2 * CHUNK as u32);
        assert_eq!(client.outcome().unwrap_err().error, EIO);
    });
}

#[test]
fn extents_are_told_of_a_lost_chunk_too() {
    within(LIMIT, || {
        let (served, bytes) = damaged(Fault::Missing);
        let mut client = Client::structured(&served);
        let len = bytes.len() as u32;
        assert_eq!(client.status(0, 0, len).unwrap(), [(len, false)]);
    });
}

#[test]
fn a_read_that_waits_for_a_place_holds_up_no_other() {
    within(LIMIT, || {
        let image = Image::new(Workload::Incompressible, 2, COUNT * CHUNK, CHUNK);
        let bytes = bytes_of(&image);
        let script = Script::of(image, CHUNK);
        let digest = script.digests()[30];
        let watch = std::sync::Arc::clone(&script.watch);
        let served = Served::script(script.fault(digest, Fault::Stall));
        let mut client = Client::simple(&served);
        client.request(READ, 0, 1, 30 * CHUNK, 512);
        while !watch.has_stalled() {
            std::thread::yield_now();
        }
        // The same connection answers out of order.
        client.request(READ, 0, 2, 0, 512);
        let Message::Simple { error, cookie } = client.message() else {
            panic!("structured replies were not agreed on");
        };
        assert_eq!((error, cookie), (0, 2));
        assert!(client.bytes(512) == bytes[..512]);
    });
}
