//! Key files: finds them, and unlocks them with their passphrases.

use std::path::{Path, PathBuf};

use chunk_restore::format::KeyFile;
use chunk_restore::{Key, OpenOptions};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::master_key::{self, MasterKey};
use crate::options::Options;
use crate::prompt;
use crate::repository::Repository;
use crate::storage;

/// The keys that snapshots may be signed by.
pub(crate) struct Keys {
    keys: Vec<Key>,
    master: Option<MasterKey>,
}

impl Keys {
    pub(crate) fn are_there(&self) -> bool {
        !self.keys.is_empty() || self.master.is_some()
    }

    pub(crate) fn give(self, opening: OpenOptions) -> OpenOptions {
        let opening = self.keys.into_iter().fold(opening, OpenOptions::key);
        master_key::give(self.master, opening)
    }
}

/// The keys in the named key files, and the master key; where none is named, those that are found.
pub(crate) fn load(options: &Options) -> Result<Keys, Failure> {
    let mut files = Vec::new();
    for path in &options.keyfiles {
        let file = KeyFile::read(path).map_err(|error| {
            let failure = Failure::from(error);
            match failure.reason().contains("RSA master key") {
                true => failure.advises("--master-keyfile takes the master key"),
                false => failure,
            }
        })?;
        files.push((path.clone(), file));
    }
    if are_found(options) {
        files = found(options)?;
    }
    let master = options.master_keyfile.as_deref();
    let master = master.map(|path| Ok::<_, Failure>((path, master_key::read(path)?)));
    let master = master.transpose()?;
    let is_master_locked = master.as_ref().is_some_and(|(_, file)| file.is_protected());
    // The environment is asked only once, since a descriptor can be read only once.
    let given = match is_master_locked || files.iter().any(|(_, file)| file.is_protected()) {
        true => chunk_restore::environment::passphrase()?,
        false => None,
    };
    let keys = files.iter().map(|(path, file)| {
        let (is_locked, hint) = (file.is_protected(), file.hint());
        unlock(path, is_locked, hint, given.as_ref(), |passphrase| {
            file.unlock(passphrase)
        })
    });
    let keys = keys.collect::<Result<_, _>>()?;
    let master = master.map(|(path, file)| {
        unlock(path, is_master_locked, None, given.as_ref(), |passphrase| {
            file.unlock(passphrase)
        })
    });
    Ok(Keys {
        keys,
        master: master.transpose()?,
    })
}

/// Whether keys are looked for where nobody named them.
fn are_found(options: &Options) -> bool {
    options.keyfiles.is_empty() && options.master_keyfile.is_none()
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

/// Unlocks a key with the passphrase that was given, or that the user types.
fn unlock<T>(
    path: &Path,
    is_locked: bool,
    hint: Option<&str>,
    given: Option<&Zeroizing<String>>,
    unlock: impl Fn(Option<&[u8]>) -> chunk_restore::Result<T>,
) -> Result<T, Failure> {
    let asked = match given {
        None if is_locked => ask(path, hint)?,
        _ => None,
    };
    let passphrase = given.or(asked.as_ref()).map(|text| text.as_bytes());
    unlock(passphrase).map_err(|error| {
        let failure = Failure::from(error).about(path.display());
        match passphrase {
            None if is_locked => failure.advises(
                "give it in PBS_ENCRYPTION_PASSWORD, or in a file that PBS_ENCRYPTION_PASSWORD_FILE names",
            ),
            _ => failure,
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
    let found = match are_found(options) {
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

fn ask(path: &Path, hint: Option<&str>) -> Result<Option<Zeroizing<String>>, Failure> {
    let hint = match hint {
        Some(hint) => format!(" (hint: {hint})"),
        None => String::new(),
    };
    let path = path.display();
    prompt::secret(&format!("Passphrase of {path}{hint}"))
        .map_err(|error| Failure::key(format!("there is no passphrase for {path}"), &error))
}
