//! The entries of an archive as plain data, and what the decoder hands out.

/// Something that the decoder found in an archive, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item<'a> {
    /// The archive has this version of the format. The decoder always hands out a version first.
    Version(Version),
    /// Bytes before the root directory. In archives of version 2 it is JSON that lists which files
    /// the backup left out.
    Prelude(Vec<u8>),
    /// An entry. After a directory come its entries, and then its [`Goodbye`](Item::Goodbye). The
    /// first entry is the root directory, whose name is empty.
    Entry(Entry),
    /// Another name of an earlier regular file.
    HardLink(HardLink),
    /// The next bytes of the regular file that was the last entry. They lie in the input.
    Data(&'a [u8]),
    /// The end of a directory.
    Goodbye(Goodbye),
}

/// The bits of [`Metadata::flags`] that FAT file systems have: hidden, system and archive.
pub(crate) const FAT_FLAGS: u64 = 0xe000;

/// A version of the pxar format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// Version 1: one archive holds everything (`.pxar`).
    V1,
    /// Version 2: the payloads may lie in an archive of their own (`.mpxar` and `.ppxar`).
    V2,
}

/// A file, directory or other entry of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The offset in the archive where the entry begins with its name, in bytes; where the root
    /// begins with its metadata. Hard links name their target by it.
    pub offset: u64,
    /// The name, as bytes in no certain encoding: not empty, not `.` or `..`, without `/` and zero
    /// bytes. Only the root's name is empty.
    pub name: Vec<u8>,
    /// What the entry is. It agrees with the mode.
    pub kind: EntryKind,
    /// Mode, owner, time and attributes.
    pub metadata: Metadata,
}

impl Entry {
    /// Whether the entry is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }
}

/// What an entry is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A directory.
    #[default]
    Directory,
    /// A regular file.
    File(Payload),
    /// A symbolic link with its target: 1 to 4,096 bytes, none of which is zero.
    Symlink(Vec<u8>),
    /// A block device.
    BlockDevice(Device),
    /// A character device.
    CharDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Where the bytes of a regular file lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payload {
    /// Whether the bytes lie in the payload archive (`.ppxar`), and not in the archive itself.
    pub is_split: bool,
    /// The offset of the first byte. In a payload archive, a header of 16 bytes lies before it:
    /// check it with [`check_payload_header`](super::check_payload_header).
    pub offset: u64,
    /// The length of the file, in bytes.
    pub len: u64,
}

/// The numbers of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// The number of the driver.
    pub major: u32,
    /// The number of the device at this driver.
    pub minor: u32,
}

/// Another name of an earlier regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HardLink {
    /// The offset of the link in the archive, in bytes.
    pub offset: u64,
    /// The name, as that of an [`Entry`].
    pub name: Vec<u8>,
    /// The [`offset`](Entry::offset) of the file that the link is another name of. A decoder that
    /// began at the start of the archive has handed out this file before.
    pub target: u64,
    /// The path of the file that the link is another name of, from the archive's root. Don't rely
    /// on it: nothing checks that it leads to the same file, or that it has no `..`.
    pub path: Vec<u8>,
}

/// The end of a directory. The decoder has compared the table of the directory with its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Goodbye {
    /// The offset of the item in the archive, in bytes.
    pub offset: u64,
    /// How many entries the directory has.
    pub entries: usize,
}

/// Mode, owner, time and attributes of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Type and permissions, as `st_mode` has them.
    pub mode: u32,
    /// Flags of the file system, in the archive's own numbers.
    pub flags: u64,
    /// The owner.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// When the contents were last changed.
    pub mtime: Mtime,
    /// Extended attributes, in the order of the archive. Names are unique.
    pub xattrs: Vec<Xattr>,
    /// The access control lists.
    pub acl: Acl,
    /// The capabilities, as the extended attribute `security.capability` has them.
    pub fcaps: Option<Vec<u8>>,
    /// The project that the quota counts the file for.
    pub quota_project_id: Option<u32>,
}

impl Metadata {
    /// How many bytes the extended attributes, the capabilities and the access control lists take.
    pub(crate) fn attributes_len(&self) -> u64 {
        let xattrs = self.xattrs.iter();
        let xattrs: usize = xattrs
            .map(|xattr| xattr.name.len() + xattr.value.len())
            .sum();
        let acl = &self.acl;
        let users = acl.users.len() + acl.default_users.len();
        let groups = acl.groups.len() + acl.default_groups.len();
        let lists = (users + groups) * size_of::<AclEntry>();
        let capabilities = self.fcaps.as_ref().map_or(0, Vec::len);
        (xattrs + lists + capabilities) as u64
    }
}

/// A time: `secs` after 1970 began (before it if negative), and `nanos` after that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Mtime {
    /// Whole seconds.
    pub secs: i64,
    /// Nanoseconds, less than a billion.
    pub nanos: u32,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Xattr {
    /// The name: 1 to 255 bytes, none of which is zero.
    pub name: Vec<u8>,
    /// The value, of at most 65,536 bytes.
    pub value: Vec<u8>,
}

/// The access control lists of an entry. Permissions are 4 (read), 2 (write) and 1 (execute).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acl {
    /// The named users.
    pub users: Vec<AclEntry>,
    /// The named groups.
    pub groups: Vec<AclEntry>,
    /// The permissions of the owning group. If they are there, the group bits of the mode are the
    /// mask.
    pub group_obj: Option<u8>,
    /// The list that new entries of a directory get.
    pub default: Option<DefaultAcl>,
    /// The named users of the default list.
    pub default_users: Vec<AclEntry>,
    /// The named groups of the default list.
    pub default_groups: Vec<AclEntry>,
}

/// A user or a group with its permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AclEntry {
    /// The user's or the group's number.
    pub id: u32,
    /// The permissions, 0 to 7.
    pub permissions: u8,
}

/// The permissions of the default list, 0 to 7 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DefaultAcl {
    /// The owner's.
    pub user: u8,
    /// The owning group's.
    pub group: u8,
    /// Everybody else's.
    pub other: u8,
    /// The most that named users, named groups and the owning group may have.
    pub mask: Option<u8>,
}

/// The type that a mode states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileType {
    Directory,
    File,
    Symlink,
    BlockDevice,
    CharDevice,
    Fifo,
    Socket,
}

impl FileType {
    pub(crate) fn of(mode: u32) -> Option<FileType> {
        Some(match mode & 0o170_000 {
            0o040_000 => FileType::Directory,
            0o100_000 => FileType::File,
            0o120_000 => FileType::Symlink,
            0o060_000 => FileType::BlockDevice,
            0o020_000 => FileType::CharDevice,
            0o010_000 => FileType::Fifo,
            0o140_000 => FileType::Socket,
            _ => return None,
        })
    }
}
