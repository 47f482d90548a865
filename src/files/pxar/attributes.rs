//! The metadata of an entry: ENTRY, and the items of its attributes.

use crate::files::pxar::error::Problem;
use crate::files::pxar::item::{ItemKind, u32_at, u64_at};
use crate::files::pxar::levels::Limits;
use crate::files::pxar::metadata::{
    AclEntry, DefaultAcl, Device, FileType, Metadata, Mtime, Xattr,
};

/// The largest mode: the bits of the type, setuid, setgid, sticky, and the permissions.
const MODE_MAX: u64 = 0o177_777;
const NANOS_PER_SEC: u32 = 1_000_000_000;

/// The longest name and value of an extended attribute that Linux can set, in bytes.
const XATTR_NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 65_536;

/// The most bytes that the names of all extended attributes of a file can have, with a zero byte
/// after each: Linux can't list more.
const XATTR_NAMES_MAX: usize = 65_536;

/// The most entries that one list of an ACL can have: Linux keeps an ACL in an extended attribute
/// of 64 KiB, and each entry takes 8 bytes.
const ACL_ENTRIES_MAX: usize = 8192;

/// A number that stands for an absent permission.
const ABSENT: u64 = u64::MAX;

/// The metadata of an entry while its attributes are still coming.
#[derive(Debug)]
pub(crate) struct Attributes {
    pub(crate) metadata: Metadata,
    pub(crate) file_type: FileType,
    /// The kind of the last item.
    last: ItemKind,
    /// The length of all extended attributes and capabilities so far, in bytes.
    len: u64,
    names_len: usize,
}

impl Attributes {
    /// Reads the content of ENTRY or ENTRY_V1.
    pub(crate) fn begin(kind: ItemKind, content: &[u8]) -> Result<Attributes, Problem> {
        let mode = u64_at(content, 0);
        let (mode, file_type) = u32::try_from(mode)
            .ok()
            .filter(|_| mode <= MODE_MAX)
            .and_then(|mode| Some((mode, FileType::of(mode)?)))
            .ok_or(Problem::Mode { mode })?;
        let mtime = match kind {
            ItemKind::EntryV1 => of_nanos(u64_at(content, 24)),
            _ => Mtime {
                secs: u64_at(content, 24).cast_signed(),
                nanos: u32_at(content, 32),
            },
        };
        if mtime.nanos >= NANOS_PER_SEC {
            let nanos = mtime.nanos;
            return Err(Problem::Nanoseconds { nanos });
        }
        Ok(Attributes {
            metadata: Metadata {
                mode,
                flags: u64_at(content, 8),
                uid: u32_at(content, 16),
                gid: u32_at(content, 20),
                mtime,
                ..Metadata::default()
            },
            file_type,
            last: ItemKind::Entry,
            len: 0,
            names_len: 0,
        })
    }

    /// Whether an item of this kind may be the next.
    pub(crate) fn allow(&self, kind: ItemKind) -> bool {
        kind > self.last || (kind == self.last && kind.may_repeat())
    }

    /// The length of all extended attributes and capabilities so far, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is room for the content of an attribute, before it is read. The directories
    /// around have `around` bytes of extended attributes.
    pub(crate) fn check_room(
        &self,
        kind: ItemKind,
        len: u64,
        around: u64,
        limits: &Limits,
    ) -> Result<(), Problem> {
        let acl = &self.metadata.acl;
        let has_room = match kind {
            ItemKind::Xattr | ItemKind::Fcaps => around + self.len + len <= limits.attributes,
            ItemKind::AclUser => acl.users.len() < ACL_ENTRIES_MAX,
            ItemKind::AclGroup => acl.groups.len() < ACL_ENTRIES_MAX,
            ItemKind::AclDefaultUser => acl.default_users.len() < ACL_ENTRIES_MAX,
            ItemKind::AclDefaultGroup => acl.default_groups.len() < ACL_ENTRIES_MAX,
            _ => true,
        };
        has_room
            .then_some(())
            .ok_or(Problem::TooManyAttributes { kind })
    }

