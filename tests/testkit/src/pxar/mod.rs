//! File archives: `.pxar`, or `.mpxar` and `.ppxar`, and the catalog. A [`Tree`] says what is archived, a [`Layout`] how;
//! [`encode`] makes the archive, [`describe`] reads it again, and [`describe_folder`] describes what was extracted, so
//! that the three texts can be compared.
//!
//! ```
//! use testkit::pxar::{Layout, Node, Tree, describe, encode};
//! use testkit::{InMemory, SnapshotBuilder};
//!
//! let tree = Tree::new()
//!     .add("etc", Node::directory())
//!     .add("etc/hostname", Node::file("golden\n").mode(0o640).owner(0, 42))
//!     .add("link", Node::hard_link("etc/hostname"));
//! let archive = encode(&tree, &Layout::split());
//! let payload = archive.payload.as_ref().map(|payload| payload.to_vec());
//! assert_eq!(describe(&archive.stream.to_vec(), payload.as_deref()), tree.manifest());
//!
//! let store = InMemory::new();
//! let info = SnapshotBuilder::new("host/a/2026-01-02T03:04:05Z")
//!     .chunk_size(1000)
//!     .files("root.pxar", &archive, 1)
//!     .write_to(&store);
//! assert_eq!(info.archive("root.mpxar").file, "root.mpxar.didx");
//! ```
//!
//! [`hostile`] gives archives that attack who extracts them. A [`Writer`] writes further ones, item by item.

pub mod catalog;
mod content;
mod decode;
mod disk;
mod encode;
pub mod goodbye;
mod hostile;
pub mod item;
mod layout;
mod manifest;
mod posix_acl;
#[cfg(any(test, feature = "proptest"))]
pub mod strategy;
#[cfg(test)]
mod tests;
mod tree;
mod writer;

pub use catalog::catalog;
pub use content::Content;
pub use decode::{Decoded, decode, describe};
pub use disk::describe_folder;
pub use encode::encode;
pub use hostile::{Expected, Hostile, hostile};
pub use layout::Layout;
pub use manifest::assert_same;
pub use tree::{Acl, Children, Kind, Meta, Node, Tree};
pub use writer::{Archive, Writer, terminated};
