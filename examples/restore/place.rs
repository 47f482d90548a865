//! Opens the datastore that the command line or the environment names.

use chunk_restore::format::{GroupName, Namespace};
use chunk_restore::pve::Storage;
use chunk_restore::{Datastore, Fingerprint, Place, Snapshot, environment};
use serde_json::json;

use crate::closed::Closed;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys::{self, Keys};
use crate::options::Options;
use crate::output::Output;
use crate::prompt;
use crate::repository::{Repository, given};
use crate::storage;
use crate::trust::{self, Known};

/// Opens a snapshot, with the keys that were given or found.
pub(crate) fn snapshot(
    options: &Options,
    name: &str,
    output: &Output,
) -> Result<Snapshot, Failure> {
    let opening = with_keys(options, keys::load(options)?);
    snapshot_with(options, opening, name, output)
}

/// Opens the datastore, beginning with `opening`, and lists something in it.
pub(crate) fn listing<T>(
    options: &Options,
    opening: chunk_restore::OpenOptions,
    output: &Output,
    list: impl Fn(&Datastore) -> chunk_restore::Result<Vec<T>>,
) -> Result<(Datastore, Vec<T>), Failure> {
    let opened = first(options, opening, output, list)?;
    Ok((opened.datastore, opened.first))
}

/// Opens a snapshot of a datastore that is open already; `labels` are the names of its places.
pub(crate) fn snapshot_of(
    datastore: &Datastore,
    name: &str,
    options: &Options,
    labels: &[String],
    output: &Output,
) -> Result<Snapshot, Failure> {
    let snapshot = datastore.snapshot(name).map_err(Failure::from);
    let snapshot = snapshot.map_err(|failure| advise_on_keys(failure, options))?;
    tell_differences(&snapshot, labels, output);
    Ok(snapshot)
}

/// Options for opening with these keys.
pub(crate) fn with_keys(options: &Options, keys: Keys) -> chunk_restore::OpenOptions {
    let opening = chunk_restore::OpenOptions::new().allow_unsigned(options.allow_unsigned);
    keys.give(opening)
}

fn advise_on_keys(failure: Failure, options: &Options) -> Failure {
    match failure.exit() {
        Exit::Key => {
            let advice = keys::advice(&failure, options);
            failure.advises(advice)
        }
        _ => failure,
    }
}

/// The same as [`snapshot`], beginning with `opening`.
pub(crate) fn snapshot_with(
    options: &Options,
    opening: chunk_restore::OpenOptions,
    name: &str,
    output: &Output,
) -> Result<Snapshot, Failure> {
    let opened = first(options, opening, output, |datastore| {
        datastore.snapshot(name)
    });
    let opened = opened.map_err(|failure| advise_on_keys(failure, options))?;
    if let Ok(group) = name.parse() {
        // One of the entries that are in no listing could be later than the snapshot that was
        // chosen.
        tell_passed_over(&opened.datastore, Some(&group), output);
    }
    tell_differences(&opened.first, &opened.labels, output);
    Ok(opened.first)
}

/// Says which entries lie among the snapshots but are in no listing.
pub(crate) fn tell_passed_over(datastore: &Datastore, group: Option<&GroupName>, output: &Output) {
    for text in datastore.passed_over(group) {
        let json = json!({ "event": "passed_over", "message": text });
        output.warn(text, &json);
    }
}

/// Says which places hold other files under the snapshot's name.
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

/// An open datastore, with the result of the first request to it.
struct Opened<T> {
    datastore: Datastore,
    /// The names of its places, without passwords.
    labels: Vec<String>,
    first: T,
}

/// The namespace that the command line names, or the environment where it counts.
fn named_namespace(
    options: &Options,
    repositories: &[Repository],
) -> Result<Option<Namespace>, Failure> {
    let named = match repositories.iter().any(Repository::uses_environment) {
        true => given(options.ns.as_deref(), "PBS_NAMESPACE")?,
        false => options.ns.clone(),
    };
    Ok(named.as_deref().map(str::parse).transpose()?)
}

