//! How a tree is laid out as an archive.

/// Version, number of streams, and what else the official clients have written in different ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The number in FORMAT_VERSION, if there is one.
    pub version: Option<u64>,
    /// The content of PRELUDE, if there is one.
    pub prelude: Option<Vec<u8>>,
    /// Whether the contents of files are in a payload stream of their own.
    pub is_split: bool,
    /// Whether the payload stream has bytes between the payloads that nothing refers to, as if its chunks were reused
    /// from an earlier backup: a seed for these bytes.
    pub gaps: Option<u64>,
    /// Whether entries are as in very old archives, with times from 1970 on.
    pub has_old_entries: bool,
}

impl Layout {
    /// Version 1 in one stream, as a backup is by default.
    pub fn v1() -> Layout {
        Layout {
            version: None,
            prelude: None,
            is_split: false,
            gaps: None,
            has_old_entries: false,
        }
    }

    /// Version 2, split, as the change detection modes `data` and `metadata` write it.
    pub fn split() -> Layout {
        Layout {
            version: Some(2),
            is_split: true,
            ..Layout::v1()
        }
    }

    /// Version 2, split, with payloads that are reused from an earlier backup and gaps between them.
    pub fn reused(seed: u64) -> Layout {
        Layout {
            gaps: Some(seed),
            ..Layout::split()
        }
    }

    /// Version 2 in one stream. No official client writes it, and all read it.
    pub fn v2_in_one_stream() -> Layout {
        Layout {
            is_split: false,
            ..Layout::split()
        }
    }

    /// All layouts that a reader must take.
    pub fn all() -> Vec<Layout> {
        let prelude = br#"{"exclude-patterns":"*.tmp\n"}"#;
        vec![
            Layout::v1(),
            Layout::split(),
            Layout::reused(1),
            Layout::v2_in_one_stream(),
            Layout {
                version: Some(1),
                ..Layout::v1()
            },
            Layout {
                prelude: Some(prelude.to_vec()),
                ..Layout::split()
            },
        ]
    }
}
