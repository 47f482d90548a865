//! Gives a file or a directory its owner, extended attributes, access control lists, mode, time and
//! flags.

use std::os::fd::BorrowedFd;

use rustix::fs::{
    Gid, IFlags, Mode, Timespec, Timestamps, UTIME_NOW, Uid, XattrFlags, fchmod, fchown,
    fremovexattr, fsetxattr, futimens, ioctl_getflags, ioctl_setflags,
};
use rustix::io::Errno;

use crate::files::extract::options::Properties;
use crate::files::omission::LeftOut;
use crate::files::pxar::{Acl, FAT_FLAGS, Metadata, Mtime};

/// The bits setuid and setgid of a mode.
const SET_ID: u32 = 0o6000;

/// The names of the extended attributes that hold capabilities and access control lists.
const CAPABILITY: &str = "security.capability";
const ACCESS_ACL: &str = "system.posix_acl_access";
pub(super) const DEFAULT_ACL: &str = "system.posix_acl_default";

/// The flags of an archive, each with the flag of the kernel (`FS_IOC_SETFLAGS`).
const FLAGS: [(u64, IFlags); 10] = [
    (0x1_0000, IFlags::APPEND),
    (0x2_0000, IFlags::NOATIME),
    (0x4_0000, IFlags::COMPRESSED),
    (0x8_0000, IFlags::NOCOW),
    (0x10_0000, IFlags::NODUMP),
    (0x20_0000, IFlags::DIRSYNC),
    (0x40_0000, IFlags::IMMUTABLE),
    (0x80_0000, IFlags::SYNC),
    (0x100_0000, IFlags::from_bits_retain(0x400)),
    (0x200_0000, IFlags::PROJECT_INHERIT),
];

/// What failed: the property in words, and why.
pub(super) type Failed = (&'static str, Errno);

/// Gives files their properties, as far as they are wanted and the user may do it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes {
    pub(super) wanted: Properties,
    /// The user and the group that new files belong to.
    pub(super) uid: Uid,
    pub(super) gid: Gid,
}

impl Attributes {
    pub(super) fn new(wanted: Properties) -> Attributes {
        Attributes {
            wanted,
            uid: rustix::process::geteuid(),
            gid: rustix::process::getegid(),
        }
    }

