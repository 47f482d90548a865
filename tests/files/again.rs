//! Entries that were found are found again by their offsets.

use chunk_restore::files::Files;
use chunk_restore::{ErrorKind, Restore};

use crate::golden::Golden;

fn open(golden: &Golden) -> Files {
    Files::open(&Restore::new(), &golden.open(), "root.pxar").unwrap()
}

#[test]
fn each_entry_but_the_root_is_found_again_by_its_offset() {
    for golden in Golden::ALL {
        let files = open(&golden);
        for entry in files.entries().map(Result::unwrap) {
            let Some(directory) = entry.path.parent() else {
                continue;
            };
            let again = files.entry_at(directory, entry.node.offset());
            assert_eq!(again.unwrap(), entry);
        }
    }
}

#[test]
fn where_no_entry_begins_the_error_names_the_offset() {
    let files = open(&Golden::ALL[0]);
    let file = files.entry("etc/hostname").unwrap();
    for offset in [file.node.offset() + 1, 1 << 40, u64::MAX] {
        let error = files.entry_at("etc", offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{offset}");
        assert_eq!(error.offset(), Some(offset));
    }
    // The root begins without a name.
    assert!(files.entry_at("", 0).is_err());
}

#[test]
fn a_report_counts_the_reads_of_both_halves() {
    let files = open(&Golden::ALL[1]);
    let entry = files.entry("big/text").unwrap();
    let before = files.report();
    let mut content = Vec::new();
    std::io::copy(&mut files.read_entry(&entry).unwrap(), &mut content).unwrap();
    let after = files.report();
    assert_eq!(content.len(), 1_500_000);
    assert!(after.bytes >= before.bytes + 1_500_000, "{after:?}");
    assert!(after.fetched > before.fetched);
}
