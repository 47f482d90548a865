//! From the command line and the environment to an open datastore. Knows nothing of what is done with it.

use std::io::{self, IsTerminal};

use chunk_restore::{Datastore, Fingerprint, Key, Snapshot, SnapshotInfo};

use crate::arguments::Options;
use crate::failure::Failure;
use crate::keys;
use crate::repository::{Repository, given};
use crate::trust::{self, Known};

/// The datastore and the snapshots in it, which need no key.
pub(crate) fn snapshots(options: &Options) -> Result<(Datastore, Vec<SnapshotInfo>), Failure> {
    first(options, chunk_restore::Options::new(), |datastore| {
        datastore.snapshots()
    })
}

/// A snapshot, with the keys that are at hand.
pub(crate) fn snapshot(options: &Options, name: &str) -> Result<Snapshot, Failure> {
    snapshot_with(options, keys::load(&options.keyfiles)?, name)
}

pub(crate) fn snapshot_with(
    options: &Options,
    keys: Vec<Key>,
    name: &str,
) -> Result<Snapshot, Failure> {
    let opening = chunk_restore::Options::new().allow_unsigned(options.allow_unsigned);
    let opening = keys.into_iter().fold(opening, chunk_restore::Options::key);
    let (_, snapshot) = first(options, opening, |datastore| datastore.snapshot(name))?;
    Ok(snapshot)
}

/// Opens the datastore and does the first thing with it, which is when a server shows its certificate.
fn first<T>(
    options: &Options,
    opening: chunk_restore::Options,
    what: impl Fn(&Datastore) -> chunk_restore::Result<T>,
) -> Result<(Datastore, T), Failure> {
    let repository = Repository::find(options)?;
    let mut opening = match given(options.ns.as_deref(), "PBS_NAMESPACE")? {
        Some(namespace) => opening.namespace(namespace.parse()?),
        None => opening,
    };
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
        opening = sign_in(&repository, opening)?;
    }
    if repository.is_in_bucket() {
        opening = sign_requests(options, opening);
    }

    let open = |opening: chunk_restore::Options| {
        let datastore = opening.open(repository.name())?;
        what(&datastore).map(|first| (datastore, first))
    };
    let error = match open(opening.clone()) {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    match (trust::untrusted(&error), known) {
        (Some(_), Some((file, _))) => Err(file.changed(error.into())),
        (Some(certificate), None)
            if certificate.expected().is_none() && trust::ask(certificate) =>
        {
            Ok(open(opening.fingerprint(certificate.fingerprint()))?)
        }
        _ if repository.is_also_a_folder() => {
            let name = repository.name();
            let meaning = format!("{name} names a datastore on a server; the folder is dir:{name}");
            Err(Failure::from(error).means(meaning))
        }
        _ => Err(error.into()),
    }
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
