//! Makes symbolic links, hard links, devices, named pipes and sockets.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, chmod, chmodat, chownat, ioctl_setflags, linkat,
    makedev, mknodat, openat, readlinkat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::files::extract::attributes::{ALL_LOCKS, Attributes, times, unlocked};
use crate::files::extract::folders::Folder;
use crate::files::extract::new_file::proc_path;
use crate::files::extract::place::{Made, MakeError, Place};
use crate::files::omission::LeftOut;
use crate::files::pxar::{Device, Entry, EntryKind, Metadata, Mtime};

/// Makes a symbolic link. Returns whether the file system has such links.
pub(super) fn symlink(
    place: Place<'_>,
    target: &[u8],
    metadata: &Metadata,
    attributes: &Attributes,
    left_out: &mut Vec<LeftOut>,
) -> Result<bool, MakeError> {
    let target = OsStr::from_bytes(target);
    let found = place.look()?;
    let is_there = found.is_some() && {
        let now = readlinkat(place.fd(), place.name(), Vec::new());
        now.is_ok_and(|now| now.as_bytes() == target.as_bytes())
    };
    if is_there && !place.replaces {
        // It may have other names elsewhere, so it stays as it is.
        return Ok(true);
    }
    let mut dress = |name: &OsStr| {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let change = |uid, gid| chownat(place.fd(), name, uid, gid, nofollow);
        let owned = attributes.owner(metadata, left_out, change);
        owned.map_err(|failed| place.failed(failed))?;
        leave_out_lists(metadata, attributes, left_out);
        set_time(&place, name, metadata.mtime, attributes, left_out)
    };
    if is_there {
        return dress(place.name()).map(|()| true);
    }
    if let Some(found) = &found {
        place.check_replaces(found)?;
    }
    let named = place.after_look(found.as_ref());
    let made = named.make(|name| symlinkat(target, place.fd(), name), dress)?;
    place.check_refused(made)
}

/// Sets the time of what is not a regular file.
fn set_time(
    place: &Place<'_>,
    name: &OsStr,
    mtime: Mtime,
    attributes: &Attributes,
    left_out: &mut Vec<LeftOut>,
) -> Result<(), MakeError> {
    place.times.note_loss(mtime, left_out);
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let timed = utimensat(place.fd(), name, &times(mtime), nofollow);
    let timed = attributes.allowing(timed, LeftOut::Time, left_out);
    timed.map_err(|error| place.failed(("time", error)))
}

/// Makes a device, a named pipe or a socket. Returns whether the file system has such things and the
/// user may make them.
pub(super) fn special(
    place: Place<'_>,
    entry: &Entry,
    attributes: &Attributes,
    left_out: &mut Vec<LeftOut>,
) -> Result<bool, MakeError> {
    let (kind, device) = match &entry.kind {
        EntryKind::BlockDevice(device) => (FileType::BlockDevice, number(*device)),
        EntryKind::CharDevice(device) => (FileType::CharacterDevice, number(*device)),
        EntryKind::Socket => (FileType::Socket, 0),
        _ => (FileType::Fifo, 0),
    };
    let metadata = &entry.metadata;
    let is_same = |found: &Stat| {
        FileType::from_raw_mode(found.st_mode) == kind && (device == 0 || found.st_rdev == device)
    };
    let mut dress = |name: &OsStr| {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let change = |uid, gid| chownat(place.fd(), name, uid, gid, nofollow);
        let is_owner_right = attributes.owner(metadata, left_out, change);
        let is_owner_right = is_owner_right.map_err(|failed| place.failed(failed))?;
        leave_out_lists(metadata, attributes, left_out);
        let mode = attributes.mode(metadata, is_owner_right, left_out);
        if attributes.wanted.permissions {
            let set = change_mode(&place, name, mode);
            attributes
                .allowing(set, LeftOut::Permissions, left_out)
                .map_err(|error| place.failed(("permissions", error)))?;
        }
        set_time(&place, name, metadata.mtime, attributes, left_out)
    };
    match look_again(&place)? {
        Some(found) if is_same(&found) && place.replaces => dress(place.name()).map(|()| true),
        // It may have other names elsewhere, so it stays as it is.
        Some(found) if is_same(&found) => Ok(true),
        // Such entries replace nothing.
        Some(_) => Err(place.exists()),
        None => {
            let make = |name: &OsStr| {
                let made = mknodat(place.fd(), name, kind, Mode::empty(), device);
                made.map_err(|error| what_came_of(error, &place, name))
            };
            let made = place.after_look(None).make(make, dress)?;
            place.check_refused(made)
        }
    }
}

