//! Which datastore is meant: its name, and what the name says. Opens nothing.

use std::env;
use std::fmt;
use std::path::Path;

use crate::arguments::Options;
use crate::failure::Failure;

/// The port of a Proxmox Backup Server.
const PBS_PORT: u16 = 8007;

/// A server, as places name it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// An IPv6 address in brackets.
    host: String,
    port: u16,
}

impl Server {
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

/// The name of a datastore, as [`chunk_restore::OpenOptions::open`] reads it.
#[derive(Debug)]
pub(crate) struct Repository {
    name: String,
    /// The server of a bucket, where it is not Amazon's.
    endpoint: Option<String>,
}

impl Repository {
    /// What the command line names, else the environment, as a whole or in parts; one at the least.
    pub(crate) fn find(options: &Options) -> Result<Vec<Repository>, Failure> {
        let mut names = options.repositories.clone();
        if names.is_empty() {
            names.extend(given(None, "PBS_REPOSITORY")?);
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

    /// What the parts name that the environment has.
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

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name as it may be shown: without what an https:// URL has before its host.
    pub(crate) fn label(&self) -> String {
        let Some(url) = self.name.strip_prefix("https://") else {
            return self.name.clone();
        };
        let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        format!("https://{host}{path}")
    }

    /// Whether it is in an S3 bucket.
    pub(crate) fn is_in_bucket(&self) -> bool {
        self.name.starts_with("s3://")
    }

    /// Whether it is reached over the network.
    pub(crate) fn is_remote(&self) -> bool {
        self.is_on_server() || self.is_in_bucket() || self.name.starts_with("https://")
    }

    /// Whether it is on a Proxmox Backup Server.
    pub(crate) fn is_on_server(&self) -> bool {
        !self.name.contains('/') && !self.name.starts_with("dir:")
    }

    /// The user or token to sign in as on a Proxmox Backup Server.
    pub(crate) fn identity(&self) -> &str {
        (self.name.rsplit_once('@')).map_or("root@pam", |(identity, _)| identity)
    }

    /// The server, where a certificate of it may be remembered: not for a folder, nor for Amazon.
    pub(crate) fn server(&self) -> Option<Server> {
        let url = match self.is_in_bucket() {
            true => self.endpoint.as_deref()?,
            false => &self.name,
        };
        let (place, default_port) = match url.strip_prefix("https://") {
            Some(url) => (url.split('/').next().unwrap_or_default(), 443),
            None if !self.is_on_server() => return None,
            None => match self.name.rsplit_once(':') {
                Some((place, _)) => (place, PBS_PORT),
                None => ("localhost", PBS_PORT),
            },
        };
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        let (host, rest) = match place.find(']') {
            Some(end) => place.split_at(end + 1),
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = rest.strip_prefix(':').map(str::parse);
        Some(Server {
            host: host.to_owned(),
            port: port.transpose().ok()?.unwrap_or(default_port),
        })
    }

    /// How to name a folder that may have been meant, where the name was taken for a datastore on a server.
    pub(crate) fn folder(&self) -> Option<String> {
        let is_bare = !self.name.contains([':', '@']);
        let may_be = is_bare || Path::new(&self.name).is_dir();
        (self.is_on_server() && may_be).then(|| format!("dir:{}", self.name))
    }
}

/// What the command line says, else the environment. An empty variable counts as none.
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
