//! The storages of a Proxmox VE node: its configuration says where their backups are, and how to get
//! at them.
//!
//! [`Place::Pve`](crate::Place::Pve) names such a storage. This module is for programs that list the
//! storages, or use only a part of what the configuration says.

mod config;

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result, is_ours};
use crate::format::key::KeyFile;
use crate::place::StorageName;
use crate::reading::{read_secret, read_small};

pub use config::{Storage, Storages};

/// Where a node has its configuration.
const FOLDER: &str = "/etc/pve";

/// The most bytes of `storage.cfg`. The file system in `/etc/pve` takes no larger files.
const MAX_STORAGE_CFG: u64 = 1 << 20;

/// The most bytes of a file with a key, which has some hundred bytes.
const MAX_KEY: u64 = 64 << 10;

/// The configuration of a Proxmox VE node, in the folder `/etc/pve` or in a copy of it. Only root can
/// read the secrets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    folder: PathBuf,
}

impl Default for Node {
    /// The node that the program runs on, with its configuration in `/etc/pve`.
    fn default() -> Node {
        Node::at(FOLDER)
    }
}

impl Node {
    /// The node whose configuration lies in this folder.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Node {
        Node {
            folder: folder.into(),
        }
    }

    /// The storages that the node knows, from `storage.cfg`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no such file, [`ErrorKind::Denied`] where it may not be
    /// read, otherwise why it can't be read.
    pub fn storages(&self) -> Result<Storages> {
        let path = self.config_path();
        let text = read_small(&path, MAX_STORAGE_CFG).map_err(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return unreadable(&path, error);
            }
            let message = format!(
                "there is no {}: Proxmox VE shows it on its nodes while the service pve-cluster runs",
                path.display()
            );
            Error::new(ErrorKind::NotFound, message).because(error)
        })?;
        Ok(Storages::parse(&text))
    }

    /// The storage of this name.
    ///
    /// # Errors
    /// Those of [`storages`](Node::storages) and of [`Storages::get`], with the path of the file.
    pub fn storage(&self, name: &StorageName) -> Result<Storage> {
        self.storages()?.get(name).map_err(|error| {
            let message = format!("{}: {error}", self.config_path().display());
            let told = Error::new(error.kind(), message);
            match std::error::Error::source(&error) {
                Some(cause) => told.because(cause.to_string()),
                None => told,
            }
        })
    }

    /// The password of a storage's user, or the secret of its token: the first line of
    /// `priv/storage/NAME.pw`.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] where there is none, or it may not be read; otherwise why it can't be
    /// read.
    pub fn secret(&self, name: &StorageName) -> Result<Zeroizing<String>> {
        let path = self.private_path(name, "pw");
        read_secret(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData => {
                let path = path.display();
                let message = format!("there is no password of the storage {name} in {path}");
                Error::new(ErrorKind::Denied, message).because(error)
            }
            _ => unreadable(&path, error),
        })
    }

    /// Where the key of a storage lies, `priv/storage/NAME.enc`.
    #[must_use]
    pub fn key_path(&self, name: &StorageName) -> PathBuf {
        self.private_path(name, "enc")
    }

    /// The key file of a storage, `priv/storage/NAME.enc`. A storage without a key has none, unless the
    /// file lies there all the same.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] where the storage has a key and the file is missing, or where the file is not
    /// a key file; [`ErrorKind::Denied`] where it may not be read; otherwise why it can't be read.
    pub fn key_file(&self, storage: &Storage) -> Result<Option<KeyFile>> {
        let path = self.key_path(storage.name());
        let text = match read_small(&path, MAX_KEY) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !storage.has_key() {
                    return Ok(None);
                }
                let (name, path) = (storage.name(), path.display());
                let message = format!("the key of the storage {name} is missing: {path}");
                return Err(Error::new(ErrorKind::Key, message).because(error));
            }
            Err(error) => return Err(unreadable(&path, error)),
        };
        let file = KeyFile::parse(&text).map_err(|error| {
            let message = format!("cannot use the key file {}", path.display());
            Error::new(ErrorKind::Key, message).because(error)
        })?;
        Ok(Some(file))
    }

    fn config_path(&self) -> PathBuf {
        self.folder.join("storage.cfg")
    }

    /// A file of a storage that only root can read. The name can't lead out of the folder, since it has
    /// been checked.
    fn private_path(&self, name: &StorageName, ending: &str) -> PathBuf {
        self.folder.join(format!("priv/storage/{name}.{ending}"))
    }
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let path = path.display();
    let (kind, message) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Denied,
            format!("{path} may not be read: run this as root"),
        ),
        _ if is_ours(&error) => (ErrorKind::Resources, format!("cannot read {path}")),
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory => (ErrorKind::Invalid, format!("cannot read {path}")),
        _ => (ErrorKind::Unavailable, format!("cannot read {path}")),
    };
    Error::new(kind, message).because(error)
}
