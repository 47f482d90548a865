//! Writes what the fuzz targets begin with: `cargo run -p testkit --example fuzz_seeds -- FOLDER` makes a folder for each
//! target there. From sound inputs a fuzzer finds its way into a parser much sooner than from nothing.

use std::path::{Path, PathBuf};
use std::{env, fs};

use testkit::pxar::{self, Acl, Layout, Node, Tree};
use testkit::{BlobKind, DynamicIndex, FixedIndex, TestKey, decode, encode, sha256};

/// A manifest, a key file or an index is this long at the most.
const SEED_LEN_MAX: u64 = 20_000;

fn main() {
    let folder = env::args_os().nth(1).expect("name a folder for the seeds");
    let folder = PathBuf::from(folder);
    for (target, seeds) in [
        ("catalog", catalogs()),
        ("chunk", chunks()),
        ("guest", files("input", &["conf"])),
        ("index", indexes()),
        ("key_file", files("keys", &["key"])),
        ("manifest", manifests()),
        ("nbd", handshakes()),
        ("pxar", archives()),
        ("storage_cfg", vec![STORAGES.as_bytes().to_vec()]),
    ] {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(number.to_string()), seed).expect("there is room");
        }
        println!("{}: {} seeds", folder.display(), seeds.len());
    }
}

/// The golden files below a folder that end so.
fn files(folder: &str, endings: &[&str]) -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden");
    let mut folders = vec![golden.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the golden files are there") {
            let path = entry.expect("the folder can be read").path();
            let ends_so = |ending: &&str| path.to_string_lossy().ends_with(*ending);
            let metadata = path.metadata().expect("the file is there");
            if metadata.is_dir() {
                // Chunks are no files of their own, and there are thousands of folders for them.
                if !path.ends_with(".chunks") {
                    folders.push(path);
                }
            } else if metadata.len() <= SEED_LEN_MAX && endings.iter().any(ends_so) {
                found.push(fs::read(path).expect("the file can be read"));
            }
        }
    }
    found
}

fn manifests() -> Vec<Vec<u8>> {
    let blobs = files("datastore", &["index.json.blob"]);
    let manifest = |blob: Vec<u8>| decode(&blob, None, 1 << 20);
    blobs.into_iter().map(manifest).collect()
}

fn indexes() -> Vec<Vec<u8>> {
    let digest = |number: u8| sha256(&[number]);
    let mut indexes = files("datastore", &[".fidx", ".didx"]);
    indexes.push(FixedIndex::new(10_000, 4096, (0..3).map(digest).collect()).bytes());
    let ends = (0..3).map(|number| (1000 * (u64::from(number) + 1), digest(number)));
    indexes.push(DynamicIndex::new(ends.collect()).bytes());
    indexes
}

/// The target takes its key, which all of these have, where the first byte is odd.
fn chunks() -> Vec<Vec<u8>> {
    let key = TestKey::from_bytes([7; 32]);
    BlobKind::ALL
        .into_iter()
        .map(|kind| {
            let key = kind.is_encrypted().then_some(&key);
            let blob = encode(kind, b"chunk", key);
            [&[u8::from(key.is_some())], &blob[..]].concat()
        })
        .collect()
}

fn tree() -> Tree {
    let acl = Acl {
        users: vec![(1000, 6)],
        ..Acl::default()
    };
    Tree::new()
        .add("etc", Node::directory().mode(0o750).project(7))
        .add(
            "etc/hostname",
            Node::file("golden\n").owner(0, 42).time(-1, 5),
        )
        .add("etc/link", Node::hard_link("etc/hostname"))
        .add("etc/symlink", Node::symlink("../etc/hostname"))
        .add(
            "file",
            Node::file("x".repeat(300).as_str())
                .xattr("user.a", "b")
                .acl(acl),
        )
        .add("fifo", Node::fifo())
        .add("null", Node::char_device(1, 3))
        .add("socket", Node::socket())
}

fn catalogs() -> Vec<Vec<u8>> {
    let hostile = pxar::hostile("/outside").into_iter();
    let mut catalogs: Vec<Vec<u8>> = hostile.filter_map(|hostile| hostile.catalog).collect();
    catalogs.push(pxar::catalog(&[("root.pxar.didx", &tree())]));
    catalogs
}

/// The first byte says how the target reads an archive: with payloads apart or not, and in how long pieces.
fn archives() -> Vec<Vec<u8>> {
    let layouts = Layout::all().into_iter();
    let sound = layouts.map(|layout| pxar::encode(&tree(), &layout));
    let hostile = pxar::hostile("/outside").into_iter();
    sound
        .chain(hostile.map(|hostile| hostile.archive))
        .filter(|archive| archive.stream.len() <= SEED_LEN_MAX)
        .map(|archive| {
            let how = 40 + u8::from(archive.payload.is_some());
            [&[how], &archive.stream.to_vec()[..]].concat()
        })
        .collect()
}

/// A client's flags, the option GO for the first export, and a request to read 4 KiB.
fn handshakes() -> Vec<Vec<u8>> {
    const GO: u32 = 7;
    const INFO: u32 = 6;
    const LIST: u32 = 3;
    const STRUCTURED_REPLY: u32 = 8;
    const ABORT: u32 = 2;
    let option = |number: u32, data: &[u8]| {
        let len = (data.len() as u32).to_be_bytes();
        [b"IHAVEOPT", &number.to_be_bytes()[..], &len, data].concat()
    };
    let name = b"drive-scsi0.img";
    let export = [&(name.len() as u32).to_be_bytes()[..], name, &[0, 0]].concat();
    let mut read = [0x25, 0x60, 0x95, 0x13].to_vec();
    read.extend([0; 12]);
    read.extend(4096_u64.to_be_bytes());
    read.extend(4096_u32.to_be_bytes());
    let flags = [0, 0, 0, 3];
    [
        vec![option(GO, &export), read.clone()],
        vec![
            option(STRUCTURED_REPLY, b""),
            option(LIST, b""),
            option(INFO, &export),
            option(GO, &export),
            read,
        ],
        vec![option(ABORT, b"")],
    ]
    .map(|parts| [&[0], &flags[..], &parts.concat()].concat())
    .to_vec()
}

const STORAGES: &str = "\
dir: local
\tpath /var/lib/vz
\tcontent iso,vztmpl

pbs: backup
\tdatastore store1
\tserver pbs.example.org
\tcontent backup
\tfingerprint 64:d3:ff:3a:50:38:53:5a:9b:f7:50:34:56:3e:26:ad:0f:e0:11:a4:1f:7c:f5:b3:e4:f1:4a:c5:6f:1e:a0:9a
\tnamespace team/a
\tnodes one,two
\tport 8008
\tusername root@pam!token
\tdisable
";
