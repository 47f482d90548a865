//! Header compression (RFC 7541): decodes everything, encodes literals only. Knows nothing of what headers mean.

use std::collections::VecDeque;

use super::error::ConnectionError;
use super::huffman;

/// What an entry counts for beyond its bytes, in tables and in header lists.
pub(super) const ENTRY: usize = 32;

/// The size that a table has until something else is said.
const INITIAL_TABLE: usize = 4096;

/// Decodes the header blocks of one connection, which must be all of them in their order.
pub(super) struct Decoder {
    table: Table,
    /// The most that an encoder may make of the table, as we announced it.
    table_limit: usize,
    /// The most that the headers of one block may count for.
    list_limit: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    pub(super) fn new(table_limit: usize, list_limit: usize) -> Decoder {
        Decoder {
            table: Table::new(table_limit.min(INITIAL_TABLE)),
            table_limit,
            list_limit,
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Calls `field` with the name and the value of each header of a block.
    pub(super) fn decode(
        &mut self,
        mut block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), ConnectionError> {
        let (mut size, mut at_start) = (0, true);
        while let Some(&first) = block.first() {
            let is_update = first & 0xe0 == 0x20;
            if is_update {
                let limit = integer(&mut block, 5)?;
                if !at_start || limit > self.table_limit {
                    let what = "a header table's size is changed against the rules";
                    return Err(ConnectionError::compression(what));
                }
                self.table.resize(limit);
                continue;
            }
            at_start = false;
            let is_indexed = first & 0x80 != 0;
            let is_kept = first & 0xc0 == 0x40;
            let prefix = match (is_indexed, is_kept) {
                (true, _) => 7,
                (false, true) => 6,
                (false, false) => 4,
            };
            let index = integer(&mut block, prefix)?;
            self.name.clear();
            self.value.clear();
            if is_indexed || index > 0 {
                let unknown = ConnectionError::compression("a header index beyond the tables");
                let (name, value) = self.table.get(index).ok_or(unknown)?;
                self.name.extend_from_slice(name);
                if is_indexed {
                    self.value.extend_from_slice(value);
                }
            } else {
                string(&mut block, &mut self.name)?;
            }
            if !is_indexed {
                string(&mut block, &mut self.value)?;
            }
            size += self.name.len() + self.value.len() + ENTRY;
            if size > self.list_limit {
                return Err(ConnectionError::excess(
                    "a header list longer than announced",
                ));
            }
            field(&self.name, &self.value);
            if is_kept {
                self.table.insert(&self.name, &self.value);
            }
        }
        Ok(())
    }
}

/// Takes an integer whose first `prefix` bits are in the first byte.
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, ConnectionError> {
    let wrong = ConnectionError::compression("a header block with a malformed number");
    let mut next = || {
        let (&first, rest) = block.split_first().ok_or(wrong)?;
        *block = rest;
        Ok(first)
    };
    let mask = (1 << prefix) - 1;
    let mut value = usize::from(next()? & mask);
    if value < usize::from(mask) {
        return Ok(value);
    }
    // Four more bytes are 28 bits: more than any length that is let through here.
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(wrong)
}

/// Takes a string, and adds it to `to`.
fn string(block: &mut &[u8], to: &mut Vec<u8>) -> Result<(), ConnectionError> {
    let is_huffman = block.first().is_some_and(|first| first & 0x80 != 0);
    let len = integer(block, 7)?;
    let short = ConnectionError::compression("a header block that ends within a string");
    let (bytes, rest) = block.split_at_checked(len).ok_or(short)?;
    *block = rest;
    if is_huffman {
        let wrong = ConnectionError::compression("a malformed Huffman code in a header");
        return huffman::decode(bytes, to).ok_or(wrong);
    }
    to.extend_from_slice(bytes);
    Ok(())
}

/// A name and a value.
type Entry = (Box<[u8]>, Box<[u8]>);

/// The static table, and what the encoder had us keep, the latest first.
struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    limit: usize,
}

impl Table {
    fn new(limit: usize) -> Table {
        Table {
            entries: VecDeque::new(),
            size: 0,
            limit,
        }
    }

    fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let (name, value) = self.entries.get(index - STATIC.len())?;
        Some((name, value))
    }

    /// An entry that is larger than the table leaves it empty, which is no error.
    fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + ENTRY;
        self.evict(self.limit.saturating_sub(size));
        if size <= self.limit {
            self.entries.push_front((name.into(), value.into()));
            self.size += size;
        }
    }

    fn resize(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(limit);
    }

    fn evict(&mut self, limit: usize) {
        while self.size > limit {
            let Some((name, value)) = self.entries.pop_back() else {
                return;
            };
            self.size -= name.len() + value.len() + ENTRY;
        }
    }
}

/// The beginning of an encoder's first block: a table of size 0, so that nothing a decoder allows or forbids matters.
pub(super) const NO_TABLE: u8 = 0x20;
/// `:method: GET`.
pub(super) const METHOD_GET: u8 = 0x82;
/// `:scheme: https`.
pub(super) const SCHEME_HTTPS: u8 = 0x87;
/// The place of `:authority` in the static table.
pub(super) const AUTHORITY: u8 = 1;
/// The place of `:path` in the static table.
pub(super) const PATH: u8 = 4;

/// Writes a header with a name from the first 14 of the static table, to be kept in no table.
pub(super) fn literal(to: &mut Vec<u8>, name: u8, value: &str) {
    debug_assert!((1..15).contains(&name), "it fits into the prefix");
    to.push(name);
    let mut len = value.len();
    if len < 127 {
        to.push(len as u8);
    } else {
        to.push(127);
        len -= 127;
        while len >= 128 {
            to.push((len % 128) as u8 | 128);
            len /= 128;
        }
        to.push(len as u8);
    }
    to.extend_from_slice(value.as_bytes());
}

/// RFC 7541, appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];
