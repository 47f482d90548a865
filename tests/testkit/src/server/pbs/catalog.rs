//! Lists namespaces, groups and snapshots as PBS's REST API does. Knows nothing of who asks.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::blob::{BlobKind, decode};
use crate::manifest::unix_time;
use crate::server::source::Source;

const MANIFEST: &str = "index.json.blob";

/// The file that tells that a snapshot is not to be pruned.
const PROTECTED: &str = ".protected";

/// A group of snapshots, as the first two names of a path.
type Group = (String, String);

/// What a datastore holds.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// By namespace, group and time: the files.
    namespaces: BTreeMap<String, BTreeMap<Group, BTreeMap<String, Vec<String>>>>,
}

impl Catalog {
    pub(crate) fn read(source: &dyn Source) -> Catalog {
        let mut catalog = Catalog::default();
        catalog.namespaces.entry(String::new()).or_default();
        for path in source.file_paths() {
            catalog.add(&path);
        }
        catalog
    }

    fn add(&mut self, path: &str) {
        let mut parts: Vec<&str> = path.split('/').collect();
        let mut namespace = String::new();
        while let ["ns", name, ..] = parts[..] {
            if !namespace.is_empty() {
                namespace.push('/');
            }
            namespace.push_str(name);
            parts.drain(..2);
            // A namespace without snapshots is one too.
            self.namespaces.entry(namespace.clone()).or_default();
        }
        if let [kind, id, time, file] = parts[..] {
            let groups = self.namespaces.entry(namespace).or_default();
            let group = (kind.to_owned(), id.to_owned());
            let snapshots = groups.entry(group).or_default();
            let files = snapshots.entry(time.to_owned()).or_default();
            files.push(file.to_owned());
        }
    }

    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    pub(crate) fn has_snapshot(&self, namespace: &str, kind: &str, id: &str, time: &str) -> bool {
        let group = (kind.to_owned(), id.to_owned());
        let groups = self.namespaces.get(namespace);
        let snapshots = groups.and_then(|groups| groups.get(&group));
        snapshots.is_some_and(|snapshots| snapshots.contains_key(time))
    }

