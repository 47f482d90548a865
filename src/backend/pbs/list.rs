//! Reads a list out of an answer of the REST interface while the answer comes, one entry at a time.
//!
//! Parsed JSON takes a hundred times the memory of its text, so no more than one entry is kept at a
//! time.

use std::fmt;
use std::io::{self, BufReader, Read};

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;
use serde_json::error::Category;

use crate::backend::FetchError;
use crate::backend::pbs::exchange::Incoming;
use crate::backend::pbs::refusal::other_than;
use crate::error::{Error, ErrorKind};
use crate::net::body_text::TELLING;

/// The most bytes of an entry. An entry has some hundred bytes, or some thousand if a snapshot has
/// many archives.
const MAX_ENTRY: usize = 256 << 10;

/// The deepest nesting. Entries are objects with lists of objects in them.
const MAX_DEPTH: usize = 32;

/// The most entries: more than any datastore has snapshots.
const MAX_ENTRIES: usize = 1 << 20;

/// Calls `each` with each entry of the answer's `data`.
///
/// # Errors
/// [`FetchError::Fatal`] for an answer that is no list, or is too long; [`FetchError::Transient`]
/// for one that ends in the middle; the errors of the connection.
pub(super) fn read(incoming: Incoming<'_>, mut each: impl FnMut(&Value)) -> Result<(), FetchError> {
    let mut source = Source {
        incoming,
        piece: Vec::new(),
        used: 0,
        guard: Guard::default(),
        start: Vec::new(),
    };
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(&mut source));
    let read = (Answer { each: &mut each }).deserialize(&mut json);
    match read.and_then(|()| json.end()) {
        Ok(()) => Ok(()),
        Err(error) => Err(sort(error, &source.start)),
    }
}

fn sort(error: serde_json::Error, start: &[u8]) -> FetchError {
    match error.classify() {
        Category::Io => match io::Error::from(error).downcast::<FetchError>() {
            Ok(ours) => ours,
            Err(other) => FetchError::transient(other),
        },
        Category::Eof => {
            let message = "the server's listing ends in the middle";
            FetchError::transient(Error::new(ErrorKind::Unavailable, message).because(error))
        }
        Category::Syntax | Category::Data => match other_than("a listing", start) {
            FetchError::Fatal(message) => {
                let error = Error::new(ErrorKind::Unavailable, message.to_string()).because(error);
                FetchError::Fatal(error.into())
            }
            other => other,
        },
    }
}

/// The body of an answer, watched for entries that are too long.
struct Source<'a> {
    incoming: Incoming<'a>,
    piece: Vec<u8>,
    used: usize,
    guard: Guard,
    /// The first bytes of the answer, which tell what it is.
    start: Vec<u8>,
}

impl Read for Source<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.used == self.piece.len() {
            self.piece = self.incoming.more().map_err(io::Error::other)?;
            self.used = 0;
            let missing = TELLING.saturating_sub(self.start.len());
            let start = &self.piece[..missing.min(self.piece.len())];
            self.start.extend_from_slice(start);
        }
        let rest = &self.piece[self.used..];
        let count = rest.len().min(space.len());
        if !rest[..count].iter().all(|byte| self.guard.admits(*byte)) {
            let message = "the server's listing has an entry that is too long";
            let error = Error::new(ErrorKind::Unavailable, message);
            return Err(io::Error::other(FetchError::Fatal(error.into())));
        }
        space[..count].copy_from_slice(&rest[..count]);
        self.used += count;
        Ok(count)
    }
}

/// Bounds how much JSON must be in memory at once.
#[derive(Default)]
struct Guard {
    depth: usize,
    /// Bytes since the last entry of the list.
    len: usize,
    is_in_text: bool,
    is_escaped: bool,
}

impl Guard {
    /// Looks at the next byte. Returns whether the limits still hold.
    fn admits(&mut self, byte: u8) -> bool {
        self.len += 1;
        if self.is_in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_in_text = false,
                _ => {}
            }
            return self.len <= MAX_ENTRY;
        }
        match byte {
            b'"' => self.is_in_text = true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b',' => {}
            _ => return self.len <= MAX_ENTRY,
        }
        // The answer is at depth 1, the list at depth 2, and the entries of the list are deeper.
        if self.depth <= 2 && !self.is_in_text {
            self.len = 0;
        }
        self.depth <= MAX_DEPTH && self.len <= MAX_ENTRY
    }
}

/// The whole answer, of which only the list is used.
struct Answer<'a> {
    each: &'a mut dyn FnMut(&Value),
}

impl<'de> DeserializeSeed<'de> for Answer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list of data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_found = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "data" && !is_found {
                is_found = true;
                map.next_value_seed(Entries {
                    each: &mut *self.each,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        match is_found {
            true => Ok(()),
            false => Err(A::Error::missing_field("data")),
        }
    }
}

struct Entries<'a> {
    each: &'a mut dyn FnMut(&Value),
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut count = 0;
        while let Some(entry) = entries.next_element::<Value>()? {
            count += 1;
            if count > MAX_ENTRIES {
                let message = format!("there are more than {MAX_ENTRIES} entries");
                return Err(A::Error::custom(message));
            }
            (self.each)(&entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(text: &str) -> bool {
        let mut guard = Guard::default();
        text.bytes().all(|byte| guard.admits(byte))
    }

    #[test]
    fn a_long_list_is_admitted_and_a_long_entry_is_not() {
        let entry = r#"{"a":"x\"]}{[","b":[1,{"c":[]}]},"#;
        let list = format!("{{\"data\":[{}0],\"total\":1}}", entry.repeat(100_000));
        assert!(admits(&list));
        let long = "x".repeat(MAX_ENTRY);
        for bad in [
            format!("{{\"data\":[\"{long}\"]}}"),
            format!("{{\"data\":[{{\"a\":[\"{long}\"]}}]}}"),
            format!("{{\"{long}\":1}}"),
            format!("{{\"data\":[{{{}", "\"a\":1,".repeat(MAX_ENTRY)),
            " ".repeat(MAX_ENTRY + 1),
            "[".repeat(MAX_DEPTH + 1),
        ] {
            assert!(!admits(&bad), "{} bytes", bad.len());
        }
    }
}
