//! Storages of Proxmox VE: the node that knows them, what it says of a storage, and the list of them.

use std::env;
use std::path::PathBuf;

use chunk_restore::format::KeyFile;
use chunk_restore::place::StorageName;
use chunk_restore::pve::{Node, Storage};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Table;

/// The variable that names the folder with a node's configuration, where that is not `/etc/pve`.
const FOLDER: &str = "CHUNK_RESTORE_PVE_DIR";

const HEADER: [&str; 6] = [
    "storage",
    "repository",
    "namespace",
    "key",
    "nodes",
    "disabled",
];

pub(crate) fn node() -> Node {
    match env::var_os(FOLDER) {
        Some(folder) if !folder.is_empty() => Node::at(folder),
        _ => Node::default(),
    }
}

/// What the node says of a storage. A storage that is disabled can be restored from like others.
pub(crate) fn find(name: &StorageName, output: &Output) -> Result<Storage, Failure> {
    let storage = node().storage(name)?;
    if storage.is_disabled() {
        let text = format!("the storage {name} is disabled in Proxmox VE, and used all the same");
        let json = json!({ "event": "storage_disabled", "storage": name.as_str() });
        output.warn(text, &json);
    }
    Ok(storage)
}

/// The password of a storage's user, or the secret of its token.
pub(crate) fn secret(storage: &Storage) -> Result<Zeroizing<String>, Failure> {
    node().secret(storage.name()).map_err(|error| {
        let repository = storage.repository();
        Failure::from(error).advises(format!(
            "or name the datastore itself, and type the password: --repository '{repository}'"
        ))
    })
}

/// The key file of a storage that has one, and its path.
pub(crate) fn key_file(name: &StorageName) -> Result<Option<(PathBuf, KeyFile)>, Failure> {
    let node = node();
    let storage = node.storage(name)?;
    let file = node.key_file(&storage).map_err(|error| {
        let failure = Failure::from(error);
        match failure.exit() {
            Exit::Key => failure.advises("--keyfile names another copy of the key"),
            _ => failure,
        }
    })?;
    Ok(file.map(|file| (node.key_path(name), file)))
}

/// Lists the storages whose backups lie on a Proxmox Backup Server.
pub(crate) fn list(output: &Output) -> Result<(), Failure> {
    let storages = node().storages()?;
    let (mut usable, mut broken) = (Vec::new(), Vec::new());
    for storage in storages.iter() {
        match storage {
            Ok(storage) => usable.push(storage),
            Err(error) => broken.push(Failure::from(error)),
        }
    }
    if output.is_json() {
        (usable.iter()).try_for_each(|storage| output.answer("", &storage_json(storage)))?;
    } else if !usable.is_empty() {
        let mut table = Table::new(HEADER, HEADER.len());
        usable
            .iter()
            .for_each(|storage| table.row(storage_row(storage)));
        (table.lines()).try_for_each(|line| output.answer(line, &Value::Null))?;
    } else if broken.is_empty() {
        output.answer("no storages of the type pbs", &Value::Null)?;
    }
    for failure in broken {
        let mut json = failure.facts();
        json["event"] = "storage_failed".into();
        output.warn(failure.reason(), &json);
    }
    Ok(())
}

fn storage_row(storage: &Storage) -> [String; HEADER.len()] {
    let yes = |is_so: bool| if is_so { "yes" } else { "" }.to_owned();
    [
        storage.name().to_string(),
        storage.repository().to_string(),
        storage.namespace().to_string(),
        yes(storage.has_key()),
        storage.nodes().join(" "),
        yes(storage.is_disabled()),
    ]
}

fn storage_json(storage: &Storage) -> Value {
    json!({
        "event": "storage",
        "name": storage.name().as_str(),
        "repository": storage.repository().to_string(),
        "namespace": storage.namespace().to_string(),
        "fingerprint": storage.fingerprint().map(|fingerprint| fingerprint.to_string()),
        "key": storage.has_key(),
        "nodes": storage.nodes(),
        "disabled": storage.is_disabled(),
    })
}
