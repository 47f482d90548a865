//! The storage of a Proxmox VE node as a place.

use std::fs;
use std::path::Path;

use chunk_restore::pve::Node;
use chunk_restore::{ErrorKind, Key, OpenOptions, Place};
use tempfile::TempDir;
use testkit::{Kdf, PbsServer, TestKey, within};

use crate::{LIMIT, restore, store};

/// The configuration of a node with the storage `backup`, whose datastore the server has.
fn node(server: &PbsServer, more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (port, token) = (server.address().port(), PbsServer::TOKEN);
    let section = format!(
        "pbs: backup\n\tserver localhost\n\tport {port}\n\tdatastore store1\n\tusername {token}\n\
         \tfingerprint {}\n{more}",
        server.fingerprint()
    );
    fs::write(folder.path().join("storage.cfg"), section).unwrap();
    fs::create_dir_all(folder.path().join("priv/storage")).unwrap();
    fs::write(secret(folder.path(), "pw"), PbsServer::SECRET).unwrap();
    folder
}

fn secret(folder: &Path, ending: &str) -> std::path::PathBuf {
    folder.join(format!("priv/storage/backup.{ending}"))
}

#[test]
fn a_storage_says_all_and_what_belongs_to_other_places_does_not_count() {
    within(LIMIT, || {
        let (store, info) = store();
        let server = PbsServer::start(store);
        let folder = node(&server, "");
        let options = OpenOptions::new()
            .pve_node(Node::at(folder.path()))
            .password("wrong")
            .fingerprint([0; 32].into())
            .namespace("other".parse().unwrap())
            .key(Key::from_bytes([1; 32]));
        let place: Place = "pve:backup".parse().unwrap();
        let datastore = options.open_place(&place).unwrap();
        restore(&datastore, &info).unwrap();
    });
}

#[test]
fn a_storage_with_a_key_asks_for_signed_manifests() {
    within(LIMIT, || {
        let (store, info) = store();
        let server = PbsServer::start(store);
        let folder = node(&server, "\tencryption-key 1\n");
        let options = OpenOptions::new().pve_node(Node::at(folder.path()));
        let open = || options.clone().open("pve:backup");
        let error = open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
        assert!(error.to_string().contains("is missing"), "{error}");

        let path = secret(folder.path(), "enc");
        fs::write(&path, TestKey::from_seed(1).key_file(Kdf::None)).unwrap();
        let error = restore(&open().unwrap(), &info).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
        assert!(error.to_string().contains("is not signed"), "{error}");
        let unsigned = options.clone().allow_unsigned(true).open("pve:backup");
        restore(&unsigned.unwrap(), &info).unwrap();

        let locked = Kdf::Pbkdf2 {
            passphrase: "secret",
            iter: 10,
        };
        fs::write(&path, TestKey::from_seed(1).key_file(locked)).unwrap();
        let error = open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
        assert!(error.to_string().contains("backup.enc"), "{error}");
    });
}

#[test]
fn a_storage_without_a_password_is_denied_before_the_server_is_asked() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        let folder = node(&server, "");
        fs::remove_file(secret(folder.path(), "pw")).unwrap();
        let options = OpenOptions::new().pve_node(Node::at(folder.path()));
        let error = options.open("pve:backup").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("backup.pw"), "{error}");
    });
}
