//! `restore mount` with file archives: the folders that it shows them as.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::fs::{Dir, OFlags};
use serde_json::json;
use testkit::pxar::{Content, Layout, Node, Tree, encode};
use testkit::{Fault, Folder, PbsServer, SnapshotBuilder, SnapshotInfo, When};

use crate::home::Home;
use crate::interrupt::{NEVER, on_server, wait_until, with_default_signals, within};
use crate::mount::{EIO, can_mount, errno, mount};
use crate::running::Running;

const MADE: &str = "host/made/2026-01-02T03:04:05Z";
pub(crate) const ON_MADE: &str = "mount host/made mnt --repository ./store";

/// A datastore `store` with this tree as `root.pxar`.
pub(crate) fn store(home: &Home, tree: &Tree, layout: &Layout) -> (Folder, SnapshotInfo) {
    let store = Folder::new(home.path("store"));
    let made = SnapshotBuilder::new(MADE)
        .chunk_size(8000)
        .files("root.pxar", &encode(tree, layout), 1)
        .write_to(&store);
    (store, made)
}

/// A tree of files `f000` and so on, of 3,000 bytes.
pub(crate) fn files(count: u64) -> Tree {
    let mut tree = Tree::new();
    for number in 0..count {
        let content = Content::random(number, 3000);
        tree = tree.add(format!("f{number:03}"), Node::file(content));
    }
    tree
}

#[test]
fn the_kernel_can_list_a_large_folder_from_any_entry() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let mut tree = Tree::new().add("many", Node::directory());
        for number in 0..5000 {
            tree = tree.add(format!("many/{number:0100}"), Node::fifo());
        }
        store(&home, &tree, &Layout::split());
        let mounted = mount(&home, ON_MADE);
        let open = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let path = home.path("mnt/root/many");
            let folder = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap();
            Dir::new(folder).unwrap()
        };
        let name = |entry: &rustix::fs::DirEntry| entry.file_name().to_str().unwrap().to_owned();
        // The first to be opened is read from the middle on, so that the kernel knows nothing of it.
        let mut from_the_middle = open();
        from_the_middle.seek(2502).unwrap();
        let tail: Vec<String> = from_the_middle.map(|entry| name(&entry.unwrap())).collect();
        let all: Vec<(String, i64)> = open()
            .map(|entry| entry.map(|entry| (name(&entry), entry.offset())).unwrap())
            .collect();
        let names: Vec<&String> = all.iter().map(|(name, _)| name).collect();
        let expected = (0..5000).map(|number| format!("{number:0100}"));
        let expected: Vec<String> = [".".into(), "..".into()]
            .into_iter()
            .chain(expected)
            .collect();
        assert!(names.iter().copied().eq(&expected));
        assert!(tail.iter().eq(&expected[2502..]), "{}", tail.len());
        for start in [0, 1, 2, 3, 77, 4999, 5001] {
            let mut other = open();
            other.seek(all[start].1).unwrap();
            let rest = other.map(|entry| name(&entry.unwrap()));
            assert!(rest.eq(expected[start + 1..].iter().cloned()), "{start}");
        }
        assert_eq!(mounted.end("INT").code, Some(0));
    });
}

#[test]
fn files_are_read_from_any_offset_and_not_written() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        for layout in [Layout::v1(), Layout::split()] {
            let home = Home::new();
            let content = Content::random(7, 300_000);
            let tree = Tree::new().add("file", Node::file(content.clone()));
            store(&home, &tree, &layout);
            let mounted = mount(&home, ON_MADE);
            let path = home.path("mnt/root/file");
            let file = File::open(&path).unwrap();
            for (offset, len) in [(299_990, 10), (150_000, 50_000), (0, 1), (7999, 2)] {
                let mut expected = vec![0; len];
                content.read_at(offset, &mut expected);
                let mut found = vec![0; len];
                file.read_exact_at(&mut found, offset).unwrap();
                assert!(found == expected, "{offset}");
            }
            assert_eq!(file.read_at(&mut [0; 10], 300_000).unwrap(), 0);
            assert!(fs::read(&path).unwrap() == content.to_vec());
            use rustix::fs::{SeekFrom, seek};
            assert_eq!(seek(&file, SeekFrom::Data(5)), Ok(5));
            assert_eq!(seek(&file, SeekFrom::Hole(5)), Ok(300_000));
            assert!(File::options().write(true).open(&path).is_err());
            assert!(File::open(home.path("mnt/root/file/x")).is_err());
            assert!(File::open(home.path("mnt/root/other")).is_err());
            assert_eq!(mounted.end("INT").code, Some(0));
        }
    });
}