    pub(crate) fn list_namespaces(&self, parent: &str) -> Value {
        let is_below = |name: &&String| {
            let rest = name.strip_prefix(parent);
            parent.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let names = self.namespaces.keys().filter(is_below);
        names.map(|name| json!({ "ns": name })).collect()
    }

    pub(crate) fn list_groups(&self, namespace: &str) -> Option<Value> {
        let groups = self.namespaces.get(namespace)?;
        let groups = groups.iter().filter_map(|((kind, id), snapshots)| {
            let (last, files) = snapshots.last_key_value()?;
            Some(json!({
                "backup-type": kind,
                "backup-id": id,
                "last-backup": unix_time(last),
                "backup-count": snapshots.len(),
                "files": files,
                "owner": "root@pam",
            }))
        });
        Some(groups.collect())
    }

    pub(crate) fn list_snapshots(
        &self,
        source: &dyn Source,
        namespace: &str,
        kind: Option<&str>,
        id: Option<&str>,
    ) -> Option<Value> {
        let mut list = Vec::new();
        for (group, snapshots) in self.namespaces.get(namespace)? {
            if kind.is_some_and(|kind| kind != group.0) || id.is_some_and(|id| id != group.1) {
                continue;
            }
            for (time, files) in snapshots {
                let path = path(namespace, &group.0, &group.1, time);
                let mut snapshot = json!({
                    "backup-type": group.0,
                    "backup-id": group.1,
                    "backup-time": unix_time(time),
                    "owner": owner(source, path.trim_end_matches(time)),
                    "protected": files.iter().any(|file| file == PROTECTED),
                });
                describe(&mut snapshot, source, &path, files);
                list.push(snapshot);
            }
        }
        Some(Value::Array(list))
    }
}

/// Whose a group is; of a datastore that a test made without owners, the administrator's.
fn owner(source: &dyn Source, group: &str) -> String {
    let owner = source.file_bytes(&format!("{group}owner"));
    let owner = owner.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
    owner.unwrap_or_else(|| "root@pam".to_owned())
}

/// Where a snapshot is in its datastore.
pub(crate) fn path(namespace: &str, kind: &str, id: &str, time: &str) -> String {
    let names = namespace.split('/').filter(|name| !name.is_empty());
    let namespace: String = names.map(|name| format!("ns/{name}/")).collect();
    format!("{namespace}{kind}/{id}/{time}")
}

/// Adds the files, with what the manifest says of them; where there is none, their names alone.
fn describe(snapshot: &mut Value, source: &dyn Source, path: &str, files: &[String]) {
    let read = |file: &str| source.file_bytes(&format!("{path}/{file}"));
    let manifest = read(MANIFEST).and_then(|blob| parse(&blob));
    let listed = manifest.as_ref().map(|manifest| &manifest["files"]);
    let listed = listed.and_then(Value::as_array);
    let mut total = 0;
    let mut describe = |name: &String| {
        let entry = listed
            .into_iter()
            .flatten()
            .find(|file| file["filename"] == *name);
        let mut file = Map::from_iter([("filename".to_owned(), json!(name))]);
        if let Some(entry) = entry {
            total += entry["size"].as_u64().unwrap_or(0);
            file.insert("size".to_owned(), entry["size"].clone());
            file.insert("crypt-mode".to_owned(), entry["crypt-mode"].clone());
        } else if let (MANIFEST, Some(manifest)) = (name.as_str(), &manifest) {
            let is_signed = manifest["signature"].is_string();
            let mode = if is_signed { "sign-only" } else { "none" };
            file.insert("size".to_owned(), json!(read(name).map(|blob| blob.len())));
            file.insert("crypt-mode".to_owned(), json!(mode));
        }
        Value::Object(file)
    };
    let files = files.iter().filter(|file| *file != PROTECTED);
    let files: Vec<Value> = files.map(&mut describe).collect();
    snapshot["files"] = Value::Array(files);
    if let Some(manifest) = &manifest {
        snapshot["size"] = json!(total);
        let unprotected = &manifest["unprotected"];
        let names = [
            ("fingerprint", "key-fingerprint"),
            ("verification", "verify_state"),
        ];
        for (shown, name) in names {
            if !unprotected[name].is_null() {
                snapshot[shown] = unprotected[name].clone();
            }
        }
        if let Some(notes) = unprotected["notes"].as_str() {
            snapshot["comment"] = json!(notes.lines().next().unwrap_or_default());
        }
    }
}

/// A manifest that is damaged counts as none.
fn parse(blob: &[u8]) -> Option<Value> {
    let magics = [BlobKind::Plain.magic(), BlobKind::Zstd.magic()];
    let crc = u32::from_le_bytes(*blob.get(8..12)?.first_chunk()?);
    let is_whole = magics.contains(blob.first_chunk()?) && crc == crc32fast::hash(&blob[12..]);
    is_whole.then(|| serde_json::from_slice(&decode(blob, None, 16 << 20)).ok())?
}

/// The name of a snapshot for its seconds since 1970: the reverse of `unix_time`.
pub(crate) fn utc_time(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March have their leap day at the end; 400 of them have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + i64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InMemory, SnapshotBuilder, Store as _};

    #[test]
    fn times_survive_both_ways() {
        for day in 0..40_000 {
            let seconds = day * 86_400 + day % 86_400;
            assert_eq!(unix_time(&utc_time(seconds)), seconds);
        }
        assert_eq!(utc_time(1_709_251_199), "2024-02-29T23:59:59Z");
    }

    #[test]
    fn unfinished_snapshot_lacks_its_manifest() {
        let store = InMemory::new();
        SnapshotBuilder::new("vm/1/2026-01-02T03:04:05Z")
            .namespace("team/a")
            .blob("qemu-server.conf", b"cores: 2")
            .write_to(&store);
        store.put_file(
            "team/a",
            "vm/1/2026-01-03T03:04:05Z",
            "qemu-server.conf.blob",
            b"x",
        );
        let catalog = Catalog::read(&store);
        let list = catalog
            .list_snapshots(&store, "team/a", Some("vm"), None)
            .unwrap();
        assert_eq!(list[0]["files"][0]["filename"], MANIFEST);
        assert_eq!(list[0]["files"][1]["crypt-mode"], "none");
        assert_eq!(list[1]["files"].as_array().unwrap().len(), 1);
        assert_eq!(
            catalog.list_namespaces(""),
            json!([{ "ns": "" }, { "ns": "team" }, { "ns": "team/a" }])
        );
        assert!(catalog.list_groups("other").is_none());
    }
}
