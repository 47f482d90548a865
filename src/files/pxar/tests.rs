//! The decoder's rules, one by one, with archives made by hand.

use crate::files::pxar::item::ItemKind::{self, *};
use crate::files::pxar::item::KINDS;
use crate::files::pxar::{
    Decoder, EntryKind, Item, Limits, Payload, Problem, PxarError, Version, Xattr,
};

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const SYMLINK: u32 = 0o120_777;
const FIFO: u32 = 0o010_644;
const DEVICE: u32 = 0o020_600;

/// An archive as it grows, and the starts of the entries of its root.
#[derive(Clone, Default)]
struct Archive {
    bytes: Vec<u8>,
    root: usize,
    children: Vec<(Vec<u8>, usize)>,
}

impl Archive {
    /// An archive of version 1 with its root's ENTRY.
    fn new() -> Archive {
        Archive::default().entry(DIRECTORY)
    }

    fn item(mut self, kind: ItemKind, content: &[u8]) -> Archive {
        let size = content.len() as u64 + 16;
        let (_, number, _) = KINDS.iter().find(|(own, _, _)| *own == kind).unwrap();
        self.bytes.extend(number.to_le_bytes());
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(content);
        self
    }

    fn numbers(self, kind: ItemKind, numbers: &[u64]) -> Archive {
        let content: Vec<_> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.item(kind, &content)
    }

    fn entry(self, mode: u32) -> Archive {
        let mtime = [-2_i64 as u64, 500_000_000];
        self.numbers(Entry, &[mode.into(), 0, 7 << 32, mtime[0], mtime[1]])
    }

    fn name(mut self, name: &[u8]) -> Archive {
        self.children.push((name.to_vec(), self.bytes.len()));
        self.item(Filename, &[name, b"\0"].concat())
    }

    fn file(self, name: &str, data: &[u8]) -> Archive {
        let named = self.name(name.as_bytes()).entry(FILE);
        named.item(Payload, data)
    }

    fn link(self, name: &str, distance: u64) -> Archive {
        let content = [&distance.to_le_bytes()[..], b"path\0"].concat();
        self.name(name.as_bytes()).item(HardLink, &content)
    }

    /// Ends the directory that has `children` and begins at `entry`. The table is right for up to
    /// three entries: a sorted list of them needs only one change to be a tree.
    fn goodbye(self, entry: usize, children: &[(Vec<u8>, usize)]) -> Archive {
        let goodbye = self.bytes.len() as u64;
        let hash = |name: &[u8]| crate::files::pxar::goodbye::hash_of(name);
        let mut items: Vec<_> = (children.iter())
            .map(|(name, start)| [hash(name), goodbye - *start as u64, 0])
            .collect();
        items.sort_unstable();
        if items.len() > 1 {
            items.swap(0, 1);
        }
        let size = 16 + 24 * (items.len() as u64 + 1);
        items.push([0xef5e_ed5b_753e_1555, goodbye - entry as u64, size]);
        self.numbers(Goodbye, &items.concat())
    }

    /// Ends the root.
    fn end(self) -> Vec<u8> {
        let (root, children) = (self.root, self.children.clone());
        self.goodbye(root, &children).bytes
    }
}

fn decode_with(mut decoder: Decoder, mut bytes: &[u8]) -> Result<Vec<Item<'_>>, PxarError> {
    let mut items = Vec::new();
    while let Some(item) = decoder.decode(&mut bytes)? {
        items.push(item);
    }
    decoder.finish()?;
    Ok(items)
}

fn decode(bytes: &[u8]) -> Result<Vec<Item<'_>>, PxarError> {
    decode_with(Decoder::new(Limits::default()), bytes)
}

#[track_caller]
fn refuses(bytes: &[u8], problem: Problem) {
    let error = decode(bytes).unwrap_err();
    assert_eq!(*error.problem(), problem, "{error}");
}

/// The same for an archive that goes on rightly after what is wrong.
#[track_caller]
fn refuses_entry(archive: Archive, problem: Problem) {
    refuses(&archive.file("zz", b"").end(), problem);
}

