//! The options of `restore files` that leave something out or let something be replaced.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::fs::getxattr;
use testkit::pxar::{Acl, Layout, Node, Tree};

use crate::files::{made, own, run, small_tree};
use crate::home::Home;
use crate::running::{is_root, skip};

/// A datastore with a file that has a mode, an extended attribute and an access control list.
fn home() -> Home {
    let home = Home::new();
    let acl = Acl {
        users: vec![(4711, 4)],
        group: Some(4),
        ..Acl::default()
    };
    let file = own(Node::file("content")).mode(0o644);
    let tree = Tree::new()
        .add("file", file.xattr("user.note", "x"))
        .add("list", own(Node::file("content")).mode(0o640).acl(acl));
    made(&home, &tree, &Layout::v1());
    home
}

fn has_xattr(home: &Home, path: &str, name: &str) -> bool {
    getxattr(home.path(path), name, &mut [0; 100][..]).is_ok()
}

fn mode(home: &Home, path: &str) -> u32 {
    fs::metadata(home.path(path)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn permissions_can_be_left_out() {
    let home = home();
    run(&home, "files host/made root.pxar out --ignore-permissions").expect(0);
    let modes = (mode(&home, "out/file"), mode(&home, "out"));
    assert_eq!(modes, (0o600, 0o700));
    run(&home, "files host/made root.pxar all").expect(0);
    assert_eq!(mode(&home, "all/file"), 0o644);
}

#[test]
fn a_folder_keeps_its_mode_where_permissions_are_left_out() {
    if !is_root() {
        skip("only root may write to a folder that its owner may not use");
        return;
    }
    let home = home();
    let folder = home.path("out");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o050)).unwrap();
    run(&home, "files host/made root.pxar out --ignore-permissions").expect(0);
    assert_eq!(mode(&home, "out"), 0o050);
    assert_eq!(mode(&home, "out/file"), 0o600);
}

#[test]
fn extended_attributes_and_access_control_lists_can_be_left_out() {
    let home = home();
    let list = "system.posix_acl_access";
    run(&home, "files host/made root.pxar all").expect(0);
    if !has_xattr(&home, "all/file", "user.note") || !has_xattr(&home, "all/list", list) {
        skip("the file system has no extended attributes or no access control lists");
        return;
    }
    run(&home, "files host/made root.pxar x --ignore-xattrs").expect(0);
    assert!(!has_xattr(&home, "x/file", "user.note") && has_xattr(&home, "x/list", list));
    run(&home, "files host/made root.pxar a --ignore-acls").expect(0);
    assert!(has_xattr(&home, "a/file", "user.note") && !has_xattr(&home, "a/list", list));
}

#[test]
fn owners_can_be_left_out() {
    let home = Home::new();
    let su = Node::file("x").owner(7001, 7002).mode(0o4755);
    made(&home, &Tree::new().add("su", su), &Layout::v1());
    run(&home, "files host/made root.pxar out --ignore-ownership")
        .expect(0)
        .says("left out: setuid or setgid of 1 entry");
    let found = fs::metadata(home.path("out/su")).unwrap();
    assert_eq!(found.uid(), rustix::process::geteuid().as_raw());
    assert_eq!(mode(&home, "out/su"), 0o755);
}

#[test]
fn what_gives_rights_can_be_left_out() {
    let home = Home::new();
    let tree = Tree::new()
        .add("null", own(Node::char_device(1, 3)))
        .add("su", own(Node::file("x").mode(0o4755)));
    made(&home, &tree, &Layout::v1());
    run(&home, "files host/made root.pxar out --no-special")
        .expect(0)
        .says("left out: devices of 1 entry")
        .says("left out: setuid or setgid of 1 entry");
    assert!(!home.path("out/null").exists());
    assert_eq!(mode(&home, "out/su"), 0o755);
}

#[test]
fn devices_that_cannot_be_made_can_be_left_out() {
    if !is_root() {
        skip("another user than root makes no devices in any case");
        return;
    }
    let home = Home::new();
    let tree = Tree::new().add("null", own(Node::char_device(1, 3)));
    made(&home, &tree, &Layout::v1());
    home.write("work/out/null", "in the way");
    let command = "files host/made root.pxar out";
    run(&home, command).expect(8).says("null is there already");
    run(&home, &format!("{command} --ignore-extract-device-errors"))
        .expect(0)
        .says("left out: devices of 1 entry");
}

#[test]
fn each_kind_of_entry_has_its_option_to_replace_something() {
    let home = Home::new();
    made(&home, &small_tree(), &Layout::v1());
    let command = "files host/made root.pxar out --allow-existing-dirs";
    let mine = |name: &str| {
        let found = home.path("out/etc").join(name);
        !found.is_symlink() && fs::read(found).unwrap() == b"mine"
    };
    for (option, left) in [
        ("", [true, true, true]),
        ("--overwrite-files", [false, true, true]),
        ("--overwrite-symlinks", [true, false, true]),
        ("--overwrite-hardlinks", [true, true, true]),
        (
            "--overwrite-files --overwrite-hardlinks",
            [false, true, false],
        ),
    ] {
        let _ = fs::remove_dir_all(home.path("out"));
        for name in ["hosts", "link", "other"] {
            home.write(&format!("work/out/etc/{name}"), "mine");
        }
        run(&home, &format!("{command} {option}")).expect(8);
        assert_eq!(["hosts", "link", "other"].map(mine), left, "{option}");
    }
}
