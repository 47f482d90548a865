//! What the kernel is told of the entries of file archives.

use std::time::{Duration, SystemTime};

use chunk_restore::files::pxar::{Device, Entry, EntryKind, Mtime};
use fuser::{FileAttr, FileType, INodeNo};

use crate::entries::size;

/// The blocks that file systems count in, in bytes.
pub(crate) const BLOCK_LEN: u64 = 512;

/// The block size that programs are told to read in, in bytes.
pub(crate) const READ_LEN: u32 = 128 << 10;

/// Linux has no other permissions for symbolic links.
const SYMLINK_PERMISSIONS: u32 = 0o777;

/// The largest numbers of a device that Linux has.
const MAJOR_MAX: u32 = 0xfff;
const MINOR_MAX: u32 = 0xf_ffff;

/// The attributes of an entry. Hard links are not counted: that would need the whole archive.
pub(crate) fn attributes(number: u64, entry: &Entry) -> FileAttr {
    let metadata = &entry.metadata;
    let time = time(metadata.mtime);
    let size = size(&entry.kind);
    let mode = match entry.kind {
        EntryKind::Symlink(_) => SYMLINK_PERMISSIONS,
        _ => metadata.mode,
    };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(BLOCK_LEN),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: file_type(&entry.kind),
        perm: (mode & 0o7777) as u16,
        nlink: 1,
        uid: metadata.uid,
        gid: metadata.gid,
        rdev: match entry.kind {
            EntryKind::BlockDevice(device) | EntryKind::CharDevice(device) => encoded(device),
            _ => 0,
        },
        blksize: READ_LEN,
        flags: 0,
    }
}

fn file_type(kind: &EntryKind) -> FileType {
    match kind {
        EntryKind::Directory => FileType::Directory,
        EntryKind::Symlink(_) => FileType::Symlink,
        EntryKind::BlockDevice(_) => FileType::BlockDevice,
        EntryKind::CharDevice(_) => FileType::CharDevice,
        EntryKind::Fifo => FileType::NamedPipe,
        EntryKind::Socket => FileType::Socket,
        _ => FileType::RegularFile,
    }
}

/// The numbers of a device as FUSE has them; 0 for numbers that no device of Linux can have.
fn encoded(device: Device) -> u32 {
    let Device { major, minor, .. } = device;
    if major > MAJOR_MAX || minor > MINOR_MAX {
        return 0;
    }
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

/// A time for the kernel; 1970 if no clock can have it.
fn time(mtime: Mtime) -> SystemTime {
    let secs = Duration::from_secs(mtime.secs.unsigned_abs());
    let whole = match mtime.secs < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(secs),
        false => SystemTime::UNIX_EPOCH.checked_add(secs),
    };
    let time = whole.and_then(|whole| whole.checked_add(Duration::from_nanos(mtime.nanos.into())));
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
