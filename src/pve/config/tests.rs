//! Tests of the parser: what Proxmox VE writes, what people write, and random text.

use proptest::prelude::*;

use super::*;

const WRITTEN: &str = "\
dir: local
\tpath /var/lib/vz
\tcontent iso,vztmpl,backup

pbs: backup
\tdatastore store1
\tserver pbs.example.org
\tcontent backup
\tencryption-key 0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b
\tfingerprint 64:d3:ff:3a:50:38:53:5a:9b:f7:50:34:56:3e:26:ad:0f:e0:11:a4:1f:7c:f5:b3:e4:f1:4a:c5:6f:1e:a0:9a
\tmaster-pubkey 1
\tnamespace team/a
\tnodes one,two
\tport 8008
\tprune-backups keep-all=1
\tusername pve@pbs!ci

";

fn get(text: &str, name: &str) -> Result<Storage> {
    let name = name.parse().expect("it is the name of a storage");
    Storages::parse(text.as_bytes()).get(&name)
}

#[test]
fn a_storage_is_read_as_proxmox_ve_writes_it() {
    let storage = get(WRITTEN, "backup").expect("it is well formed");
    let repository = storage.repository().to_string();
    assert_eq!(repository, "pve@pbs!ci@pbs.example.org:8008:store1");
    assert_eq!(storage.namespace().to_string(), "team/a");
    let fingerprint = storage.fingerprint().expect("it has one");
    assert!(fingerprint.to_string().starts_with("64:d3:ff"));
    assert_eq!(storage.nodes(), ["one", "two"]);
    assert!(storage.has_key() && !storage.is_disabled());
}

#[test]
fn line_ends_tabs_spaces_comments_and_empty_lines_do_not_matter() {
    let expected = get(WRITTEN, "backup").expect("it is well formed");
    for text in [
        WRITTEN.replace('\n', "\r\n"),
        WRITTEN.replace('\t', "    "),
        WRITTEN.replace('\n', " \t\n"),
        WRITTEN.replace('\n', "\n\n"),
        WRITTEN.replace('\n', "\n# server other\n\t# server other\n"),
        WRITTEN.replace("pbs: ", "pbs:"),
        WRITTEN.replace("pbs: ", "pbs: \t"),
        WRITTEN.replace("server ", "server\t \t"),
        format!("\u{feff}{WRITTEN}"),
        format!("\tserver stray\n{WRITTEN}"),
        format!("nonsense\n\tserver stray\n{WRITTEN}"),
        format!("pbs: ../other\n\tserver stray\n{WRITTEN}"),
        format!("{WRITTEN}pbs: a/b\n\tserver stray\n"),
        format!("{WRITTEN}future-type: backup2\n\tserver stray\n"),
    ] {
        assert_eq!(get(&text, "backup").expect(&text), expected, "{text}");
    }
}

#[test]
fn a_short_section_has_the_defaults() {
    let text = "pbs: backup\n  server fd00::1\n  datastore store1\n";
    let storage = get(text, "backup").expect("it is well formed");
    let repository = storage.repository().to_string();
    assert_eq!(repository, "root@pam@[fd00::1]:8007:store1");
    assert!(storage.fingerprint().is_none() && !storage.has_key());
    assert!(storage.nodes().is_empty() && storage.namespace().to_string().is_empty());
}

#[test]
fn a_disabled_storage_says_so() {
    let text = "pbs: backup\n server a\n datastore b\n";
    for (line, is_disabled) in [("disable", true), ("disable 1", true), ("disable 0", false)] {
        let storage = get(&format!("{text} {line}\n"), "backup").expect(line);
        assert_eq!(storage.is_disabled(), is_disabled, "{line}");
    }
}

