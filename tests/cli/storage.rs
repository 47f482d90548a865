//! Storages of Proxmox VE, which say all that a restore needs to know.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;
use testkit::PbsServer;

use crate::home::{GOLDEN_RAW, Home, Run, events, finish, golden, sha256};
use crate::network::datastore;
use crate::reading::as_nobody;

/// Something for which no variable of PBS may stand in.
const FOREIGN: [(&str, &str); 6] = [
    ("PBS_REPOSITORY", "nobody@pam@localhost:9:other"),
    ("PBS_PASSWORD", "wrong"),
    ("PBS_FINGERPRINT", "none"),
    ("PBS_NAMESPACE", "//"),
    ("PBS_PASSWORD_FILE", "none"),
    ("PBS_ENCRYPTION_PASSWORD", "wrong"),
];

/// A server, and the configuration of a node with these storages in it: `backup`, and what `more` says.
fn node(home: &Home, more: &str) -> PbsServer {
    let server = PbsServer::start(datastore());
    let section = section(&server, "backup");
    home.write(
        "pve/storage.cfg",
        format!("dir: local\n\tpath /var/lib/vz\n\n{section}\n{more}"),
    );
    home.write("pve/priv/storage/backup.pw", PbsServer::SECRET);
    for name in ["repository", "fingerprint", "password"] {
        home.write(&format!("credentials/chunk-restore.{name}"), "wrong");
    }
    server
}

fn section(server: &PbsServer, name: &str) -> String {
    let port = server.address().port();
    let (identity, fingerprint) = (PbsServer::TOKEN, server.fingerprint());
    format!(
        "pbs: {name}\n\tdatastore store1\n\tserver localhost\n\tport {port}\n\tcontent backup\n\
         \tfingerprint {fingerprint}\n\tusername {identity}\n"
    )
}

/// The program on the node, with variables of PBS and credentials that belong to another server.
fn on_node(home: &Home, arguments: &str) -> Command {
    let mut command = home.command(arguments);
    command.envs(FOREIGN);
    command.env("CREDENTIALS_DIRECTORY", "../credentials");
    command.env("CHUNK_RESTORE_PVE_DIR", "../pve");
    command
}

fn run(home: &Home, arguments: &str) -> Run {
    finish(&mut on_node(home, arguments))
}

#[test]
fn the_name_of_a_storage_is_all_that_a_restore_needs() {
    let home = Home::new();
    let _server = node(&home, "");
    // A key that belongs to other places does not count here.
    home.write(
        ".config/proxmox-backup/encryption-key.json",
        golden("keys/plain.key"),
    );
    let image = run(
        &home,
        "image vm/200 drive-scsi0.img - --repository pve:backup",
    )
    .expect(0);
    assert_eq!(sha256(image.stdout), GOLDEN_RAW);
    let list = run(&home, "list --repository pve:backup").expect(0).text();
    assert_eq!(list, home.run("list").expect(0).text());
    let mut named = on_node(&home, "list");
    named.env("PBS_REPOSITORY", "pve:backup");
    assert_eq!(finish(&mut named).expect(0).text(), list);
}

#[test]
fn namespace_and_key_are_those_of_the_storage_and_the_command_line_replaces_them() {
    let home = Home::new();
    let server = node(&home, "");
    let section = section(&server, "team");
    home.write("pve/storage.cfg", format!("{section}\tnamespace team/a\n"));
    home.write("pve/priv/storage/team.pw", PbsServer::SECRET);
    let list = "list --repository pve:team";
    let below = run(&home, list).expect(0).text();
    assert_eq!(below, home.run("list --ns team/a").expect(0).text());
    let top = run(&home, &format!("{list} --ns team")).expect(0).text();
    assert_eq!(top, home.run("list --ns team").expect(0).text());

    home.write("pve/storage.cfg", format!("{section}\tencryption-key 1\n"));
    let verify = "verify vm/201 --repository pve:team";
    run(&home, verify)
        .expect(6)
        .says("the key of the storage team is missing: ../pve/priv/storage/team.enc")
        .says("--keyfile names another copy");
    let named = format!("{verify} --keyfile ../golden/keys/plain.key");
    run(&home, &named).expect(0);
    home.write("pve/priv/storage/team.enc", golden("keys/plain.key"));
    run(&home, verify).expect(0);
    run(&home, "verify vm/200 --repository pve:team")
        .expect(6)
        .says("not signed")
        .says("the key is that in ../pve/priv/storage/team.enc");
    // A storage that was made without its key, whose file somebody copied there.
    home.write("pve/storage.cfg", section);
    run(&home, verify).expect(0);
}

#[test]
fn a_locked_key_of_a_storage_is_unlocked_like_others() {
    let home = Home::new();
    let _server = node(&home, "");
    home.write("pve/priv/storage/backup.enc", golden("keys/scrypt.key"));
    let verify = "verify vm/202 --repository pve:backup";
    let mut verify = on_node(&home, verify);
    verify.env_remove("PBS_ENCRYPTION_PASSWORD");
    finish(&mut verify)
        .expect(6)
        .says("backup.enc")
        .says("is locked");
    finish(verify.env("PBS_ENCRYPTION_PASSWORD", "test-passphrase")).expect(0);
}

