//! Key files: finds them, and unlocks them with their passphrases.

use std::path::{Path, PathBuf};

use chunk_restore::Key;
use chunk_restore::format::KeyFile;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::prompt;

/// The keys in the named key files; where none is named, the key in the default key file, if that
/// exists.
pub(crate) fn load(named: &[PathBuf]) -> Result<Vec<Key>, Failure> {
    let default = KeyFile::default_path().filter(|path| named.is_empty() && path.exists());
    let mut files = Vec::new();
    for path in named.iter().chain(&default) {
        files.push((path, KeyFile::read(path)?));
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
pub(crate) fn advice(failure: &Failure, named: &[PathBuf]) -> String {
    // The library has only one error kind for all problems with keys.
    let help = match failure.message().contains("is not signed") {
        true => "--allow-unsigned takes snapshots that are not signed",
        false => "--keyfile names the key file of the key that the snapshot was made with",
    };
    match KeyFile::default_path() {
        Some(path) if named.is_empty() && path.exists() => {
            let path = path.display();
            format!("the key is that of the default key file {path}; {help}")
        }
        _ => help.to_owned(),
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
