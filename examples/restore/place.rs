//! From the command line and the environment to an open datastore. Knows nothing of what is done with it.

use std::io::{self, IsTerminal};

use chunk_restore::{Datastore, Fingerprint, GroupName, Key, Snapshot, SnapshotInfo};
use serde_json::json;

use crate::arguments::Options;
use crate::failure::Failure;
use crate::keys;
use crate::output::Output;
use crate::repository::{Repository, given};
use crate::trust::{self, Known};

/// The datastore and the snapshots in it, which need no key.
pub(crate) fn snapshots(
    options: &Options,
    output: &Output,
) -> Result<(Datastore, Vec<SnapshotInfo>), Failure> {
    let opening = chunk_restore::Options::new();
    let opened = first(options, opening, output, |datastore| datastore.snapshots())?;
    Ok((opened.datastore, opened.first))
}

/// A snapshot, with the keys that are at hand.
pub(crate) fn snapshot(
    options: &Options,
    name: &str,
    output: &Output,
) -> Result<Snapshot, Failure> {
    snapshot_with(options, keys::load(&options.keyfiles)?, name, output)
}

pub(crate) fn snapshot_with(
    options: &Options,
    keys: Vec<Key>,
    name: &str,
    output: &Output,
) -> Result<Snapshot, Failure> {
    let opening = chunk_restore::Options::new().allow_unsigned(options.allow_unsigned);
    let opening = keys.into_iter().fold(opening, chunk_restore::Options::key);
    let opened = first(options, opening, output, |datastore| {
        datastore.snapshot(name)
    })?;
    if let Ok(group) = name.parse() {
        // One of them could be later than the one that was taken.
        tell_passed_over(&opened.datastore, Some(&group), output);
    }
    tell_differences(&opened.first, &opened.labels, output);
    Ok(opened.first)
}

/// Says what lies among the snapshots and is in no listing.
pub(crate) fn tell_passed_over(datastore: &Datastore, group: Option<&GroupName>, output: &Output) {
    for text in datastore.passed_over(group) {
        let json = json!({ "event": "passed_over", "message": text });
        output.warn(text, &json);
    }
}

/// Says which places hold something else under the snapshot's name.
fn tell_differences(snapshot: &Snapshot, labels: &[String], output: &Output) {
    for (number, label) in labels.iter().enumerate() {
        let differences = snapshot.differences();
        let files: Vec<&str> = differences
            .filter(|(place, _)| *place == number)
            .map(|(_, file)| file)
            .collect();
        if files.is_empty() {
            continue;
        }
        let name = snapshot.name();
        let text = format!(
            "{label} holds something else under the name {name}, such as a copy that was decrypted: nothing is taken from it of {}",
            files.join(", ")
        );
        let json = json!({
            "event": "place_differs",
            "place": label,
            "snapshot": name.to_string(),
            "files": files,
        });
        output.warn(text, &json);
    }
}

/// An open datastore, with the first thing that was done with it.
struct Opened<T> {
    datastore: Datastore,
    /// The names of its places, as they may be shown.
    labels: Vec<String>,
    first: T,
}

/// Opens the datastore and does the first thing with it. Of several places it is done with each, so that each can show its
/// certificate, and say what is wrong with it; then with all.
fn first<T>(
    options: &Options,
    opening: chunk_restore::Options,
    output: &Output,
    what: impl Fn(&Datastore) -> chunk_restore::Result<T>,
) -> Result<Opened<T>, Failure> {
    let opening = match given(options.ns.as_deref(), "PBS_NAMESPACE")? {
        Some(namespace) => opening.namespace(namespace.parse()?),
        None => opening,
    };
    let repositories = Repository::find(options)?;
    if let [repository] = &repositories[..] {
        let (datastore, first) = open(repository, options, opening, &what)?;
        return Ok(Opened {
            datastore,
            labels: vec![repository.label()],
            first: first?,
        });
    }
    // There is another to ask.
    let opening = opening.attempts(2);
    let (mut places, mut labels) = (Vec::new(), Vec::new());
    let mut failure = None;
    for repository in &repositories {
        let failed = match open(repository, options, opening.clone(), &what) {
            Ok((datastore, first)) => {
                places.push(datastore);
                labels.push(repository.label());
                first.err()
            }
            Err(failed) => Some(failed),
        };
        if let Some(failed) = failed {
            let failed = failed.about(repository.label());
            let mut json = failed.facts();
            json["event"] = "place_failed".into();
            json["place"] = repository.label().into();
            output.warn(failed.text("one of the places can't be used"), &json);
            failure = failure.or(Some(failed));
        }
    }
    if let (true, Some(failure)) = (places.is_empty(), failure) {
        return Err(failure);
    }
    let datastore = Datastore::any_of(places)?;
    let first = what(&datastore)?;
    Ok(Opened {
        datastore,
        labels,
        first,
    })
}

