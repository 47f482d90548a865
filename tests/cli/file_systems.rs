//! `restore files` where the system refuses a part: on file systems for other systems, and as root of a user namespace.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use testkit::pxar::{Content, Layout, Node, Tree};

use crate::files::{made, run};
use crate::home::{Home, finish};
use crate::running::{has, is_root, sh, shell, skip};

/// A tree with what other file systems and namespaces lack.
fn tree() -> Tree {
    let uneven = |node: Node| node.time(1_500_000_001, 987_654_321);
    Tree::new()
        .add("d", uneven(Node::directory()))
        .add("d/a", uneven(Node::file("first").owner(7001, 7002)))
        .add("d/b", Node::hard_link("d/a"))
        .add("d/big", uneven(Node::file(Content::random(1, 300_000))))
        .add("d/hole", uneven(Node::file(Content::zeros(70_000))))
        .add("d/link", uneven(Node::symlink("a")))
        .add("d/pipe", uneven(Node::fifo()))
        .add("d/socket", uneven(Node::socket()))
        .add("e", uneven(Node::directory().owner(7001, 7002)))
}

/// A file system of another kind, mounted at `work/mounted`.
struct Mounted {
    at: PathBuf,
    device: String,
    mount: String,
}

impl Mounted {
    /// `None`, which is said, where it can't be mounted.
    fn new(home: &Home, make: &str, mount: &str) -> Option<Mounted> {
        fs::create_dir(home.path("mounted")).unwrap();
        sh(home, &format!("truncate -s 16M disk && {make} disk"));
        let (is_done, device) = shell(home, "losetup --find --show disk");
        if !is_done {
            return None;
        }
        let device = device.trim().to_owned();
        let mounted = Mounted {
            at: home.path("mounted"),
            mount: format!("{mount} {device} mounted"),
            device,
        };
        let (is_mounted, _) = shell(home, &mounted.mount);
        is_mounted.then_some(mounted)
    }

    /// Mounts it anew, so that the kernel forgets what it knows of files.
    fn mount_again(&self, home: &Home) {
        sh(home, &format!("umount mounted && {}", self.mount));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).output();
        let _ = Command::new("losetup").arg("-d").arg(&self.device).output();
    }
}

/// How often a command says that it left something out.
fn left_out(said: &str, what: &str) -> usize {
    said.matches(&format!("root.pxar: left out: {what} of "))
        .count()
}

fn extract_twice(home: &Home) {
    let told = run(home, "files host/made root.pxar mounted/out").expect(0);
    let expected = [
        "exact times",
        "hard links (each became a file of its own)",
        "named pipes",
        "owners",
        "sockets",
        "symbolic links",
    ];
    for what in expected {
        let count = left_out(&told.stderr, what);
        assert_eq!(count, 1, "{what}: {}", told.stderr);
    }
    for (name, content) in [("a", "first"), ("b", "first")] {
        let found = fs::read_to_string(home.path("mounted/out/d").join(name));
        assert_eq!(found.unwrap(), content, "{name}");
    }
    let hole = fs::read(home.path("mounted/out/d/hole")).unwrap();
    assert!(hole == [0; 70_000]);
    // Both names, since the second one is a file too.
    let told = run(home, "files host/made root.pxar mounted/out").expect(0);
    let text = told.text();
    assert!(text.contains(": 0 files with 0 bytes in "), "{text}");
    assert!(text.contains(", 4 kept; "), "{text}");
}

