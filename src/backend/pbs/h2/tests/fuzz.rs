//! Whatever comes, the codec does not panic, holds no more than it says, and gives every buffer back once.

use super::super::frame::{PADDED, PRIORITY as HAS_PRIORITY};
use super::*;

/// How many connections are tried: `CHUNK_RESTORE_FUZZ` for more of them.
fn rounds() -> u64 {
    let rounds = std::env::var("CHUNK_RESTORE_FUZZ").ok();
    rounds
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(2000)
}

/// A frame that could come, most often at least.
fn likely(dice: &mut Dice) -> Vec<u8> {
    let stream = dice.one_of(&[1, 1, 1, 3, 3, 3, 5, 7, 0, 2]);
    let end = dice.one_of(&[0, 0, 0, END]);
    let most = dice.one_of(&[2, 10, 300, 3000]);
    let len = dice.below(most);
    let bytes = dice.bytes(len);
    let length = dice.one_of(&["0", "9", "300", "1000", "x"]);
    let status = dice.one_of(&["200", "200", "103", "400"]);
    let fields = block(&[(":status", status), ("content-length", length)]);
    let padding = dice.below(20);
    match dice.below(20) {
        0..6 => data(stream, end, &bytes),
        6 => frame(
            DATA,
            PADDED | end,
            stream,
            &[&[padding as u8], &bytes[..]].concat(),
        ),
        7..10 => headers(stream, end, &[(":status", "200")]),
        10 => frame(HEADERS, END_HEADERS | end, stream, &fields),
        11 => {
            let flags = END_HEADERS | PADDED | HAS_PRIORITY | end;
            let payload = [
                &[padding as u8, 0, 0, 0, 0, 0],
                &fields[..],
                &vec![0; padding],
            ]
            .concat();
            frame(HEADERS, flags, stream, &payload)
        }
        12 => {
            let (start, rest) = fields.split_at(dice.below(fields.len()));
            [
                frame(HEADERS, end, stream, start),
                frame(CONTINUATION, END_HEADERS, stream, rest),
            ]
            .concat()
        }
        13 => frame(HEADERS, END_HEADERS, stream, &bytes),
        14 => frame(RST_STREAM, 0, stream, &[0, 0, 0, 7]),
        15 => settings(&[(dice.below(7) as u16, dice.below(70_000) as u32)]),
        16 => frame(PING, dice.one_of(&[0, ACK]), 0, &[1; 8]),
        17 => frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 9]),
        18 => frame(GOAWAY, 0, 0, &[0, 0, 0, stream as u8, 0, 0, 0, 0]),
        _ => frame(dice.below(12) as u8, dice.below(256) as u8, stream, &bytes),
    }
}

/// What one connection receives: frames that could come, with some bytes changed, lost or added, or mere noise.
fn input(dice: &mut Dice) -> Vec<u8> {
    if dice.below(20) == 0 {
        return dice.bytes(500);
    }
    let mut bytes = settings(&[(3, 5)]);
    for _ in 0..dice.below(60) {
        bytes.extend(likely(dice));
    }
    for _ in 0..dice.one_of(&[0, 0, 1, 3, 20]) {
        let place = dice.below(bytes.len());
        match dice.below(4) {
            0 => bytes[place] ^= 1 << dice.below(8),
            1 => bytes[place] = dice.below(256) as u8,
            2 => drop(bytes.remove(place)),
            _ => bytes.insert(place, dice.below(256) as u8),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

#[test]
fn no_input_breaks_the_promises() {
    let (mut broken, mut finished, mut failed) = (0, 0, 0);
    for seed in 0..rounds() {
        let mut dice = Dice::new(seed);
        let mut codec = Codec::new(Config {
            max_frame: 1 << 14,
            header_table: dice.one_of(&[0, 4096]),
        });
        let mut open = Vec::new();
        let bytes = input(&mut dice);
        let mut rest = &bytes[..];
        let most = dice.one_of(&[2, 50, 5000]);
        while !rest.is_empty() && codec.connection.broken.is_none() {
            while open.len() < 4
                && let Ok(stream) = codec.request("/", "x", Buffer::new(), 1000)
            {
                open.push(stream);
            }
            let (piece, after) = rest.split_at((1 + dice.below(most)).min(rest.len()));
            rest = after;
            broken += u32::from(codec.receive(piece).is_err());
            if dice.below(3) == 0 {
                codec.sent(dice.below(100));
            }
            settle(&mut codec, &mut open, &mut finished, &mut failed);
        }
        codec.close();
        settle(&mut codec, &mut open, &mut finished, &mut failed);
        assert!(
            open.is_empty(),
            "seed {seed}: buffers are missing: {open:?}"
        );
    }
    // Else the fuzzing reaches nothing.
    assert!(
        broken > 0 && finished > 0 && failed > 0,
        "{broken} {finished} {failed}"
    );
}

fn settle(codec: &mut Codec, open: &mut Vec<u32>, finished: &mut u32, failed: &mut u32) {
    assert!(codec.output().len() < 300 << 10);
    while let Some(event) = codec.next_event() {
        let (stream, body) = match event {
            Event::Finished { stream, body, .. } => {
                *finished += 1;
                (stream, body)
            }
            Event::Failed { stream, body, .. } => {
                *failed += 1;
                (stream, body)
            }
            _ => continue,
        };
        assert!(body.len() <= 64 << 10);
        let place = open.iter().position(|other| *other == stream);
        open.swap_remove(place.expect("a buffer comes back once"));
    }
}
