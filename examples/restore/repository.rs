//! Finds out which datastore the user means: its name, and what the name says. Opens nothing.

use std::env;
use std::fmt;
use std::path::Path;

use chunk_restore::Place;
use chunk_restore::environment::credential;
use chunk_restore::place::StorageName;

use crate::failure::Failure;
use crate::options::Options;
use crate::storage;

/// The default port of a Proxmox Backup Server.
const PBS_PORT: u16 = 8007;

/// A server, as it is named in the file of trusted certificates.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// The host. An IPv6 address is in brackets.
    host: String,
    port: u16,
}

impl Server {
    fn new(host: &str, port: u16) -> Server {
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        Server { host, port }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn has_default_port(&self) -> bool {
        self.port == PBS_PORT
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The name of a datastore, as it was typed.
pub(crate) struct Repository {
    /// The name may hold a password.
    name: String,
    /// The server of a bucket that is not at Amazon.
    endpoint: Option<String>,
}

impl Repository {
    /// The datastores that the command line names; otherwise the one that the environment names, as
    /// a whole or in parts; otherwise the one in a credential. There is at least one.
    pub(crate) fn find(options: &Options) -> Result<Vec<Repository>, Failure> {
        let mut names = options.repositories.clone();
        if names.is_empty() {
            names.extend(given(None, "PBS_REPOSITORY")?);
        }
        if names.is_empty() && given(None, "PBS_DATASTORE")?.is_none() {
            names.extend(credential("repository")?.map(|name| name.to_string()));
        }
        if names.is_empty() {
            return Ok(vec![Repository::in_parts()?]);
        }
        let endpoint = match given(options.endpoint.as_deref(), "AWS_ENDPOINT_URL_S3")? {
            None => given(None, "AWS_ENDPOINT_URL")?,
            endpoint => endpoint,
        };
        let named = |name| Repository {
            name,
            endpoint: endpoint.clone(),
        };
        Ok(names.into_iter().map(named).collect())
    }

    /// The datastore that the environment names in parts.
    fn in_parts() -> Result<Repository, Failure> {
        let Some(store) = given(None, "PBS_DATASTORE")? else {
            return Err(Failure::usage(
                "which datastore? name it with --repository, or in PBS_REPOSITORY",
            ));
        };
        if store.contains('/') {
            return Err(Failure::usage("PBS_DATASTORE is not a datastore's name"));
        }
        let identity = given(None, "PBS_AUTH_ID")?.unwrap_or_else(|| "root@pam".to_owned());
        let server = given(None, "PBS_SERVER")?.unwrap_or_else(|| "localhost".to_owned());
        let server = match server.contains(':') && !server.starts_with('[') {
            true => format!("[{server}]"),
            false => server,
        };
        let port = given(None, "PBS_PORT")?.unwrap_or_else(|| "8007".to_owned());
        Ok(Repository {
            name: format!("{identity}@{server}:{port}:{store}"),
            endpoint: None,
        })
    }

    /// The place that the name means.
    ///
    /// # Errors
    /// The name is not that of a place.
    pub(crate) fn place(&self) -> chunk_restore::Result<Place> {
        self.name.parse()
    }

    /// Whether the name is that of a node of Proxmox VE with all its storages.
    pub(crate) fn is_node(&self) -> bool {
        self.name == "pve:"
    }

    /// The storage of Proxmox VE that the name means, if it means one.
    pub(crate) fn storage(&self) -> Option<StorageName> {
        match self.place() {
            Ok(Place::Pve(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether the name means a place other than a storage of Proxmox VE: only to such a place belongs
    /// what the environment says of servers and keys.
    pub(crate) fn uses_environment(&self) -> bool {
        !matches!(self.place(), Ok(Place::Pve(_)) | Err(_))
    }

    /// The name as it may be shown: in a URL, everything before the host is left out.
    pub(crate) fn label(&self) -> String {
        match (self.place(), self.name.split_once("://")) {
            (Ok(Place::Https(url)), _) => url.to_string(),
            (Err(_), Some((scheme, _))) => format!("{scheme}://.."),
            _ => self.name.clone(),
        }
    }

    /// A name of the datastore that stays the same whoever signs in, and wherever the program runs:
    /// without user and password, and with the whole path of a folder.
    pub(crate) fn identity(&self) -> chunk_restore::Result<String> {
        let place = match self.place()? {
            // The storage may name another datastore one day.
            Place::Pve(name) => Place::Pbs(storage::node().storage(&name)?.repository().clone()),
            place => place,
        };
        Ok(match place {
            Place::Pbs(place) => {
                let (host, port) = (place.host(), place.port());
                format!("{}:{}", Server::new(host, port), place.datastore())
            }
            Place::Folder(folder) => {
                let folder = folder.canonicalize().unwrap_or(folder);
                format!("dir:{}", folder.display())
            }
            Place::S3(bucket) => match &self.endpoint {
                Some(endpoint) => {
                    // A user and password that somebody wrote into the URL stay out of the record.
                    let (_, server) = endpoint.rsplit_once('@').unwrap_or(("", endpoint));
                    format!("{} at {server}", Place::S3(bucket))
                }
                None => Place::S3(bucket).to_string(),
            },
            place => place.to_string(),
        })
    }

    /// The server of the place, if its certificate may be remembered. A folder has none, and
    /// Amazon's certificates are not remembered.
    pub(crate) fn server(&self, place: &Place) -> Option<Server> {
        let endpoint: Place;
        let place = match place {
            Place::S3(_) => {
                endpoint = self.endpoint.as_ref()?.parse().ok()?;
                &endpoint
            }
            place => place,
        };
        let (host, port) = place.server()?;
        Some(Server::new(host, port))
    }

    /// How to write the name if a folder was meant, where it was read as that of a datastore on a
    /// server.
    pub(crate) fn folder(&self) -> Option<String> {
        let is_bare = !self.name.contains([':', '@']);
        let may_be = is_bare || Path::new(&self.name).is_dir();
        let is_on_server = matches!(self.place(), Ok(Place::Pbs(_)));
        (is_on_server && may_be).then(|| format!("dir:{}", self.name))
    }
}

/// The value from the command line, otherwise from the environment. An empty variable counts as not
/// set.
pub(crate) fn given(option: Option<&str>, variable: &str) -> Result<Option<String>, Failure> {
    if let Some(option) = option {
        return Ok(Some(option.to_owned()));
    }
    match env::var(variable) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("{variable} is not UTF-8")))
        }
    }
}
