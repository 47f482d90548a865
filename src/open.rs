//! From a string to a datastore: which kind of place it names, and what opening it needs.

use std::path::Path;

use crate::backend::Backend;
use crate::backend::directory::Directory;
use crate::datastore::Datastore;
use crate::datastore::trust::Trust;
use crate::environment;
use crate::error::{Error, ErrorKind, Result};
use crate::format::key::Key;
use crate::format::name::Namespace;

/// What opening a datastore needs: keys, and where to look.
#[derive(Clone, Debug, Default)]
pub struct Options {
    keys: Vec<Key>,
    allow_unsigned: bool,
    namespace: Namespace,
}

impl Options {
    /// No keys, the root namespace. Reads no environment.
    #[must_use]
    pub fn new() -> Options {
        Options::default()
    }

    /// What the environment says, as the official client reads it: the default key file
    /// (`$XDG_CONFIG_HOME/proxmox-backup/encryption-key.json`) where there is one, with its passphrase from
    /// PBS_ENCRYPTION_PASSWORD or from what its kin _FD, _FILE or _CMD name; PBS_NAMESPACE.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] for a key file that can't be used, [`ErrorKind::Invalid`] for a variable that makes no sense.
    pub fn from_env() -> Result<Options> {
        let mut options = Options::new();
        if let Some(key) = environment::default_key()? {
            options = options.key(key);
        }
        if let Some(namespace) = environment::namespace()? {
            options = options.namespace(namespace);
        }
        Ok(options)
    }

    /// Adds a key: of several, a snapshot's fingerprint chooses. With any key, a manifest must be signed by one of them.
    #[must_use]
    pub fn key(mut self, key: Key) -> Options {
        self.keys.push(key);
        self
    }

    /// Takes manifests that are not signed although keys were given. Who can write to the datastore can then choose what
    /// is restored; a *wrong* signature is refused all the same.
    #[must_use]
    pub fn allow_unsigned(self, yes: bool) -> Options {
        Options {
            allow_unsigned: yes,
            ..self
        }
    }

    /// The namespace whose snapshots are meant.
    #[must_use]
    pub fn namespace(self, namespace: Namespace) -> Options {
        Options { namespace, ..self }
    }

    /// Opens the datastore that a string names: `dir:PATH`, or anything with a `/` in it, is a folder.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where it is not there, [`ErrorKind::Unsupported`] for a kind of place that this version
    /// does not know.
    pub fn open(self, place: &str) -> Result<Datastore> {
        let path = match place.strip_prefix("dir:") {
            Some(path) => path,
            None if place.contains("://") || !place.contains('/') => {
                let message = format!(
                    "{place:?} is not a folder (write dir:{place} if it is), and no other kind of place can be opened yet"
                );
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            None => place,
        };
        let directory = Directory::open(Path::new(path)).map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                _ => ErrorKind::Unreadable,
            };
            Error::new(kind, format!("cannot open the datastore {path}")).because(error)
        })?;
        Ok(self.open_backend(directory))
    }

    /// The datastore behind a backend of your own.
    #[must_use]
    pub fn open_backend(self, backend: impl Backend + 'static) -> Datastore {
        let trust = Trust {
            keys: self.keys,
            allow_unsigned: self.allow_unsigned,
        };
        Datastore::assemble(Box::new(backend), self.namespace, trust)
    }
}

impl Datastore {
    /// Opens the datastore that a string names, with what the environment says:
    /// [`Options::from_env`], then [`Options::open`].
    ///
    /// # Errors
    /// As those two.
    pub fn open(place: &str) -> Result<Datastore> {
        Options::from_env()?.open(place)
    }
}
