//! `restore files` where all goes well: the files of an archive come out, all of them or those that are named.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use testkit::pxar::{Layout, Node, Tree, assert_same, describe, describe_folder, encode};
use testkit::{Folder, PbsServer, S3Options, S3Server, SnapshotBuilder, SnapshotInfo};

use crate::home::{Home, Run, copy_folder, events, finish, golden};
use crate::interrupt::{NEVER, within};
use crate::running::{is_root, skip};

/// The datastore of file archives, with the key of those that are encrypted.
const GOLDEN: &str =
    "--repository dir:../golden/files --keyfile ../golden/keys/plain.key --allow-unsigned";

pub(crate) const UNFINISHED: &str = ".chunk-restore-unfinished";

/// Snapshots of the datastore of file archives, and which state of the tree they hold.
const SNAPSHOTS: [(&str, char); 6] = [
    ("host/files/2026-05-28T20:26:40Z", 'a'),
    ("host/signed/2026-05-28T20:26:40Z", 'b'),
    ("host/split/2026-05-28T20:26:40Z", 'a'),
    ("host/split/2026-05-28T21:26:40Z", 'b'),
    ("host/split-enc/2026-05-28T20:26:40Z", 'a'),
    ("host/split-enc/2026-05-28T21:26:40Z", 'b'),
];

/// A folder in memory where there is one, since every extraction has its file system synced.
pub(crate) fn folder() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).unwrap()
}

/// What was backed up.
fn manifest(state: char) -> String {
    String::from_utf8(golden(&format!("input/files-{state}.manifest"))).unwrap()
}

/// A datastore `work/store` with one file archive, in small chunks. Reads it with [`run`].
pub(crate) fn made(home: &Home, tree: &Tree, layout: &Layout) -> (Folder, SnapshotInfo) {
    let store = Folder::new(home.path("store"));
    let info = SnapshotBuilder::new("host/made/2026-01-02T03:04:05Z")
        .chunk_size(4096)
        .files("root.pxar", &encode(tree, layout), 1)
        .write_to(&store);
    (store, info)
}

/// The program, with that datastore.
pub(crate) fn run(home: &Home, arguments: &str) -> Run {
    home.run_with("PBS_REPOSITORY", "./store", arguments)
}

/// An entry of the user who runs the tests.
pub(crate) fn own(node: Node) -> Node {
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    node.owner(uid.as_raw(), gid.as_raw())
}

#[test]
fn golden_archives_come_out_as_they_were_backed_up() {
    if !is_root() {
        skip("only root can restore owners and devices");
        return;
    }
    let home = Home::new();
    for (snapshot, state) in SNAPSHOTS {
        let folder = folder();
        let target = folder.path().join("target");
        let target = target.display();
        let command = format!("files {snapshot} root.pxar {target} {GOLDEN}");
        let run = home.run(&command).expect(0);
        assert!(
            run.text().starts_with(&format!("{target}: ")),
            "{}",
            run.text()
        );
        assert_same(&describe_folder(target.to_string()), &manifest(state));
    }
    for (snapshot, archive) in [
        ("host/tree", "tree.pxar"),
        ("host/tree2", "root.pxar"),
        ("ct/300", "tree.pxar"),
    ] {
        let key = "--keyfile ../golden/keys/plain.key --allow-unsigned --quiet";
        let folder = folder();
        let target = folder.path().join("target");
        home.run(&format!(
            "files {snapshot} {archive} {} {key}",
            target.display()
        ))
        .expect(0);
        let stream = home.run(&format!("image {snapshot} {archive} - {key}"));
        assert_same(
            &describe_folder(&target),
            &describe(&stream.expect(0).stdout, None),
        );
    }
}

