//! What all connections of a server share.

use std::fmt;
use std::time::Duration;

use super::codec::{ExportInfo, Offer};
use super::tally::Tally;
use super::tls::Tls;
use crate::error::Error;
use crate::read::Reader;

/// The exports of a server, and what it demands of clients.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) exports: Vec<ExportInfo>,
    /// The readers of the exports, in the same order.
    pub(super) readers: Vec<Reader>,
    pub(super) tls: Option<Tls>,
    /// How long a handshake may take.
    pub(super) handshake_limit: Duration,
    /// The longest read that clients are told of, in bytes.
    pub(super) block_max: u32,
    pub(super) tally: Tally,
    pub(super) failure_hook: FailureHook,
}

/// Hears of reads that failed: the name of the export, and why.
#[derive(Default)]
pub(super) struct FailureHook(Option<Box<Hook>>);

type Hook = dyn Fn(&str, &Error) + Send + Sync;

impl FailureHook {
    pub(super) fn new(hook: impl Fn(&str, &Error) + Send + Sync + 'static) -> FailureHook {
        FailureHook(Some(Box::new(hook)))
    }

    pub(super) fn call(&self, export: &str, error: &Error) {
        if let Some(hook) = &self.0 {
            hook(export, error);
        }
    }
}

impl fmt::Debug for FailureHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FailureHook")
            .field(&self.0.is_some())
            .finish()
    }
}

impl Service {
    pub(super) fn offer(&self) -> Offer<'_> {
        Offer {
            exports: &self.exports,
            block_max: self.block_max,
            requires_tls: self.tls.is_some(),
        }
    }
}
