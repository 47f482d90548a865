//! `restore ls`, `cat` and `find`: what is in a file archive, by archives that a real PBS wrote and by made ones.

use std::fs;

use serde_json::{Value, json};

use crate::home::{Home, Run, events, sha256};

const SPLIT: &str = "host/split/2026-05-28T20:26:40Z root.pxar";

/// The archives of one tree, in its states `a` and `b`.
const GOLDEN: [(&str, char); 6] = [
    ("host/files/2026-05-28T20:26:40Z root.pxar", 'a'),
    ("host/signed/2026-05-28T20:26:40Z root.pxar", 'b'),
    (SPLIT, 'a'),
    ("host/split/2026-05-28T21:26:40Z root.mpxar", 'b'),
    (
        "host/split-enc/2026-05-28T20:26:40Z root.pxar --keyfile ../golden/keys/plain.key",
        'a',
    ),
    (
        "host/split-enc/2026-05-28T21:26:40Z root.ppxar --keyfile ../golden/keys/plain.key",
        'b',
    ),
];

/// Runs a command on an archive of the golden datastore of file archives.
fn run(home: &Home, command: &str, archive: &str, more: &str) -> Run {
    home.run_with(
        "PBS_REPOSITORY",
        "../golden/files",
        &format!("{command} {archive} {more}"),
    )
}

