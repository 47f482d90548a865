//! The master key (`--master-keyfile`), which recovers the key of a snapshot from the snapshot itself.

use std::path::Path;

use chunk_restore::OpenOptions;
#[cfg(feature = "master-key")]
pub(crate) use chunk_restore::format::{MasterKey, MasterKeyFile};

use crate::failure::Failure;
#[cfg(not(feature = "master-key"))]
pub(crate) use lacking::{MasterKey, MasterKeyFile};

#[cfg(feature = "master-key")]
pub(crate) fn read(path: &Path) -> Result<MasterKeyFile, Failure> {
    Ok(MasterKeyFile::read(path)?)
}

/// Lets a datastore recover keys, if there is a master key.
#[cfg(feature = "master-key")]
pub(crate) fn give(master: Option<MasterKey>, opening: OpenOptions) -> OpenOptions {
    match master {
        Some(master) => opening.master_key(master),
        None => opening,
    }
}

#[cfg(not(feature = "master-key"))]
pub(crate) fn read(_: &Path) -> Result<MasterKeyFile, Failure> {
    let message = "--master-keyfile is not a part of this build: it lacks the feature master-key";
    Err(Failure::usage(message)
        .advises("cargo build --release --example restore --features master-key"))
}

#[cfg(not(feature = "master-key"))]
pub(crate) fn give(_: Option<MasterKey>, opening: OpenOptions) -> OpenOptions {
    opening
}

/// What stands in for master keys in a build that has none.
#[cfg(not(feature = "master-key"))]
mod lacking {
    pub(crate) enum MasterKey {}

    pub(crate) enum MasterKeyFile {}

    impl MasterKeyFile {
        pub(crate) fn is_protected(&self) -> bool {
            match *self {}
        }

        pub(crate) fn unlock(&self, _: Option<&[u8]>) -> chunk_restore::Result<MasterKey> {
            match *self {}
        }
    }
}
