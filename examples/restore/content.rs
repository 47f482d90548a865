//! What can be restored of a snapshot: archives, which consist of chunks, and small files.

use std::collections::HashSet;

use chunk_restore::format::CryptMode;
use chunk_restore::{Archive, Error, ErrorKind, Snapshot};

use crate::exit::Exit;
use crate::failure::Failure;

/// Files that a snapshot may have although its manifest does not list them.
const UNLISTED: [&str; 2] = ["index.json", "client.log"];

/// One archive or small file of a snapshot, ready to be restored.
#[derive(Debug)]
pub(crate) enum Content {
    Archive { name: String, archive: Archive },
    Small { name: String, bytes: Vec<u8> },
}

impl Content {
    /// Reads an archive's index, or a small file.
    pub(crate) fn open(snapshot: &Snapshot, name: &str) -> Result<Content, Failure> {
        let is_small = match snapshot.manifest().file(name) {
            Some(file) => !file.is_archive(),
            None => is_unlisted(name),
        };
        let own_name = name_of(snapshot, name).to_owned();
        Ok(match is_small {
            true => Content::Small {
                name: own_name,
                bytes: snapshot.read(name).map_err(with_key)?,
            },
            // If there is no archive of this name, the error of this call lists those that there
            // are.
            false => Content::Archive {
                name: own_name,
                archive: snapshot.archive(name).map_err(with_key)?,
            },
        })
    }

    /// How many bytes there are to restore.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Content::Archive { archive, .. } => archive.index().len(),
            Content::Small { bytes, .. } => bytes.len() as u64,
        }
    }

    /// The name of the archive or file as people type it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Content::Archive { name, .. } | Content::Small { name, .. } => name,
        }
    }
}

/// The name that people use for a file; `name` may be any of the file's names.
pub(crate) fn name_of<'a>(snapshot: &'a Snapshot, name: &'a str) -> &'a str {
    match snapshot.manifest().file(name) {
        Some(file) => file.archive_name(),
        None => name.strip_suffix(".blob").unwrap_or(name),
    }
}

/// Adds to an error about a missing key how to give the key.
pub(crate) fn with_key(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Key => Failure::from(error).advises("give the file of that key by --keyfile"),
        _ => error.into(),
    }
}

/// The server's names of the files that were asked for, each once; where none were asked for, those
/// of all files that the manifest lists. The server's names are used since the names that people
/// use could mean several files.
pub(crate) fn select(snapshot: &Snapshot, asked: &[String]) -> Result<Vec<String>, Failure> {
    let manifest = snapshot.manifest();
    if asked.is_empty() {
        let files = manifest.files().iter();
        return Ok(files.map(|file| file.name().to_owned()).collect());
    }
    let mut seen = HashSet::new();
    let mut selected = Vec::new();
    for name in asked {
        let name = match manifest.file(name) {
            Some(file) => file.name().to_owned(),
            None if is_unlisted(name) => format!("{}.blob", name_of(snapshot, name)),
            None => {
                snapshot.archive(name)?;
                continue;
            }
        };
        if seen.insert(name.clone()) {
            selected.push(name);
        }
    }
    Ok(selected)
}

/// Checks, before anything is restored, that the key of encrypted files was given.
pub(crate) fn check_key(snapshot: &Snapshot, names: &[String]) -> Result<(), Failure> {
    let files = names
        .iter()
        .filter_map(|name| snapshot.manifest().file(name));
    let mut encrypted =
        files.filter(|file| file.is_archive() && file.crypt_mode() == CryptMode::Encrypt);
    // All encrypted files of a snapshot have the same key.
    let Some(first) = encrypted.next() else {
        return Ok(());
    };
    match snapshot.archive(first.name()).map_err(Failure::from) {
        Err(failure) if failure.exit() == Exit::Key => Err(failure),
        _ => Ok(()),
    }
}

fn is_unlisted(name: &str) -> bool {
    UNLISTED.contains(&name.strip_suffix(".blob").unwrap_or(name))
}
