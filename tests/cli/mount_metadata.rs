//! `restore mount` with file archives: the metadata that it shows, and who may read what.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{DirEntryExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::lgetxattr;
use testkit::pxar::{Acl, Layout, Node, Tree, assert_same, describe_folder};

use crate::home::Home;
use crate::interrupt::{NEVER, within};
use crate::mount::{can_mount, mount};
use crate::mount_files::{ON_MADE, files, store};
use crate::running::{has, is_root, sh, shell, skip};

/// The manifest of a golden tree, as a mount shows the tree: it counts no hard links, so the column
/// for the first path of the same file is empty.
fn manifest(state: char) -> String {
    let path = format!("tests/golden/input/files-{state}.manifest");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    without_first_paths(&text)
}

fn without_first_paths(manifest: &str) -> String {
    let lines = manifest.lines().map(|line| {
        let mut columns: Vec<&str> = line.split(' ').collect();
        columns[7] = "-";
        columns.join(" ") + "\n"
    });
    lines.collect()
}

/// Whether this user can mount, and sees all attributes.
fn can_see_all() -> bool {
    can_mount() && (is_root() || skip("only root sees all attributes"))
}

#[test]
fn a_folder_shows_the_tree_that_was_backed_up_with_all_metadata() {
    if !can_see_all() {
        return;
    }
    within(NEVER, || {
        for (snapshot, more, state) in [
            ("host/files/2026-05-28T20:26:40Z", "", 'a'),
            ("host/signed/2026-05-28T20:26:40Z", "", 'b'),
            ("host/split/2026-05-28T20:26:40Z", "", 'a'),
            ("host/split/2026-05-28T21:26:40Z", "", 'b'),
            (
                "host/split-enc/2026-05-28T21:26:40Z",
                "--keyfile ../golden/keys/plain.key",
                'b',
            ),
        ] {
            let home = Home::new();
            let place = "--repository ../golden/files";
            let mounted = mount(&home, &format!("mount {snapshot} mnt {place} {more}"));
            assert_eq!(home.names_in("mnt"), ["root"]);
            let root = home.path("mnt/root");
            assert_same(&describe_folder(&root), &manifest(state));
            // Once more, from what the kernel keeps and from what it asks again.
            assert_same(&describe_folder(&root), &manifest(state));
            let ended = mounted.end("INT");
            assert_eq!(ended.code, Some(0));
            assert!(ended.last("unmounted")["fetched"].as_u64() > Some(0));
        }
    });
}

#[test]
fn all_names_of_a_file_have_one_number() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let mounted = mount(&home, "mount host/files mnt --repository ../golden/files");
        let metadata = |name: &str| fs::metadata(home.path("mnt/root").join(name)).unwrap();
        let numbers = |names: &[&str]| -> BTreeSet<u64> {
            names.iter().map(|name| metadata(name).ino()).collect()
        };
        let names = ["hard/a", "hard/b", "hard/sub/c", "zz-link-in-root"];
        assert_eq!(numbers(&names).len(), 1);
        assert_eq!(
            numbers(&["hard/a", "hard/e1", "hard/e2", "etc", ""]).len(),
            4
        );
        assert_eq!(metadata("hard/b").nlink(), 1);
        // A list of the folder has the same numbers.
        for entry in fs::read_dir(home.path("mnt/root/hard")).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.ino(), entry.metadata().unwrap().ino());
        }
        assert_eq!(mounted.end("INT").code, Some(0));
    });
}

/// A small file of root, with these permissions for some user or group.
fn guarded(mode: u32, group: u64, acl: Acl) -> Node {
    let acl = Acl {
        group: Some(group),
        ..acl
    };
    Node::file("secret").mode(mode).owner(0, 1234).acl(acl)
}

#[test]
fn acls_decide_what_other_users_may_read() {
    if !can_see_all() || !has(&["setpriv"]) {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        fs::set_permissions(home.path(".."), Permissions::from_mode(0o755)).unwrap();
        let named = Acl {
            users: vec![(4321, 4)],
            ..Acl::default()
        };
        let other = Acl {
            users: vec![(1, 6)],
            ..Acl::default()
        };
        let tree = Tree::new()
            .add("named", guarded(0o640, 0, named))
            // The mode's bits for the group are the mask, and the group itself may do nothing.
            .add("other", guarded(0o660, 0, other))
            .add("plain", Node::file("open").owner(0, 1234).mode(0o640));
        store(&home, &tree, &Layout::v1());
        let reads = |user: u32, group: u32, name: &str| {
            let who = format!("--reuid={user} --regid={group} --clear-groups");
            shell(&home, &format!("setpriv {who} cat mnt/root/{name}")).0
        };
        let mounted = mount(&home, ON_MADE);
        assert!(
            !reads(4321, 4321, "named"),
            "the mount is for its user alone"
        );
        let access = &mut [0; 100][..];
        let len = lgetxattr(
            home.path("mnt/root/named"),
            "system.posix_acl_access",
            access,
        );
        assert_eq!(len, Ok(4 + 5 * 8));
        assert_eq!(mounted.end("INT").code, Some(0));
        let mounted = mount(&home, &format!("{ON_MADE} --allow-other"));
        assert!(reads(4321, 4321, "named"));
        assert!(!reads(4322, 4322, "named"));
        assert!(!reads(4321, 1234, "other"));
        assert!(reads(4321, 1234, "plain"));
        sh(&home, "cat mnt/root/other");
        assert_eq!(mounted.end("INT").code, Some(0));
    });
}

#[test]
fn a_made_tree_is_shown_as_it_was_made() {
    if !can_see_all() {
        return;
    }
    within(NEVER, || {
        let mut tree = files(300).add("d", Node::directory());
        let mut path = "d".to_owned();
        for level in 0..60 {
            path += &format!("/{level}");
            tree = tree.add(&path, Node::directory().time(-5, level));
        }
        let tree = tree
            .add(format!("{path}/\u{fffd}"), Node::symlink(vec![b'x'; 4000]))
            .add(b"\xff\n", Node::hard_link("f007"))
            .add(
                "v",
                Node::file(vec![9; 70_000]).xattr("user.large", vec![1; 60_000]),
            )
            .add(
                "w",
                Node::char_device(4095, 1_048_575).owner(u32::MAX - 1, 7),
            );
        for layout in [Layout::v1(), Layout::split()] {
            let home = Home::new();
            store(&home, &tree, &layout);
            let mounted = mount(&home, ON_MADE);
            let described = describe_folder(home.path("mnt/root"));
            assert_same(&described, &without_first_paths(&tree.manifest()));
            assert_eq!(mounted.end("INT").code, Some(0));
        }
    });
}
