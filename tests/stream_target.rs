//! Streams that take little, take nothing, or end.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod support;

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use chunk_restore::target::PollWriter;
use chunk_restore::{Cancel, Restore, StreamTarget};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use support::Script;
use testkit::{Image, Prng, Workload};

/// A pipe and a pair of sockets, each as it is and not blocking.
fn streams() -> Vec<(Box<dyn Read + Send>, OwnedFd)> {
    let mut streams: Vec<(Box<dyn Read + Send>, OwnedFd)> = Vec::new();
    for _ in 0..2 {
        let (reader, writer) = io::pipe().unwrap();
        streams.push((Box::new(reader), writer.into()));
        let (reader, writer) = UnixStream::pair().unwrap();
        streams.push((Box::new(reader), writer.into()));
    }
    for (_, writer) in &streams[2..] {
        let flags = fcntl_getfl(writer).unwrap();
        fcntl_setfl(writer, flags | OFlags::NONBLOCK).unwrap();
    }
    streams
}

#[test]
fn every_byte_comes_through_in_order() {
    for (mut reader, writer) in streams() {
        let mut data = vec![0; 3_000_001];
        Prng::new(1).fill(&mut data);
        let sent = data.clone();
        let mut stream = PollWriter::new(writer, &Cancel::new()).unwrap();
        let sender = thread::spawn(move || stream.write_all(&sent));
        let mut came = Vec::new();
        reader.read_to_end(&mut came).unwrap();
        sender.join().unwrap().unwrap();
        assert!(came == data);
    }
}

#[test]
fn a_restore_into_what_nobody_reads_ends_when_it_is_cancelled() {
    for (reader, writer) in streams() {
        let watched = writer.try_clone().unwrap();
        let image = Image::new(Workload::Incompressible, 4, 4 << 20, 1 << 20);
        let (archive, _) = Script::of(image, 1 << 20).archive();
        let cancel = Cancel::new();
        let mut target = StreamTarget::new(PollWriter::new(writer, &cancel).unwrap());
        let restore = Restore::new().cancel(&cancel);
        let restoring = thread::spawn(move || restore.run(&archive, &mut target));
        // It is full when there is no more room.
        let mut is_full = false;
        while !is_full {
            thread::yield_now();
            let polled = &mut [PollFd::new(&watched, PollFlags::OUT)];
            is_full = poll(polled, Some(&Timespec::default())) == Ok(0);
        }
        cancel.cancel();
        restoring.join().unwrap().unwrap_err();
        drop(reader);
    }
}

#[test]
fn a_reader_that_goes_away_is_an_error() {
    for (reader, writer) in streams() {
        let mut stream = PollWriter::new(writer, &Cancel::new()).unwrap();
        drop(reader);
        let error = stream.write_all(&[0; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