    /// Gives an open file or directory everything but its time and its flags. Adds to `left_out`
    /// what was left out.
    pub(super) fn apply(
        &self,
        file: BorrowedFd<'_>,
        metadata: &Metadata,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<(), Failed> {
        let is_owner_right = self.owner(metadata, left_out, |uid, gid| fchown(file, uid, gid))?;
        self.xattrs(file, metadata, left_out)?;
        self.capabilities(file, metadata, left_out)?;
        self.acls(file, metadata, left_out)?;
        if metadata.quota_project_id.is_some_and(|id| id != 0) {
            left_out.push(LeftOut::ProjectId);
        }
        let mode = self.mode(metadata, is_owner_right, left_out);
        if self.wanted.permissions {
            self.allowing(fchmod(file, mode), LeftOut::Permissions, left_out)
                .map_err(|error| ("permissions", error))?;
        }
        Ok(())
    }

    /// Sets the owner by `change`. Returns whether the owner is the right one.
    pub(super) fn owner(
        &self,
        metadata: &Metadata,
        left_out: &mut Vec<LeftOut>,
        change: impl Fn(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
    ) -> Result<bool, Failed> {
        let is_own = (metadata.uid, metadata.gid) == (self.uid.as_raw(), self.gid.as_raw());
        if !self.wanted.ownership {
            return Ok(is_own);
        }
        // This number changes nothing.
        let uid = (metadata.uid != u32::MAX).then(|| Uid::from_raw(metadata.uid));
        let gid = (metadata.gid != u32::MAX).then(|| Gid::from_raw(metadata.gid));
        match change(uid, gid) {
            Ok(()) => Ok(true),
            // Also root may be refused: by a file system without owners, and in a user namespace
            // that lacks the owner.
            Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                if is_own {
                    return Ok(true);
                }
                left_out.push(LeftOut::Owner);
                // A user may give a file to any group of theirs.
                let _ = change(None, gid);
                Ok(false)
            }
            Err(error) => Err(("owner", error)),
        }
    }

    /// The permissions that an entry gets.
    pub(super) fn mode(
        &self,
        metadata: &Metadata,
        is_owner_right: bool,
        left_out: &mut Vec<LeftOut>,
    ) -> Mode {
        let mut mode = metadata.mode & 0o7777;
        // With another owner, these bits would give away the rights of the wrong user.
        if mode & SET_ID != 0 && !(is_owner_right && self.wanted.special) {
            left_out.push(LeftOut::SetId);
            mode &= !SET_ID;
        }
        Mode::from_raw_mode(mode)
    }

    fn xattrs(
        &self,
        file: BorrowedFd<'_>,
        metadata: &Metadata,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<(), Failed> {
        if !self.wanted.xattrs {
            return Ok(());
        }
        for xattr in &metadata.xattrs {
            let name = xattr.name.as_slice();
            let is_special = name.starts_with(b"trusted.");
            let is_known = name.starts_with(b"user.") || is_special || name == b"security.NTACL";
            if !is_known || (is_special && !self.wanted.special) {
                left_out.push(LeftOut::Xattrs);
                continue;
            }
            let set = fsetxattr(file, name, &xattr.value, XattrFlags::empty());
            self.allowing(set, LeftOut::Xattrs, left_out)
                .map_err(|error| ("extended attributes", error))?;
        }
        Ok(())
    }

    fn capabilities(
        &self,
        file: BorrowedFd<'_>,
        metadata: &Metadata,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<(), Failed> {
        let Some(capabilities) = &metadata.fcaps else {
            return Ok(());
        };
        if !self.wanted.special {
            left_out.push(LeftOut::Capabilities);
            return Ok(());
        }
        let set = fsetxattr(file, CAPABILITY, capabilities, XattrFlags::empty());
        self.allowing(set, LeftOut::Capabilities, left_out)
            .map_err(|error| ("capabilities", error))
    }

    fn acls(
        &self,
        file: BorrowedFd<'_>,
        metadata: &Metadata,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<(), Failed> {
        if !self.wanted.acls || metadata.acl == Acl::default() {
            return Ok(());
        }
        let is_directory = metadata.mode & 0o170_000 == 0o040_000;
        let default = metadata.default_acl();
        if default.is_some() && !is_directory {
            left_out.push(LeftOut::Acls);
        }
        let lists = [
            (ACCESS_ACL, metadata.access_acl()),
            (DEFAULT_ACL, default.filter(|_| is_directory)),
        ];
        for (name, list) in lists {
            let Some(list) = list else { continue };
            let set = match fsetxattr(file, name, &list, XattrFlags::empty()) {
                // The user namespace lacks a user or a group of the list.
                Err(Errno::INVAL) => Err(Errno::PERM),
                set => set,
            };
            self.allowing(set, LeftOut::Acls, left_out)
                .map_err(|error| ("access control lists", error))?;
        }
        Ok(())
    }

    /// Takes a refusal for an omission: where the file system can't do it, and where the user may
    /// not, who may be root in a namespace.
    pub(super) fn allowing(
        &self,
        done: Result<(), Errno>,
        property: LeftOut,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<(), Errno> {
        match done {
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => {}
            Err(Errno::PERM | Errno::ACCESS) => {}
            done => return done,
        }
        left_out.push(property);
        Ok(())
    }

    /// Takes flags away that forbid changes, if `flags` has them too: an earlier extraction has set
    /// them.
    pub(super) fn unlock(&self, file: BorrowedFd<'_>, flags: u64) {
        let locks = kernel_flags(flags) & ALL_LOCKS;
        if !locks.is_empty() {
            let _ = unlocked(file, locks);
        }
    }

    /// Sets the time and then the flags, after which some files can't be changed any more.
    pub(super) fn seal(
        &self,
        file: BorrowedFd<'_>,
        mtime: Mtime,
        flags: u64,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<(), Failed> {
        let set = futimens(file, &times(mtime));
        self.allowing(set, LeftOut::Time, left_out)
            .map_err(|error| ("time", error))?;
        self.flags(file, flags, left_out)
    }

    fn flags(
        &self,
        file: BorrowedFd<'_>,
        flags: u64,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<(), Failed> {
        if flags & FAT_FLAGS != 0 {
            left_out.push(LeftOut::FatFlags);
        }
        let wanted = kernel_flags(flags);
        if wanted.is_empty() {
            return Ok(());
        }
        let set = ioctl_getflags(file).and_then(|now| ioctl_setflags(file, now | wanted));
        let set = match set {
            Err(Errno::INVAL | Errno::BADF) => Err(Errno::OPNOTSUPP),
            set => set,
        };
        self.allowing(set, LeftOut::Flags, left_out)
            .map_err(|error| ("file system flags", error))
    }
}

/// The flags of the kernel for those of an archive.
fn kernel_flags(flags: u64) -> IFlags {
    let known = FLAGS.iter().filter(|(flag, _)| flags & flag != 0);
    known.fold(IFlags::empty(), |all, (_, flag)| all | *flag)
}

/// The flags that forbid changes.
pub(super) const ALL_LOCKS: IFlags = IFlags::APPEND.union(IFlags::IMMUTABLE);

/// Takes flags away. Returns the flags that the file had; `None` if it has none of these flags, or
/// keeps them.
pub(super) fn unlocked(file: BorrowedFd<'_>, locks: IFlags) -> Option<IFlags> {
    let now = ioctl_getflags(file).ok()?;
    let is_changed = now.intersects(locks) && ioctl_setflags(file, now - locks).is_ok();
    is_changed.then_some(now)
}

/// Takes away the access control lists that a new file or directory got from the directory that it
/// was made in.
pub(super) fn remove_inherited_acls(file: BorrowedFd<'_>) {
    for name in [ACCESS_ACL, DEFAULT_ACL] {
        // It has none, or the file system has no such lists.
        let _ = fremovexattr(file, name);
    }
}

/// The time of the last change for a system call. The time of the last access becomes the present:
/// some FUSE file systems ignore a call that sets but one of the two.
pub(super) fn times(mtime: Mtime) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        },
        last_modification: Timespec {
            tv_sec: mtime.secs,
            tv_nsec: mtime.nanos.into(),
        },
    }
}