/// Some FUSE file systems without special files make an empty file instead, which the kernel takes for
/// an I/O error. Removes such a file.
fn what_came_of(error: Errno, place: &Place<'_>, name: &OsStr) -> Errno {
    let found = place.folder.look(name);
    let is_made = error == Errno::IO && found.is_ok_and(|found| is_empty_file(&found));
    match is_made && unlinkat(place.fd(), name, AtFlags::empty()).is_ok() {
        true => Errno::OPNOTSUPP,
        false => error,
    }
}

/// What is at the place of a special file, after such an empty file is removed: a kill may have come
/// before its removal.
fn look_again(place: &Place<'_>) -> Result<Option<Stat>, MakeError> {
    let found = place.look()?;
    let is_left = found.as_ref().is_some_and(is_empty_file) && place.folder.lists(place.name());
    if !place.is_own || !is_left {
        return Ok(found);
    }
    let removed = unlinkat(place.fd(), place.name(), AtFlags::empty());
    removed
        .map_err(|error| place.not_made(error))
        .map(|()| None)
}

fn is_empty_file(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_size == 0
}

/// Changes the mode of what is in a directory without opening it as a device would be opened.
fn change_mode(place: &Place<'_>, name: &OsStr, mode: Mode) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = openat(place.fd(), name, flags, Mode::empty())?;
    match chmod(proc_path(held.as_fd()), mode) {
        // There is no `/proc`. Nobody else can put a link into a directory that is new.
        Err(Errno::NOENT) if place.folder.is_new => {
            chmodat(place.fd(), name, mode, AtFlags::empty())
        }
        changed => changed,
    }
}

/// Only files and directories can have extended attributes and access control lists of their own.
fn leave_out_lists(metadata: &Metadata, attributes: &Attributes, left_out: &mut Vec<LeftOut>) {
    let has_xattrs = !metadata.xattrs.is_empty() || metadata.fcaps.is_some();
    if has_xattrs && attributes.wanted.xattrs {
        left_out.push(LeftOut::Xattrs);
    }
    if metadata.acl != Default::default() && attributes.wanted.acls {
        left_out.push(LeftOut::Acls);
    }
}

/// Makes another name of a file that lies in `target`, in place of what was `found`.
pub(super) fn hard_link(
    place: Place<'_>,
    found: Option<&Stat>,
    target: &Folder,
    target_name: &OsStr,
) -> Result<Made, MakeError> {
    // A link has all of its properties at once.
    let named = Place {
        is_own: true,
        ..place.after_look(found)
    };
    named.make(|name| link(&place, name, target, target_name), |_| Ok(()))
}

fn link(
    place: &Place<'_>,
    name: &OsStr,
    target: &Folder,
    target_name: &OsStr,
) -> Result<(), Errno> {
    let link = || {
        linkat(
            target.as_fd(),
            target_name,
            place.fd(),
            name,
            AtFlags::empty(),
        )
    };
    let refused = match link() {
        Err(Errno::PERM) => Err(Errno::PERM),
        made => return made,
    };
    // An earlier extraction may have made the file one that can't be changed.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let Ok(file) = openat(target.as_fd(), target_name, flags, Mode::empty()) else {
        return refused;
    };
    match unlocked(file.as_fd(), ALL_LOCKS) {
        Some(locked) => {
            let made = link();
            let _ = ioctl_setflags(&file, locked);
            made
        }
        None => refused,
    }
}

fn number(device: Device) -> u64 {
    makedev(device.major, device.minor)
}
