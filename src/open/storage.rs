//! Opens storages of Proxmox VE.

use crate::datastore::Datastore;
use crate::error::{Error, Result};
use crate::open::OpenOptions;
use crate::place::StorageName;
use crate::pve::Node;

impl OpenOptions {
    /// The node that knows the storages of [`Place::Pve`](crate::Place::Pve); by default the one that
    /// the program runs on.
    #[must_use]
    pub fn pve_node(self, node: Node) -> OpenOptions {
        OpenOptions { node, ..self }
    }

    /// Opens the datastore of a storage with what the node says of it. What the options say of keys,
    /// namespace, fingerprint and password belongs to other places.
    pub(super) fn open_storage(mut self, name: &StorageName) -> Result<Datastore> {
        let storage = self.node.storage(name)?;
        let key = self.node.key_file(&storage)?;
        let key = key.map(|file| file.unlock(None)).transpose();
        let key = key.map_err(|error| {
            let message = format!("cannot use {}", self.node.key_path(name).display());
            Error::new(error.kind(), message).because(error)
        })?;
        self.keys = key.into_iter().collect();
        self.namespace = storage.namespace().clone();
        #[cfg(feature = "pbs")]
        {
            let secret = self.node.secret(name)?;
            self.network.sign_in(storage.fingerprint(), secret);
        }
        self.open_repository(storage.repository())
    }
}
