//! Which item may follow which, and what becomes of each.

use std::mem;

use crate::files::pxar::attributes::{Attributes, device};
use crate::files::pxar::decoder::Decoder;
use crate::files::pxar::error::Problem;
use crate::files::pxar::item::{HEADER_LEN, Header, ItemKind, u64_at};
use crate::files::pxar::metadata::{
    Entry, EntryKind, FileType, Goodbye, HardLink, Item, Payload, Version,
};

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    Header,
    /// The header was read before, and it is not yet decided what becomes of the item.
    Held(Header),
    Content(Header),
    Payload {
        left: u64,
    },
}

/// Which items may be next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// FORMAT_VERSION or the root's ENTRY.
    Version,
    /// PRELUDE or the root's ENTRY.
    Prelude,
    /// The root's ENTRY.
    Root,
    /// The FILENAME of the entry that the decoder begins with.
    First,
    /// FILENAME or GOODBYE.
    Child,
    /// ENTRY or HARDLINK.
    Entry,
    /// An attribute, the content of the entry, or the item after the entry.
    Attribute,
    Nothing,
}

/// How far the decoder got.
#[allow(
    clippy::large_enum_variant,
    reason = "an item is handed out at once, and never kept"
)]
pub(super) enum Step<'a> {
    /// The item is complete.
    Item(Item<'a>),
    /// There is no item yet, but the input may have more bytes.
    On,
    /// The input is used up.
    More,
}

/// A step, or the problem with its offset.
type Outcome<'a> = Result<Step<'a>, (Problem, u64)>;

