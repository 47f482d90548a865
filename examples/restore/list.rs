//! `restore list`: the snapshots of a namespace, or the archives of a snapshot.

use chunk_restore::{CryptMode, ErrorKind, Manifest, Snapshot};
use serde_json::{Value, json};

use crate::arguments::Options;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys;
use crate::output::Output;
use crate::place;
use crate::size::Size;

pub(crate) fn run(
    snapshot: Option<&str>,
    options: &Options,
    output: &Output,
) -> Result<Exit, Failure> {
    match snapshot {
        Some(name) => {
            let keys = keys::load(&options.keyfiles)?;
            let has_keys = !keys.is_empty();
            archives(
                &place::snapshot_with(options, keys, name, output)?,
                has_keys,
                output,
            )?;
        }
        None => snapshots(options, output)?,
    }
    Ok(Exit::Done)
}

fn snapshots(options: &Options, output: &Output) -> Result<(), Failure> {
    let (datastore, snapshots) = place::snapshots(options, output)?;
    for snapshot in &snapshots {
        let name = snapshot.name.to_string();
        let json = json!({ "event": "snapshot", "name": name, "finished": snapshot.is_finished });
        let state = if snapshot.is_finished {
            ""
        } else {
            "  unfinished"
        };
        output.answer(format!("{name}{state}"), &json)?;
    }
    place::tell_passed_over(&datastore, None, output);
    let namespaces = match datastore.namespaces() {
        Ok(namespaces) => namespaces,
        // Not every kind of place can tell.
        Err(error) if error.kind() == ErrorKind::Unsupported => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let names: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
    if output.is_json() {
        for name in names {
            output.answer("", &json!({ "event": "namespace", "name": name }))?;
        }
    } else if !names.is_empty() {
        output.answer(
            format!("namespaces below: {}", names.join(", ")),
            &Value::Null,
        )?;
    } else if snapshots.is_empty() {
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
    });
    output.answer(format!("{}, {signer}", snapshot.name()), &json)?;

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

/// Whose signature the manifest has; without a key it could not be checked.
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

/// As the manifest spells it.
fn crypt_mode(mode: CryptMode) -> &'static str {
    match mode {
        CryptMode::Encrypt => "encrypt",
        CryptMode::SignOnly => "sign-only",
        _ => "none",
    }
}
