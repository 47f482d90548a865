//! `restore list`: the snapshots or groups of a namespace, the archives of a snapshot, or the storages
//! of Proxmox VE.

use chunk_restore::format::Manifest;
use chunk_restore::{Datastore, Error, ErrorKind, OpenOptions, Scope, Snapshot};
use serde_json::{Value, json};

use crate::arguments::List;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys;
use crate::listing::{self, crypt_mode, verified, verified_json};
use crate::options::Options;
use crate::output::Output;
use crate::place;
use crate::repository::Repository;
use crate::shown::shown;
use crate::size::Size;
use crate::storage;

/// The most warnings about manifests that can't be read. Further ones are only counted.
const MOST_WARNINGS: usize = 8;

pub(crate) fn run(list: &List, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let is_bare = list.snapshot.is_none() && !list.groups;
    if is_bare && matches!(&Repository::find(options)?[..], [one] if one.is_node()) {
        storage::list(output)?;
    } else if let Some(name) = &list.snapshot {
        let keys = keys::load(options)?;
        let has_keys = keys.are_there();
        let opening = place::with_keys(options, keys);
        let snapshot = place::snapshot_with(options, opening, name, output)?;
        archives(&snapshot, has_keys, output)?;
    } else if list.groups {
        let (datastore, groups) =
            place::listing(options, OpenOptions::new(), output, Datastore::groups)?;
        listing::groups(&groups, output)?;
        namespaces(&datastore, groups.is_empty(), output)?;
    } else {
        snapshots(options, output)?;
    }
    Ok(Exit::Done)
}

fn snapshots(options: &Options, output: &Output) -> Result<(), Failure> {
    let (datastore, mut snapshots) =
        place::listing(options, OpenOptions::new(), output, Datastore::snapshots)?;
    let errors = datastore.describe(&mut snapshots);
    listing::snapshots(&snapshots, output)?;
    place::tell_passed_over(&datastore, None, output);
    undescribed(errors, output)?;
    namespaces(&datastore, snapshots.is_empty(), output)
}

/// Says for which snapshots only the name is shown, and why. It is a failure if a place can't be
/// reached any more, or if this machine lacks resources.
fn undescribed(errors: Vec<Error>, output: &Output) -> Result<(), Failure> {
    let more = errors.len().saturating_sub(MOST_WARNINGS);
    let mut over = None;
    for error in errors.into_iter().take(MOST_WARNINGS) {
        let is_final = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Cancelled);
        if is_final || error.scope() == Some(Scope::Ours) {
            over = Some(error);
            continue;
        }
        let failure = Failure::from(error);
        let mut json = failure.facts();
        json["event"] = "undescribed".into();
        output.warn(failure.text("not all can be shown"), &json);
    }
    if more > 0 {
        let text = format!("{more} more manifests could not be read");
        output.warn(text, &json!({ "event": "undescribed", "more": more }));
    }
    over.map_or(Ok(()), |error| Err(error.into()))
}

fn namespaces(datastore: &Datastore, is_empty: bool, output: &Output) -> Result<(), Failure> {
    let namespaces = match datastore.namespaces() {
        Ok(namespaces) => namespaces,
        // Some kinds of places can't list namespaces.
        Err(error) if error.kind() == ErrorKind::Unsupported => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let names: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
    if output.is_json() {
        for name in names {
            output.answer("", &json!({ "event": "namespace", "name": name }))?;
        }
    } else if !names.is_empty() {
        let text = format!("namespaces below: {}", names.join(", "));
        output.answer(text, &Value::Null)?;
    } else if is_empty {
        output.answer("no snapshots and no namespaces", &Value::Null)?;
    }
    Ok(())
}

fn archives(snapshot: &Snapshot, has_keys: bool, output: &Output) -> Result<(), Failure> {
    let manifest = snapshot.manifest();
    let is_checked = manifest.is_signed() && has_keys;
    let signer = signer(manifest, is_checked);
    let json = json!({
        "event": "snapshot",
        "name": snapshot.name().to_string(),
        "signed": manifest.is_signed(),
        "checked": is_checked,
        "key": manifest.key_fingerprint().map(|key| key.to_string()),
        "verified": manifest.verification().as_ref().map(verified_json),
        "comment": manifest.notes(),
    });
    let mut text = format!("{}, {signer}", snapshot.name());
    if let Some(verification) = manifest.verification() {
        text += &format!("\nverified by the server: {}", verified(&verification));
    }
    for line in manifest.notes().unwrap_or_default().lines() {
        text += &format!("\ncomment: {}", shown(line));
    }
    output.answer(text, &json)?;

    let files = manifest.files();
    let widest = files
        .iter()
        .map(|file| file.archive_name().len())
        .max()
        .unwrap_or_default();
    for file in files {
        let crypt_mode = crypt_mode(file.crypt_mode());
        let json = json!({
            "event": "archive",
            "name": file.archive_name(),
            "file": file.name(),
            "size": file.size(),
            "crypt_mode": crypt_mode,
        });
        let name = file.archive_name();
        let size = Size::of(file.size()).to_string();
        output.answer(format!("{name:widest$}  {size:>10}  {crypt_mode}"), &json)?;
    }
    Ok(())
}

/// Who signed the manifest. Without a key the signature could not be checked.
fn signer(manifest: &Manifest, is_checked: bool) -> String {
    let signer = match manifest.key_fingerprint() {
        _ if !manifest.is_signed() => return "not signed".to_owned(),
        Some(key) => format!("signed by key {}", key.short()),
        None => "signed by a key that it does not name".to_owned(),
    };
    if is_checked {
        signer
    } else {
        format!("{signer} (not checked: no key is at hand)")
    }
}
