//! What `restore list` shows.

use std::fs;
use std::sync::Arc;

use serde_json::json;
use testkit::{Folder, Manifest, PbsServer, S3Options, S3Server, SessionFault, Store, When};

use crate::home::{GOLDEN_LEN, Home, Run, events, finish};

const MONDAY: &str = "vm/100/2026-01-05T03:00:00Z";
const TUESDAY: &str = "vm/100/2026-01-06T03:00:00Z";
/// What a terminal would obey: an escape, a return to the line's begin, a control character of two bytes, a turn of direction.
const COMMANDS: &str = "\u{1b}[31mred\rover\u{9b}2J\u{202e}txt.exe";

/// A datastore with two snapshots of a group, `work/notes`.
fn with_notes(home: &Home, notes: &str) -> Folder {
    fs::create_dir_all(home.path("notes/.chunks")).unwrap();
    let folder = Folder::new(home.path("notes"));
    let state = |state: &str| json!({ "state": state, "upid": "UPID:pbs:1:2:3:695DBB00:verify:x:root@pam:" });
    let first = Manifest::new(MONDAY)
        .unprotected("notes", json!(notes))
        .unprotected("verify_state", state("failed"));
    folder.put_file("", MONDAY, "index.json.blob", &first.blob());
    folder.put_file("", MONDAY, ".protected", b"");
    let second = Manifest::new(TUESDAY).unprotected("verify_state", state("ok"));
    folder.put_file("", TUESDAY, "index.json.blob", &second.blob());
    folder.put_file("", "vm/100", "owner", b"anna@pbs\n");
    folder
}

/// The program against a server that serves this folder.
fn on_server(home: &Home, folder: Folder, arguments: &str) -> Run {
    let server = PbsServer::start(Arc::new(folder));
    let mut command = home.command(arguments);
    command
        .env("PBS_REPOSITORY", server.repository("store1"))
        .env("PBS_PASSWORD", PbsServer::SECRET)
        .env("PBS_FINGERPRINT", server.fingerprint());
    finish(&mut command)
}

/// The program against a bucket with this folder in it.
fn on_bucket(home: &Home, folder: Folder, arguments: &str) -> Run {
    let server = S3Options::new().http(Arc::new(folder));
    let mut command = home.command(arguments);
    command
        .env("PBS_REPOSITORY", S3Server::PLACE)
        .env("AWS_ENDPOINT_URL", server.endpoint())
        .env("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY);
    finish(&mut command)
}

#[test]
fn list_shows_snapshots_and_the_namespaces_below() {
    let home = Home::new();
    let text = home.run("list").expect(0).text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 10, "{text}");
    assert!(lines[0].starts_with("snapshot  "), "{text}");
    assert!(
        lines[1].starts_with("vm/200/2024-06-10T10:00:00Z  "),
        "{text}"
    );
    assert_eq!(lines.last(), Some(&"namespaces below: team"));

    let text = home.run("list --ns team").expect(0).text();
    assert_eq!(text, "namespaces below: team/a\n");
    let text = home.run("list --ns team/a").expect(0).text();
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains("\nvm/200/2024-06-10T16:00:00Z  "), "{text}");
    assert_eq!(
        home.run_with("PBS_NAMESPACE", "team/a", "list")
            .expect(0)
            .text(),
        text
    );
}

#[test]
fn list_shows_an_unfinished_snapshot_as_such() {
    let home = Home::new();
    let datastore = home.datastore();
    fs::remove_file(datastore.join("vm/200/2024-06-10T10:00:00Z/index.json.blob")).unwrap();
    let text = home.run("list --repository ./datastore").expect(0).text();
    assert!(
        text.contains("vm/200/2024-06-10T10:00:00Z      unfinished\n"),
        "{text}"
    );
}

#[test]
fn list_of_a_snapshot_shows_its_archives_and_who_signed_it() {
    let home = Home::new();
    let text = home.run("list vm/200").expect(0).text();
    assert!(
        text.starts_with("vm/200/2024-06-10T10:00:00Z, not signed\n"),
        "{text}"
    );
    assert!(
        text.contains("\ndrive-scsi0.img       24.0 MiB  none\n"),
        "{text}"
    );

    let signed = "vm/201/2024-06-10T11:00:00Z, signed by key bb:81:19:64";
    let text = home
        .run("list vm/201 --keyfile ../golden/keys/plain.key")
        .expect(0)
        .text();
    assert!(text.starts_with(signed), "{text}");
    assert!(text.contains("24.0 MiB  encrypt\n"), "{text}");
    // Who has no key can't know.
    let text = home.run("list vm/201").expect(0).text();
    assert!(
        text.lines()
            .next()
            .unwrap()
            .ends_with(" (not checked: no key is at hand)"),
        "{text}"
    );
}

#[test]
fn the_table_tells_what_is_known_of_each_snapshot_on_any_place() {
    let home = Home::new();
    let folder = with_notes(&home, "before the upgrade\nand more");
    let text = home.run("list --repository ./notes").expect(0).text();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(
        rows[1],
        [MONDAY, "failed 2026-01-07", "yes", "before the upgrade"],
        "{text}"
    );
    assert_eq!(rows[2], [TUESDAY, "ok 2026-01-07"], "{text}");
    let golden = home.run("list").expect(0).text();
    for row in [
        "vm/200/2024-06-10T10:00:00Z      40.0 MiB  no         ok 2026-11-23             drive-efidisk0.img drive-scsi0.img",
        "vm/201/2024-06-10T11:00:00Z      32.0 MiB  yes        ok 2026-11-23 ",
        "vm/203/2024-06-10T13:00:00Z      24.0 MiB  signed     ok 2026-11-23 ",
    ] {
        assert!(golden.contains(row), "{golden}");
    }
    let list = ["list", "list --groups", "list --output-format json"];
    for list in list {
        let here = home
            .run(&format!("{list} --repository ./notes"))
            .expect(0)
            .text();
        let there = on_server(&home, Folder::new(folder.path()), list)
            .expect(0)
            .text();
        assert_eq!(there, here.replace("\\nand more", ""));
        let there = on_bucket(&home, Folder::new(folder.path()), list)
            .expect(0)
            .text();
        assert_eq!(there, here);
    }
}

