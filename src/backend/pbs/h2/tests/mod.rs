//! Tests of the codec as a whole, and what they have in common: a server that says whatever it is told to.

mod fuzz;
mod hpack_vectors;
mod oracle;
mod rules;
mod split;
mod streams;

use super::error::Unsent;
use super::frame::{ACK, END_HEADERS, END_STREAM};
use super::*;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

const LIMIT: usize = 1 << 20;

/// A frame of any sort, right or wrong.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for string in [name, value] {
            assert!(string.len() < 127);
            bytes.push(string.len() as u8);
            bytes.extend(string.bytes());
        }
    }
    bytes
}

fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &block(fields))
}

fn ok(stream: u32) -> Vec<u8> {
    headers(stream, 0, &[(":status", "200")])
}

fn data(stream: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, bytes)
}

fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = (values.iter())
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A connection whose server has said its SETTINGS, and that has asked for so many paths.
fn asking(requests: usize) -> Codec {
    let mut codec = Codec::new(Config::default());
    codec.receive(&settings(&[])).unwrap();
    codec.receive(&frame(SETTINGS, ACK, 0, &[])).unwrap();
    for _ in 0..requests {
        codec
            .request("/chunk", "pbs", Buffer::new(), LIMIT)
            .unwrap();
    }
    let len = codec.output().len();
    codec.sent(len);
    codec
}

fn events(codec: &mut Codec) -> Vec<Event> {
    std::iter::from_fn(|| codec.next_event()).collect()
}

/// The answers among the events that are whole, and the errors of those that are not.
fn answers(codec: &mut Codec) -> Vec<(u32, Result<Vec<u8>, StreamError>)> {
    let answer = |event| match event {
        Event::Finished { stream, body, .. } => Some((stream, Ok(body.to_vec()))),
        Event::Failed {
            stream,
            body,
            error,
        } => {
            assert!(body.is_empty());
            Some((stream, Err(error)))
        }
        _ => None,
    };
    events(codec).into_iter().filter_map(answer).collect()
}

/// What a connection with one open request makes of these frames.
fn verdict(frames: &[Vec<u8>]) -> Result<(), ConnectionError> {
    let mut codec = asking(1);
    let result = codec.receive(&frames.concat());
    if let Err(error) = result {
        let goodbye = frame(
            GOAWAY,
            0,
            0,
            &[&[0; 4], &error.code().0.to_be_bytes()[..]].concat(),
        );
        assert!(codec.output().ends_with(&goodbye));
        let last = answers(&mut codec);
        assert!(last.len() == 1, "the buffer comes back once: {last:?}");
        assert_eq!(codec.receive(&[]), result, "it stays broken");
        assert_eq!(codec.capacity(), 0);
    }
    result
}

/// The code that the connection breaks with.
fn code(frames: &[Vec<u8>]) -> ErrorCode {
    match verdict(frames) {
        Err(error) => error.code(),
        Ok(()) => panic!("the connection did not break"),
    }
}

/// What became of the one request.
fn outcome(frames: &[Vec<u8>]) -> Result<Vec<u8>, StreamError> {
    let mut codec = asking(1);
    codec.receive(&frames.concat()).unwrap();
    let mut all = answers(&mut codec);
    assert_eq!(all.len(), 1);
    all.remove(0).1
}

const END: u8 = END_STREAM;

/// Numbers that look random and are the same in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}
