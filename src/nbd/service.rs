//! What all connections of a server share.

use std::time::Duration;

use super::codec::{ExportInfo, Offer};
use super::tally::Tally;
use super::tls::Tls;
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
