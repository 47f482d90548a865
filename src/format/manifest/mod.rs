//! The manifest: it lists what a snapshot holds, and says who signed the list. Does no I/O.

mod bounds;
mod canonical;

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::digest::{Digest, Fingerprint};
use crate::error::{Error, ErrorKind, Result};
use crate::format::key::Key;
use crate::format::name::{BackupType, GroupName, SnapshotName, archive_name};
use crate::format::verification::Verification;

pub(crate) use bounds::MAX_MANIFEST;
use canonical::canonical;

/// How the chunks of an archive are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CryptMode {
    /// The chunks are not protected.
    None,
    /// The chunks are encrypted, and the manifest is signed.
    Encrypt,
    /// The manifest is signed. The signature also covers the chunks, through their digests.
    SignOnly,
}

impl CryptMode {
    pub(crate) fn parse(text: &str) -> Option<CryptMode> {
        match text {
            "none" => Some(CryptMode::None),
            "encrypt" => Some(CryptMode::Encrypt),
            "sign-only" => Some(CryptMode::SignOnly),
            _ => None,
        }
    }
}

/// A file of a snapshot, as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    name: String,
    /// Whether this file's archive name could also mean another file of the manifest.
    is_ambiguous: bool,
    crypt_mode: CryptMode,
    size: u64,
    csum: Digest,
}

impl ManifestFile {
    /// The server's name for the file, such as `drive-scsi0.img.fidx`. It is safe to use as a file
    /// name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name that people use, such as `drive-scsi0.img`. Where that could also mean another file
    /// of the manifest, it is the server's name instead. No two files have the same one.
    #[must_use]
    pub fn archive_name(&self) -> &str {
        match self.is_ambiguous {
            true => &self.name,
            false => archive_name(&self.name).unwrap_or(&self.name),
        }
    }

    /// Whether the file is an index of chunks, and not a small file.
    #[must_use]
    pub fn is_archive(&self) -> bool {
        !self.name.ends_with(".blob")
    }

    /// How the contents of the file are protected.
    #[must_use]
    pub fn crypt_mode(&self) -> CryptMode {
        self.crypt_mode
    }

    /// For an archive: its decoded length, in bytes. For a small file: the length of its blob, in
    /// bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// For an archive: the [`csum`](crate::format::Index::csum) of its index. For a small file: the
    /// SHA-256 of its blob.
    #[must_use]
    pub fn csum(&self) -> Digest {
        self.csum
    }
}

/// The list of the files of a snapshot. It is signed where the snapshot's owner has a key.
#[derive(Clone)]
pub struct Manifest {
    snapshot: SnapshotName,
    files: Vec<ManifestFile>,
    signature: Option<[u8; 32]>,
    key_fingerprint: Option<Fingerprint>,
    notes: Option<String>,
    verification: Option<Verification>,
    /// The text that the signature covers, in canonical form.
    canonical: Vec<u8>,
}

impl Manifest {
    /// Reads the JSON of a manifest.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] where the JSON is not a manifest, lists a file whose name is unsafe
    /// or listed twice, or is larger than any honest manifest: more than 32 MiB, 131,072 objects or
    /// a million values.
    pub fn parse(json: &[u8]) -> Result<Manifest> {
        bounds::check(json)?;
        // Everything is taken from this one value, so that no two readers can disagree about what
        // was signed.
        let value: Value = serde_json::from_slice(json).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the manifest is not JSON").because(error)
        })?;
        let Value::Object(members) = &value else {
            return Err(corrupt("it is not a JSON object"));
        };
        let canonical = canonical(members)?;
        let files = parse_files(members)?;
        let member = |name| {
            members
                .get("unprotected")
                .and_then(|unprotected| unprotected.get(name))
        };
        let unprotected = |name| member(name).and_then(Value::as_str);
        let key_fingerprint = match unprotected("key-fingerprint").map(str::parse) {
            None => None,
            Some(Ok(fingerprint)) => Some(fingerprint),
            Some(Err(_)) => return Err(corrupt("its key-fingerprint is malformed")),
        };
        let signature = match members.get("signature") {
            // PBS 3 writes a null where there is no signature.
            None | Some(Value::Null) => None,
            Some(signature) => {
                let parsed = signature
                    .as_str()
                    .and_then(|hex| hex.parse::<Digest>().ok());
                let parsed = parsed.ok_or_else(|| corrupt("its signature is malformed"))?;
                Some(*parsed.as_bytes())
            }
        };
        Ok(Manifest {
            snapshot: parse_snapshot(members)?,
            files,
            signature,
            key_fingerprint,
            notes: unprotected("notes").map(str::to_owned),
            verification: member("verify_state").and_then(Verification::parse),
            canonical,
        })
    }

    /// The snapshot that the manifest belongs to.
    #[must_use]
    pub fn snapshot(&self) -> &SnapshotName {
        &self.snapshot
    }

    /// The files of the snapshot, in the order of the manifest.
    #[must_use]
    pub fn files(&self) -> &[ManifestFile] {
        &self.files
    }

    /// A file by its name, in the form that the server or that people use. `None` also for an
    /// archive name that several files share: `a.img` is the archive name of both `a.img.fidx` and
    /// `a.img.blob`.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&ManifestFile> {
        let by =
            |named: fn(&ManifestFile) -> &str| self.files.iter().find(|file| named(file) == name);
        by(ManifestFile::name).or_else(|| by(ManifestFile::archive_name))
    }

    /// The files whose name without its suffix is `name`.
    pub(crate) fn namesakes(&self, name: &str) -> impl Iterator<Item = &ManifestFile> {
        let files = self.files.iter();
        files.filter(move |file| archive_name(&file.name) == Some(name))
    }

    /// Whether the manifest has a signature, right or wrong.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// The fingerprint of the key that signed the manifest and encrypted the archives. The
    /// signature does not protect this fingerprint.
    #[must_use]
    pub fn key_fingerprint(&self) -> Option<Fingerprint> {
        self.key_fingerprint
    }

    /// The notes of the snapshot's owner. The signature does not protect them.
    #[must_use]
    pub fn notes(&self) -> Option<&str> {
        self.notes.as_deref()
    }

    /// Whether two manifests are equal in all that a signature covers, and in the signature.
    pub(crate) fn is_signed_as(&self, other: &Manifest) -> bool {
        (&self.canonical, &self.signature) == (&other.canonical, &other.signature)
    }

    /// The result of the server's last verification, if there was one. The signature does not
    /// protect it.
    #[must_use]
    pub fn verification(&self) -> Option<Verification> {
        self.verification
    }

    /// Checks that the manifest was signed with this key, and was not changed since.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] where the signature is missing or wrong.
    pub fn verify_signature(&self, key: &Key) -> Result<()> {
        let Some(signature) = &self.signature else {
            return Err(Error::new(ErrorKind::Key, "the manifest is not signed"));
        };
        if !key.has_signed(&self.canonical, signature) {
            let key = key.fingerprint().short();
            let message = format!(
                "the manifest's signature is not of the key {key}, or it was changed since"
            );
            return Err(Error::new(ErrorKind::Key, message));
        }
        Ok(())
    }
}

