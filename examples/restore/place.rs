//! From the command line and the environment to an open datastore. Knows nothing of what is done with it.

use std::env;

use chunk_restore::{Datastore, Key, Snapshot};

use crate::arguments::Options;
use crate::failure::Failure;
use crate::keys;

/// The datastore alone, for what needs no key.
pub(crate) fn datastore(options: &Options) -> Result<Datastore, Failure> {
    open(options, chunk_restore::Options::new())
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
    Ok(open(options, opening)?.snapshot(name)?)
}

fn open(options: &Options, opening: chunk_restore::Options) -> Result<Datastore, Failure> {
    let Some(place) = given(&options.repository, "PBS_REPOSITORY")? else {
        return Err(Failure::usage(
            "which datastore? name it with --repository, or in PBS_REPOSITORY",
        ));
    };
    let opening = match given(&options.ns, "PBS_NAMESPACE")? {
        Some(namespace) => opening.namespace(namespace.parse()?),
        None => opening,
    };
    Ok(opening.open(&place)?)
}

/// What the command line says, else the environment. An empty variable counts as none.
fn given(option: &Option<String>, variable: &str) -> Result<Option<String>, Failure> {
    if option.is_some() {
        return Ok(option.clone());
    }
    match env::var(variable) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("{variable} is not UTF-8")))
        }
    }
}
