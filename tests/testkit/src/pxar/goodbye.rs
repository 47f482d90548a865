//! The table at the end of a directory, by which a name is found without reading the directory.

#![allow(
    deprecated,
    reason = "std's SipHasher is SipHash-2-4, which the tables need; its successors are not"
)]

use std::hash::{Hasher as _, SipHasher};

use super::item::{GOODBYE, HEADER, item, numbers};

/// What the hash of the tail is.
pub const TAIL: u64 = 0xef5e_ed5b_753e_1555;

const KEY: (u64, u64) = (0x83ac_3f1c_fbb4_50db, 0xaa4f_1b68_7936_9fbd);

/// A line of a table: the hash of a name, how far before the table the entry starts, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// SipHash-2-4 of the name, or [`TAIL`].
    pub hash: u64,
    /// Bytes from the start of the entry's FILENAME to the start of the table.
    pub offset: u64,
    /// Bytes of the entry.
    pub size: u64,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The rows of the entries, as they are written.
    pub rows: Vec<Row>,
    /// The last row, which leads from the end of the directory to its start.
    pub tail: Row,
}

impl Table {
    /// The table of these rows, in the order of a search tree, for a directory that starts so far before it.
    pub fn new(mut sorted: Vec<Row>, offset: u64) -> Table {
        sorted.sort_by_key(|row| row.hash);
        let mut rows = sorted.clone();
        let mut sorted = sorted.into_iter();
        place(0, &mut rows, &mut sorted);
        let size = HEADER + 24 * (rows.len() as u64 + 1);
        let tail = Row {
            hash: TAIL,
            offset,
            size,
        };
        Table { rows, tail }
    }

    /// The item.
    pub fn bytes(&self) -> Vec<u8> {
        item(GOODBYE, &self.content())
    }

    /// The item's content.
    pub fn content(&self) -> Vec<u8> {
        let rows = self.rows.iter().chain([&self.tail]);
        let fields = rows.flat_map(|row| [row.hash, row.offset, row.size]);
        numbers(&fields.collect::<Vec<_>>())
    }
}

/// Walks a complete tree from left to right, and puts the next row at each node: smaller hashes are in the node's left
/// half, larger ones in its right half.
fn place(node: usize, rows: &mut [Row], sorted: &mut impl Iterator<Item = Row>) {
    if node < rows.len() {
        place(2 * node + 1, rows, sorted);
        rows[node] = sorted.next().expect("there are as many rows as nodes");
        place(2 * node + 2, rows, sorted);
    }
}

/// The hash of a name.
pub fn hash(name: &[u8]) -> u64 {
    let mut hasher = SipHasher::new_with_keys(KEY.0, KEY.1);
    hasher.write(name);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_hash_that_the_official_client_gave_it() {
        assert_eq!(hash(b"hello.txt"), 0x9b1e_e0b8_4c66_190c);
    }

    #[test]
    fn rows_have_the_order_of_a_search_tree() {
        let row = |hash| Row {
            hash,
            offset: 0,
            size: 0,
        };
        let table = Table::new((0..5).rev().map(row).collect(), 0);
        let order: Vec<u64> = table.rows.iter().map(|row| row.hash).collect();
        assert_eq!(order, [3, 1, 4, 0, 2]);
        assert_eq!(table.tail.size, 16 + 6 * 24);
        assert_eq!(table.bytes().len() as u64, table.tail.size);
    }
}