/// The namespace in which snapshots are looked for: the one that is named, or else that of a storage.
pub(crate) fn namespace(
    options: &Options,
    repositories: &[Repository],
) -> Result<Namespace, Failure> {
    if let Some(named) = named_namespace(options, repositories)? {
        return Ok(named);
    }
    match repositories.iter().find_map(Repository::storage) {
        Some(name) => Ok(storage::node().storage(&name)?.namespace().clone()),
        None => Ok(Namespace::default()),
    }
}

/// Opens the datastore and makes the first request to it. If there are several places, the request
/// is first made to each one, so that each can show its certificate and its errors, and then to all
/// together.
fn first<T>(
    options: &Options,
    opening: chunk_restore::OpenOptions,
    output: &Output,
    what: impl Fn(&Datastore) -> chunk_restore::Result<T>,
) -> Result<Opened<T>, Failure> {
    let repositories = Repository::find(options)?;
    let opening = match named_namespace(options, &repositories)? {
        Some(namespace) => opening.namespace(namespace),
        None => opening,
    };
    if let [repository] = &repositories[..] {
        let (datastore, first) = open(repository, options, opening, output, &what)?;
        return Ok(Opened {
            datastore,
            labels: vec![repository.label()],
            first: first.map_err(|failure| explain(failure, repository))?,
        });
    }
    // Fewer attempts are enough, since there are other places to ask.
    let opening = opening.attempts(2);
    let labels: Vec<String> = repositories.iter().map(Repository::label).collect();
    let (mut places, mut is_any_open) = (Vec::new(), false);
    let mut failure = None;
    for (repository, label) in repositories.iter().zip(&labels) {
        let opened = open(repository, options, opening.clone(), output, &what);
        let (datastore, failed) = match opened {
            Ok((datastore, first)) => (Some(datastore), first.err()),
            Err(failed) => (None, Some(failed)),
        };
        is_any_open |= datastore.is_some();
        let failed = failed.map(|failed| failed.about(label));
        // The closed place may have chunks that the others lack.
        let closed = |failed| opening.clone().open_backend(Closed::new(failed));
        places.extend(datastore.or_else(|| failed.as_ref().map(closed)));
        if let Some(failed) = failed {
            let mut json = failed.facts();
            json["event"] = "place_failed".into();
            json["place"] = label.as_str().into();
            output.warn(failed.text("one of the places can't be used"), &json);
            failure = failure.or(Some(failed));
        }
    }
    if let (false, Some(failure)) = (is_any_open, failure) {
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

/// Adds the name of the place to a failure that is due to it, and what else the name could have
/// meant.
fn explain(failure: Failure, repository: &Repository) -> Failure {
    if !matches!(failure.exit(), Exit::Denied | Exit::Failed) {
        return failure;
    }
    let failure = failure.about(repository.label());
    match repository.folder() {
        Some(folder) => failure.advises(format!(
            "{} names a datastore on a server; the folder is {folder}",
            repository.label()
        )),
        None => failure,
    }
}

/// Opens one place and makes the first request to it, for which a server shows its certificate.
fn open<T>(
    repository: &Repository,
    options: &Options,
    opening: chunk_restore::OpenOptions,
    output: &Output,
    what: &impl Fn(&Datastore) -> chunk_restore::Result<T>,
) -> Result<(Datastore, Result<T, Failure>), Failure> {
    let (place, opening, is_pinned) = settle(repository, options, opening, output)?;
    let mut known = None;
    if let (false, Some(server), Some(file)) = (is_pinned, repository.server(&place), Known::file())
    {
        known = file.find(&server)?.map(|found| (file, found));
    }
    let expecting = match &known {
        Some((_, found)) => opening.clone().fingerprint(found.fingerprint),
        None => opening.clone(),
    };
    let mut datastore = expecting.open_place(&place)?;
    let mut done = what(&datastore);
    let is_untrusted = |done: &chunk_restore::Result<T>| {
        (done.as_ref().err()).is_some_and(|error| trust::untrusted(error).is_some())
    };
    // A certificate that is trusted for another port of the same host is only a good guess.
    if known.take_if(|(_, found)| found.is_guess).is_some() && is_untrusted(&done) {
        datastore = opening.clone().open_place(&place)?;
        done = what(&datastore);
    }
    let error = match done {
        Ok(first) => return Ok((datastore, Ok(first))),
        Err(error) => error,
    };
    let failure = match (trust::untrusted(&error), known, repository.server(&place)) {
        (Some(_), Some((file, _)), _) => file.changed(error.into()),
        (Some(certificate), None, Some(server))
            if certificate.expected().is_none() && trust::ask(certificate, &server) =>
        {
            let trusting = opening.fingerprint(certificate.fingerprint());
            let datastore = trusting.open_place(&place)?;
            let first = what(&datastore).map_err(Failure::from);
            return Ok((datastore, first));
        }
        _ => error.into(),
    };
    Ok((datastore, Err(failure)))
}

/// The place that a name means, and all that opening it takes. The last value says whether the server
/// must have a certain certificate.
///
/// A storage of Proxmox VE says all of it but what the command line says.
fn settle(
    repository: &Repository,
    options: &Options,
    mut opening: chunk_restore::OpenOptions,
    output: &Output,
) -> Result<(Place, chunk_restore::OpenOptions, bool), Failure> {
    let mut place = repository.place()?;
    let mut storage = None;
    if let Place::Pve(name) = &place {
        let found = storage::find(name, output)?;
        if options.ns.is_none() {
            opening = opening.namespace(found.namespace().clone());
        }
        opening = opening.password(storage::secret(&found)?.as_str());
        place = Place::Pbs(found.repository().clone());
        storage = Some(found);
    }
    if matches!(place, Place::Folder(_)) {
        return Ok((place, opening, false));
    }
    opening = reach(options, opening).patience(options.patience());
    let pinned = fingerprint(options, storage.as_ref())?;
    if let Some(pinned) = pinned {
        opening = opening.fingerprint(pinned);
    }
    opening = match &place {
        Place::Pbs(repository) if storage.is_none() => sign_in(repository, opening)?,
        Place::S3(_) => sign_requests(options, opening),
        _ => opening,
    };
    Ok((place, opening, pinned.is_some()))
}

/// Adds credentials from the environment or a profile. They are not taken from the command line,
/// where others could see them.
fn sign_requests(
    options: &Options,
    mut opening: chunk_restore::OpenOptions,
) -> chunk_restore::OpenOptions {
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

/// Sets the proxy and the certificates that are trusted.
fn reach(options: &Options, opening: chunk_restore::OpenOptions) -> chunk_restore::OpenOptions {
    let opening = opening.proxy_from_env();
    match &options.ca_file {
        Some(path) => opening.ca_file(path),
        None => opening,
    }
}

/// The fingerprint that the command line says, otherwise that of the storage, or, if the place is no
/// storage, of the environment.
fn fingerprint(
    options: &Options,
    storage: Option<&Storage>,
) -> Result<Option<Fingerprint>, Failure> {
    match (&options.fingerprint, storage) {
        (Some(text), _) => text.trim().parse().map(Some).map_err(|error| {
            let text = text.escape_debug();
            Failure::usage(format!("the fingerprint '{text}': {error}"))
        }),
        (None, Some(storage)) => Ok(storage.fingerprint()),
        (None, None) => Ok(environment::fingerprint()?),
    }
}

/// Adds the password or the token's secret, from the environment or as the user types it.
fn sign_in(
    repository: &chunk_restore::place::Repository,
    opening: chunk_restore::OpenOptions,
) -> Result<chunk_restore::OpenOptions, Failure> {
    let secret = match environment::password()? {
        None => {
            let identity = repository.identity();
            let what = match repository.is_token() {
                true => "Secret",
                false => "Password",
            };
            prompt::secret(&format!("{what} of {identity}")).map_err(|error| {
                Failure::denied(format!("there is no password of {identity}"), &error)
            })?
        }
        given => given,
    };
    Ok(match secret {
        Some(secret) => opening.password(secret.as_str()),
        None => opening,
    })
}
