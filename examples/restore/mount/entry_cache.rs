//! Entries of file archives that the kernel asked about lately.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use chunk_restore::files::pxar::{Entry, EntryKind};
use parking_lot::Mutex;

/// How much memory the entries of one generation may take, in bytes.
const GENERATION_LEN_MAX: usize = 8 << 20;

/// About how much memory an entry takes beside its name and attributes, in bytes.
const ENTRY_LEN: usize = 400;

/// Entries by their numbers. The least recently used half is forgotten when there is no more room.
#[derive(Debug, Default)]
pub(crate) struct EntryCache(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Arc<Entry>>,
    old: HashMap<u64, Arc<Entry>>,
    /// How much memory the young entries take, in bytes.
    young_len: usize,
}

impl EntryCache {
    pub(crate) fn get(&self, number: u64) -> Option<Arc<Entry>> {
        let mut generations = self.0.lock();
        if let Some(found) = generations.young.get(&number) {
            return Some(Arc::clone(found));
        }
        let found = generations.old.remove(&number)?;
        generations.insert(number, Arc::clone(&found));
        Some(found)
    }

    pub(crate) fn insert(&self, number: u64, entry: Arc<Entry>) {
        self.0.lock().insert(number, entry);
    }
}

impl Generations {
    fn insert(&mut self, number: u64, entry: Arc<Entry>) {
        let len = len_of(&entry);
        if self.young.insert(number, entry).is_some() {
            return;
        }
        self.young_len += len;
        if self.young_len > GENERATION_LEN_MAX {
            self.old = mem::take(&mut self.young);
            self.young_len = 0;
        }
    }
}

/// About how much memory an entry takes, in bytes.
fn len_of(entry: &Entry) -> usize {
    let metadata = &entry.metadata;
    let xattrs = metadata.xattrs.iter();
    let xattrs = xattrs.map(|xattr| xattr.name.len() + xattr.value.len() + 64);
    let acl = &metadata.acl;
    let named = [
        &acl.users,
        &acl.groups,
        &acl.default_users,
        &acl.default_groups,
    ];
    let named = named.into_iter().map(|list| list.len() * 8);
    let target = match &entry.kind {
        EntryKind::Symlink(target) => target.len(),
        _ => 0,
    };
    let fcaps = metadata.fcaps.as_ref().map_or(0, Vec::len);
    ENTRY_LEN + entry.name.len() + target + fcaps + xattrs.sum::<usize>() + named.sum::<usize>()
}