impl Decoder {
    pub(super) fn step<'a>(&mut self, input: &mut &'a [u8]) -> Outcome<'a> {
        match self.state {
            State::Header => self.read_header(input),
            State::Held(header) => self
                .look_at(header)
                .map_err(|problem| (problem, header.start)),
            State::Content(header) => self.read_content(header, input),
            State::Payload { left } => Ok(self.pass_on(left, input)),
        }
    }

    fn read_header<'a>(&mut self, input: &mut &'a [u8]) -> Outcome<'a> {
        if self.expected == Expected::Nothing {
            return match input.is_empty() {
                true => Ok(Step::More),
                false => Err((Problem::TrailingBytes, self.position)),
            };
        }
        let before = input.len();
        let Some(bytes) = self.gather.take(input, HEADER_LEN as usize) else {
            return Ok(Step::More);
        };
        let end = self.position + (before - input.len()) as u64;
        let start = end - HEADER_LEN;
        let at = |problem| (problem, start);
        let header = Header::parse(bytes, start).map_err(at)?;
        if let Some(len) = self.len.filter(|len| header.end() > *len) {
            let kind = header.kind;
            return Err(at(Problem::BeyondEnd { kind, len }));
        }
        self.look_at(header).map_err(at)
    }

    /// Decides by its header what becomes of an item.
    fn look_at<'a>(&mut self, header: Header) -> Result<Step<'a>, Problem> {
        let kind = header.kind;
        match (self.expected, kind) {
            (Expected::Version, ItemKind::FormatVersion) => {}
            (Expected::Version, ItemKind::Entry | ItemKind::EntryV1) => {
                self.state = State::Held(header);
                self.expected = Expected::Root;
                return Ok(Step::Item(Item::Version(Version::V1)));
            }
            (Expected::Prelude, ItemKind::Prelude) => {
                let limit = self.limits.prelude;
                if header.len > limit {
                    return Err(Problem::PreludeTooLong { limit });
                }
            }
            (
                Expected::Prelude | Expected::Root | Expected::Entry,
                ItemKind::Entry | ItemKind::EntryV1,
            )
            | (Expected::Entry, ItemKind::HardLink) => {}
            (Expected::Child | Expected::First, ItemKind::Filename) => self.levels.begin_item(),
            (Expected::Child, ItemKind::Goodbye) => {
                self.levels.begin_item();
                self.levels.check_table_len(&header)?;
            }
            (Expected::Attribute, _) => return self.look_at_attribute(header),
            _ => return Err(Problem::Misplaced { kind }),
        }
        self.state = State::Content(header);
        Ok(Step::On)
    }

    /// Decides what becomes of an item after ENTRY: an attribute, the content of the entry, or the
    /// next entry.
    fn look_at_attribute<'a>(&mut self, header: Header) -> Result<Step<'a>, Problem> {
        let kind = header.kind;
        let misplaced = Problem::Misplaced { kind };
        let Some(attributes) = &self.attributes else {
            return Err(misplaced);
        };
        if kind.is_attribute() {
            if !attributes.allow(kind) {
                return Err(misplaced);
            }
            let around = self.levels.attributes_len();
            attributes.check_room(kind, header.len, around, &self.limits)?;
            self.state = State::Content(header);
            return Ok(Step::On);
        }
        let mode = attributes.metadata.mode;
        match (kind, attributes.file_type) {
            (ItemKind::Payload, FileType::File) => {
                self.state = match header.len {
                    0 => State::Header,
                    left => State::Payload { left },
                };
                self.finish_entry(EntryKind::File(Payload {
                    is_split: false,
                    offset: header.content(),
                    len: header.len,
                }))
            }
            (ItemKind::PayloadRef, FileType::File)
            | (ItemKind::Symlink, FileType::Symlink)
            | (ItemKind::Device, FileType::BlockDevice | FileType::CharDevice) => {
                self.state = State::Content(header);
                Ok(Step::On)
            }
            (ItemKind::Filename | ItemKind::Goodbye, file_type) => {
                let kind = match file_type {
                    FileType::Directory => EntryKind::Directory,
                    FileType::Fifo => EntryKind::Fifo,
                    FileType::Socket => EntryKind::Socket,
                    _ => return Err(Problem::TypeMismatch { mode, kind }),
                };
                let step = self.finish_entry(kind);
                // What follows the entry that the decoder began with is of no concern.
                self.state = match self.expected {
                    Expected::Nothing => State::Header,
                    _ => State::Held(header),
                };
                step
            }
            (
                ItemKind::Payload | ItemKind::PayloadRef | ItemKind::Symlink | ItemKind::Device,
                _,
            ) => Err(Problem::TypeMismatch { mode, kind }),
            _ => Err(misplaced),
        }
    }

    fn read_content<'a>(&mut self, header: Header, input: &mut &'a [u8]) -> Outcome<'a> {
        let mut gather = mem::take(&mut self.gather);
        let Some(content) = gather.take(input, header.len as usize) else {
            self.gather = gather;
            return Ok(Step::More);
        };
        self.state = State::Header;
        let step = self.accept(header, content);
        self.gather = gather;
        step.map_err(|problem| (problem, header.start))
    }

    /// Reads the content of an item that may be here.
    fn accept<'a>(&mut self, header: Header, content: &[u8]) -> Result<Step<'a>, Problem> {
        let kind = header.kind;
        match kind {
            ItemKind::FormatVersion => self.accept_version(u64_at(content, 0)),
            ItemKind::Prelude => {
                self.expected = Expected::Root;
                Ok(Step::Item(Item::Prelude(content.to_vec())))
            }
            ItemKind::Filename => {
                let name = name_of(content)?;
                self.levels.name(name, header.start, &self.limits)?;
                self.name = name.to_vec();
                self.start = header.start;
                self.expected = Expected::Entry;
                Ok(Step::On)
            }
            ItemKind::Entry | ItemKind::EntryV1 => self.accept_entry(header, content),
            ItemKind::HardLink => self.accept_hard_link(content),
            ItemKind::PayloadRef => {
                let payload = self.payload_at(u64_at(content, 0), u64_at(content, 8))?;
                self.finish_entry(EntryKind::File(payload))
            }
            ItemKind::Symlink => {
                let target = path_of(content).ok_or(Problem::SymlinkTarget)?;
                self.finish_entry(EntryKind::Symlink(target.to_vec()))
            }
            ItemKind::Device => {
                let device = device(content)?;
                let attributes = self.attributes.as_ref();
                let file_type = attributes.map(|attributes| attributes.file_type);
                self.finish_entry(match file_type {
                    Some(FileType::BlockDevice) => EntryKind::BlockDevice(device),
                    _ => EntryKind::CharDevice(device),
                })
            }
            ItemKind::Goodbye => {
                let entries = self.levels.leave(&header, content)?;
                self.expected = self.after_entry();
                let offset = header.start;
                Ok(Step::Item(Item::Goodbye(Goodbye { offset, entries })))
            }
            _ => match &mut self.attributes {
                Some(attributes) => attributes.add(kind, content).map(|()| Step::On),
                None => Err(Problem::Misplaced { kind }),
            },
        }
    }

    fn accept_version<'a>(&mut self, version: u64) -> Result<Step<'a>, Problem> {
        self.version = match version {
            1 => Version::V1,
            2 => Version::V2,
            version => return Err(Problem::Version { version }),
        };
        self.expected = Expected::Prelude;
        Ok(Step::Item(Item::Version(self.version)))
    }

    fn accept_entry<'a>(&mut self, header: Header, content: &[u8]) -> Result<Step<'a>, Problem> {
        let attributes = Attributes::begin(header.kind, content)?;
        if self.expected != Expected::Entry && attributes.file_type != FileType::Directory {
            let mode = attributes.metadata.mode;
            return Err(Problem::RootNotDirectory { mode });
        }
        self.attributes = Some(attributes);
        self.entry = header.start;
        self.expected = Expected::Attribute;
        Ok(Step::On)
    }

    fn accept_hard_link<'a>(&mut self, content: &[u8]) -> Result<Step<'a>, Problem> {
        let (distance, path) = (u64_at(content, 0), &content[8..]);
        let path = path_of(path).ok_or(Problem::LinkPath)?;
        let target = self.start.checked_sub(distance);
        let target = target
            .filter(|target| *target < self.begun || self.files.contains(*target))
            .ok_or(Problem::LinkTarget { distance })?;
        self.expected = self.after_entry();
        Ok(Step::Item(Item::HardLink(HardLink {
            offset: self.start,
            name: mem::take(&mut self.name),
            target,
            path: path.to_vec(),
        })))
    }

    /// A payload whose header lies at an offset of the payload archive.
    fn payload_at(&mut self, offset: u64, len: u64) -> Result<Payload, Problem> {
        let archive_len = self.payload_len.ok_or(Problem::NoPayloadArchive)?;
        let data = offset.checked_add(HEADER_LEN);
        let (data, end) = data
            .and_then(|data| Some((data, data.checked_add(len)?)))
            // The marker at the start of the payload archive is as long as a header.
            .filter(|(_, end)| offset >= HEADER_LEN && *end <= archive_len)
            .ok_or(Problem::PayloadOutside { offset, len })?;
        if offset < self.payload_end && !self.is_any_order {
            return Err(Problem::PayloadFallsBack { offset });
        }
        self.payload_end = end;
        Ok(Payload {
            is_split: true,
            offset: data,
            len,
        })
    }

    /// Hands out the entry whose attributes were read.
    fn finish_entry<'a>(&mut self, kind: EntryKind) -> Result<Step<'a>, Problem> {
        let attributes = self.attributes.take().ok_or(Problem::Misplaced {
            kind: ItemKind::Entry,
        })?;
        let len = attributes.len();
        let metadata = attributes.finish()?;
        // The root has no FILENAME.
        let is_root = self.name.is_empty();
        let offset = if is_root { self.entry } else { self.start };
        match kind {
            EntryKind::Directory => {
                self.levels.enter(self.start, self.entry, &self.limits)?;
                self.levels.count_attributes(len);
            }
            EntryKind::File(_) => {
                let limit = self.limits.files;
                if self.files.count() >= limit {
                    return Err(Problem::TooManyFiles { limit });
                }
                self.files.push(self.start);
            }
            _ => {}
        }
        self.expected = self.after_entry();
        Ok(Step::Item(Item::Entry(Entry {
            offset,
            name: mem::take(&mut self.name),
            kind,
            metadata,
        })))
    }

    fn after_entry(&self) -> Expected {
        match self.levels.depth() {
            0 => Expected::Nothing,
            _ => Expected::Child,
        }
    }

    fn pass_on<'a>(&mut self, left: u64, input: &mut &'a [u8]) -> Step<'a> {
        let len = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        if len == 0 {
            return Step::More;
        }
        let (piece, rest) = input.split_at(len);
        *input = rest;
        self.state = match left - len as u64 {
            0 => State::Header,
            left => State::Payload { left },
        };
        Step::Item(Item::Data(piece))
    }
}

/// The path before the zero byte that ends `content`; `None` if the path
/// is empty, has no zero byte at its end, or has one before.
fn path_of(content: &[u8]) -> Option<&[u8]> {
    let (end, path) = content.split_last()?;
    (*end == 0 && !path.is_empty() && !path.contains(&0)).then_some(path)
}

/// The name in the content of FILENAME.
fn name_of(content: &[u8]) -> Result<&[u8], Problem> {
    path_of(content)
        .filter(|name| !name.contains(&b'/') && *name != b"." && *name != b"..")
        .ok_or(Problem::Name)
}