/// The lines of a manifest: the path as bytes, with a slash at its start, and all columns.
fn manifest(state: char) -> Vec<(Vec<u8>, Vec<String>)> {
    let text = fs::read_to_string(format!(
        "{}/tests/golden/input/files-{state}.manifest",
        env!("CARGO_MANIFEST_DIR")
    ));
    let text = text.unwrap();
    let lines = text.lines().map(|line| {
        let columns: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let path = match columns[0].as_str() {
            "." => b"/".to_vec(),
            path => [b"/", &unescaped(path)[..]].concat(),
        };
        (path, columns)
    });
    lines.collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split(r"\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    bytes
}

/// The parts of an output whose parts end with zero bytes, sorted.
fn parts(run: &Run) -> Vec<Vec<u8>> {
    let whole = run.stdout.strip_suffix(b"\0").unwrap();
    let mut parts: Vec<_> = whole.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    parts.sort();
    parts
}

#[test]
fn everything_is_listed_and_found_with_its_raw_name() {
    let home = Home::new();
    for (archive, state) in GOLDEN {
        let mut paths: Vec<_> = manifest(state).into_iter().map(|(path, _)| path).collect();
        paths.sort();
        let listed = run(&home, "ls", archive, "-R0").expect(0);
        assert_eq!(parts(&listed), paths, "{archive}");
        let found = run(&home, "find", archive, "** --null").expect(0);
        // The root is where they are found.
        assert_eq!(parts(&found), paths[1..], "{archive}");
    }
}

#[test]
fn a_file_is_written_byte_for_byte() {
    let home = Home::new();
    for (archive, state) in GOLDEN {
        let manifest = manifest(state);
        for name in [
            "/big/text",
            "hard/b",
            "/zz-link-in-root",
            "empty",
            "./noperm",
        ] {
            let path = format!("/{}", name.trim_start_matches(['.', '/']));
            let (_, columns) = manifest
                .iter()
                .find(|(own, _)| own == path.as_bytes())
                .unwrap();
            let content = run(&home, "cat", archive, name).expect(0);
            assert_eq!(sha256(&content.stdout), columns[11], "{archive} {name}");
            assert_eq!(content.stderr, "");
        }
    }
    // Written by an older client.
    let hello = home.run("cat host/tree tree.pxar hello.txt").expect(0);
    assert_eq!(hello.text(), "hello pxar\n");
}

#[test]
fn a_folder_is_listed_by_its_names_and_anything_else_by_its_path() {
    let home = Home::new();
    let ls = |more: &str| run(&home, "ls", SPLIT, more).expect(0).text();
    assert_eq!(ls("etc"), "hostname\nshadow\n");
    assert_eq!(ls("/etc/hostname"), "/etc/hostname\n");
    assert_eq!(
        ls("hard -R"),
        "/hard\n/hard/a\n/hard/b\n/hard/e1\n/hard/e2\n/hard/sub\n/hard/sub/c\n"
    );
    assert_eq!(ls("empty-dir"), "");
    assert_eq!(ls("empty-dir -0"), "");
    assert!(ls("").starts_with(".hidden\nacl\n"));
    assert_eq!(ls("/"), ls("."));
}

#[test]
fn long_lines_tell_the_metadata() {
    let home = Home::new();
    let ls = |path: &str| {
        run(&home, "ls", SPLIT, &format!("-l {path}"))
            .expect(0)
            .text()
    };
    for (path, line) in [
        (
            "acl/f",
            "-rw-rw-r--+     0     0            4 2017-12-19T12:57:47Z /acl/f",
        ),
        (
            "dev/big",
            "crw-------      0     0 511, 1048575 2017-10-13T14:09:17Z /dev/big",
        ),
        (
            "dev/loop7",
            "brw-rw----      0     0         7, 7 2017-11-23T14:30:49Z /dev/loop7",
        ),
        (
            "dev/fifo",
            "prw-r--r--      0     0            0 2017-08-12T03:31:21Z /dev/fifo",
        ),
        (
            "dev/sock",
            "srwxrwxrwx      0     0            0 2018-01-22T09:53:26Z /dev/sock",
        ),
        (
            "zz-link-in-root",
            "-rw-r--r--      0     0        12345 2017-12-02T10:27:35Z /zz-link-in-root link to /hard/a",
        ),
        (
            "sym/not-utf8",
            r"lrwxrwxrwx      0     0            6 2017-09-23T17:36:13Z /sym/not-utf8 -> \xff\xfe raw",
        ),
        (
            "perm/all",
            "-rwsrwsrwt      0     0           12 1970-01-01T00:00:00Z /perm/all",
        ),
        (
            "perm/sticky",
            "-rw-r--r-T      0     0           12 1969-12-31T00:00:00Z /perm/sticky",
        ),
        (
            "xattr/caps",
            "-rwxr-xr-x+     0     0           12 2017-12-30T15:10:25Z /xattr/caps",
        ),
    ] {
        assert_eq!(ls(path), format!("{line}\n"));
    }
    let folder = ls("dev");
    let last = folder.lines().last().unwrap();
    assert_eq!(
        last,
        "c---------      0     0         0, 0 2017-10-07T05:16:48Z whiteout"
    );
    let found = run(&home, "find", SPLIT, "-l /etc/hostname").expect(0);
    assert_eq!(found.text(), ls("etc/hostname"));
}

#[test]
fn names_reach_a_terminal_only_in_escaped_form() {
    let home = Home::new();
    let listed = run(&home, "ls", SPLIT, "-lR").expect(0).text();
    for name in [
        r"/odd names/\u{1}ctl\u{1b}[31m",
        r"/odd names/new\nline",
        r"/odd names/dir\n\xff/inside",
        r"/odd names/back\\slash",
        r"/odd names/\xff\xfe\x80latin1 \xe4",
        "/odd names/☃ snowman",
    ] {
        let has_line = listed
            .lines()
            .any(|line| line.ends_with(&format!("Z {name}")));
        assert!(has_line, "{name}: {listed}");
    }
    assert!(!listed.contains(|c: char| c.is_control() && c != '\n'));
}

#[test]
fn json_has_the_bytes_of_each_name() {
    let home = Home::new();
    let entries = |more: &str| {
        let run = run(&home, "ls", SPLIT, &format!("{more} --output-format json"));
        events(&run.expect(0).text())
    };
    let all = entries("-R");
    let manifest = manifest('a');
    assert_eq!(all.len(), manifest.len());
    let of = |path: &str| -> &Value { all.iter().find(|entry| entry["path"] == path).unwrap() };
    let odd = of("/odd names/\u{fffd}\u{fffd}\u{fffd}latin1 \u{fffd}");
    assert_eq!(
        odd["path_base64"],
        "L29kZCBuYW1lcy//_oBsYXRpbjEg5A==".replace('_', "/")
    );
    assert_eq!(
        entries("/zz-link-in-root"),
        [json!({
            "event": "entry", "path": "/zz-link-in-root", "path_base64": "L3p6LWxpbmstaW4tcm9vdA==",
            "type": "file", "mode": "0644", "uid": 0, "gid": 0, "size": 12345,
            "mtime": "2017-12-02T10:27:35.877726924Z", "mtime_secs": 1_512_210_455,
            "mtime_nanos": 877_726_924, "xattrs": [], "major": null, "minor": null,
            "link_to": "/hard/a", "link_to_base64": "L2hhcmQvYQ==",
        })]
    );
    assert_eq!(
        of("/perm/sticky")["mtime"],
        "1969-12-31T00:00:00.000000005Z"
    );
    assert_eq!(of("/sym/abs")["target"], "/etc/hostname");
    assert_eq!(of("/sym/not-utf8")["target_base64"], "//4gcmF3");
    assert_eq!(
        (&of("/dev/big")["major"], &of("/dev/big")["minor"]),
        (&json!(511), &json!(1_048_575))
    );
    assert_eq!(
        of("/acl/d")["xattrs"],
        json!(["system.posix_acl_access", "system.posix_acl_default"])
    );
    run(&home, "ls", SPLIT, "-0 --output-format json").expect(2);
}

#[test]
fn the_last_pattern_that_matches_decides() {
    let home = Home::new();
    let find = |patterns: &str| run(&home, "find", SPLIT, patterns).expect(0).text();
    assert_eq!(
        find("/etc/* /hard/**"),
        "/etc/hostname\n/etc/shadow\n/hard/a\n/hard/b\n/hard/e1\n/hard/e2\n/hard/sub\n/hard/sub/c\n"
    );
    assert_eq!(
        find("/hard/** !e? !/hard/sub"),
        "/hard/a\n/hard/b\n/hard/sub/c\n"
    );
    assert_eq!(find("/hard/** !e? e2 !?"), "/hard/e2\n/hard/sub\n");
    assert_eq!(find("sub/ shadow"), "/etc/shadow\n/hard/sub\n");
    assert_eq!(find("no-such-name"), "");
    run(&home, "find", SPLIT, "!a !b")
        .expect(2)
        .says("each pattern excludes");
    run(&home, "find", SPLIT, r"a\")
        .expect(2)
        .says("ends with a backslash");
    run(&home, "find", SPLIT, "").expect(2);
}

#[test]
fn what_is_not_there_or_something_else_is_named_with_a_next_step() {
    let home = Home::new();
    run(&home, "cat", SPLIT, "etc/nothing")
        .expect(5)
        .says("has no etc/nothing")
        .says("`restore find host/split/2026-05-28T20:26:40Z root.pxar PATTERN`");
    run(&home, "ls", SPLIT, "sym/escape/x")
        .expect(5)
        .says("sym/escape is a symbolic link to ../../../../../../tmp/outside, and links are not followed");
    run(&home, "ls", SPLIT, "etc/hostname/x")
        .expect(5)
        .says("etc/hostname is no directory");
    run(&home, "cat", SPLIT, "etc")
        .expect(2)
        .says("it is a directory: `restore ls host/split/2026-05-28T20:26:40Z root.pxar etc`");
    run(&home, "cat", SPLIT, "sym/rel")
        .expect(2)
        .says("it is a symbolic link to ../etc/hostname");
    run(&home, "cat", SPLIT, "dev/null").expect(2);
    run(&home, "ls", "host/split other.pxar", "").expect(5);
    run(&home, "ls", "host/files catalog.pcat1", "")
        .expect(2)
        .says("`restore list host/files/2026-05-28T20:26:40Z` shows which archives there are");
    run(&home, "ls", "host/split-enc root.pxar", "").expect(6);
}
