//! Options for places on the network: which servers to trust, how long to wait, and which proxy to
//! use.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::backend::retry::Retry;
use crate::cancel::Cancel;
use crate::digest::Fingerprint;
use crate::environment::{self, ProxyRule};
use crate::error::is_ours;
use crate::error::{Error, ErrorKind, Result};
use crate::net::proxy::Proxy;
use crate::net::{Dialer, Route, Timeouts};
use crate::open::OpenOptions;
use crate::reading::read_small;

/// All root certificates of a system take a quarter of this.
const MAX_CA_FILE: u64 = 1 << 20;

const DEFAULT_ATTEMPTS: u32 = 5;
const DEFAULT_PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub(super) struct Network {
    fingerprint: Option<Fingerprint>,
    ca_file: Option<PathBuf>,
    timeouts: Timeouts,
    /// The proxy's URL. It may hold a password.
    proxy: Option<Zeroizing<String>>,
    /// Whether the environment may name a proxy, where none is set here.
    proxy_from_env: bool,
    #[cfg(feature = "https")]
    pub(super) credentials: Option<crate::backend::https::Credentials>,
    #[cfg(feature = "pbs")]
    pub(super) secret: Option<Zeroizing<String>>,
    retry: Retry,
}

impl Default for Network {
    fn default() -> Network {
        Network {
            fingerprint: None,
            ca_file: None,
            timeouts: Timeouts::default(),
            proxy: None,
            proxy_from_env: false,
            #[cfg(feature = "https")]
            credentials: None,
            #[cfg(feature = "pbs")]
            secret: None,
            retry: Retry {
                attempts: DEFAULT_ATTEMPTS,
                patience: DEFAULT_PATIENCE,
                cancel: Cancel::new(),
            },
        }
    }
}

impl Network {
    pub(super) fn retry(&self) -> Retry {
        self.retry.clone()
    }

    /// Replaces what is said of one server by what is said of another.
    #[cfg(feature = "pbs")]
    pub(super) fn sign_in(&mut self, fingerprint: Option<Fingerprint>, secret: Zeroizing<String>) {
        self.fingerprint = fingerprint;
        self.secret = Some(secret);
    }

    /// Makes connections for a kind of place, through the proxy that the rule finds.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a CA file or a proxy that can't be used; [`ErrorKind::Resources`]
    /// where this machine lacks the resources to read certificates.
    pub(super) fn dialer(&self, rule: ProxyRule) -> Result<Dialer> {
        let route = self.route(rule)?;
        let Some(path) = &self.ca_file else {
            return Dialer::new(self.fingerprint, None, self.timeouts, route);
        };
        let unusable = |kind| {
            let message = format!("the CA file {} can't be used", path.display());
            Error::new(kind, message)
        };
        let pem = read_small(path, MAX_CA_FILE).map_err(|error| match is_ours(&error) {
            true => unusable(ErrorKind::Resources).because(error),
            false => unusable(ErrorKind::Invalid).because(error),
        })?;
        Dialer::new(self.fingerprint, Some(&pem), self.timeouts, route)
            .map_err(|error| unusable(error.kind()).because(error))
    }

    fn route(&self, rule: ProxyRule) -> Result<Route> {
        if let Some(proxy) = &self.proxy {
            return Ok(Route::through(Proxy::parse(proxy)?));
        }
        if !self.proxy_from_env {
            return Ok(Route::default());
        }
        Ok(match environment::proxy(rule)? {
            Some((variable, proxy)) => Route::from_env(variable, &proxy, &environment::no_proxy()?),
            None => Route::default(),
        })
    }
}

impl OpenOptions {
    /// Trusts the server whose certificate has this fingerprint: the SHA-256 of the certificate's
    /// DER form. A Proxmox Backup Server shows it on its dashboard. The certificate's names, dates
    /// and version then don't matter. A certificate that the system's root certificates vouch for
    /// is trusted without a fingerprint.
    #[must_use]
    pub fn fingerprint(mut self, fingerprint: Fingerprint) -> OpenOptions {
        self.network.fingerprint = Some(fingerprint);
        self
    }

