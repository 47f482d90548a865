//! Lists the content of a datastore by the server's REST interface.

use serde_json::Value;

use crate::backend::pbs::exchange::Server;
use crate::backend::pbs::list;
use crate::backend::pbs::login::Login;
use crate::backend::pbs::refusal::Asked;
use crate::backend::{FetchError, SnapshotInfo, layout};
use crate::format::manifest::CryptMode;
use crate::format::name::{BackupType, GroupName, Namespace, SnapshotName};
use crate::format::verification::Verification;

/// The most bytes of a listing. A snapshot takes some hundred bytes of it. The listing is read as
/// it comes.
const MAX_LISTING: usize = 256 << 20;

pub(super) fn snapshots(
    server: &Server<'_>,
    login: &Login,
    namespace: &Namespace,
    group: Option<&GroupName>,
) -> Result<Vec<SnapshotInfo>, FetchError> {
    let mut query = namespace_parameter('?', namespace);
    if let Some(group) = group {
        let start = if query.is_empty() { '?' } else { '&' };
        query += &format!(
            "{start}backup-type={}&backup-id={}",
            group.backup_type(),
            group.id()
        );
    }
    let mut found = Vec::new();
    each(server, login, &format!("snapshots{query}"), &mut |entry| {
        // Nobody could ask for an entry whose name no snapshot can have, so such an entry is left
        // out.
        found.extend(snapshot(entry));
    })?;
    Ok(found)
}

pub(super) fn namespaces(
    server: &Server<'_>,
    login: &Login,
    parent: &Namespace,
) -> Result<Vec<Namespace>, FetchError> {
    let all = all_namespaces(server, login)?;
    if !parent.is_root() && !all.contains(parent) {
        return Err(FetchError::Missing);
    }
    let is_child = |other: &Namespace| {
        let name = other
            .components()
            .last()
            .and_then(|name| parent.child(name).ok());
        name.as_ref() == Some(other)
    };
    Ok(all.into_iter().filter(is_child).collect())
}

/// All namespaces that the identity may see, the root included.
pub(super) fn all_namespaces(
    server: &Server<'_>,
    login: &Login,
) -> Result<Vec<Namespace>, FetchError> {
    let mut all = Vec::new();
    let namespace = |entry: &Value| entry.get("ns")?.as_str()?.parse().ok();
    each(server, login, "namespace", &mut |entry| {
        all.extend(namespace(entry));
    })?;
    Ok(all)
}

/// A query parameter with the namespace, which begins with the character `start`; empty for the
/// root.
pub(super) fn namespace_parameter(start: char, namespace: &Namespace) -> String {
    if namespace.is_root() {
        return String::new();
    }
    // The '/' is the only byte of a namespace that a query can't hold.
    format!("{start}ns={}", namespace.to_string().replace('/', "%2F"))
}

fn snapshot(entry: &Value) -> Option<SnapshotInfo> {
    let text = |name| entry.get(name).and_then(Value::as_str);
    let backup_type: BackupType = text("backup-type")?.parse().ok()?;
    let group = GroupName::new(backup_type, text("backup-id")?).ok()?;
    let name = SnapshotName::new(group, entry.get("backup-time")?.as_i64()?).ok()?;
    let files = entry.get("files")?.as_array()?;
    let is_finished = files
        .iter()
        .any(|file| file_name(file) == Some(layout::MANIFEST));
    let mut info = SnapshotInfo::new(name, is_finished);
    info.list(files.iter().filter_map(|file| {
        let size = file.get("size").and_then(Value::as_u64);
        let crypt_mode = file.get("crypt-mode").and_then(Value::as_str);
        Some((
            file_name(file)?,
            size,
            crypt_mode.and_then(CryptMode::parse),
        ))
    }));
    info.key_fingerprint = text("fingerprint").and_then(|text| text.parse().ok());
    info.verification = entry.get("verification").and_then(Verification::parse);
    info.is_protected = entry.get("protected").and_then(Value::as_bool);
    info.owner = text("owner").map(str::to_owned);
    info.comment = text("comment").map(str::to_owned);
    Some(info)
}

/// The name of a file. PBS lists files as objects, but a bare name is accepted too.
fn file_name(file: &Value) -> Option<&str> {
    file.get("filename").unwrap_or(file).as_str()
}

/// Calls a function with each entry of a list.
fn each(
    server: &Server<'_>,
    login: &Login,
    what: &str,
    entry: &mut dyn FnMut(&Value),
) -> Result<(), FetchError> {
    let store = server.repository.datastore();
    let path = format!("/api2/json/admin/datastore/{store}/{what}");
    let mut is_second = false;
    loop {
        let proof = login.proof(server)?;
        let incoming = server.get(&path, &proof, MAX_LISTING)?;
        match incoming.head.status {
            200 => return list::read(incoming, entry),
            401 if !is_second && login.forget(&proof) => is_second = true,
            _ => return Err(incoming.read_message()?.refusal(Asked::Listing)),
        }
    }
}