#[test]
fn a_storage_and_another_place_each_keep_what_is_said_of_them() {
    let home = Home::new();
    let _server = node(&home, "");
    home.write("pve/priv/storage/backup.enc", golden("keys/plain.key"));
    let verify = "verify vm/201 --repository ../golden/datastore --repository pve:backup";
    let mut verify = on_node(&home, verify);
    for (variable, _) in FOREIGN {
        verify.env_remove(variable);
    }
    verify.env_remove("CREDENTIALS_DIRECTORY");
    let run = finish(&mut verify).expect(0);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
}

#[test]
fn the_storages_of_a_node_are_listed() {
    let home = Home::new();
    let more = "pbs: old\n\tserver old\n\tdatastore a\n\tnodes x,y\n\tdisable\n\
                pbs: bad\n\tserver b c\n\tdatastore a\n";
    let server = node(&home, more);
    let list = "list --repository pve:";
    let listed = run(&home, list)
        .expect(0)
        .says("warning: the storage bad can't be used: its server is malformed");
    let text = listed.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let port = server.address().port();
    let backup = format!("backup   {}@localhost:{port}:store1", PbsServer::TOKEN);
    assert!(lines[1].starts_with(&backup), "{text}");
    assert!(lines[2].ends_with("x y    yes"), "{text}");

    let json = run(&home, &format!("{list} --output-format json")).expect(0);
    let events = events(&json.text());
    assert_eq!(events[0]["event"], "storage");
    assert_eq!(events[0]["name"], "backup");
    assert_eq!(events[0]["fingerprint"], server.fingerprint());
    assert_eq!(events[1]["disabled"], true);
    assert_eq!(events[2]["event"], "storage_failed");

    for (text, said) in [
        ("dir: local\n", "no storages of the type pbs\n"),
        ("pbs: bad\n", ""),
    ] {
        home.write("pve/storage.cfg", text);
        assert_eq!(run(&home, list).expect(0).text(), said);
    }
}

#[test]
fn a_disabled_storage_is_used_with_a_warning() {
    let home = Home::new();
    let server = node(&home, "");
    let section = section(&server, "backup");
    home.write("pve/storage.cfg", format!("{section}\tdisable\n"));
    run(&home, "list --repository pve:backup")
        .expect(0)
        .says("warning: the storage backup is disabled in Proxmox VE");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let home = Home::new();
    let more = "pbs: twice\n\tserver a\n\tdatastore b\npbs: twice\n\tserver a\n\tdatastore b\n\
                pbs: nosecret\n\tserver a\n\tdatastore b\n";
    let _server = node(&home, more);
    home.write("pve/priv/storage/../../secret.pw", "secret");
    for (name, exit, why) in [
        (
            "other",
            5,
            "there is no storage other; of the type pbs there are: backup",
        ),
        ("local", 2, "it is of the type dir, and not pbs"),
        ("twice", 2, "storage.cfg has two of this name"),
        (
            "nosecret",
            4,
            "there is no password of the storage nosecret in ../pve/priv/storage/nosecret.pw",
        ),
        (
            "../../secret",
            2,
            "is not the name of a storage of Proxmox VE",
        ),
        ("", 2, "lacks the name of a storage"),
    ] {
        let list = format!("list --groups --repository pve:{name}");
        run(&home, &list).expect(exit).says(why);
    }
    home.write("pve/priv/storage/nosecret.pw", "\nnot this line\n");
    run(&home, "list --repository pve:nosecret")
        .expect(4)
        .says("its first line is empty")
        .says("--repository 'root@pam@a:8007:b'");
    for (folder, exit, why) in [
        ("../none", 5, "there is no ../none/storage.cfg"),
        ("../pve/storage.cfg", 2, "cannot read"),
    ] {
        let mut list = on_node(&home, "list --repository pve:");
        finish(list.env("CHUNK_RESTORE_PVE_DIR", folder))
            .expect(exit)
            .says(why);
    }
    home.write("pve/storage.cfg", vec![b' '; (1 << 20) + 1]);
    run(&home, "list --repository pve:")
        .expect(2)
        .says("it has more than 1048576 bytes");
}

#[test]
fn what_only_root_may_read_says_so() {
    for (folder, arguments) in [
        ("pve/storage.cfg", "list --repository pve:"),
        ("pve/priv", "list --repository pve:backup"),
        ("pve/priv", "verify vm/200 --repository pve:backup"),
    ] {
        let home = Home::new();
        let _server = node(&home, "");
        let path = home.path("..").join(folder);
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        let run = as_nobody(&home, on_node(&home, arguments));
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        let Some(run) = run else {
            return;
        };
        run.expect(4).says("may not be read: run this as root");
    }
}

#[test]
fn a_storage_that_names_another_datastore_one_day_has_another_record_of_verified_chunks() {
    let home = Home::new();
    let verify = "verify vm/200 --new-only state --repository pve:backup";
    let server = node(&home, "");
    run(&home, verify).expect(0);
    let again = run(&home, verify).expect(0);
    assert!(again.text().contains("verified by earlier runs"));
    drop(server);
    let _other = node(&home, "");
    let elsewhere = run(&home, verify).expect(0).says("it is of another place");
    assert!(!elsewhere.text().contains("verified by earlier runs"));
}

#[test]
fn a_drill_reports_that_its_storage_is_not_there() {
    let home = Home::new();
    let _server = node(&home, "");
    run(
        &home,
        "verify --all --repository pve:other --report-file report",
    )
    .expect(5)
    .says("there is no storage other");
    let report: Value = serde_json::from_slice(&fs::read(home.path("report")).unwrap()).unwrap();
    assert_eq!(report["exit_code"], 5);
}