#[test]
fn entries_have_what_the_archive_says() {
    let named = Archive::new().name(b"a").entry(FILE);
    let attributes = named
        .item(Xattr, b"user.x\0value")
        .numbers(AclUser, &[5, 6]);
    let archive = attributes.item(Fcaps, b"caps").item(Payload, b"data");
    let start = archive.children[0].1 as u64;
    let distance = archive.bytes.len() as u64 - start;
    let bytes = archive.link("b", distance).end();
    let items = decode(&bytes).unwrap();
    assert_eq!(items[0], Item::Version(Version::V1));
    let Item::Entry(file) = &items[2] else {
        panic!("{items:?}");
    };
    assert_eq!((file.name.as_slice(), file.offset), (&b"a"[..], start));
    let metadata = &file.metadata;
    assert_eq!((metadata.mode, metadata.uid, metadata.gid), (FILE, 0, 7));
    assert_eq!(
        (metadata.mtime.secs, metadata.mtime.nanos),
        (-2, 500_000_000)
    );
    let (name, value) = (b"user.x".to_vec(), b"value".to_vec());
    assert_eq!(metadata.xattrs, [Xattr { name, value }]);
    assert_eq!(
        (metadata.acl.users[0].id, metadata.acl.users[0].permissions),
        (5, 6)
    );
    assert_eq!(metadata.fcaps.as_deref(), Some(&b"caps"[..]));
    let EntryKind::File(Payload {
        is_split: false,
        offset,
        len: 4,
        ..
    }) = file.kind
    else {
        panic!("{file:?}");
    };
    assert_eq!(&bytes[offset as usize..][..4], b"data");
    assert_eq!(items[3], Item::Data(b"data"));
    let Item::HardLink(link) = &items[4] else {
        panic!("{items:?}");
    };
    assert_eq!((link.target, link.path.as_slice()), (start, &b"path"[..]));
    assert!(matches!(items[5], Item::Goodbye(goodbye) if goodbye.entries == 2));
}

#[test]
fn an_archive_that_does_not_end_with_its_root_is_refused() {
    let whole = Archive::new().file("a", b"data").end();
    for len in 0..whole.len() {
        refuses(&whole[..len], Problem::CutShort);
    }
    refuses(&[&whole[..], b"\0"].concat(), Problem::TrailingBytes);
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    for name in ["", ".", "..", "a/b", "/", "a\0b"] {
        refuses_entry(Archive::new().file(name, b""), Problem::Name);
    }
    let unended = Archive::new().item(Filename, b"name").entry(FILE);
    refuses_entry(unended, Problem::Name);
    refuses_entry(
        Archive::new().file("a", b"").file("a", b""),
        Problem::DuplicateName,
    );
}

#[test]
fn a_mode_that_disagrees_with_the_item_is_refused() {
    let mismatch = |mode, kind, content: &[u8]| {
        let archive = Archive::new().name(b"a").entry(mode).item(kind, content);
        refuses_entry(archive, Problem::TypeMismatch { mode, kind });
    };
    mismatch(DIRECTORY, Payload, b"data");
    mismatch(FILE, Symlink, b"target\0");
    mismatch(SYMLINK, Device, &[0; 16]);
    mismatch(DEVICE, Payload, b"");
    mismatch(FIFO, PayloadRef, &[0; 16]);
    for mode in [FILE, SYMLINK, DEVICE] {
        let kind = Filename;
        let nothing = Archive::new().name(b"a").entry(mode);
        refuses_entry(nothing, Problem::TypeMismatch { mode, kind });
    }
    for mode in [0o644, 0o300_644, 0o200_000 | FILE] {
        let problem = Problem::Mode { mode: mode.into() };
        refuses_entry(Archive::new().name(b"a").entry(mode), problem);
    }
    let root = Archive::default().entry(FILE).item(Payload, b"");
    refuses(&root.bytes, Problem::RootNotDirectory { mode: FILE });
}