#[test]
fn servers_and_buckets_give_the_same_files() {
    if !is_root() {
        skip("only root can restore owners and devices");
        return;
    }
    let home = Home::new();
    let datastore = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/files");
    let pbs = PbsServer::start(Arc::new(Folder::new(&datastore)));
    let s3 = S3Options::new().http(Arc::new(Folder::new(&datastore)));
    for (snapshot, state) in SNAPSHOTS {
        for is_s3 in [false, true] {
            let folder = folder();
            let target = folder.path().join("target");
            let key = "--keyfile ../golden/keys/plain.key --allow-unsigned";
            let target_name = target.display();
            let mut command =
                home.command(&format!("files {snapshot} root.pxar {target_name} {key}"));
            match is_s3 {
                false => command
                    .env("PBS_REPOSITORY", pbs.repository("store1"))
                    .env("PBS_PASSWORD", PbsServer::SECRET)
                    .env("PBS_FINGERPRINT", pbs.fingerprint()),
                true => command
                    .env("PBS_REPOSITORY", S3Server::PLACE)
                    .env("AWS_ENDPOINT_URL", s3.endpoint())
                    .env("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY)
                    .env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY),
            };
            finish(&mut command).expect(0);
            assert_same(&describe_folder(&target), &manifest(state));
        }
    }
}

/// A tree with some files, folders and links.
pub(crate) fn small_tree() -> Tree {
    let mut tree = Tree::new()
        .add("etc", own(Node::directory()))
        .add("etc/hosts", own(Node::file("localhost\n")))
        .add("etc/link", own(Node::symlink("hosts")))
        .add("etc/other", Node::hard_link("etc/hosts"))
        .add("var", own(Node::directory()))
        .add("var/a.gz", own(Node::file("packed")))
        .add("var/b.txt", own(Node::file("plain")));
    let meta = own(Node::directory()).meta;
    (tree.meta.uid, tree.meta.gid) = (meta.uid, meta.gid);
    tree
}

#[test]
fn paths_and_patterns_choose_what_is_extracted() {
    let home = Home::new();
    made(&home, &small_tree(), &Layout::v1());
    let cases: [(&str, &[&str]); 10] = [
        ("etc/hosts", &["etc", "etc/hosts"]),
        (
            "/etc/other var/",
            &["etc", "etc/other", "var", "var/a.gz", "var/b.txt"],
        ),
        ("--pattern *.gz", &["var", "var/a.gz"]),
        ("--pattern /var --pattern !*.gz", &["var", "var/b.txt"]),
        ("etc/l*", &["etc", "etc/link"]),
        (
            "v?r/*.txt etc/hosts",
            &["etc", "etc/hosts", "var", "var/b.txt"],
        ),
        ("--pattern [ab].gz", &["var", "var/a.gz"]),
        ("./etc/hosts", &["etc", "etc/hosts"]),
        ("./etc/l*", &["etc", "etc/link"]),
        ("--pattern ./a.gz", &["var", "var/a.gz"]),
    ];
    for (number, (named, expected)) in cases.into_iter().enumerate() {
        // Options of several values would take the path for another one.
        let (paths, patterns) = named.split_at(named.find("--").unwrap_or(named.len()));
        let command = format!("files host/made root.pxar out{number} {paths} {patterns}");
        assert_eq!(run(&home, &command).expect(0).stderr, "", "{command}");
        let text = describe_folder(home.path(&format!("out{number}")));
        let names = text.lines().map(|line| line.split(' ').next().unwrap());
        assert_eq!(names.skip(1).collect::<Vec<_>>(), expected, "{command}");
    }
}

#[test]
fn json_tells_what_was_extracted() {
    let home = Home::new();
    made(&home, &small_tree(), &Layout::v1());
    let told = run(&home, "files host/made root.pxar out --output-format json").expect(0);
    assert_eq!(told.stderr, "");
    let told = events(&told.text());
    assert_eq!(told[0]["event"], "progress");
    let last = told.last().unwrap();
    assert_eq!(last["event"], "extracted");
    assert_eq!(
        (&last["archive"], &last["folder"]),
        (&"root.pxar".into(), &"out".into())
    );
    for (member, number) in [
        ("directories", 3),
        ("files", 3),
        ("bytes", 21),
        ("kept", 0),
        ("hard_links", 1),
        ("symlinks", 1),
        ("specials", 0),
        ("failed", 0),
        ("lost", 0),
    ] {
        assert_eq!(last[member], number, "{member}");
    }
    let quiet = run(&home, "files host/made root.pxar again --quiet").expect(0);
    assert_eq!((quiet.text(), quiet.stderr), (String::new(), String::new()));
}