#[test]
fn a_folder_has_the_name_of_its_archive_as_far_as_that_is_free() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let archive = encode(&Tree::new().add("file", Node::file("x")), &Layout::v1());
        let other = encode(&Tree::new().add("other", Node::file("y")), &Layout::split());
        let stream = archive.stream.to_vec();
        SnapshotBuilder::new(MADE)
            .files("root.pxar", &archive, 1)
            .files("var.pxar", &other, 1)
            .files("etc.pxar", &archive, 1)
            .blob("etc", b"a small file")
            .archive("catalog.pcat1", &stream, &[])
            .archive("dump.bin", &stream, &[])
            .archive("bad.pxar", &[7; 5000], &[5000])
            .write_to(&Folder::new(home.path("store")));
        fs::create_dir(home.path("mnt")).unwrap();
        let mut mounted = Running::start(&home, ON_MADE);
        let told = mounted.hear("error");
        assert_eq!(told["exit_code"], 7);
        assert!(
            told["message"].as_str().unwrap().contains("bad.pxar"),
            "{told}"
        );
        assert_eq!(mounted.hear("left_out")["archives"], json!(["dump.bin"]));
        mounted.hear("mounted");
        assert_eq!(home.names_in("mnt"), ["etc", "etc.pxar", "root", "var"]);
        assert_eq!(home.names_in("mnt/etc.pxar"), ["file"]);
        assert_eq!(home.names_in("mnt/var"), ["other"]);
        assert_eq!(fs::read(home.path("mnt/etc")).unwrap(), b"a small file");
        // The archive that could not be shown decides.
        assert_eq!(mounted.end("INT").code, Some(7));
    });
}

#[test]
fn where_an_entry_is_damaged_the_others_are_listed_before_the_error() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let (store, made) = store(&home, &files(100), &Layout::v1());
        let digests = &made.archive("root.pxar").digests;
        store.remove_chunk(&digests[digests.len() / 2]);
        let mut mounted = mount(&home, ON_MADE);
        for _ in 0..2 {
            let (mut names, mut errors) = (Vec::new(), Vec::new());
            for entry in fs::read_dir(home.path("mnt/root")).unwrap() {
                match entry {
                    Ok(entry) => names.push(entry.file_name().into_string().unwrap()),
                    Err(error) => errors.push(error.raw_os_error()),
                }
            }
            assert_eq!(errors, [EIO]);
            assert!((90..100).contains(&names.len()), "{names:?}");
            assert_eq!(names.last().unwrap(), "f099");
            // A file may begin before the lost chunk and end in it.
            let read = |name: &String| fs::read(home.path("mnt/root").join(name));
            let unread: Vec<_> = names.iter().filter_map(|name| errno(read(name))).collect();
            assert!(unread.len() < 3 && unread.iter().all(|error| Some(*error) == EIO));
        }
        let told = mounted.hear("read_failed");
        assert_eq!(
            (&told["archive"], &told["kind"]),
            (&json!("root.pxar"), &json!("missing"))
        );
        let ended = mounted.end("INT");
        assert_eq!(ended.code, Some(0));
        let again = ended
            .events
            .iter()
            .filter(|event| event["event"] == "read_failed");
        assert_eq!(again.count(), 0);
    });
}

#[test]
fn an_entry_that_does_not_come_holds_up_no_other() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let (store, made) = store(&home, &files(100), &Layout::v1());
        let digests = &made.archive("root.pxar").digests;
        let stalled = digests[digests.len() / 2];
        let server = PbsServer::start(Arc::new(store));
        server.on_chunk(&stalled, When::Always, Fault::Stall);
        fs::create_dir(home.path("mnt")).unwrap();
        let arguments = "mount host/made mnt --patience 3600 --output-format json";
        let mut mounted = Running::of(on_server(with_default_signals(&home, arguments), &server));
        mounted.hear("mounted");
        let root = home.path("mnt/root");
        let waiting =
            thread::spawn(move || fs::read_dir(root).unwrap().map_while(Result::ok).count());
        wait_until(|| server.requests(&stalled) > 0);
        for name in ["f000", "f099"] {
            assert_eq!(
                fs::read(home.path("mnt/root").join(name)).unwrap().len(),
                3000
            );
        }
        assert_eq!(home.names_in("mnt"), ["root"]);
        assert_eq!(mounted.end("TERM").code, Some(0));
        assert!(waiting.join().unwrap() < 100);
    });
}

/// Goes through a folder, as far as it is not deep, and reads a little of each file.
fn walk(folder: &Path, depth: usize, count: &mut usize) {
    for entry in fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map_while(Result::ok)
    {
        *count += 1;
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        let _ = rustix::fs::llistxattr(&path, &mut [0; 1000][..]);
        if found.is_dir() && depth < 10 {
            walk(&path, depth + 1, count);
        } else if found.is_file() {
            let _ = File::open(&path).map(|file| file.read_at(&mut [0; 100], 0));
        }
    }
}

#[test]
fn hostile_archives_do_the_mount_no_harm() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let store = Folder::new(home.path("store"));
        // Not too many at once, since each has threads of its own.
        let hostile = testkit::pxar::hostile("/no/such/folder/outside");
        for (number, group) in hostile.chunks(64).enumerate() {
            let snapshot = format!("host/h{number}/2026-01-02T03:04:05Z");
            let mut builder = SnapshotBuilder::new(&snapshot).chunk_size(64 << 10);
            for (name, hostile) in group.iter().enumerate() {
                builder = builder.files(&format!("a{name}.pxar"), &hostile.archive, 1);
            }
            builder.blob("harmless", b"fine").write_to(&store);
            let arguments = format!("mount {snapshot} mnt --repository ./store --threads 1");
            let mounted = mount(&home, &arguments);
            let mut count = 0;
            walk(&home.path("mnt"), 0, &mut count);
            assert!((1..20_000).contains(&count), "{snapshot}: {count}");
            assert_eq!(fs::read(home.path("mnt/harmless")).unwrap(), b"fine");
            let code = mounted.end("INT").code;
            assert!([Some(0), Some(7)].contains(&code), "{snapshot}: {code:?}");
        }
    });
}