impl fmt::Debug for Manifest {
    // The signed text is left out, since it repeats the other fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("snapshot", &self.snapshot)
            .field("files", &self.files)
            .field("is_signed", &self.is_signed())
            .field("key_fingerprint", &self.key_fingerprint)
            .finish_non_exhaustive()
    }
}

fn parse_snapshot(members: &Map<String, Value>) -> Result<SnapshotName> {
    let text = |name| members.get(name).and_then(Value::as_str);
    let backup_type = text("backup-type").and_then(|text| text.parse::<BackupType>().ok());
    let id = text("backup-id");
    let time = members.get("backup-time").and_then(Value::as_i64);
    let (Some(backup_type), Some(id), Some(time)) = (backup_type, id, time) else {
        return Err(corrupt("it does not say of which snapshot it is"));
    };
    GroupName::new(backup_type, id)
        .and_then(|group| SnapshotName::new(group, time))
        .map_err(|error| corrupt("it is of an impossible snapshot").because(error))
}

fn parse_files(members: &Map<String, Value>) -> Result<Vec<ManifestFile>> {
    let entries = members.get("files").and_then(Value::as_array);
    let entries = entries.ok_or_else(|| corrupt("it has no list of files"))?;
    let mut files = entries.iter().map(parse_file).collect::<Result<Vec<_>>>()?;
    let mut names = HashSet::with_capacity(files.len());
    let mut sharing: HashMap<&str, usize> = HashMap::with_capacity(files.len());
    for file in &files {
        if !names.insert(file.name()) {
            return Err(corrupt(format!("it lists {} twice", file.name)));
        }
        *sharing.entry(file.archive_name()).or_default() += 1;
    }
    let is_ambiguous = |file: &ManifestFile| {
        let short = file.archive_name();
        names.contains(short) || sharing.get(short).is_some_and(|count| *count > 1)
    };
    let ambiguous: Vec<bool> = files.iter().map(is_ambiguous).collect();
    for (file, is_ambiguous) in files.iter_mut().zip(ambiguous) {
        file.is_ambiguous = is_ambiguous;
    }
    Ok(files)
}

fn parse_file(entry: &Value) -> Result<ManifestFile> {
    let text = |name| entry.get(name).and_then(Value::as_str);
    let name = text("filename").ok_or_else(|| corrupt("it lists a file without a name"))?;
    if archive_name(name).is_none() {
        return Err(corrupt(format!(
            "it lists a file of the unsafe name {name:?}"
        )));
    }
    let crypt_mode = match entry.get("crypt-mode") {
        None => CryptMode::None,
        Some(mode) => (mode.as_str().and_then(CryptMode::parse))
            .ok_or_else(|| corrupt(format!("it gives {name} an unknown crypt-mode")))?,
    };
    let size = entry.get("size").and_then(Value::as_u64);
    let csum = text("csum").and_then(|hex| hex.parse().ok());
    let (Some(size), Some(csum)) = (size, csum) else {
        return Err(corrupt(format!("it gives {name} no size or no csum")));
    };
    Ok(ManifestFile {
        name: name.to_owned(),
        is_ambiguous: false,
        crypt_mode,
        size,
        csum,
    })
}

fn corrupt(why: impl Into<String>) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("the manifest is malformed: {}", why.into()),
    )
}
