//! How an S3 server is set up. Knows nothing of requests.

use std::sync::Arc;
use std::time::Duration;

use super::S3Server;
use super::signature::Verifier;
use crate::server::certificate::Identity;
use crate::server::lock;
use crate::server::source::Source;

/// How an S3 server is set up.
#[derive(Debug)]
pub struct S3Options {
    pub(super) verifier: Verifier,
    pub(super) page: usize,
    pub(super) most_at_once: u64,
    pub(super) latency: Duration,
    identity: Option<Identity>,
}

impl S3Options {
    /// A server for one access key, in the region `us-east-1`.
    pub fn new() -> S3Options {
        S3Options {
            verifier: Verifier {
                access_key: S3Server::ACCESS_KEY.to_owned(),
                secret_key: S3Server::SECRET_KEY.to_owned(),
                token: Arc::default(),
                region: "us-east-1".to_owned(),
                ahead: 0,
            },
            page: 1000,
            most_at_once: u64::MAX,
            latency: Duration::ZERO,
            identity: None,
        }
    }

    /// Wants this session token with the key.
    pub fn token(self, token: &str) -> S3Options {
        *lock(&self.verifier.token) = Some(token.to_owned());
        self
    }

    /// Where the bucket is.
    pub fn region(mut self, region: &str) -> S3Options {
        region.clone_into(&mut self.verifier.region);
        self
    }

    /// Has a clock that is so many seconds ahead, or behind.
    pub fn clock_ahead(mut self, seconds: i64) -> S3Options {
        self.verifier.ahead = seconds;
        self
    }

    /// The most keys of a page of a listing.
    pub fn page(mut self, keys: usize) -> S3Options {
        self.page = keys;
        self
    }

    /// Asks to slow down where more objects than this are asked for at once.
    pub fn most_at_once(mut self, objects: u64) -> S3Options {
        self.most_at_once = objects;
        self
    }

    /// How long every request takes.
    pub fn latency(mut self, latency: Duration) -> S3Options {
        self.latency = latency;
        self
    }

    /// The certificate, instead of a new one that signs itself.
    pub fn identity(mut self, identity: Identity) -> S3Options {
        self.identity = Some(identity);
        self
    }

    /// Serves this datastore over TLS.
    pub fn https(mut self, source: Arc<impl Source>) -> S3Server {
        let identity = self.identity.take().unwrap_or_else(Identity::self_signed);
        S3Server::start(self, source, Some(identity))
    }

    /// Serves this datastore without TLS.
    pub fn http(self, source: Arc<impl Source>) -> S3Server {
        S3Server::start(self, source, None)
    }
}

impl Default for S3Options {
    fn default() -> S3Options {
        S3Options::new()
    }
}