#[test]
fn the_prelude_goes_to_a_file() {
    let home = Home::new();
    let command = format!(
        "files host/split/2026-05-28T20:26:40Z root.pxar out etc --prelude-target prelude {GOLDEN}"
    );
    let user = "--ignore-ownership --allow-existing-dirs";
    home.run(&format!("{command} {user}")).expect(0);
    let prelude = fs::read_to_string(home.path("prelude")).unwrap();
    assert!(prelude.contains("exclude-patterns"), "{prelude}");
    let mode = fs::metadata(home.path("prelude"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // An extraction that goes on finds it.
    home.run(&format!("{command} {user}")).expect(0);
    fs::write(home.path("prelude"), "mine").unwrap();
    home.run(&format!("{command} {user}"))
        .expect(8)
        .says("prelude exists already, and holds something else: --overwrite replaces it");
    assert_eq!(fs::read(home.path("prelude")).unwrap(), b"mine");
    home.run(&format!("{command} {user} --overwrite")).expect(0);
    assert_eq!(fs::read_to_string(home.path("prelude")).unwrap(), prelude);
    // Whoever opens this waits for a writer.
    mknodat(CWD, home.path("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let to_pipe = format!("{command} {user}").replace("prelude ", "pipe ");
    let home = within(NEVER, move || {
        home.run(&to_pipe).expect(8).says("pipe exists already");
        home
    });

    let whole = command
        .replace("host/split", "host/files")
        .replace("out", "whole");
    home.run(&whole.replace("prelude ", "none "))
        .expect(0)
        .says("root.pxar has no prelude");
    assert!(!home.path("none").exists());
}

/// The lines of a tree, without what only root can restore: owners and what depends on them, and devices.
fn without_rights(text: &str) -> String {
    let mut kept = String::new();
    for line in text.lines() {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if ["b", "c"].contains(&words[1].as_str()) {
            continue;
        }
        let mode = u32::from_str_radix(&words[2], 8).unwrap();
        words[2] = format!("{:04o}", mode & 0o1777);
        (words[3], words[4]) = ("-".to_owned(), "-".to_owned());
        let is_kept = |xattr: &&str| xattr.starts_with("user.") || xattr.starts_with("system.");
        let xattrs: Vec<&str> = words[9].split(',').filter(is_kept).collect();
        words[9] = match xattrs.is_empty() {
            true => "-".to_owned(),
            false => xattrs.join(","),
        };
        kept += &(words.join(" ") + "\n");
    }
    kept
}

#[test]
fn another_user_than_root_gets_everything_but_owners_and_rights() {
    if !is_root() {
        skip("only root can become another user");
        return;
    }
    const USER: u32 = 61_234;
    let home = Home::new();
    let folder = folder();
    // The other user can't enter the folders of this one.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("restore");
    fs::copy(home.command("").get_program(), &program).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    copy_folder(&golden.join("files"), &folder.path().join("store"));
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    std::os::unix::fs::chown(&target, Some(USER), Some(USER)).unwrap();

    let extract = |snapshot: &str, to: &str| {
        let mut command = Command::new(&program);
        command.args([
            "files",
            snapshot,
            "root.pxar",
            to,
            "--repository",
            "../store",
        ]);
        command.env_clear().current_dir(&target).uid(USER).gid(USER);
        finish(&mut command)
    };
    for (snapshot, state) in [SNAPSHOTS[0], SNAPSHOTS[3]] {
        let told = extract(snapshot, &state.to_string()).expect(0);
        for property in ["owners", "setuid or setgid", "capabilities", "devices"] {
            let told_once = told
                .stderr
                .matches(&format!("left out: {property} of "))
                .count();
            assert_eq!(told_once, 1, "{property}: {}", told.stderr);
        }
        let actual = describe_folder(target.join(state.to_string()));
        assert_same(&without_rights(&actual), &without_rights(&manifest(state)));
        let found = fs::metadata(target.join(state.to_string())).unwrap();
        assert_eq!((found.uid(), found.gid()), (USER, USER));
    }
}
