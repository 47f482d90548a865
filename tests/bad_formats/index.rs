//! Bad indexes.

use chunk_restore::format::Index;
use chunk_restore::{Error, ErrorKind, OpenOptions};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{
    Files, SNAPSHOT, chain, dynamic_index, fixed_index, manifest, with_right_csum,
};

const MIB: u64 = 1 << 20;

/// Three chunks, the last of which is short.
fn fixed() -> Vec<u8> {
    fixed_index(2 * 4 * MIB + 5, 4 * MIB, &[[1; 32], [2; 32], [3; 32]])
}

fn dynamic() -> Vec<u8> {
    dynamic_index(&[(10, [1; 32]), (11, [2; 32]), (5 * MIB, [3; 32])])
}

fn refused(bytes: Vec<u8>) -> Error {
    let error = Index::parse(bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    error
}

/// A fixed index with this number at this byte of its header.
fn stating(at: usize, number: u64) -> Vec<u8> {
    let mut bytes = fixed();
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    bytes
}

#[test]
fn indexes_made_by_hand_are_taken_as_they_are() {
    let index = Index::parse(fixed()).unwrap();
    assert_eq!((index.count(), index.len()), (3, 8 * MIB + 5));
    assert_eq!(index.chunk(2).unwrap().len, 5);
    let index = Index::parse(dynamic()).unwrap();
    assert_eq!((index.count(), index.len()), (3, 5 * MIB));
    assert_eq!(index.chunk(1).unwrap().len, 1);
    for empty in [fixed_index(0, 4 * MIB, &[]), dynamic_index(&[])] {
        let index = Index::parse(empty).unwrap();
        assert!(index.is_empty() && index.chunk(0).is_none());
        assert_eq!(index.largest_chunk(), 0);
    }
}

#[test]
fn an_index_cut_anywhere_in_its_header_is_refused() {
    for whole in [fixed(), dynamic()] {
        for len in 0..4096 {
            let error = refused(whole[..len].to_vec()).to_string();
            let why = if len < 8 {
                "it is not an index: its first 8 bytes are of no known kind".to_owned()
            } else {
                format!("the index is cut short: it has {len} of its header's 4096 bytes")
            };
            assert_eq!(error, why);
        }
    }
}

#[test]
fn an_index_with_entries_too_many_or_too_few_or_in_part_is_refused() {
    for len in [
        4096,
        4096 + 64,
        fixed().len() - 1,
        fixed().len() + 1,
        fixed().len() + 32,
    ] {
        let mut bytes = fixed();
        bytes.resize(len, 9);
        let error = refused(with_right_csum(bytes)).to_string();
        let why = format!(
            "the index has {} bytes of entries, not the 3 entries of 32 bytes that an archive of 8388613 bytes needs",
            len - 4096
        );
        assert_eq!(error, why);
    }
    for len in [dynamic().len() - 1, dynamic().len() + 39] {
        let mut bytes = dynamic();
        bytes.resize(len, 9);
        let error = refused(with_right_csum(bytes)).to_string();
        assert!(
            error.ends_with("bytes of entries, which is no multiple of 40"),
            "{error}"
        );
    }
}

#[test]
fn a_dynamic_index_whose_last_entry_was_cut_off_is_another_index() {
    let whole = Index::parse(dynamic()).unwrap();
    let mut bytes = dynamic();
    bytes.truncate(4096 + 80);
    // It is only told apart by its length and checksum, which the manifest has.
    let cut = Index::parse(with_right_csum(bytes)).unwrap();
    assert!(cut.len() != whole.len() && cut.csum() != whole.csum());
}

#[test]
fn chunk_ends_that_do_not_rise_are_refused_by_position() {
    for (ends, position) in [
        ([0, 5, 9], 0),
        ([5, 5, 9], 1),
        ([5, 9, 8], 2),
        ([5, 9, 0], 2),
    ] {
        let error = refused(dynamic_index(&ends.map(|end| (end, [0; 32]))));
        assert_eq!(error.position(), Some(position));
        let start = format!("the index lists an impossible chunk at position {position}: ");
        assert!(error.to_string().starts_with(&start), "{error}");
    }
}

#[test]
fn a_chunk_longer_than_any_blob_can_decode_to_is_refused() {
    let longest = 128 * MIB;
    assert!(Index::parse(dynamic_index(&[(longest, [0; 32])])).is_ok());
    for end in [longest + 1, 1 << 32, (1 << 32) + 1, u64::MAX] {
        assert_eq!(
            refused(dynamic_index(&[(end, [0; 32])])).position(),
            Some(0)
        );
    }
}

#[test]
fn a_chunk_size_that_is_zero_or_no_power_of_two_or_huge_is_refused() {
    for size in [
        0,
        1,
        512,
        2048,
        3 * MIB,
        4 * MIB + 1,
        256 * MIB,
        1 << 32,
        1 << 63,
        u64::MAX,
    ] {
        let error = refused(stating(72, size)).to_string();
        assert_eq!(
            error,
            format!("the index states an impossible chunk size of {size} bytes")
        );
    }
}

#[test]
fn an_archive_longer_than_its_chunks_is_refused_however_long() {
    for len in [
        0,
        8 * MIB,
        12 * MIB + 1,
        1 << 59,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let error = refused(stating(64, len)).to_string();
        assert!(
            error.starts_with("the index has 96 bytes of entries, not the "),
            "{error}"
        );
    }
}

#[test]
fn an_unknown_magic_is_refused() {
    let mut bytes = fixed();
    bytes[0] ^= 1;
    assert!(refused(bytes).to_string().starts_with("it is not an index"));
    assert!(
        refused(vec![0; 8192])
            .to_string()
            .starts_with("it is not an index")
    );
}

#[test]
fn an_index_with_one_changed_digest_has_another_csum() {
    for whole in [fixed(), dynamic()] {
        let right = Index::parse(whole.as_slice()).unwrap().csum();
        let mut bytes = whole.clone();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_ne!(Index::parse(bytes).unwrap().csum(), right);
    }
}

#[test]
fn the_csum_that_an_index_states_of_itself_counts_for_nothing() {
    for whole in [fixed(), dynamic()] {
        let right = Index::parse(whole.as_slice()).unwrap().csum();
        let mut bytes = whole.clone();
        bytes[40] ^= 1;
        assert_eq!(Index::parse(bytes).unwrap().csum(), right);
    }
}

/// What must hold of whatever was taken for an index.
fn is_sound(bytes: &[u8]) {
    let Ok(index) = Index::parse(bytes) else {
        return;
    };
    let mut end = 0;
    for (position, chunk) in index.chunks().enumerate() {
        assert_eq!(index.chunk(position), Some(chunk));
        assert_eq!(chunk.offset, end);
        assert!(chunk.len > 0 && chunk.len <= index.largest_chunk());
        end += u64::from(chunk.len);
        assert!(end <= index.len());
    }
    assert_eq!(end, index.len());
    assert_eq!(index.chunk(index.count()), None);
    assert_eq!(index.chunk(usize::MAX), None);
    assert!(index.largest_chunk() <= 128 << 20);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_index_or_a_sound_one(
        header in prop::sample::select(vec![fixed(), dynamic(), vec![]]),
        keep in 0_usize..4200,
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let keep = keep.min(header.len());
        let bytes = [&header[..keep], &rest].concat();
        is_sound(&bytes);
        is_sound(&with_right_csum(bytes));
    }

    #[test]
    fn a_changed_index_is_none_or_a_sound_one(
        whole in prop::sample::select(vec![fixed(), dynamic()]),
        changes in prop::collection::vec((prop_oneof![0_usize..80, 4096_usize..4216], any::<u8>()), 1..4),
        len in prop_oneof![Just(usize::MAX), 4000_usize..4300],
    ) {
        let mut bytes = whole;
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if len != usize::MAX {
            bytes.resize(len, 0);
        }
        is_sound(&bytes);
        is_sound(&with_right_csum(bytes));
    }

    #[test]
    fn ends_of_any_sort_are_no_index_or_a_sound_one(
        ends in prop::collection::vec(prop_oneof![0_u64..100, any::<u64>(), (0_u64..64).prop_map(|at| 1 << at)], 0..6),
    ) {
        let mut sorted = ends.clone();
        sorted.sort_unstable();
        for ends in [ends, sorted] {
            let chunks: Vec<_> = ends.into_iter().map(|end| (end, [0; 32])).collect();
            is_sound(&dynamic_index(&chunks));
        }
    }

    #[test]
    fn lengths_of_any_sort_are_no_index_or_a_sound_one(
        len in prop_oneof![0_u64..100_000, any::<u64>()],
        chunk_size in prop_oneof![any::<u64>(), (0_u32..64).prop_map(|at| 1 << at)],
        count in 0_usize..30,
    ) {
        is_sound(&fixed_index(len, chunk_size, &vec![[0; 32]; count]));
    }
}

#[test]
fn no_more_of_an_index_is_read_than_the_manifest_leaves_room_for() {
    // One that lists what the manifest says, and is followed by 256 MiB.
    for (name, index, len) in [
        ("a.img.fidx", fixed(), 8 * MIB + 5),
        ("a.img.didx", dynamic(), 5 * MIB),
    ] {
        let csum = Index::parse(index.clone()).unwrap().csum().to_string();
        let file = json!({ "filename": name, "crypt-mode": "none", "size": len, "csum": csum });
        let open = |index: Vec<u8>| {
            let files = Files::new(&manifest(&json!([file.clone()])), name, index);
            let snapshot = OpenOptions::new().open_backend(files).snapshot(SNAPSHOT);
            snapshot.unwrap().archive("a.img")
        };
        assert_eq!(open(index.clone()).unwrap().index().len(), len);
        let long = [index, vec![0; 256 << 20]].concat();
        let error = open(long).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let why = format!(
            "{name} is not the file that the manifest of {SNAPSHOT} lists: it is longer than it can be"
        );
        assert_eq!(chain(&error), why);
    }
}
