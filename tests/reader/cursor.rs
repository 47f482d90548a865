//! A cursor reads as a file does.

use std::io::{BufRead, Cursor, Read, Seek, SeekFrom};

use chunk_restore::Restore;
use testkit::{Prng, within};

use crate::support::Script;
use crate::{CHUNK, LIMIT, below, bytes_of, reader_of, used_disk};

#[test]
fn a_cursor_does_what_a_cursor_over_the_bytes_does() {
    within(LIMIT, || {
        let image = used_disk(300);
        let mut expected = Cursor::new(bytes_of(&image));
        let mut cursor = reader_of(Script::of(image, CHUNK), &Restore::new()).cursor();
        let len = expected.get_ref().len() as i64;
        let mut chance = Prng::new(8);
        for _ in 0..500 {
            let near = below(&mut chance, 20_000) as i64 - 10_000;
            let to = match below(&mut chance, 4) {
                0 => SeekFrom::Start(below(&mut chance, 2 * len as u64)),
                1 => SeekFrom::End(near),
                2 => SeekFrom::Current(near),
                _ => SeekFrom::Current(0),
            };
            let (at, should) = (cursor.seek(to), expected.seek(to));
            assert_eq!(at.as_ref().ok(), should.as_ref().ok(), "{to:?}");
            let count = below(&mut chance, 600_000);
            let (mut bytes, mut right) = (Vec::new(), Vec::new());
            (&mut cursor).take(count).read_to_end(&mut bytes).unwrap();
            (&mut expected).take(count).read_to_end(&mut right).unwrap();
            assert!(bytes == right, "{to:?}, {count}");
            assert_eq!(
                cursor.stream_position().unwrap(),
                expected.stream_position().unwrap()
            );
            let ahead = cursor.fill_buf().unwrap().len().min(10);
            cursor.consume(ahead);
            expected.consume(ahead);
        }
    });
}
