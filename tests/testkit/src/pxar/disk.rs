//! Describes a folder on disk, to compare an extracted tree with the one that was archived.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{lgetxattr, llistxattr, major, minor};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::manifest::{Line, render};
use super::tree::joined;

/// Linux takes no longer values and lists; files are read in such blocks too.
const BLOCK: usize = 64 << 10;

/// Describes a folder as `describe.py` does. Symlinks are not followed. Only root sees `trusted.*`, and can read all.
///
/// # Panics
/// Something in it can't be read.
pub fn describe_folder(folder: impl AsRef<Path>) -> String {
    let folder = folder.as_ref();
    let mut walk = Walk {
        found: Vec::new(),
        lines: Vec::new(),
    };
    walk.visit(folder, Vec::new());
    walk.found.sort();
    let mut first: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    for (path, file) in &walk.found {
        first.entry(*file).or_insert_with(|| path.clone());
    }
    let several: HashMap<&Vec<u8>, &Vec<u8>> = (walk.found.iter())
        .map(|(path, file)| (path, &first[file]))
        .collect();
    for line in &mut walk.lines {
        line.first_path = several.get(&line.path).map(|path| (*path).clone());
    }
    render(walk.lines)
}

struct Walk {
    /// Everything with several names: path, and the numbers of device and inode.
    found: Vec<(Vec<u8>, (u64, u64))>,
    lines: Vec<Line>,
}

impl Walk {
    fn visit(&mut self, at: &Path, path: Vec<u8>) {
        let metadata = read(at, fs::symlink_metadata(at));
        if metadata.nlink() > 1 && !metadata.is_dir() {
            let file = (metadata.dev(), metadata.ino());
            self.found.push((path.clone(), file));
        }
        self.lines.push(line(at, path.clone(), &metadata));
        if metadata.is_dir() {
            for entry in read(at, fs::read_dir(at)) {
                let name = read(at, entry).file_name().into_vec();
                let inner = at.join(OsStr::from_bytes(&name));
                self.visit(&inner, joined(&path, &name));
            }
        }
    }
}

fn line(at: &Path, path: Vec<u8>, metadata: &Metadata) -> Line {
    let kind = metadata.file_type();
    let letters = [
        (kind.is_dir(), 'd'),
        (kind.is_file(), 'f'),
        (kind.is_symlink(), 'l'),
        (kind.is_char_device(), 'c'),
        (kind.is_block_device(), 'b'),
        (kind.is_fifo(), 'p'),
        (kind.is_socket(), 's'),
    ];
    let letter = letters.into_iter().find(|(is_kind, _)| *is_kind);
    let (_, letter) = letter.unwrap_or_else(|| panic!("{}: what is it?", at.display()));
    let has_size = kind.is_file() || kind.is_symlink();
    let device = || (major(metadata.rdev()).into(), minor(metadata.rdev()).into());
    Line {
        path,
        kind: letter,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        size: if has_size { metadata.size() } else { 0 },
        mtime: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        first_path: None,
        device: matches!(letter, 'c' | 'b').then(device),
        xattrs: xattrs(at),
        target: kind.is_symlink().then(|| {
            let target = read(at, fs::read_link(at));
            target.into_os_string().into_vec()
        }),
        sha256: kind.is_file().then(|| read(at, sha256(at))),
    }
}

fn sha256(at: &Path) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut file = fs::File::open(at)?;
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block)? {
            0 => break,
            len => hash.update(&block[..len]),
        }
    }
    Ok(hash.finalize().into())
}

fn xattrs(at: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut buffer = vec![0; BLOCK];
    let len = match llistxattr(at, &mut buffer[..]) {
        // The file system has no extended attributes.
        Err(Errno::OPNOTSUPP) => 0,
        len => read(at, len.map_err(io::Error::from)),
    };
    let names: Vec<Vec<u8>> = (buffer[..len].split(|byte| *byte == 0))
        .map(<[u8]>::to_vec)
        .collect();
    let names = names.into_iter().filter(|name| !name.is_empty());
    let value = |name: Vec<u8>| {
        let value = lgetxattr(at, OsStr::from_bytes(&name), &mut buffer[..]);
        let len = read(at, value.map_err(io::Error::from));
        (name, buffer[..len].to_vec())
    };
    names.map(value).collect()
}

fn read<T>(at: &Path, result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{}: {error}", at.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

    use super::*;
    use crate::pxar::{Node, Tree, assert_same};

    #[test]
    fn a_folder_is_described_as_the_tree_that_it_holds() {
        let folder = tempfile::tempdir().expect("there is room");
        let root = folder.path().join("root");
        let of = |name: &[u8]| root.join(OsStr::from_bytes(name));
        fs::create_dir(&root).expect("the root is made");
        fs::create_dir(of(b"a")).expect("a folder is made");
        fs::write(of(b"a/\xff 1"), "content").expect("a file is written");
        fs::hard_link(of(b"a/\xff 1"), of(b"a-link")).expect("a link is made");
        symlink("nowhere", of(b"symlink")).expect("a symlink is made");
        let (uid, gid) = {
            let metadata = fs::metadata(&root).expect("it is there");
            (metadata.uid(), metadata.gid())
        };
        let expected = Tree::new()
            .add("a", Node::directory().owner(uid, gid).time(-2, 500_000_000))
            .add(
                b"a/\xff 1",
                Node::file("content").mode(0o640).owner(uid, gid).time(1, 7),
            )
            .add("a-link", Node::hard_link(b"a/\xff 1"))
            .add(
                "symlink",
                Node::symlink("nowhere").owner(uid, gid).time(9, 0),
            );
        for (path, node) in expected.entries() {
            set(&of(&path), node);
        }
        let mut expected = expected;
        (expected.meta.uid, expected.meta.gid) = (uid, gid);
        expected.meta.mtime = (5, 5);
        set(
            &root,
            &Node {
                meta: expected.meta.clone(),
                kind: Node::directory().kind,
            },
        );
        let described = describe_folder(&root);
        assert_same(&described, &expected.manifest());
        assert!(described.contains("\na/\\xff\\x201 f 0640 "), "{described}");
        assert!(described.contains(" 7 1000000007 a-link "), "{described}");
        assert!(described.contains(" -1500000000 "), "{described}");
    }

    /// Sets mode and time.
    fn set(at: &Path, node: &Node) {
        use std::os::unix::fs::PermissionsExt as _;
        let kind = fs::symlink_metadata(at).expect("it was made").file_type();
        if matches!(node.kind, crate::pxar::Kind::HardLink(_)) {
            return;
        }
        if !kind.is_symlink() {
            let mode = fs::Permissions::from_mode(node.meta.mode);
            fs::set_permissions(at, mode).expect("the mode can be set");
        }
        let time = Timespec {
            tv_sec: node.meta.mtime.0,
            tv_nsec: node.meta.mtime.1.into(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW).expect("the time can be set");
    }
}
