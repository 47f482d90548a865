//! What `restore list` shows.

use std::fs;

use crate::home::{GOLDEN_LEN, Home, events};

#[test]
fn list_shows_snapshots_and_the_namespaces_below() {
    let home = Home::new();
    let text = home.run("list").expect(0).text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 9, "{text}");
    assert!(lines.contains(&"vm/200/2024-06-10T10:00:00Z"), "{text}");
    assert_eq!(lines.last(), Some(&"namespaces below: team"));

    let text = home.run("list --ns team").expect(0).text();
    assert_eq!(text, "namespaces below: team/a\n");
    let text = home.run("list --ns team/a").expect(0).text();
    assert_eq!(text, "vm/200/2024-06-10T16:00:00Z\n");
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
        text.contains("vm/200/2024-06-10T10:00:00Z  unfinished\n"),
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
