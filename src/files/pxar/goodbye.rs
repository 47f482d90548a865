//! The table at the end of a directory: a search tree by the hashes of the names.
//!
//! The table has an item for each entry of the directory and a tail, 24 bytes each. An item at the
//! position `i` has smaller hashes below the position `2i + 1`, and larger ones below `2i + 2`.

use siphasher::sip::SipHasher24;

use crate::files::pxar::error::Problem;
use crate::files::pxar::item::{HEADER_LEN, Header, ItemKind, TABLE_ITEM_LEN, u64_at};

/// The keys of the hash of names: part of the format.
const HASH_KEYS: (u64, u64) = (0x83ac_3f1c_fbb4_50db, 0xaa4f_1b68_7936_9fbd);

/// What stands in place of a hash in the tail of a table.
const TAIL: u64 = 0xef5e_ed5b_753e_1555;

/// How many entries with the hash of a name are looked at, at most. Honest names have hashes of
/// their own; without a limit, a table of equal hashes would make each search read the directory.
const CANDIDATES_MAX: usize = 64;

/// The hash of a name, as tables have it.
pub(crate) fn hash_of(name: &[u8]) -> u64 {
    let (key0, key1) = HASH_KEYS;
    SipHasher24::new_with_keys(key0, key1).hash(name)
}

/// The full size of the GOODBYE that has this header, at the offset `start`.
pub(crate) fn goodbye_size(header: &[u8], start: u64) -> Result<u64, Problem> {
    let header = Header::parse(header, start)?;
    let is_goodbye = header.kind == ItemKind::Goodbye;
    is_goodbye
        .then_some(HEADER_LEN + header.len)
        .ok_or(Problem::Table)
}

/// An item of a table: an entry of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableItem {
    /// The hash of the entry's name.
    pub(crate) hash: u64,
    /// The offset of the entry in the archive.
    pub(crate) start: u64,
    /// The length of the entry: exact for directories alone.
    pub(crate) len: u64,
}

impl TableItem {
    /// Reads an item of the table whose GOODBYE lies at the offset `goodbye`. The entry must begin
    /// between the directory's own start and the GOODBYE.
    pub(crate) fn parse(bytes: &[u8], directory: u64, goodbye: u64) -> Result<Self, Problem> {
        let start = goodbye.checked_sub(u64_at(bytes, 8));
        let start = start.filter(|start| (directory + 1..goodbye).contains(start));
        Ok(TableItem {
            hash: u64_at(bytes, 0),
            start: start.ok_or(Problem::Table)?,
            len: u64_at(bytes, 16),
        })
    }
}

/// The tail of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The distance from the directory's ENTRY to the GOODBYE. The root's distance is from the
    /// start of an archive of version 2.
    pub(crate) distance: u64,
    /// The full size of the GOODBYE.
    pub(crate) size: u64,
}

impl Tail {
    /// The length of a tail in bytes.
    pub(crate) const LEN: u64 = TABLE_ITEM_LEN;

    pub(crate) fn parse(bytes: &[u8]) -> Result<Tail, Problem> {
        let size = u64_at(bytes, 16);
        let items = size.checked_sub(HEADER_LEN + Tail::LEN);
        if u64_at(bytes, 0) != TAIL || items.is_none_or(|items| items % TABLE_ITEM_LEN != 0) {
            return Err(Problem::Table);
        }
        Ok(Tail {
            distance: u64_at(bytes, 8),
            size,
        })
    }

    /// How many entries the directory has.
    pub(crate) fn count(&self) -> u64 {
        (self.size - HEADER_LEN - Tail::LEN) / TABLE_ITEM_LEN
    }
}

/// An entry of an open directory, as the decoder has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Child {
    /// The hash that tables have.
    pub(crate) hash: u64,
    pub(crate) start: u64,
    /// A hash with a key that nobody else knows: names that differ in both hashes differ, and
    /// nobody can make names that agree in both.
    pub(crate) secret_hash: u64,
}

