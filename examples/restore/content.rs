//! What can be restored of a snapshot: archives in chunks, and small files. Knows nothing of where it goes.

use chunk_restore::{Archive, Error, ErrorKind, ManifestFile, Snapshot};

use crate::failure::Failure;

/// One thing of a snapshot, ready to be restored.
#[derive(Debug)]
pub(crate) enum Content {
    Archive(Archive),
    Small { name: String, bytes: Vec<u8> },
}

impl Content {
    /// Reads an archive's index, or a small file.
    pub(crate) fn open(snapshot: &Snapshot, name: &str) -> Result<Content, Failure> {
        match snapshot.manifest().file(name) {
            Some(file) if !file.is_archive() => Ok(Content::Small {
                name: file.archive_name().to_owned(),
                bytes: snapshot.read(name).map_err(with_key)?,
            }),
            // Of a name that is not there, this says which are.
            _ => Ok(Content::Archive(snapshot.archive(name).map_err(with_key)?)),
        }
    }

    /// Its name as people type it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Content::Archive(archive) => archive.path().archive_name(),
            Content::Small { name, .. } => name,
        }
    }
}

/// Says how to give the key that lacks.
fn with_key(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Key => Failure::from(error).advises("give the file of that key by --keyfile"),
        _ => error.into(),
    }
}

/// The names of what was asked for, each once; of everything, where nothing was.
pub(crate) fn select(snapshot: &Snapshot, asked: &[String]) -> Result<Vec<String>, Failure> {
    let manifest = snapshot.manifest();
    let mut names = Vec::new();
    if asked.is_empty() {
        names.extend(manifest.files().iter().map(ManifestFile::archive_name));
    }
    for name in asked {
        match manifest.file(name) {
            Some(file) => names.push(file.archive_name()),
            None => drop(snapshot.archive(name)?),
        }
    }
    let mut selected: Vec<String> = Vec::new();
    for name in names {
        if !selected.iter().any(|other| other == name) {
            selected.push(name.to_owned());
        }
    }
    Ok(selected)
}
