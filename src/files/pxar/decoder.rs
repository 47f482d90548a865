//! The decoder: bytes are pushed in, and checked items come out.

use std::fmt;

use crate::files::pxar::attributes::Attributes;
use crate::files::pxar::error::{Problem, PxarError};
use crate::files::pxar::gather::Gather;
use crate::files::pxar::grammar::{Expected, State, Step};
use crate::files::pxar::levels::{Levels, Limits};
use crate::files::pxar::metadata::{Item, Version};
use crate::files::pxar::starts::Starts;

/// Decodes an archive that is pushed in, in pieces of any length.
///
/// ```
/// use chunk_restore::files::pxar::{Decoder, Item, Limits, PxarError};
///
/// /// Counts the files and directories of an archive.
/// fn count(pieces: &[&[u8]]) -> Result<usize, PxarError> {
///     let mut decoder = Decoder::new(Limits::default());
///     let mut entries = 0;
///     for mut piece in pieces.iter().copied() {
///         while let Some(item) = decoder.decode(&mut piece)? {
///             entries += usize::from(matches!(item, Item::Entry(_)));
///         }
///     }
///     decoder.finish()?;
///     Ok(entries)
/// }
/// assert!(count(&[b"no", b"thing that is an archive"]).is_err());
/// ```
///
/// The decoder needs memory for the names of the directories that it is in, and for the attributes
/// of one entry: [`Limits`] bounds both. It needs neither a file descriptor nor a part of the
/// thread's stack for a directory, however deep the directory lies.
pub struct Decoder {
    pub(super) limits: Limits,
    pub(super) version: Version,
    pub(super) len: Option<u64>,
    pub(super) payload_len: Option<u64>,
    /// Whether a payload may lie before the end of the payload of an earlier file.
    pub(super) is_any_order: bool,
    /// The offset of the next byte.
    pub(super) position: u64,
    pub(super) gather: Gather,
    pub(super) state: State,
    pub(super) expected: Expected,
    pub(super) levels: Levels,
    /// The name of the next entry, and the offset of its FILENAME.
    pub(super) name: Vec<u8>,
    pub(super) start: u64,
    /// The offset of the next entry's ENTRY.
    pub(super) entry: u64,
    pub(super) attributes: Option<Attributes>,
    /// The offset of the first entry that the decoder reads: targets before it are not known.
    pub(super) begun: u64,
    pub(super) files: Starts,
    /// The end of the last payload in the payload archive.
    pub(super) payload_end: u64,
    pub(super) failed: Option<PxarError>,
}

impl Decoder {
    /// A decoder for an archive from its start on.
    #[must_use]
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            version: Version::V1,
            len: None,
            payload_len: None,
            is_any_order: false,
            position: 0,
            gather: Gather::default(),
            state: State::Header,
            expected: Expected::Version,
            levels: Levels::default(),
            name: Vec::new(),
            start: 0,
            entry: 0,
            attributes: None,
            begun: 0,
            files: Starts::default(),
            payload_end: 0,
            failed: None,
        }
    }

    /// A decoder for one entry of an archive, with all that is in it if it is a directory. The
    /// first byte that is pushed in is at the entry's
    /// [`offset`](crate::files::pxar::Entry::offset). The decoder hands out no [`Item::Version`].
    /// Paths begin with the entry's own name.
    ///
    /// If a hard link leads to a file before `offset`, the decoder can't check it.
    #[must_use]
    pub fn at(offset: u64, version: Version, limits: Limits) -> Decoder {
        Decoder {
            version,
            position: offset,
            expected: Expected::First,
            begun: offset,
            ..Decoder::new(limits)
        }
    }

    /// Says how long the archive is, in bytes. Then an item that goes beyond the end is refused
    /// when its header comes.
    #[must_use]
    pub fn archive_len(self, len: u64) -> Decoder {
        Decoder {
            len: Some(len),
            ..self
        }
    }

    /// Says that the archive has a payload archive of `len` bytes. Without this, files whose
    /// payloads lie in a payload archive are refused.
    #[must_use]
    pub fn payload_archive_len(self, len: u64) -> Decoder {
        Decoder {
            payload_len: Some(len),
            ..self
        }
    }

    /// Takes files whose payloads lie in any order in the payload archive, or overlap. Otherwise each
    /// payload must lie after those of all earlier files, so that the payload archive can be read
    /// from its start to its end too.
    ///
    /// Older official clients could write such archives. [`Files`](crate::files::Files) takes them,
    /// since it reads the payload archive by offset.
    #[must_use]
    pub fn payloads_in_any_order(self) -> Decoder {
        Decoder {
            is_any_order: true,
            ..self
        }
    }

    /// Takes bytes from the front of `input`, until they make an item; `None` if `input` ends
    /// before that. Call it again with the same `input` until it returns `None`, then with the next
    /// bytes of the archive.
    ///
    /// # Errors
    /// The archive breaks a rule of the format or a limit. Each later call returns the same error.
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Item<'a>>, PxarError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            let before = input.len();
            let step = self.step(input);
            self.position += (before - input.len()) as u64;
            match step {
                Ok(Step::Item(item)) => return Ok(Some(item)),
                Ok(Step::More) => return Ok(None),
                Ok(Step::On) => {}
                Err((problem, offset)) => return Err(self.fail(problem, offset)),
            }
        }
    }

    /// The offset of the next byte that the decoder takes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The path of the last entry or hard link, from the archive's root and without a leading
    /// slash; empty for the root.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.levels.path()
    }

    /// How many directories the decoder is in. After a directory's entry it is in this directory.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.levels.depth()
    }

    /// Leaves out what is still to come of the last file. Returns how many bytes that is: don't
    /// push them in.
    pub fn skip_payload(&mut self) -> u64 {
        let State::Payload { left } = self.state else {
            return 0;
        };
        self.state = State::Header;
        self.position += left;
        left
    }

    /// Whether the archive, or the entry that the decoder began with, has come to its end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.expected == Expected::Nothing && matches!(self.state, State::Header)
    }

    /// Makes sure that the archive is complete. Call it after the last byte.
    ///
    /// # Errors
    /// The archive is cut short, or was refused before.
    pub fn finish(&mut self) -> Result<(), PxarError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.is_complete() => Ok(()),
            None => Err(self.fail(Problem::CutShort, self.position)),
        }
    }

    fn fail(&mut self, problem: Problem, offset: u64) -> PxarError {
        let error = PxarError::new(problem, offset, self.levels.path());
        self.failed = Some(error.clone());
        error
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("position", &self.position)
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}
