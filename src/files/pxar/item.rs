//! The kinds of items that a pxar archive consists of, and the header that each item begins with.

use std::fmt;

use crate::files::pxar::error::Problem;

/// The header of an item: its kind and its full size, 8 bytes each.
pub(crate) const HEADER_LEN: u64 = 16;

/// The longest name of an entry, and the longest path in a symbolic or hard link, in bytes.
pub(crate) const NAME_MAX: usize = 4096;

/// The longest content of XATTR and FCAPS: 255 bytes of name, a zero byte, 65,535 bytes of value.
const XATTR_MAX: u64 = 65_791;

/// An item of a table in a GOODBYE, in bytes.
pub(crate) const TABLE_ITEM_LEN: u64 = 24;

/// The kinds of items, in the order that the items of an entry have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ItemKind {
    /// The version of the format. Archives of version 1 don't have this item.
    FormatVersion,
    /// Bytes before the root directory: which files the backup left out.
    Prelude,
    /// The name of the entry that follows.
    Filename,
    /// The entry is another name of an earlier file.
    HardLink,
    /// Mode, owner, time and flags.
    Entry,
    /// Mode, owner, time and flags, as very old archives have them.
    EntryV1,
    /// An extended attribute.
    Xattr,
    /// A named user of the access ACL.
    AclUser,
    /// A named group of the access ACL.
    AclGroup,
    /// The owning group of the access ACL.
    AclGroupObj,
    /// The owner, owning group, others and mask of the default ACL.
    AclDefault,
    /// A named user of the default ACL.
    AclDefaultUser,
    /// A named group of the default ACL.
    AclDefaultGroup,
    /// The capabilities of an executable file.
    Fcaps,
    /// The project that the quota counts a file for.
    QuotaProjectId,
    /// The target of a symbolic link.
    Symlink,
    /// The numbers of a device.
    Device,
    /// The bytes of a regular file.
    Payload,
    /// Where the bytes of a regular file lie in the payload archive.
    PayloadRef,
    /// The end of a directory, with a table of its entries.
    Goodbye,
}

use ItemKind::*;

/// Each kind with its number and its name in the format.
pub(super) const KINDS: [(ItemKind, u64, &str); 20] = [
    (FormatVersion, 0x730f_6c75_df16_a40d, "FORMAT_VERSION"),
    (Prelude, 0xe309_d79d_9f7b_771b, "PRELUDE"),
    (Filename, 0x1670_1121_0639_17b3, "FILENAME"),
    (HardLink, 0x5126_9c84_22bd_7275, "HARDLINK"),
    (Entry, 0xd595_6474_e588_acef, "ENTRY"),
    (EntryV1, 0x11da_850a_1c1c_ceff, "ENTRY_V1"),
    (Xattr, 0x0dab_0229_b57d_cd03, "XATTR"),
    (AclUser, 0x2ce8_540a_457d_55b8, "ACL_USER"),
    (AclGroup, 0x136e_3ece_b04c_03ab, "ACL_GROUP"),
    (AclGroupObj, 0x1086_8031_e958_2876, "ACL_GROUP_OBJ"),
    (AclDefault, 0xbbbb_1341_5a68_96f5, "ACL_DEFAULT"),
    (AclDefaultUser, 0xc893_57b4_0532_cd1f, "ACL_DEFAULT_USER"),
    (AclDefaultGroup, 0xf90a_8a58_1603_8ffe, "ACL_DEFAULT_GROUP"),
    (Fcaps, 0x2da9_dd9d_b5f7_fb67, "FCAPS"),
    (QuotaProjectId, 0xe075_40e8_2f7d_1cbb, "QUOTA_PROJID"),
    (Symlink, 0x27f9_71e7_dbf5_dc5f, "SYMLINK"),
    (Device, 0x9fc9_e906_586d_5ce9, "DEVICE"),
    (Payload, 0x2814_7a1b_0b7c_1a25, "PAYLOAD"),
    (PayloadRef, 0x419d_3d6b_c4ba_977e, "PAYLOAD_REF"),
    (Goodbye, 0x2fec_4fa6_42d5_731d, "GOODBYE"),
];

impl ItemKind {
    fn parse(number: u64) -> Option<ItemKind> {
        let mut kinds = KINDS.iter();
        kinds
            .find(|(_, own, _)| *own == number)
            .map(|(kind, _, _)| *kind)
    }