#[test]
fn attributes_out_of_order_or_twice_are_refused() {
    let named = || Archive::new().name(b"a").entry(FILE);
    let misplaced = |archive: Archive, kind| {
        refuses_entry(archive.item(Payload, b""), Problem::Misplaced { kind });
    };
    misplaced(named().item(Fcaps, b"").item(Fcaps, b""), Fcaps);
    misplaced(named().item(Fcaps, b"").item(Xattr, b"a\0"), Xattr);
    misplaced(
        named().numbers(AclGroupObj, &[1]).numbers(AclUser, &[1, 1]),
        AclUser,
    );
    misplaced(named().entry(FILE), Entry);
    misplaced(Archive::new().entry(FILE), Entry);
    let twice = named()
        .item(Xattr, b"a\0")
        .item(Xattr, b"b\0")
        .item(Xattr, b"a\0");
    refuses_entry(twice.item(Payload, b""), Problem::DuplicateXattr);
    for content in [&b"name"[..], b"\0value", &[b'x'; 300]] {
        refuses_entry(named().item(Xattr, content), Problem::Xattr);
    }
    let value = [&b"a\0"[..], &[0; 65_000]].concat();
    let many = (0..300).fold(named(), |archive, _| archive.item(Xattr, &value));
    refuses_entry(many, Problem::TooManyAttributes { kind: Xattr });
    let acl = (0..8193).fold(named(), |archive, id| archive.numbers(AclUser, &[id, 1]));
    refuses_entry(acl, Problem::TooManyAttributes { kind: AclUser });
    let too_large = |kind, numbers: &[u64], number| {
        let archive = named().numbers(kind, numbers);
        refuses_entry(archive, Problem::Number { kind, number });
    };
    too_large(AclUser, &[1 << 32, 1], 1 << 32);
    too_large(AclUser, &[1, 8], 8);
    too_large(QuotaProjectId, &[1 << 32], 1 << 32);
}

#[test]
fn a_hard_link_leads_to_an_earlier_file_or_is_refused() {
    let file = || Archive::new().file("a", b"data");
    let len = file().bytes.len() as u64 - 56;
    let one = file().link("b", len).end();
    assert!(decode(&one).is_ok());
    // To itself, ahead, to the root, into the file, to a link.
    for distance in [0, u64::MAX, len + 56, len - 1, 1 << 40] {
        refuses_entry(file().link("b", distance), Problem::LinkTarget { distance });
    }
    let link_len = 18 + 16 + 8 + 5;
    let distance = link_len;
    let to_link = file().link("b", len).link("c", distance);
    refuses_entry(to_link, Problem::LinkTarget { distance });
    for path in [&b"\0"[..], b"path", b"pa\0th\0"] {
        let content = [&len.to_le_bytes()[..], path].concat();
        refuses_entry(
            file().name(b"b").item(HardLink, &content),
            Problem::LinkPath,
        );
    }
    for target in [&b"\0"[..], b"path", b"pa\0th\0"] {
        let link = Archive::new().name(b"b").entry(SYMLINK);
        refuses_entry(link.item(Symlink, target), Problem::SymlinkTarget);
    }
}

#[test]
fn payloads_lie_in_the_payload_archive_in_order() {
    let decode = |payloads: &[[u64; 2]], len: Option<u64>| {
        let names = [b"a", b"b"].into_iter().zip(payloads);
        let archive = names.fold(Archive::new(), |archive, (name, payload)| {
            archive.name(name).entry(FILE).numbers(PayloadRef, payload)
        });
        let bytes = archive.end();
        let decoder = Decoder::new(Limits::default());
        let decoder = match len {
            Some(len) => decoder.payload_archive_len(len),
            None => decoder,
        };
        let items = decode_with(decoder, &bytes);
        items.map(|_| ()).map_err(|error| error.problem().clone())
    };
    assert_eq!(decode(&[[16, 4], [36, 0]], Some(52)), Ok(()));
    assert_eq!(decode(&[[16, 4], [1000, 24]], Some(1040)), Ok(()));
    assert_eq!(decode(&[[16, 4]], None), Err(Problem::NoPayloadArchive));
    for [offset, len] in [[15, 4], [16, 21], [40, 0], [u64::MAX, 1], [16, u64::MAX]] {
        let outside = Err(Problem::PayloadOutside { offset, len });
        assert_eq!(decode(&[[offset, len]], Some(52)), outside);
    }
    for offset in [16, 35] {
        let back = Err(Problem::PayloadFallsBack { offset });
        assert_eq!(decode(&[[16, 4], [offset, 1]], Some(1000)), back);
    }
}

