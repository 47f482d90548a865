//! Key files: finds them, and unlocks them with their passphrases.

use std::path::{Path, PathBuf};

use chunk_restore::Key;
use chunk_restore::format::KeyFile;
use zeroize::Zeroizing;

use crate::arguments::Options;
use crate::failure::Failure;
use crate::prompt;
use crate::repository::Repository;
use crate::storage;

/// The keys in the named key files; where none is named, those that are found.
pub(crate) fn load(options: &Options) -> Result<Vec<Key>, Failure> {
    let mut files = Vec::new();
    for path in &options.keyfiles {
        files.push((path.clone(), KeyFile::read(path)?));
    }
    if options.keyfiles.is_empty() {
        files = found(options)?;
    }
    // The environment is asked only once, since a descriptor can be read only once.
    let given = match files.iter().any(|(_, file)| file.is_protected()) {
        true => chunk_restore::environment::passphrase()?,
        false => None,
    };
    files
        .iter()
        .map(|(path, file)| unlock(path, file, given.as_ref()))
        .collect()
}

/// The key files that need not be named: those of the storages of Proxmox VE, and, if there is any
/// other place, the default key file.
fn found(options: &Options) -> Result<Vec<(PathBuf, KeyFile)>, Failure> {
    let repositories = Repository::find(options)?;
    let mut files = Vec::new();
    for name in repositories.iter().filter_map(Repository::storage) {
        files.extend(storage::key_file(&name)?);
    }
    let is_used = repositories.iter().any(Repository::uses_environment);
    let default = KeyFile::default_path().filter(|path| is_used && path.exists());
    if let Some(path) = default {
        let file = KeyFile::read(&path)?;
        files.push((path, file));
    }
    Ok(files)
}

fn unlock(path: &Path, file: &KeyFile, given: Option<&Zeroizing<String>>) -> Result<Key, Failure> {
    let asked = match given {
        None if file.is_protected() => ask(path, file)?,
        _ => None,
    };
    let passphrase = given.or(asked.as_ref()).map(|text| text.as_bytes());
    file.unlock(passphrase).map_err(|error| {
        let failure = Failure::from(error).about(path.display());
        match passphrase {
            Some(_) => failure,
            None => failure.advises(
                "give it in PBS_ENCRYPTION_PASSWORD, or in a file that PBS_ENCRYPTION_PASSWORD_FILE names",
            ),
        }
    })
}

/// Says where the keys come from that don't fit a snapshot, and what helps.
pub(crate) fn advice(failure: &Failure, options: &Options) -> String {
    // The library has only one error kind for all problems with keys.
    let help = match failure.message().contains("is not signed") {
        true => "--allow-unsigned takes snapshots that are not signed",
        false => "--keyfile names the key file of the key that the snapshot was made with",
    };
    let found = match options.keyfiles.is_empty() {
        true => found(options).unwrap_or_default(),
        false => Vec::new(),
    };
    match &found[..] {
        [] => help.to_owned(),
        [(path, _)] if Some(path) == KeyFile::default_path().as_ref() => {
            let path = path.display();
            format!("the key is that of the default key file {path}; {help}")
        }
        [(path, _), others @ ..] => {
            let more = match others.is_empty() {
                true => "",
                false => " and others",
            };
            format!("the key is that in {}{more}; {help}", path.display())
        }
    }
}

fn ask(path: &Path, file: &KeyFile) -> Result<Option<Zeroizing<String>>, Failure> {
    let hint = match file.hint() {
        Some(hint) => format!(" (hint: {hint})"),
        None => String::new(),
    };
    let path = path.display();
    prompt::secret(&format!("Passphrase of {path}{hint}"))
        .map_err(|error| Failure::key(format!("there is no passphrase for {path}"), &error))
}