/// Compares a table with the directory's entries: each entry in one item, the items in the order
/// of a search tree, and exact lengths of directories. `directories` are the starts of those
/// entries that are directories, with their lengths, in ascending order. The caller has compared
/// the number of items.
pub(crate) fn check_table(
    content: &[u8],
    goodbye: u64,
    children: &mut [Child],
    directories: &[(u64, u64)],
) -> Result<(), Problem> {
    children.sort_unstable();
    let mut run: Vec<u64> = Vec::new();
    let mut run_at = 0;
    for (at, position) in in_order(children.len()).enumerate() {
        let item = &content[position * TABLE_ITEM_LEN as usize..];
        let item = TableItem::parse(item, 0, goodbye)?;
        if item.hash != children[at].hash {
            return Err(Problem::Table);
        }
        let directory = directories.binary_search_by_key(&item.start, |(start, _)| *start);
        if directory.is_ok_and(|directory| directories[directory].1 != item.len) {
            return Err(Problem::Table);
        }
        run.push(item.start);
        // Entries with the same hash may stand in any order.
        if children
            .get(at + 1)
            .is_none_or(|next| next.hash != item.hash)
        {
            run.sort_unstable();
            let starts = children[run_at..=at].iter().map(|child| child.start);
            if !starts.eq(run.drain(..)) {
                return Err(Problem::Table);
            }
            run_at = at + 1;
        }
    }
    Ok(())
}

/// The positions of a complete binary tree of `count` items, in the order of their hashes.
fn in_order(count: usize) -> impl Iterator<Item = usize> {
    let mut above = Vec::new();
    let mut next = 0;
    std::iter::from_fn(move || {
        while next < count {
            above.push(next);
            next = 2 * next + 1;
        }
        let position = above.pop()?;
        next = 2 * position + 2;
        Some(position)
    })
}

/// A search for a name in a table, which says which items it has to look at.
#[derive(Debug)]
pub(crate) struct Search {
    hash: u64,
    count: u64,
    candidates: usize,
    /// Positions that are still to be looked at: no more than the tree is high, and one.
    next: Vec<u64>,
}

impl Search {
    /// A search in a table of `count` items.
    pub(crate) fn new(name: &[u8], count: u64) -> Search {
        Search {
            hash: hash_of(name),
            count,
            candidates: 0,
            next: vec![0],
        }
    }

    /// The position of the item to look at next.
    pub(crate) fn position(&mut self) -> Option<u64> {
        while let Some(position) = self.next.pop() {
            if position < self.count {
                return Some(position);
            }
        }
        None
    }

    /// Goes on with the hash at a position. Returns whether this item may be the entry.
    pub(crate) fn visit(&mut self, position: u64, hash: u64) -> Result<bool, Problem> {
        let (smaller, larger) = (2 * position + 1, 2 * position + 2);
        if hash > self.hash {
            self.next.push(smaller);
        } else if hash < self.hash {
            self.next.push(larger);
        } else {
            self.next.extend([larger, smaller]);
            self.candidates += 1;
            if self.candidates > CANDIDATES_MAX {
                return Err(Problem::Table);
            }
        }
        Ok(hash == self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_hashes_that_the_format_says() {
        assert_eq!(hash_of(b"hello.txt"), 0x9b1e_e0b8_4c66_190c);
    }

    #[test]
    fn a_search_finds_every_hash_of_a_tree_and_no_other() {
        for count in 0..200_u64 {
            let names: Vec<_> = (0..count).map(|name| name.to_string()).collect();
            let mut hashes: Vec<_> = names.iter().map(|name| hash_of(name.as_bytes())).collect();
            hashes.sort_unstable();
            let mut tree = vec![0; hashes.len()];
            for (at, position) in in_order(hashes.len()).enumerate() {
                tree[position] = hashes[at];
            }
            let finds = |name: &str| {
                let mut search = Search::new(name.as_bytes(), count);
                let mut found = 0;
                while let Some(position) = search.position() {
                    let hash = tree[position as usize];
                    found += usize::from(search.visit(position, hash).unwrap());
                }
                found
            };
            assert!(names.iter().all(|name| finds(name) == 1));
            assert_eq!(finds("another"), 0);
        }
    }

    #[test]
    fn a_tree_is_filled_from_the_left() {
        // The smallest of five is at the fourth position, and so on.
        let order: Vec<_> = in_order(5).collect();
        assert_eq!(order, [3, 1, 4, 0, 2]);
    }

    #[test]
    fn a_table_of_equal_hashes_ends_the_search() {
        let mut search = Search::new(b"name", u64::MAX / 4);
        let hash = hash_of(b"name");
        let end = (0..=CANDIDATES_MAX).find_map(|_| {
            let position = search.position()?;
            search.visit(position, hash).err()
        });
        assert_eq!(end, Some(Problem::Table));
    }
}
