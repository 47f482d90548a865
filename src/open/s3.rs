//! What opening a datastore in an S3 bucket needs. Knows nothing of requests.

use std::fmt;

use rusty_s3::Credentials;

use crate::backend::s3::{S3, Server};
use crate::environment::{ProxyRule, aws};
use crate::error::{Error, ErrorKind, Result};
use crate::open::OpenOptions;
use crate::open::network::Network;
use crate::place::Bucket;

#[derive(Clone, Default)]
pub(super) struct Settings {
    server: Server,
    credentials: Option<Credentials>,
    /// Whether to ask the environment for what is not set here, and for which profile of it.
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
        S3::new(place, &server, credentials, dialer, network.retry())
    }
}

impl OpenOptions {
    /// Signs requests for an `s3://` place with an access key, its secret, and, where they are temporary credentials,
    /// the session token.
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

    /// The S3 server, `https://host[:port][/path]`; Amazon's of the region by default. With `http://` all data travels
    /// unencrypted, signatures and the session token too, though not the secret; chunks are still verified.
    #[must_use]
    pub fn s3_endpoint(mut self, url: impl Into<String>) -> OpenOptions {
        self.s3.server.endpoint = Some(url.into());
        self
    }

    /// The region of the bucket; `us-east-1` by default, which most servers other than Amazon's call theirs.
    #[must_use]
    pub fn s3_region(mut self, region: impl Into<String>) -> OpenOptions {
        self.s3.server.region = Some(region.into());
        self
    }

    /// Whether the bucket's name is a part of the host's, as `https://bucket.host/`, or of the path. By default the former
    /// with Amazon, the latter with an endpoint of your own.
    #[must_use]
    pub fn s3_virtual_host(mut self, yes: bool) -> OpenOptions {
        self.s3.server.virtual_host = Some(yes);
        self
    }

    /// Takes what no other option sets from where Amazon's own tools find it, when an `s3://` place is opened.
    ///
    /// Credentials are those of the profile that is named here; else AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
    /// AWS_SESSION_TOKEN; else those of the profile that AWS_PROFILE names, or of `default`. A profile is a section of the file
    /// that AWS_SHARED_CREDENTIALS_FILE names, or `~/.aws/credentials`, and `[profile NAME]` in the one that AWS_CONFIG_FILE
    /// names, or `~/.aws/config`. Only keys and temporary credentials are read there: one that gets others by `role_arn`,
    /// `sso_session`, `credential_process` and the like is an error that says so.
    ///
    /// The region is that of AWS_REGION or AWS_DEFAULT_REGION, else that of the profile. The endpoint is that of
    /// AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else that for S3 in the `[services NAME]` that the profile names, else that of
    /// the profile; none of them where AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is `true`.
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