#[test]
fn each_thing_that_is_wrong_with_a_storage_is_named() {
    let text = "pbs: backup\n server pbs\n datastore store1\n";
    for (text, why) in [
        ("pbs: backup\n datastore store1\n".to_owned(), "no server"),
        ("pbs: backup\n server pbs\n".to_owned(), "no datastore"),
        (
            "pbs: backup\n server\n datastore a\n".to_owned(),
            "no server",
        ),
        ("dir: backup\n path /x\n".to_owned(), "of the type dir"),
        (format!("{text}{text}"), "two of this name"),
        (format!("dir: backup\n{text}"), "two of this name"),
        (
            format!("{text} server other\n"),
            "its server is given twice",
        ),
        (format!("{text} port 0\n"), "its port"),
        (format!("{text} port 65536\n"), "its port"),
        (format!("{text} username joe\n"), "its username"),
        (format!("{text} namespace a//b\n"), "its namespace"),
        (format!("{text} fingerprint 64:d3\n"), "its fingerprint"),
        (text.replace(" pbs\n", " p/bs\n"), "its server"),
        (text.replace(" pbs\n", " pbs:8007\n"), "its server"),
        (text.replace(" store1\n", " ../s\n"), "its datastore"),
        (text.replace(" store1\n", " st\u{e4}\n"), "its datastore"),
    ] {
        let error = get(&text, "backup").expect_err(&text);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(why), "{error}");
    }
    let error = get(WRITTEN, "other").expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let message = "there is no storage other; of the type pbs there are: backup";
    assert_eq!(error.to_string(), message);
}

#[test]
fn a_storage_that_can_not_be_used_does_not_hide_the_others() {
    let text = format!(
        "{WRITTEN}pbs: broken\n\tserver a b\n\tdatastore c\n\
         dir: twice\n\tpath /x\npbs: twice\n\tserver a\n\tdatastore c\n"
    );
    let all: Vec<_> = Storages::parse(text.as_bytes()).iter().collect();
    assert_eq!(all.len(), 3);
    assert!(all[0].is_ok() && all[1].is_err() && all[2].is_err());
}

#[test]
fn a_storage_whose_key_has_no_fingerprint_does_not_do_without_a_key() {
    let text = "pbs: backup\n server a\n datastore b\n encryption-key\n";
    let storage = get(text, "backup").expect("it is well formed");
    assert!(storage.has_key());
}

/// A line of a section: a property that is read, with a value that fits or does not, or any text.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \t]{1,2}(port|username|namespace|nodes|disable)[ \t]{1,2}[a-c0-9]{1,3}",
        "[ \t]{1,2}(server|datastore|port|username|namespace)[ \t]{1,2}[a-c0-9:.@!/]{0,6}",
        "[ \t#]{0,2}(disable|fingerprint|encryption-key)?.{0,8}",
        "(pbs|dir): [a-c.]{1,3}",
    ]
}

proptest! {
    #[test]
    fn a_storage_that_is_found_can_be_written_and_read_again(
        lines in prop::collection::vec(line(), 0..8),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n")],
    ) {
        let section = ["pbs: backup", " server pbs", " datastore store1"];
        let lines: Vec<_> = section.into_iter().chain(lines.iter().map(String::as_str)).collect();
        let storages = Storages::parse(lines.join(end).as_bytes());
        for storage in storages.iter().flatten() {
            let text = format!(
                "pbs: {}\n server {}\n port {}\n datastore {}\n username {}\n namespace {}\n nodes {}\n",
                storage.name(),
                storage.repository().host(),
                storage.repository().port(),
                storage.repository().datastore(),
                storage.repository().identity(),
                storage.namespace(),
                storage.nodes().join(","),
            );
            let again = Storages::parse(text.as_bytes()).get(storage.name())?;
            prop_assert_eq!(again.repository(), storage.repository());
            prop_assert_eq!(again.namespace(), storage.namespace());
            prop_assert_eq!(again.nodes(), storage.nodes());
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let storages = Storages::parse(&bytes);
        prop_assert_eq!(storages.iter().count(), 0);
    }
}