    /// Trusts the certificates in a PEM file, besides the system's root certificates. The file is
    /// read when a place is opened. A server whose own certificate is in the file is trusted, if
    /// the certificate's names and dates are right.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> OpenOptions {
        self.network.ca_file = Some(path.into());
        self
    }

    /// Connects to every host through an HTTP proxy, `http://[user:password@]host:port`, by
    /// CONNECT.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> OpenOptions {
        self.network.proxy = Some(Zeroizing::new(url.into()));
        self
    }

    /// Connects through the HTTP proxy that the environment names, where no
    /// [`proxy`](OpenOptions::proxy) is set. For each kind of place, the first of these variables
    /// that is set counts: for a Proxmox Backup Server ALL_PROXY or all_proxy, as its own client
    /// reads them; for `https://` and `s3://` places https_proxy, HTTPS_PROXY, all_proxy or
    /// ALL_PROXY, as curl does; for an `http://` endpoint http_proxy, all_proxy or ALL_PROXY.
    ///
    /// The hosts in no_proxy or NO_PROXY are reached without a proxy. The variable is a list,
    /// separated by commas, of names (a name includes all names below it), addresses, and networks
    /// such as `10.0.0.0/8`; `*` stands for all hosts. The variables are read when a place is
    /// opened.
    #[must_use]
    pub fn proxy_from_env(mut self) -> OpenOptions {
        self.network.proxy_from_env = true;
        self
    }

    /// How long to wait for a connection, from looking up the name to the first address that
    /// answers; 10 seconds by default.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> OpenOptions {
        self.network.timeouts.connect = limit;
        self
    }

    /// How long to wait for the TLS handshake; 10 seconds by default.
    #[must_use]
    pub fn tls_timeout(mut self, limit: Duration) -> OpenOptions {
        self.network.timeouts.tls = limit;
        self
    }

    /// How long to wait for an answer to make progress; 30 seconds by default. The time that a
    /// whole answer takes is not limited. A server that was silent for this long is asked again.
    /// Only time spent waiting for the server counts.
    ///
    /// With a Proxmox Backup Server, an answer makes progress when 8 KiB of it come, or its end;
    /// fewer bytes are a trickle and do not count. An answer is also given up when it makes no
    /// progress while eight answers to later requests come.
    #[must_use]
    pub fn progress_timeout(mut self, limit: Duration) -> OpenOptions {
        self.network.timeouts.progress = limit;
        self
    }

    /// How many times a manifest, an index or a listing is asked for, where the failure may be a
    /// passing one; 5 by default, and 1 at the least. Chunks have [`attempts of their
    /// own`](crate::Restore::attempts).
    ///
    /// Whatever this number is, no attempt begins after the [`patience`](OpenOptions::patience) has
    /// run out.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> OpenOptions {
        self.network.retry.attempts = attempts;
        self
    }

    /// How long to go on with attempts for a manifest, an index or a listing; 120 seconds by
    /// default. The limit for chunks is [`Restore::patience`](crate::Restore::patience).
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> OpenOptions {
        self.network.retry.patience = limit;
        self
    }

    /// Stops the datastore's own requests, such as that for a manifest, when `cancel` is cancelled.
    /// Restores have [`a cancel of their own`](crate::Restore::cancel).
    #[must_use]
    pub fn cancel(mut self, cancel: &Cancel) -> OpenOptions {
        self.network.retry.cancel = cancel.clone();
        self
    }
}

#[cfg(feature = "pbs")]
impl OpenOptions {
    /// Signs in to a Proxmox Backup Server with the password of the repository's user, or with the
    /// secret of its token.
    #[must_use]
    pub fn password(mut self, secret: impl Into<String>) -> OpenOptions {
        self.network.secret = Some(Zeroizing::new(secret.into()));
        self
    }
}

#[cfg(feature = "https")]
impl OpenOptions {
    /// Signs in to an `https://` place as a user. Credentials in the URL take precedence.
    #[must_use]
    pub fn basic_auth(
        mut self,
        name: impl Into<String>,
        password: impl Into<String>,
    ) -> OpenOptions {
        self.network.credentials = Some(crate::backend::https::Credentials::Basic {
            name: name.into(),
            password: Zeroizing::new(password.into()),
        });
        self
    }

    /// Signs in to an `https://` place with a bearer token.
    #[must_use]
    pub fn bearer_token(mut self, token: impl Into<String>) -> OpenOptions {
        let token = Zeroizing::new(token.into());
        self.network.credentials = Some(crate::backend::https::Credentials::Bearer(token));
        self
    }
}

impl fmt::Debug for Network {
    // Debug shows no secrets: the proxy may hold a password, and the credentials are one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("fingerprint", &self.fingerprint)
            .field("ca_file", &self.ca_file)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}