/// Opens one place and does the first thing with it, which is when a server shows its certificate.
fn open<T>(
    repository: &Repository,
    options: &Options,
    mut opening: chunk_restore::Options,
    what: &impl Fn(&Datastore) -> chunk_restore::Result<T>,
) -> Result<(Datastore, Result<T, Failure>), Failure> {
    let mut known = None;
    if repository.is_remote() {
        opening = reach(options, opening)?;
        let fingerprint = match (fingerprint(options)?, repository.host()) {
            (Some(given), _) => Some(given),
            (None, Some(host)) => {
                known = remembered(host)?;
                known.as_ref().map(|(_, fingerprint)| *fingerprint)
            }
            (None, None) => None,
        };
        if let Some(fingerprint) = fingerprint {
            opening = opening.fingerprint(fingerprint);
        }
    }
    if repository.is_on_server() {
        opening = sign_in(repository, opening)?;
    }
    if repository.is_in_bucket() {
        opening = sign_requests(options, opening);
    }

    let datastore = opening.clone().open(repository.name())?;
    let error = match what(&datastore) {
        Ok(first) => return Ok((datastore, Ok(first))),
        Err(error) => error,
    };
    let failure = match (trust::untrusted(&error), known) {
        (Some(_), Some((file, _))) => file.changed(error.into()),
        (Some(certificate), None)
            if certificate.expected().is_none() && trust::ask(certificate) =>
        {
            let trusting = opening.fingerprint(certificate.fingerprint());
            let datastore = trusting.open(repository.name())?;
            let first = what(&datastore).map_err(Failure::from);
            return Ok((datastore, first));
        }
        _ if repository.is_also_a_folder() => {
            let name = repository.name();
            let meaning = format!("{name} names a datastore on a server; the folder is dir:{name}");
            Failure::from(error).means(meaning)
        }
        _ => error.into(),
    };
    Ok((datastore, Err(failure)))
}

/// With credentials from the environment or a profile: on the command line others could see them.
fn sign_requests(options: &Options, mut opening: chunk_restore::Options) -> chunk_restore::Options {
    opening = opening.s3_from_env(options.profile.as_deref());
    if let Some(endpoint) = &options.endpoint {
        opening = opening.s3_endpoint(endpoint);
    }
    if let Some(region) = &options.region {
        opening = opening.s3_region(region);
    }
    if options.virtual_host {
        opening = opening.s3_virtual_host(true);
    }
    opening
}

/// Which way to servers, and whose signature under their certificates counts.
fn reach(
    options: &Options,
    opening: chunk_restore::Options,
) -> Result<chunk_restore::Options, Failure> {
    let proxy = match given(None, "ALL_PROXY")? {
        None => given(None, "all_proxy")?,
        proxy => proxy,
    };
    let opening = match proxy {
        Some(proxy) => opening.proxy(proxy),
        None => opening,
    };
    Ok(match &options.ca_file {
        Some(path) => opening.ca_file(path),
        None => opening,
    })
}

fn fingerprint(options: &Options) -> Result<Option<Fingerprint>, Failure> {
    let Some(text) = given(options.fingerprint.as_deref(), "PBS_FINGERPRINT")? else {
        return Ok(None);
    };
    let fingerprint = text.trim().parse().map_err(|error| {
        Failure::usage(format!(
            "the fingerprint '{}': {error}",
            text.escape_debug()
        ))
    })?;
    Ok(Some(fingerprint))
}

fn remembered(host: &str) -> Result<Option<(Known, Fingerprint)>, Failure> {
    let Some(file) = Known::file() else {
        return Ok(None);
    };
    let found = file.find(host)?;
    Ok(found.map(|fingerprint| (file, fingerprint)))
}

/// With the environment's password or token secret, or with what is typed.
fn sign_in(
    repository: &Repository,
    opening: chunk_restore::Options,
) -> Result<chunk_restore::Options, Failure> {
    let secret = match chunk_restore::password()? {
        None if io::stdin().is_terminal() => {
            let identity = repository.identity();
            let what = if identity.contains('!') {
                "Secret"
            } else {
                "Password"
            };
            let typed = rpassword::prompt_password(format!("{what} of {identity}: "));
            let secret = typed.map_err(|error| {
                Failure::denied(format!("cannot ask for the password of {identity}"), &error)
            })?;
            Some(zeroize::Zeroizing::new(secret))
        }
        given => given,
    };
    Ok(match secret {
        Some(secret) => opening.password(secret.as_str()),
        None => opening,
    })
}