#[test]
fn groups_are_listed_with_owner_and_count() {
    let home = Home::new();
    with_notes(&home, "");
    let groups = "list --groups --repository ./notes";
    let text = home.run(groups).expect(0).text();
    assert_eq!(
        text,
        "group   snapshots  last                  owner\n\
         vm/100          2  2026-01-06T03:00:00Z  anna@pbs\n"
    );
    let told = events(
        &home
            .run(&format!("{groups} --output-format json"))
            .expect(0)
            .text(),
    );
    assert_eq!(
        told[0],
        json!({ "event": "group", "name": "vm/100", "snapshots": 2, "last": TUESDAY, "owner": "anna@pbs" })
    );
    home.run(&format!("{groups} vm/100"))
        .expect(2)
        .says("--groups");
}

#[test]
fn a_snapshot_is_listed_with_its_comment_and_how_it_was_verified() {
    let home = Home::new();
    let folder = with_notes(&home, "first\nsecond");
    let list = format!("list {MONDAY}");
    let text = home
        .run(&format!("{list} --repository ./notes"))
        .expect(0)
        .text();
    assert_eq!(
        text,
        format!(
            "{MONDAY}, not signed\nverified by the server: failed 2026-01-07\ncomment: first\ncomment: second\n"
        )
    );
    assert_eq!(on_server(&home, folder, &list).expect(0).text(), text);
    let told = home.run(&format!("{list} --repository ./notes --output-format json"));
    let told = events(&told.expect(0).text());
    assert_eq!(told[0]["comment"], "first\nsecond");
    assert_eq!(
        told[0]["verified"],
        json!({ "state": "failed", "time": "2026-01-07T01:46:40Z" })
    );
}

#[test]
fn a_manifest_that_is_damaged_leaves_its_row_blank_and_is_told() {
    let home = Home::new();
    let folder = with_notes(&home, "whole");
    folder.put_file("", TUESDAY, "index.json.blob", b"no manifest");
    let run = home.run("list --repository ./notes").expect(0);
    let text = run.text();
    assert!(text.contains("  whole\n"), "{text}");
    assert_eq!(text.lines().last(), Some(TUESDAY));
    run.says(&format!(
        "warning: not all can be shown: the manifest of {TUESDAY} can't be used\n"
    ));
}

#[test]
fn what_comes_from_outside_can_not_command_the_terminal() {
    let home = Home::new();
    let folder = with_notes(&home, COMMANDS);
    folder.put_file("", "vm/100", "owner", COMMANDS.as_bytes());
    let is_plain = |text: &str| {
        text.chars()
            .all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}'))
    };
    let one = format!("list {MONDAY}");
    for list in ["list", "list --groups", &one] {
        for format in ["", "--output-format json"] {
            let run = home
                .run(&format!("{list} {format} --repository ./notes"))
                .expect(0);
            assert!(is_plain(&run.text()), "{:?}", run.text());
            assert!(run.text().contains("1b"), "{}", run.text());
        }
    }
    let list = "list --output-format json --repository ./notes";
    let told = events(&home.run(list).expect(0).text());
    assert_eq!(
        (&told[0]["comment"], &told[0]["owner"]),
        (&json!(COMMANDS), &json!(COMMANDS))
    );

    // What a server says, and what was typed.
    let server = PbsServer::start(Arc::new(folder));
    let refused = SessionFault::Refused {
        status: 400,
        text: COMMANDS.to_owned(),
    };
    server.on_session(When::Always, refused);
    let mut verify = home.command(&format!("verify {MONDAY}"));
    verify
        .env("PBS_REPOSITORY", server.repository("store1"))
        .env("PBS_PASSWORD", PbsServer::SECRET)
        .env("PBS_FINGERPRINT", server.fingerprint());
    let run = finish(&mut verify);
    assert!(
        run.stderr.contains("txt.exe") && is_plain(&run.stderr),
        "{:?}",
        run.stderr
    );
    for arguments in [
        ["verify", COMMANDS],
        [COMMANDS, "x"],
        ["--memory", COMMANDS],
        ["list", "--ns"],
    ] {
        let mut command = home.command("");
        command.args(arguments).arg(COMMANDS);
        let run = finish(&mut command);
        assert!(is_plain(&run.stderr), "{:?}", run.stderr);
    }
}

#[test]
fn json_shows_the_same() {
    let home = Home::new();
    let shown = events(&home.run("list --output-format json").expect(0).text());
    assert_eq!(
        shown
            .iter()
            .filter(|event| event["event"] == "snapshot")
            .count(),
        8
    );
    assert_eq!(shown.last().unwrap()["name"], "team");
    let shown = events(
        &home
            .run("--output-format json list vm/200")
            .expect(0)
            .text(),
    );
    let disk = shown
        .iter()
        .find(|event| event["name"] == "drive-scsi0.img")
        .unwrap();
    assert_eq!(disk["size"], GOLDEN_LEN);
    assert_eq!(disk["crypt_mode"], "none");
}