    /// Whether items of this kind belong to the metadata of an entry, after its ENTRY.
    pub(crate) fn is_attribute(self) -> bool {
        (Xattr..=QuotaProjectId).contains(&self)
    }

    /// Whether an entry may have several items of this kind.
    pub(crate) fn may_repeat(self) -> bool {
        matches!(
            self,
            Xattr | AclUser | AclGroup | AclDefaultUser | AclDefaultGroup
        )
    }

    /// Whether an item of this kind may have a content of `len` bytes. The limits of PRELUDE and
    /// GOODBYE depend on more than the kind.
    fn allows(self, len: u64) -> bool {
        let name_max = NAME_MAX as u64;
        match self {
            FormatVersion | AclGroupObj | QuotaProjectId => len == 8,
            AclUser | AclGroup | AclDefaultUser | AclDefaultGroup | Device | PayloadRef => {
                len == 16
            }
            Entry => len == 40,
            EntryV1 | AclDefault => len == 32,
            Xattr => (1..=XATTR_MAX).contains(&len),
            Fcaps => len <= XATTR_MAX,
            Filename | Symlink => (1..=name_max + 1).contains(&len),
            HardLink => (9..=8 + name_max + 1).contains(&len),
            Goodbye => len >= TABLE_ITEM_LEN && len.is_multiple_of(TABLE_ITEM_LEN),
            Prelude | Payload => true,
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds = KINDS.iter();
        let name = kinds.find(|(kind, _, _)| kind == self);
        f.write_str(name.map_or("item", |(_, _, name)| name))
    }
}

/// The checked header of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: ItemKind,
    /// The length of the content, in bytes.
    pub(crate) len: u64,
    /// The offset of the header in the archive.
    pub(crate) start: u64,
}

impl Header {
    /// Reads the header at the offset `start`: an item of a known kind, with a size that this kind
    /// can have.
    pub(crate) fn parse(bytes: &[u8], start: u64) -> Result<Header, Problem> {
        let (number, size) = (u64_at(bytes, 0), u64_at(bytes, 8));
        let kind = ItemKind::parse(number).ok_or(Problem::UnknownItem { number })?;
        let len = size
            .checked_sub(HEADER_LEN)
            .filter(|len| kind.allows(*len) && start.checked_add(HEADER_LEN + len).is_some())
            .ok_or(Problem::ItemSize { kind, size })?;
        Ok(Header { kind, len, start })
    }

    /// The offset of the content in the archive.
    pub(crate) fn content(&self) -> u64 {
        self.start + HEADER_LEN
    }

    /// The offset after the item. `parse` made sure that it does not overflow.
    pub(crate) fn end(&self) -> u64 {
        self.content() + self.len
    }
}

/// The number at an index in bytes whose length was checked.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes[at..].first_chunk();
    u64::from_le_bytes(*bytes.expect("the length was checked"))
}

/// The number at an index in bytes whose length was checked.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes[at..].first_chunk();
    u32::from_le_bytes(*bytes.expect("the length was checked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(number: u64, size: u64) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..].copy_from_slice(&size.to_le_bytes());
        bytes
    }

    #[test]
    fn an_item_of_each_kind_is_known_by_its_number_alone() {
        for (kind, number, name) in KINDS {
            assert_eq!(ItemKind::parse(number), Some(kind));
            assert_eq!(ItemKind::parse(number ^ 1), None);
            assert_eq!(kind.to_string(), name);
        }
    }

    #[test]
    fn a_size_that_does_not_fit_the_kind_or_overflows_is_refused() {
        let size_of = |number, size, start| Header::parse(&header(number, size), start);
        for (kind, number, _) in KINDS {
            for size in [0, 15] {
                let problem = Problem::ItemSize { kind, size };
                assert_eq!(size_of(number, size, 0), Err(problem));
            }
        }
        let (_, payload, _) = KINDS[17];
        assert!(size_of(payload, u64::MAX, 0).is_ok());
        assert!(size_of(payload, u64::MAX - 15, 16).is_err());
        let (_, entry, _) = KINDS[4];
        assert!(size_of(entry, 55, 0).is_err());
        assert!(size_of(entry, 57, 0).is_err());
        assert_eq!(size_of(entry, 56, 7).map(|header| header.end()), Ok(63));
    }
}
