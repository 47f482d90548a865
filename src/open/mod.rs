//! Opens datastores: finds out which kind of place a string names, and gathers what opening it
//! needs.

#[cfg(feature = "tls")]
mod network;
#[cfg(feature = "s3")]
mod s3;
mod storage;

use std::path::Path;

use crate::backend::directory::Directory;
#[cfg(feature = "https")]
use crate::backend::https::Https;
#[cfg(feature = "pbs")]
use crate::backend::pbs::Pbs;
use crate::backend::{Backend, FetchError};
use crate::datastore::Datastore;
use crate::datastore::trust::Trust;
use crate::environment;
#[cfg(any(feature = "https", feature = "pbs"))]
use crate::environment::ProxyRule;
use crate::error::is_ours;
use crate::error::{Error, ErrorKind, Result};
use crate::format::key::Key;
#[cfg(feature = "master-key")]
use crate::format::key::MasterKey;
use crate::format::name::Namespace;
use crate::place::{Place, Repository};
use crate::pve::Node;

/// What opening a datastore needs: keys, a namespace, and, for places on the network, which servers
/// to trust and how long to wait.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    keys: Vec<Key>,
    allow_unsigned: bool,
    namespace: Namespace,
    #[cfg(feature = "master-key")]
    master: Option<MasterKey>,
    node: Node,
    #[cfg(feature = "tls")]
    network: network::Network,
    #[cfg(feature = "s3")]
    s3: s3::Settings,
}

impl OpenOptions {
    /// Options without keys, for the root namespace. Reads no environment variables.
    #[must_use]
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// Options that the environment sets, in the way the official client reads it:
    ///
    /// The default key file (`$XDG_CONFIG_HOME/proxmox-backup/encryption-key.json`), where there is
    /// one; its passphrase comes from PBS_ENCRYPTION_PASSWORD, or from where
    /// PBS_ENCRYPTION_PASSWORD_FD, _FILE or _CMD says. The namespace comes from PBS_NAMESPACE. For
    /// places on the network: the fingerprint from PBS_FINGERPRINT, the HTTP proxy that
    /// `OpenOptions::proxy_from_env` finds, and the password or the token's secret from
    /// PBS_PASSWORD, _FD, _FILE or _CMD. Passphrase, fingerprint and password may also be
    /// [credentials](crate::environment::credential) of a systemd service. For S3: what
    /// `OpenOptions::s3_from_env` reads.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] for a key file that can't be used, [`ErrorKind::Invalid`] for a variable
    /// that can't be used.
    pub fn from_env() -> Result<OpenOptions> {
        let mut options = OpenOptions::new();
        if let Some(key) = environment::default_key()? {
            options = options.key(key);
        }
        if let Some(namespace) = environment::namespace()? {
            options = options.namespace(namespace);
        }
        #[cfg(feature = "tls")]
        {
            if let Some(fingerprint) = environment::fingerprint()? {
                options = options.fingerprint(fingerprint);
            }
            #[cfg(feature = "pbs")]
            if let Some(secret) = environment::password()? {
                options.network.secret = Some(secret);
            }
            options = options.proxy_from_env();
        }
        #[cfg(feature = "s3")]
        {
            options = options.s3_from_env(None);
        }
        Ok(options)
    }

    /// Adds a key. If there are several, the key whose fingerprint is in a snapshot's manifest is
    /// used for that snapshot. If there is any key, every manifest must be signed by one of the
    /// keys.
    #[must_use]
    pub fn key(mut self, key: Key) -> OpenOptions {
        self.keys.push(key);
        self
    }

    /// Recovers the key of each snapshot whose key is not among those given, from the snapshot's own
    /// `rsa-encrypted.key`. The manifest must be signed by the key that was recovered.
    ///
    /// Whoever has the public half of the master key can make such a snapshot. So a signature by a key
    /// that was recovered says less than one by a key that was given.
    #[cfg(feature = "master-key")]
    #[must_use]
    pub fn master_key(mut self, master: MasterKey) -> OpenOptions {
        self.master = Some(master);
        self
    }

    /// Accepts manifests that are not signed even though keys were given. Whoever can write to the
    /// datastore can then choose what is restored. A *wrong* signature is refused all the same.
    #[must_use]
    pub fn allow_unsigned(self, yes: bool) -> OpenOptions {
        OpenOptions {
            allow_unsigned: yes,
            ..self
        }
    }

    /// The namespace that the datastore is seen from.
    #[must_use]
    pub fn namespace(self, namespace: Namespace) -> OpenOptions {
        OpenOptions { namespace, ..self }
    }

