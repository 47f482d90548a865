//! Decodes pxar archives, versions 1 and 2, split or not. Does no I/O.
//!
//! An archive holds a tree of files, one item after the other: [`Decoder`] takes its bytes in pieces
//! of any length, and hands out checked items. Of a split archive, the decoder reads the one with
//! the metadata (`.mpxar`); [`Payload`] says where the bytes of each file lie in the other
//! (`.ppxar`).
//!
//! The decoder refuses an archive that could mislead a program: names that are no file names, names
//! that come twice, modes that disagree with what follows, links and references to where nothing
//! is, tables that don't fit, and everything beyond its [`Limits`]. [`PxarError`] says what is wrong
//! at which offset. A length that an archive states is checked before memory is taken for it.

mod acl;
mod attributes;
mod decoder;
mod error;
mod gather;
mod goodbye;
mod grammar;
mod item;
mod levels;
mod metadata;
mod payload;
mod starts;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub(crate) use error::Shown;
pub use error::{Problem, PxarError};
pub(crate) use goodbye::{Search, TableItem, Tail, goodbye_size, hash_of};
pub use item::ItemKind;
pub(crate) use item::{HEADER_LEN, TABLE_ITEM_LEN};
pub use levels::Limits;
pub(crate) use metadata::FAT_FLAGS;
pub use metadata::{
    Acl, AclEntry, DefaultAcl, Device, Entry, EntryKind, Goodbye, HardLink, Item, Metadata, Mtime,
    Payload, Version, Xattr,
};
pub use payload::{check_payload_header, check_payload_start};