    /// Reads an attribute that was allowed.
    pub(crate) fn add(&mut self, kind: ItemKind, content: &[u8]) -> Result<(), Problem> {
        self.last = kind;
        let acl = &mut self.metadata.acl;
        match kind {
            ItemKind::Xattr => self.add_xattr(content)?,
            ItemKind::AclUser => acl.users.push(acl_entry(kind, content)?),
            ItemKind::AclGroup => acl.groups.push(acl_entry(kind, content)?),
            ItemKind::AclDefaultUser => acl.default_users.push(acl_entry(kind, content)?),
            ItemKind::AclDefaultGroup => acl.default_groups.push(acl_entry(kind, content)?),
            ItemKind::AclGroupObj => acl.group_obj = Some(permissions(kind, u64_at(content, 0))?),
            ItemKind::AclDefault => acl.default = Some(default_acl(content)?),
            ItemKind::Fcaps => {
                self.len += content.len() as u64;
                self.metadata.fcaps = Some(content.to_vec());
            }
            ItemKind::QuotaProjectId => {
                let id = small(kind, u64_at(content, 0))?;
                self.metadata.quota_project_id = Some(id);
            }
            _ => return Err(Problem::Misplaced { kind }),
        }
        Ok(())
    }

    fn add_xattr(&mut self, content: &[u8]) -> Result<(), Problem> {
        let end = content.iter().position(|byte| *byte == 0);
        let end = end.ok_or(Problem::Xattr)?;
        let (name, value) = (&content[..end], &content[end + 1..]);
        if !(1..=XATTR_NAME_MAX).contains(&name.len()) || value.len() > XATTR_VALUE_MAX {
            return Err(Problem::Xattr);
        }
        self.len += content.len() as u64;
        self.names_len += name.len() + 1;
        if self.names_len > XATTR_NAMES_MAX {
            let kind = ItemKind::Xattr;
            return Err(Problem::TooManyAttributes { kind });
        }
        self.metadata.xattrs.push(Xattr {
            name: name.to_vec(),
            value: value.to_vec(),
        });
        Ok(())
    }

    /// The metadata, when all attributes are there.
    pub(crate) fn finish(self) -> Result<Metadata, Problem> {
        let xattrs = &self.metadata.xattrs;
        if xattrs.len() > 1 {
            let mut names: Vec<_> = xattrs.iter().map(|xattr| xattr.name.as_slice()).collect();
            names.sort_unstable();
            if names.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(Problem::DuplicateXattr);
            }
        }
        Ok(self.metadata)
    }
}

/// Reads the content of DEVICE.
pub(crate) fn device(content: &[u8]) -> Result<Device, Problem> {
    let kind = ItemKind::Device;
    Ok(Device {
        major: small(kind, u64_at(content, 0))?,
        minor: small(kind, u64_at(content, 8))?,
    })
}

fn of_nanos(nanos: u64) -> Mtime {
    let per_sec = u64::from(NANOS_PER_SEC);
    Mtime {
        secs: (nanos / per_sec).cast_signed(),
        nanos: (nanos % per_sec) as u32,
    }
}

fn acl_entry(kind: ItemKind, content: &[u8]) -> Result<AclEntry, Problem> {
    let number = u64_at(content, 8);
    Ok(AclEntry {
        id: small(kind, u64_at(content, 0))?,
        permissions: bits(number).ok_or(Problem::Number { kind, number })?,
    })
}

fn default_acl(content: &[u8]) -> Result<DefaultAcl, Problem> {
    let kind = ItemKind::AclDefault;
    let mask = match u64_at(content, 24) {
        ABSENT => None,
        number => Some(permissions(kind, number)?),
    };
    Ok(DefaultAcl {
        user: permissions(kind, u64_at(content, 0))?,
        group: permissions(kind, u64_at(content, 8))?,
        other: permissions(kind, u64_at(content, 16))?,
        mask,
    })
}

/// The permissions of an owner, owning group or others: an absent number means all of them.
fn permissions(kind: ItemKind, number: u64) -> Result<u8, Problem> {
    match number {
        ABSENT => Ok(7),
        number => bits(number).ok_or(Problem::Number { kind, number }),
    }
}

fn bits(number: u64) -> Option<u8> {
    u8::try_from(number).ok().filter(|bits| *bits <= 7)
}

fn small(kind: ItemKind, number: u64) -> Result<u32, Problem> {
    u32::try_from(number).map_err(|_| Problem::Number { kind, number })
}