/// Two entries whose names are one to a file system that ignores case: the one that was written first
/// stays, however often the extraction is run.
fn extract_names_that_meet(home: &Home, mounted: &Mounted) {
    let mut stays = None;
    for _ in 0..3 {
        let told = run(home, "files host/made root.pxar mounted/met").expect(8);
        let names = fs::read_dir(home.path("mounted/met/d")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        let other = match names[0].to_str() {
            Some("Name.txt") => "name.TXT",
            _ => "Name.txt",
        };
        let refused = format!("{other} is there already");
        assert!(told.stderr.contains(&refused), "{}", told.stderr);
        let found = fs::read_to_string(home.path("mounted/met/d").join(&names[0])).unwrap();
        assert_eq!(names, [found.as_str()], "each file holds its own name");
        assert_eq!(*stays.get_or_insert(found.clone()), found);
        mounted.mount_again(home);
    }
}

/// Directories do not become one either, in which files would meet. And a special file, which this
/// file system lacks, takes no file away.
fn extract_directories_that_meet(home: &Home) {
    for _ in 0..3 {
        let told = run(home, "files host/made root.pxar mounted/met").expect(8);
        let read = |path: &str| fs::read_to_string(home.path("mounted/met").join(path));
        assert_eq!(read("A/x").unwrap(), "A");
        assert_eq!(read("p/PIPE").unwrap(), "");
        for name in ["a", "p/pipe"] {
            let refused = format!("{name} is there already");
            assert!(told.stderr.contains(&refused), "{}", told.stderr);
        }
    }
}

#[test]
fn names_that_a_file_system_takes_for_the_same_never_replace_each_other() {
    if !is_root() {
        skip("only root can mount a file system");
        return;
    }
    if !has(&["mkfs.exfat", "mount.exfat-fuse", "losetup"]) {
        return;
    }
    let home = Home::new();
    let tree = Tree::new()
        .add("A", Node::directory())
        .add("A/x", Node::file("A"))
        .add("a", Node::directory())
        .add("a/x", Node::file("a"))
        .add("d", Node::directory())
        .add("d/Name.txt", Node::file("Name.txt"))
        .add("d/name.TXT", Node::file("name.TXT"))
        .add("p", Node::directory())
        .add("p/PIPE", Node::file(""))
        .add("p/pipe", Node::fifo());
    made(&home, &tree, &Layout::v1());
    let Some(mounted) = Mounted::new(&home, "mkfs.exfat", "mount.exfat-fuse") else {
        skip("exFAT can't be mounted");
        return;
    };
    extract_names_that_meet(&home, &mounted);
    extract_directories_that_meet(&home);
}

#[test]
fn a_file_system_without_owners_links_and_exact_times_gets_the_rest_and_keeps_it() {
    if !is_root() {
        skip("only root can mount a file system");
        return;
    }
    if !has(&["mkfs.vfat", "mkfs.exfat", "mount.exfat-fuse", "losetup"]) {
        return;
    }
    let kinds = [
        ("mkfs.vfat", "mount -t vfat"),
        ("mkfs.exfat", "mount.exfat-fuse"),
    ];
    let mut count = 0;
    for (make, mount) in kinds {
        let home = Home::new();
        made(&home, &tree(), &Layout::v1());
        // A kernel need not have every kind.
        let Some(_mounted) = Mounted::new(&home, make, mount) else {
            continue;
        };
        extract_twice(&home);
        count += 1;
    }
    if count == 0 {
        skip("neither FAT nor exFAT can be mounted");
    }
}

#[test]
fn root_of_a_user_namespace_gets_what_the_namespace_allows() {
    if !has(&["unshare"]) {
        return;
    }
    let home = Home::new();
    if !shell(&home, "unshare -Ur true").0 {
        skip("no user namespace can be made");
        return;
    }
    let tree = tree()
        .add("dev", Node::char_device(1, 3))
        .add("su", Node::file("x").owner(7001, 0).mode(0o4755));
    made(&home, &tree, &Layout::split());
    let program = home.command("").get_program().to_owned();
    for summary in [": 4 files with ", ": 0 files with 0 bytes in "] {
        let mut command = Command::new("unshare");
        command.arg("-Ur").arg(&program);
        command.args("files host/made root.pxar out --repository ./store".split(' '));
        let told = finish(command.current_dir(home.path(""))).expect(0);
        assert!(told.text().contains(summary), "{}", told.text());
        for what in ["owners", "devices"] {
            assert_eq!(left_out(&told.stderr, what), 1, "{what}: {}", told.stderr);
        }
    }
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(home.path("out/su")).unwrap());
    assert_eq!(mode & 0o7777, 0o755, "the rights of the wrong user");
}

#[test]
fn the_owner_of_a_folder_that_may_not_be_written_to_runs_the_same_command_again() {
    if !has(&["unshare"]) {
        return;
    }
    let home = Home::new();
    // Nobody is root in a namespace that has no users.
    if !shell(&home, "unshare -U true").0 {
        skip("no user namespace can be made");
        return;
    }
    let mut tree = tree();
    tree.meta.mode = 0o555;
    made(&home, &tree, &Layout::v1());
    let program = home.command("").get_program().to_owned();
    for summary in [": 3 files with ", ", 3 kept"] {
        let mut command = Command::new("unshare");
        command.arg("-U").arg(&program);
        command.args("files host/made root.pxar out --repository ./store".split(' '));
        let told = finish(command.current_dir(home.path(""))).expect(0);
        assert!(told.text().contains(summary), "{}", told.text());
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(home.path("out")).unwrap());
        assert_eq!(mode & 0o7777, 0o555);
    }
}
