//! The extended attributes of an entry as Linux shows them, with capabilities and ACLs.

use chunk_restore::files::pxar::Metadata;

const CAPABILITY: &[u8] = b"security.capability";
const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";

/// The names and values of all extended attributes. Each name occurs once.
pub(crate) fn all(metadata: &Metadata) -> Vec<(Vec<u8>, Vec<u8>)> {
    let special = [
        (CAPABILITY, metadata.fcaps.clone()),
        (ACCESS, metadata.access_acl()),
        (DEFAULT, metadata.default_acl()),
    ];
    let special = special.into_iter();
    let special = special.filter_map(|(name, value)| Some((name.to_vec(), value?)));
    let mut all: Vec<_> = special.collect();
    for xattr in &metadata.xattrs {
        if all.iter().all(|(name, _)| *name != xattr.name) {
            all.push((xattr.name.clone(), xattr.value.clone()));
        }
    }
    all.sort_unstable();
    all
}
