//! Credentials that systemd hands to a service.

use std::process::Command;

use testkit::PbsServer;

use crate::home::{Home, finish};
use crate::network::datastore;

/// The program as a service that is told nothing but its credentials.
fn service(home: &Home, arguments: &str) -> Command {
    let mut command = home.command(arguments);
    command.env_remove("PBS_REPOSITORY");
    command.env("CREDENTIALS_DIRECTORY", "../credentials");
    command
}

#[test]
fn a_service_needs_nothing_but_its_credentials() {
    for program in ["chunk-restore", "proxmox-backup-client"] {
        let home = Home::new();
        let server = PbsServer::start(datastore());
        let tell = |name: &str, value: &str| {
            let value = format!("{value}\nnot this line\n");
            home.write(&format!("credentials/{program}.{name}"), value);
        };
        tell("repository", &server.repository("store1"));
        tell("fingerprint", &server.fingerprint());
        tell("password", PbsServer::SECRET);
        tell("encryption-password", "test-passphrase");
        let verify = "verify vm/204 --keyfile ../golden/keys/pbkdf2.key";
        finish(&mut service(&home, verify)).expect(0);
    }
}

#[test]
fn variables_come_before_credentials_and_our_own_before_those_of_the_official_client() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    for name in ["repository", "fingerprint", "password"] {
        home.write(
            &format!("credentials/proxmox-backup-client.{name}"),
            "wrong",
        );
    }
    let list = || {
        let mut list = service(&home, "list");
        list.env("PBS_REPOSITORY", server.repository("store1"));
        list.env("PBS_FINGERPRINT", server.fingerprint());
        list
    };
    finish(&mut list()).expect(4);
    finish(list().env("PBS_PASSWORD", PbsServer::SECRET)).expect(0);
    home.write("credentials/chunk-restore.password", PbsServer::SECRET);
    finish(&mut list()).expect(0);
    let mut parts = service(&home, "list");
    parts
        .env("PBS_DATASTORE", "store1")
        .env("PBS_PORT", server.address().port().to_string())
        .env("PBS_AUTH_ID", PbsServer::TOKEN)
        .env("PBS_FINGERPRINT", server.fingerprint());
    finish(&mut parts).expect(0);
}

#[test]
fn a_credential_that_can_not_be_read_is_named() {
    let home = Home::new();
    home.write("credentials/chunk-restore.repository/x", "");
    finish(&mut service(&home, "list"))
        .expect(2)
        .says("cannot read the credential ../credentials/chunk-restore.repository");
    let home = Home::new();
    home.write("credentials/chunk-restore.repository", "\n");
    finish(&mut service(&home, "list"))
        .expect(2)
        .says("cannot read the credential")
        .says("its first line is empty");
    home.write(
        "credentials/chunk-restore.repository",
        "../golden/datastore",
    );
    finish(&mut service(&home, "list")).expect(0);
    home.write("credentials/chunk-restore.repository", "host:store");
    home.write("credentials/chunk-restore.fingerprint", "s3cret");
    let run = finish(&mut service(&home, "list"))
        .expect(2)
        .says("the credential 'fingerprint' is not a fingerprint");
    assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
}
