//! `restore ls`, `cat` and `find`: early ends, by readers, interrupts and damage.

use std::io::Read;
use std::process::{Output, Stdio};
use std::sync::Arc;

use testkit::pxar::{Content, Layout, Node, Tree, encode};
use testkit::{Fault, Folder, PbsServer, SnapshotBuilder, When};

use crate::home::Home;
use crate::interrupt::{NEVER, on_server, signal, wait_until, with_default_signals, within};

const MADE: &str = "host/made/2026-01-02T03:04:05Z";

/// Runs a command whose reader takes ten bytes, and closes the pipe.
fn read_early(home: &Home, arguments: &str) -> Output {
    let mut command = home.command(arguments);
    command.env("PBS_REPOSITORY", "../golden/files");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut start = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut start).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_list_in_a_pipe_that_is_closed_early_ends_without_a_word() {
    let home = Home::new();
    // Its lines are more than a pipe takes.
    many_files(&home, 3000);
    for arguments in [
        "ls host/made root.pxar -lR --repository ./store",
        "find host/made root.pxar ** --output-format json --repository ./store",
    ] {
        let ended = read_early(&home, arguments);
        assert_eq!(ended.status.code(), Some(0), "{arguments}");
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), "", "{arguments}");
    }
}

#[test]
fn files_in_a_pipe_that_is_closed_early_are_not_complete() {
    let home = Home::new();
    for arguments in [
        "cat host/files root.pxar big/sparse",
        "files host/files root.pxar - --format tar",
        "files host/files root.pxar - --format zip",
        "image host/files root.pxar -",
    ] {
        let ended = read_early(&home, arguments);
        assert_eq!(ended.status.code(), Some(8), "{arguments}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains("Broken pipe"), "{arguments}: {said}");
    }
}

/// A datastore `store` with an archive of so many files in folders of 1000.
fn many_files(home: &Home, count: u64) {
    let mut tree = Tree::new();
    for number in 0..count {
        let folder = format!("d{}", number / 1000);
        if number.is_multiple_of(1000) {
            tree = tree.add(&folder, Node::directory());
        }
        let content = Content::random(number, 100);
        tree = tree.add(format!("{folder}/f{number:07}"), Node::file(content));
    }
    SnapshotBuilder::new(MADE)
        .chunk_size(64 << 10)
        .files("root.pxar", &encode(&tree, &Layout::split()), 1)
        .write_to(&Folder::new(home.path("store")));
}

#[test]
fn damaged_entries_are_told_and_the_others_of_the_folder_listed() {
    let home = Home::new();
    let mut tree = Tree::new();
    for number in 0..100 {
        let content = Content::random(number, 3000);
        tree = tree.add(format!("f{number:02}"), Node::file(content));
    }
    let store = Folder::new(home.path("store"));
    let made = SnapshotBuilder::new(MADE)
        .chunk_size(8000)
        .files("root.pxar", &encode(&tree, &Layout::v1()), 1)
        .write_to(&store);
    let run = |arguments: &str| {
        let arguments = format!("{arguments} --repository ./store");
        home.run(&arguments)
    };
    let whole = run("ls host/made root.pxar").expect(0).text();
    assert_eq!(whole.lines().count(), 100);
    // Some in the middle.
    let digests = &made.archive("root.pxar").digests;
    store.remove_chunk(&digests[digests.len() / 2]);
    let left = run("ls host/made root.pxar")
        .expect(7)
        .says("is missing in the datastore");
    assert_eq!(left.stderr.matches("error:").count(), 1, "{}", left.stderr);
    let names = left.text();
    assert!((90..100).contains(&names.lines().count()), "{names}");
    assert!(names.starts_with("f00\n") && names.ends_with("f99\n"));
    // What lies elsewhere is read as before.
    assert_eq!(
        run("cat host/made root.pxar f99").expect(0).stdout.len(),
        3000
    );
    let is_lost = |name: &&str| !names.lines().any(|line| line == *name);
    let lost = whole.lines().find(is_lost).unwrap();
    run(&format!("cat host/made root.pxar {lost}")).expect(7);
    // A walk can't go on behind the damage.
    let walked = run("ls -R host/made root.pxar")
        .expect(7)
        .says("nothing after it is listed");
    assert!(walked.text().starts_with("/\n/f00\n"));
}

#[test]
fn a_chunk_that_does_not_come_holds_up_no_interrupt() {
    within(NEVER, || {
        let home = Home::new();
        many_files(&home, 100);
        let server = PbsServer::start(Arc::new(Folder::new(home.path("store"))));
        server.on_any_chunk(When::Always, Fault::Stall);
        for (command, more) in [("ls", ""), ("find", "**"), ("cat", "d0/f0000000")] {
            let before = server.counts().chunk_requests;
            let arguments = format!("{command} host/made root.pxar {more}");
            let mut command = on_server(with_default_signals(&home, &arguments), &server);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.spawn().unwrap();
            wait_until(|| server.counts().chunk_requests > before);
            signal("INT", child.id());
            let ended = child.wait_with_output().unwrap();
            assert_eq!(ended.status.code(), Some(130), "{arguments}");
            assert!(
                String::from_utf8(ended.stderr)
                    .unwrap()
                    .ends_with("interrupted\n")
            );
        }
    });
}