#[test]
fn a_table_that_does_not_fit_is_refused() {
    let archive = Archive::new().file("a", b"").file("b", b"").file("c", b"");
    let bytes = archive.clone().end();
    assert!(decode(&bytes).is_ok());
    let table = bytes.len() - 4 * 24;
    // Each byte counts, but for the lengths of files.
    for at in (0..bytes.len() - table).filter(|at| at % 24 < 16 || *at >= 72) {
        let mut bytes = bytes.clone();
        bytes[table + at] ^= 1;
        refuses(&bytes, Problem::Table);
    }
    let mut children = archive.children.clone();
    children.pop();
    refuses(&archive.clone().goodbye(0, &children).bytes, Problem::Table);
    let children = archive.children.clone();
    refuses(&archive.goodbye(1, &children).bytes, Problem::Table);
}

#[test]
fn versions_and_preludes_stand_before_the_root() {
    let root = |archive: Archive| {
        let root = archive.bytes.len();
        Archive { root, ..archive }.entry(DIRECTORY)
    };
    let version = |version| Archive::default().numbers(FormatVersion, &[version]);
    let both = root(version(2).item(Prelude, b"{}"));
    let start = both.clone();
    let bytes = both.end();
    let items = decode(&bytes).unwrap();
    assert_eq!(
        items[..2],
        [Item::Version(Version::V2), Item::Prelude(b"{}".to_vec())]
    );
    // The root's tail leads to the start, or to its ENTRY.
    assert!(decode(&Archive { root: 0, ..start }.end()).is_ok());
    refuses(&version(3).bytes, Problem::Version { version: 3 });
    let long = vec![0; (1 << 20) + 1];
    let limit = 1 << 20;
    refuses(
        &version(2).item(Prelude, &long).bytes,
        Problem::PreludeTooLong { limit },
    );
    let misplaced = |archive: Archive, kind| refuses(&archive.bytes, Problem::Misplaced { kind });
    misplaced(Archive::default().item(Prelude, b""), Prelude);
    misplaced(version(2).numbers(FormatVersion, &[2]), FormatVersion);
    misplaced(version(2).item(Prelude, b"").item(Prelude, b""), Prelude);
    misplaced(root(version(2)).numbers(FormatVersion, &[2]), FormatVersion);
}

#[test]
fn limits_hold() {
    let deep = |depth| {
        let deeper = |archive: Archive, _| archive.name(b"d").entry(DIRECTORY);
        // A directory is entered when its first entry comes.
        (1..depth).fold(Archive::new(), deeper).name(b"a").bytes
    };
    let limit = 1024;
    refuses(&deep(1024), Problem::CutShort);
    refuses(&deep(1025), Problem::TooDeep { limit });
    let three = Archive::new()
        .file("a", b"")
        .file("b", b"")
        .file("c", b"")
        .end();
    let problem = |limits| {
        let items = decode_with(Decoder::new(limits), &three);
        items.map_err(|error| error.problem().clone()).err()
    };
    let (mut entries, mut files) = (Limits::default(), Limits::default());
    (entries.open_entries, files.files) = (2, 2);
    assert_eq!(problem(entries), Some(Problem::TooManyEntries { limit: 2 }));
    assert_eq!(problem(files), Some(Problem::TooManyFiles { limit: 2 }));
    let len = three.len() as u64;
    let decoder = |len| Decoder::new(Limits::default()).archive_len(len);
    assert!(decode_with(decoder(len), &three).is_ok());
    let error = decode_with(decoder(len - 1), &three).unwrap_err();
    let (kind, len) = (Goodbye, len - 1);
    assert_eq!(*error.problem(), Problem::BeyondEnd { kind, len });
}

#[test]
fn one_entry_can_be_decoded_from_its_offset() {
    let archive = Archive::new().file("a", b"data").name(b"f").entry(FIFO);
    let (starts, bytes) = (archive.children.clone(), archive.file("z", b"").end());
    for (name, start) in starts {
        let mut decoder = Decoder::at(start as u64, Version::V1, Limits::default());
        let mut input = &bytes[start..];
        let item = decoder.decode(&mut input).unwrap();
        let Some(Item::Entry(entry)) = item else {
            panic!("{item:?}");
        };
        assert_eq!((entry.name, entry.offset), (name, start as u64));
        decoder.skip_payload();
        assert!(decoder.is_complete());
    }
}
