//! The types of items, and an item's bytes: type, size with these 16 bytes included, content.

/// Bytes of an item before its content.
pub const HEADER: u64 = 16;

/// The version; only before the root's ENTRY.
pub const FORMAT_VERSION: u64 = 0x730f_6c75_df16_a40d;
/// What the client said of the backup, behind the version.
pub const PRELUDE: u64 = 0xe309_d79d_9f7b_771b;
/// Mode, owner and time.
pub const ENTRY: u64 = 0xd595_6474_e588_acef;
/// The same in very old archives.
pub const ENTRY_V1: u64 = 0x11da_850a_1c1c_ceff;
/// An extended attribute.
pub const XATTR: u64 = 0x0dab_0229_b57d_cd03;
/// A named user of the access ACL.
pub const ACL_USER: u64 = 0x2ce8_540a_457d_55b8;
/// A named group of the access ACL.
pub const ACL_GROUP: u64 = 0x136e_3ece_b04c_03ab;
/// The owning group of the access ACL.
pub const ACL_GROUP_OBJ: u64 = 0x1086_8031_e958_2876;
/// The default ACL.
pub const ACL_DEFAULT: u64 = 0xbbbb_1341_5a68_96f5;
/// A named user of the default ACL.
pub const ACL_DEFAULT_USER: u64 = 0xc893_57b4_0532_cd1f;
/// A named group of the default ACL.
pub const ACL_DEFAULT_GROUP: u64 = 0xf90a_8a58_1603_8ffe;
/// The capabilities of a program.
pub const FCAPS: u64 = 0x2da9_dd9d_b5f7_fb67;
/// A quota project id.
pub const QUOTA_PROJID: u64 = 0xe075_40e8_2f7d_1cbb;
/// The target of a symlink.
pub const SYMLINK: u64 = 0x27f9_71e7_dbf5_dc5f;
/// The numbers of a device.
pub const DEVICE: u64 = 0x9fc9_e906_586d_5ce9;
/// A second name of an earlier file.
pub const HARDLINK: u64 = 0x5126_9c84_22bd_7275;
/// The bytes of a file.
pub const PAYLOAD: u64 = 0x2814_7a1b_0b7c_1a25;
/// Where the bytes of a file are in the payload stream.
pub const PAYLOAD_REF: u64 = 0x419d_3d6b_c4ba_977e;
/// The name of the entry that follows.
pub const FILENAME: u64 = 0x1670_1121_0639_17b3;
/// The table at the end of a directory.
pub const GOODBYE: u64 = 0x2fec_4fa6_42d5_731d;
/// Begins a payload stream.
pub const PAYLOAD_START: u64 = 0x834c_68c2_194a_4ed2;
/// Ends a payload stream.
pub const PAYLOAD_TAIL: u64 = 0x6c72_b78b_984c_81b5;

/// The bytes of an item.
pub fn item(htype: u64, content: &[u8]) -> Vec<u8> {
    item_of_size(htype, HEADER + content.len() as u64, content)
}

/// The bytes of an item that states this size, whatever its content is.
pub fn item_of_size(htype: u64, size: u64, content: &[u8]) -> Vec<u8> {
    [&htype.to_le_bytes()[..], &size.to_le_bytes(), content].concat()
}

/// Numbers one after the other, as most items have them.
pub fn numbers(numbers: &[u64]) -> Vec<u8> {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    bytes.collect()
}
