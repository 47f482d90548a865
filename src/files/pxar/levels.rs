//! The directories that the decoder is in, from the root down: their paths, and which names they
//! had so far.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::files::pxar::error::Problem;
use crate::files::pxar::goodbye::{Child, Tail, check_table, hash_of};
use crate::files::pxar::item::{HEADER_LEN, Header, TABLE_ITEM_LEN};

/// How much of an archive a decoder takes before it refuses the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many directories may lie inside each other, with the root; 1,024 by default.
    pub depth: usize,
    /// The longest path of an entry, in bytes and without a leading slash; 64 KiB by default. Paths
    /// begin where the decoder begins.
    pub path: usize,
    /// The longest prelude, in bytes; 1 MiB by default.
    pub prelude: u64,
    /// The most bytes of extended attributes that an entry may have, together with the directories
    /// around it; 16 MiB by default.
    pub attributes: u64,
    /// How many entries all directories may have together that the decoder is in at one time;
    /// 2,097,152 by default. The decoder needs up to about 170 bytes for each, 340 MiB at the
    /// default: 24 bytes for the entry, 16 if it is a directory, 19 if names come out of order, and
    /// 24 for its item when the table of its directory comes; and up to twice of each, as buffers
    /// grow.
    pub open_entries: usize,
    /// How many regular files the archive may have; 67,108,864 by default. The decoder needs 4 to 8
    /// bytes for each, to check hard links.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            depth: 1024,
            path: 64 << 10,
            prelude: 1 << 20,
            attributes: 16 << 20,
            open_entries: 2 << 20,
            files: 64 << 20,
        }
    }
}

/// The directories that the decoder is in. The last is the innermost.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    levels: Vec<Level>,
    /// The path of the last entry, without a leading slash.
    path: Vec<u8>,
    /// How much of `path` is the path of the innermost directory.
    directory_len: usize,
    /// How many entries all these directories have so far.
    entries: usize,
    /// The length of the extended attributes that all these directories have.
    attributes_len: u64,
    keys: RandomState,
}

#[derive(Debug)]
struct Level {
    /// The offset of the directory's FILENAME; of the root's first item.
    start: u64,
    /// The offset of the directory's ENTRY.
    entry: u64,
    children: Vec<Child>,
    /// The starts of the children that are directories, with their lengths.
    directories: Vec<(u64, u64)>,
    /// The greatest name so far. Names usually come in order: then this name alone tells that no
    /// name comes twice.
    greatest: Vec<u8>,
    /// The hashes of all names so far, once a name came out of order.
    seen: Option<HashSet<(u64, u64)>>,
    /// The length of the path of the directory around this one.
    parent_len: usize,
    attributes_len: u64,
}

impl Levels {
    /// The path of the last entry.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// How many directories the decoder is in.
    pub(crate) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// The next entry is not read yet: `path` becomes that of the innermost directory.
    pub(crate) fn begin_item(&mut self) {
        self.path.truncate(self.directory_len);
    }

    /// A name in the innermost directory, or of the entry that the decoder began with.
    pub(crate) fn name(&mut self, name: &[u8], start: u64, limits: &Limits) -> Result<(), Problem> {
        let slash_len = usize::from(self.directory_len > 0);
        if self.directory_len + slash_len + name.len() > limits.path {
            let limit = limits.path;
            return Err(Problem::PathTooLong { limit });
        }
        if self.directory_len > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        if self.entries >= limits.open_entries {
            let limit = limits.open_entries;
            return Err(Problem::TooManyEntries { limit });
        }
        let child = Child {
            hash: hash_of(name),
            start,
            secret_hash: self.keys.hash_one(name),
        };
        level.add(name, child)?;
        self.entries += 1;
        Ok(())
    }

    /// Enters the directory whose name was the last.
    pub(crate) fn enter(&mut self, start: u64, entry: u64, limits: &Limits) -> Result<(), Problem> {
        if self.levels.len() >= limits.depth {
            let limit = limits.depth;
            return Err(Problem::TooDeep { limit });
        }
        self.levels.push(Level {
            start,
            entry,
            children: Vec::new(),
            directories: Vec::new(),
            greatest: Vec::new(),
            seen: None,
            parent_len: self.directory_len,
            attributes_len: 0,
        });
        self.directory_len = self.path.len();
        Ok(())
    }

    /// Counts the extended attributes of the innermost directory, which users of the decoder may keep
    /// until the directory ends.
    pub(crate) fn count_attributes(&mut self, len: u64) {
        if let Some(level) = self.levels.last_mut() {
            level.attributes_len += len;
            self.attributes_len += len;
        }
    }

    /// The length of the extended attributes of all directories that the decoder is in.
    pub(crate) fn attributes_len(&self) -> u64 {
        self.attributes_len
    }

    /// Whether a GOODBYE has as many items as the innermost directory has entries.
    pub(crate) fn check_table_len(&self, goodbye: &Header) -> Result<(), Problem> {
        let count = self.levels.last().map_or(0, |level| level.children.len());
        let len = (count as u64 + 1) * TABLE_ITEM_LEN;
        (goodbye.len == len).then_some(()).ok_or(Problem::Table)
    }

