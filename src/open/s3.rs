//! Options for a datastore in an S3 bucket: credentials, endpoint and region.

use std::fmt;

use rusty_s3::Credentials;

use crate::backend::s3::{Keyring, S3, Server};
use crate::environment::{ProxyRule, aws};
use crate::error::{Error, ErrorKind, Result};
use crate::open::OpenOptions;
use crate::open::network::Network;
use crate::place::Bucket;

#[derive(Clone, Default)]
pub(super) struct Settings {
    server: Server,
    credentials: Option<Credentials>,
    /// Whether the environment may give what is not set here, and which profile to use.
    environment: Option<Option<String>>,
}

impl Settings {
    pub(super) fn open(&self, place: &Bucket, network: &Network) -> Result<S3> {
        let said = match &self.environment {
            Some(profile) => aws::aws(profile.as_deref(), self.credentials.is_none())?,
            None => aws::Aws::default(),
        };
        let server = Server {
            endpoint: self.server.endpoint.clone().or(said.endpoint),
            region: self.server.region.clone().or(said.region),
            virtual_host: self.server.virtual_host,
        };
        let profile = self.environment.clone().flatten();
        let is_found = self.credentials.is_none();
        // Temporary credentials are replaced where they were found.
        let renew = move || aws::aws(profile.as_deref(), true).ok()?.credentials;
        let credentials = self.credentials.clone().or(said.credentials);
        let credentials = credentials.ok_or_else(|| {
            let message = "there are no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose \
                           a profile of ~/.aws/credentials or ~/.aws/config";
            Error::new(ErrorKind::Denied, message)
        })?;
        let endpoint = server.endpoint.as_deref().unwrap_or_default();
        let rule = match endpoint.starts_with("http://") {
            true => ProxyRule::Http,
            false => ProxyRule::Https,
        };
        let dialer = network.dialer(rule)?;
        let keyring = Keyring::new(credentials, is_found.then(|| Box::new(renew) as _));
        S3::new(place, &server, keyring, dialer, network.retry())
    }
}

impl OpenOptions {
    /// Signs requests for an `s3://` place with an access key, its secret, and, for temporary
    /// credentials, the session token.
    #[must_use]
    pub fn s3_credentials(
        mut self,
        key: impl Into<String>,
        secret: impl Into<String>,
        token: Option<String>,
    ) -> OpenOptions {
        self.s3.credentials = Some(match token {
            Some(token) => Credentials::new_with_token(key, secret, token),
            None => Credentials::new(key, secret),
        });
        self
    }

    /// The URL of the S3 server, `https://host[:port][/path]`; by default Amazon's server for the
    /// region. With `http://` all data travels unencrypted, and so do signatures and the session
    /// token, but not the secret. Chunks are verified all the same.
    #[must_use]
    pub fn s3_endpoint(mut self, url: impl Into<String>) -> OpenOptions {
        self.s3.server.endpoint = Some(url.into());
        self
    }

    /// The region of the bucket; by default `us-east-1`, which is also the region's name on most
    /// servers other than Amazon's.
    #[must_use]
    pub fn s3_region(mut self, region: impl Into<String>) -> OpenOptions {
        self.s3.server.region = Some(region.into());
        self
    }

    /// Whether the bucket's name is a part of the host name, as in `https://bucket.host/`, or of
    /// the path. By default it is a part of the host name with Amazon, and of the path with an
    /// endpoint of your own.
    #[must_use]
    pub fn s3_virtual_host(mut self, yes: bool) -> OpenOptions {
        self.s3.server.virtual_host = Some(yes);
        self
    }

    /// Takes what no other option sets from where Amazon's own tools find it. It is read when an
    /// `s3://` place is opened; credentials are read anew once the server says that they have expired.
    ///
    /// Credentials are those of the profile that `profile` names; otherwise those in
    /// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; otherwise those of the
    /// profile that AWS_PROFILE names, or of the profile `default`. A profile is a section of the
    /// file that AWS_SHARED_CREDENTIALS_FILE names, or of `~/.aws/credentials`, and the section
    /// `[profile NAME]` of the file that AWS_CONFIG_FILE names, or of `~/.aws/config`. Only keys
    /// and temporary credentials are read there. A profile that gets its credentials by `role_arn`,
    /// `sso_session`, `credential_process` and the like is an error that says so.
    ///
    /// The region is that of AWS_REGION or AWS_DEFAULT_REGION, otherwise that of the profile. The
    /// endpoint is that of AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, otherwise that for S3 in the
    /// section `[services NAME]` that the profile names, otherwise that of the profile. None of
    /// these endpoints is used where AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is `true`.
    #[must_use]
    pub fn s3_from_env(mut self, profile: Option<&str>) -> OpenOptions {
        self.s3.environment = Some(profile.map(str::to_owned));
        self
    }
}

impl fmt::Debug for Settings {
    // The endpoint may hold a password, though it should not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("credentials", &self.credentials)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}
