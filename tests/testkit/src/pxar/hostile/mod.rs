//! Archives that attack who reads or extracts them. Each is as small as it can be, and wrong in one way only.

mod attributes;
mod catalogs;
mod kinds;
mod links;
mod names;
mod order;
mod references;
mod sizes;
mod tables;
mod truncated;

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::layout::Layout;
use super::tree::Node;
use super::writer::{Archive, Writer};

/// An archive that attacks who reads or extracts it.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// A name for messages, such as `name-dot-dot`.
    pub name: String,
    /// What the attack is.
    pub attack: &'static str,
    /// What a reader must do.
    pub expected: Expected,
    /// The archive.
    pub archive: Archive,
    /// The catalog beside it, if the attack is there.
    pub catalog: Option<Vec<u8>>,
}

/// What a reader must do with a hostile archive. Whatever it does, nothing outside the target may change, no call may
/// panic or take no end, and memory stays bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Who reads the archive from start to end must refuse it with an error; some of it may have been restored before.
    Refused,
    /// A reader may take it, restore a part of it, or refuse it. A look-up may find nothing, but never an entry that has
    /// another name than the one asked for.
    Harmless,
}

/// All hostile archives. Those that try to get out of the target aim at the folder `outside`, by its absolute path or by
/// `..` and its last name: it should lie beside the target, and hold a file with the name `file`.
pub fn hostile(outside: impl AsRef<Path>) -> Vec<Hostile> {
    let outside = Outside::new(outside.as_ref());
    [
        names::all(&outside),
        links::all(&outside),
        kinds::all(&outside),
        attributes::all(),
        order::all(),
        sizes::all(),
        truncated::all(),
        references::all(),
        tables::all(),
        catalogs::all(&outside),
    ]
    .concat()
}

/// An item: its type and its content.
type Item<'a> = (u64, &'a [u8]);

/// Writes what a root holds.
type Build = Box<dyn Fn(&mut Writer)>;

/// The folder that attacks aim at.
struct Outside {
    /// Such as `/tmp/test/outside`.
    absolute: Vec<u8>,
    /// Such as `../outside`.
    relative: Vec<u8>,
}

impl Outside {
    fn new(path: &Path) -> Outside {
        let name = path.file_name().expect("the folder has a name");
        Outside {
            absolute: path.as_os_str().as_bytes().to_vec(),
            relative: [b"../", name.as_bytes()].concat(),
        }
    }

    /// The absolute path of the file in it.
    fn file(&self) -> Vec<u8> {
        [&self.absolute[..], b"/file"].concat()
    }

    /// The path of the file in it from the target on.
    fn relative_file(&self) -> Vec<u8> {
        [&self.relative[..], b"/file"].concat()
    }
}

/// An archive of version 1: what `build` writes into the root.
fn v1(build: impl FnOnce(&mut Writer)) -> Archive {
    in_root(&Layout::v1(), build)
}

/// A split archive: what `build` writes into the root.
fn split(build: impl FnOnce(&mut Writer)) -> Archive {
    in_root(&Layout::split(), build)
}

fn in_root(layout: &Layout, build: impl FnOnce(&mut Writer)) -> Archive {
    let mut writer = Writer::new(layout);
    writer.attributes(&Node::directory());
    build(&mut writer);
    writer.finish()
}

fn refused(name: impl Into<String>, attack: &'static str, archive: Archive) -> Hostile {
    Hostile {
        name: name.into(),
        attack,
        expected: Expected::Refused,
        archive,
        catalog: None,
    }
}

fn harmless(name: impl Into<String>, attack: &'static str, archive: Archive) -> Hostile {
    Hostile {
        expected: Expected::Harmless,
        ..refused(name, attack, archive)
    }
}