    /// Leaves the innermost directory, whose GOODBYE has this content. Returns how many entries
    /// the directory has.
    pub(crate) fn leave(&mut self, goodbye: &Header, content: &[u8]) -> Result<usize, Problem> {
        let Some(mut level) = self.levels.pop() else {
            return Err(Problem::Table);
        };
        let (items, tail) = content.split_at(content.len() - Tail::LEN as usize);
        let tail = Tail::parse(tail)?;
        let from_entry = tail.distance == goodbye.start - level.entry;
        // The tail of the root leads to the start of an archive of version 2.
        let from_start = level.start == 0 && tail.distance == goodbye.start;
        if tail.size != HEADER_LEN + goodbye.len || !(from_entry || from_start) {
            return Err(Problem::Table);
        }
        check_table(
            items,
            goodbye.start,
            &mut level.children,
            &level.directories,
        )?;
        if let Some(parent) = self.levels.last_mut() {
            let len = goodbye.end() - level.start;
            parent.directories.push((level.start, len));
        }
        self.entries -= level.children.len();
        self.attributes_len -= level.attributes_len;
        self.directory_len = level.parent_len;
        Ok(level.children.len())
    }
}

impl Level {
    fn add(&mut self, name: &[u8], child: Child) -> Result<(), Problem> {
        let hashes = |child: &Child| (child.hash, child.secret_hash);
        if self.children.is_empty() || name > self.greatest.as_slice() {
            self.greatest.clear();
            self.greatest.extend_from_slice(name);
        } else {
            let children = self.children.iter();
            let seen = self
                .seen
                .get_or_insert_with(|| children.map(hashes).collect());
            if seen.contains(&hashes(&child)) {
                return Err(Problem::DuplicateName);
            }
        }
        if let Some(seen) = &mut self.seen {
            seen.insert(hashes(&child));
        }
        self.children.push(child);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documentation of [`Limits`] says of an open entry, less its item in the table: in
    /// bytes, with room that buffers have to grow.
    const OPEN_ENTRY_LEN_MAX: usize = 2 * (24 + 16) + 39;

    /// The bytes of all buffers of a level, as far as they grow with its entries.
    fn memory_of(level: &Level) -> usize {
        let children = level.children.capacity() * size_of::<Child>();
        let directories = level.directories.capacity() * size_of::<(u64, u64)>();
        // A set has a byte beside each of its buckets, and fills seven of eight.
        let buckets = level
            .seen
            .as_ref()
            .map_or(0, |seen| seen.capacity() * 8 / 7);
        children + directories + buckets * (size_of::<(u64, u64)>() + 1)
    }

    #[test]
    fn an_open_entry_takes_no_more_memory_than_the_limits_say() {
        assert_eq!(Limits::default().open_entries, 2 << 20);
        for count in [100, 1000, 1025, 1793, 2049, 3585, 4097] {
            let mut levels = in_root();
            // All are directories, and each name is less than the one before.
            for number in 0..count {
                let name = format!("{:05}", count - number);
                add(&mut levels, &[&name]).unwrap();
                let level = levels.levels.last_mut().unwrap();
                level.directories.push((number as u64, 1));
            }
            let memory = memory_of(&levels.levels[0]);
            assert!(memory <= count * OPEN_ENTRY_LEN_MAX, "{memory} for {count}");
            assert!(memory > count * 24, "{memory} for {count}");
        }
    }

    fn in_root() -> Levels {
        let mut levels = Levels::default();
        levels.enter(0, 0, &Limits::default()).unwrap();
        levels
    }

    fn add(levels: &mut Levels, names: &[&str]) -> Result<(), Problem> {
        names.iter().try_for_each(|name| {
            levels.begin_item();
            levels.name(name.as_bytes(), 1, &Limits::default())
        })
    }

    #[test]
    fn a_name_that_comes_twice_is_noticed_in_any_order() {
        let duplicate = Err(Problem::DuplicateName);
        assert_eq!(add(&mut in_root(), &["a", "b", "c", "aa", "bb"]), Ok(()));
        assert_eq!(add(&mut in_root(), &["a", "a"]), duplicate);
        assert_eq!(add(&mut in_root(), &["c", "a", "b", "a"]), duplicate);
        assert_eq!(add(&mut in_root(), &["c", "a", "d", "d"]), duplicate);
        assert_eq!(add(&mut in_root(), &["a", "c", "b", "c"]), duplicate);
    }

    #[test]
    fn a_path_is_no_longer_than_the_limit() {
        let limits = Limits {
            path: 7,
            ..Limits::default()
        };
        let (mut levels, limit) = (in_root(), limits.path);
        let too_long = Err(Problem::PathTooLong { limit });
        assert_eq!(levels.name(b"12345678", 1, &limits), too_long);
        assert_eq!(levels.name(b"123", 1, &limits), Ok(()));
        levels.enter(1, 2, &limits).unwrap();
        levels.begin_item();
        assert_eq!(levels.name(b"5678", 3, &limits), too_long);
        assert_eq!(levels.path(), b"123", "the error names the directory");
        assert_eq!(levels.name(b"567", 3, &limits), Ok(()));
        assert_eq!(levels.path(), b"123/567");
    }

    #[test]
    fn the_same_name_in_another_directory_is_another_path() {
        let mut levels = in_root();
        add(&mut levels, &["a"]).unwrap();
        levels.enter(1, 2, &Limits::default()).unwrap();
        add(&mut levels, &["a", "b"]).unwrap();
        assert_eq!(levels.path(), b"a/b");
        assert_eq!(levels.depth(), 2);
    }
}