    /// Opens the datastore that a string names, as [`Place`] reads it:
    /// `https://[user:password@]host[:port]/path/` is a datastore that a web server publishes;
    /// `s3://BUCKET/DATASTORE` is a datastore that PBS 4 keeps in an S3 bucket; `pve:NAME` is that of
    /// a storage of Proxmox VE; `dir:PATH`, or anything else with a `/` in it, is a folder; all else
    /// is a datastore of a Proxmox Backup Server, `[[user@realm[!token]@]host[:port]:]datastore`. This
    /// does not connect to servers yet.
    ///
    /// # Errors
    /// Those of reading a [`Place`], and those of [`open_place`](OpenOptions::open_place).
    pub fn open(self, place: &str) -> Result<Datastore> {
        self.open_place(&place.parse()?)
    }

    /// Opens the datastore at a place. This does not connect to servers yet.
    ///
    /// Keys, namespace, fingerprint and password of a [`Place::Pve`] are those of the storage alone:
    /// those of these options, which may come from the environment, count for other places. To
    /// replace one of them, read the others from a [`Node`], and open [`Place::Pbs`]. All other
    /// options, such as a master key, count for a storage too.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where the place is not there, [`ErrorKind::Unsupported`] for a kind
    /// of place that this build can't reach, [`ErrorKind::Invalid`] for a CA file, a proxy, an S3
    /// endpoint, an AWS profile or a storage that can't be used, [`ErrorKind::Denied`] for a bucket
    /// without credentials and a storage without a password or whose files may not be read,
    /// [`ErrorKind::Key`] for a storage whose key is missing or locked.
    pub fn open_place(self, place: &Place) -> Result<Datastore> {
        match place {
            Place::Folder(path) => self.open_folder(path),
            Place::Pbs(repository) => self.open_repository(repository),
            Place::Pve(name) => self.open_storage(name),
            #[cfg(feature = "https")]
            Place::Https(url) => {
                let network = &self.network;
                let credentials = network.credentials.clone();
                let dialer = network.dialer(ProxyRule::Https)?;
                let https = Https::new(url, credentials, dialer, network.retry())?;
                Ok(self.open_backend(https))
            }
            #[cfg(feature = "s3")]
            Place::S3(bucket) => {
                let s3 = self.s3.open(bucket, &self.network)?;
                Ok(self.open_backend(s3))
            }
        }
    }

    fn open_folder(self, path: &Path) -> Result<Datastore> {
        let directory = Directory::open(path).map_err(|error| {
            let message = format!("cannot open the datastore {}", path.display());
            let kind = match error.kind() {
                std::io::ErrorKind::NotADirectory => ErrorKind::NotFound,
                _ if is_ours(&error) => ErrorKind::Resources,
                // The error itself is the cause, since it says more than its kind does.
                kind => FetchError::of_file(kind.into()).kind(),
            };
            Error::new(kind, message).because(error)
        })?;
        Ok(self.open_backend(directory))
    }

    #[cfg(feature = "pbs")]
    fn open_repository(self, repository: &Repository) -> Result<Datastore> {
        let network = &self.network;
        let secret = network.secret.clone();
        let dialer = network.dialer(ProxyRule::Pbs)?;
        let pbs = Pbs::new(repository.clone(), secret, dialer, network.retry());
        Ok(self.open_backend(pbs))
    }

    #[cfg(not(feature = "pbs"))]
    fn open_repository(self, repository: &Repository) -> Result<Datastore> {
        let message = format!(
            "{repository} is on a server, which this build can't reach: it lacks the feature pbs; \
             a folder is written as dir:PATH"
        );
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    /// The datastore behind a backend of your own.
    #[must_use]
    pub fn open_backend(self, backend: impl Backend + 'static) -> Datastore {
        let trust = Trust {
            keys: self.keys,
            allow_unsigned: self.allow_unsigned,
            #[cfg(feature = "master-key")]
            master: self.master,
        };
        Datastore::assemble(Box::new(backend), self.namespace, trust)
    }
}

impl Datastore {
    /// Opens the datastore that a string names, with the options that the environment sets:
    /// [`OpenOptions::from_env`], then [`OpenOptions::open`]. For a storage of Proxmox VE, `pve:NAME`,
    /// the environment says only which proxy to use.
    ///
    /// # Errors
    /// Those of these two functions.
    pub fn open(place: &str) -> Result<Datastore> {
        let place: Place = place.parse()?;
        let options = match place {
            #[cfg(feature = "tls")]
            Place::Pve(_) => OpenOptions::new().proxy_from_env(),
            _ => OpenOptions::from_env()?,
        };
        options.open_place(&place)
    }
}
