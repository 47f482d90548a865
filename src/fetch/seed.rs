//! A seed: another image at hand, which may hold chunks of this one. Never trusted.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::datastore::snapshot::Archive;
use crate::format::index::Chunk;
use crate::format::index::occurrences::Occurrences;
use crate::target::ReadAt;

/// Another image at hand, such as yesterday's restore, from which a restore takes the chunks that it finds there instead of
/// fetching them. What comes from it is verified like all else, so it may be damaged, shorter, or change meanwhile.
#[derive(Clone)]
pub struct Seed {
    image: Arc<dyn ReadAt>,
    base: Option<Archive>,
}

impl Seed {
    /// An image that may have chunks at the same offsets as the archive: for each chunk of the archive it is read and
    /// hashed there. An open [`File`](std::fs::File) does.
    pub fn new(image: impl ReadAt + 'static) -> Seed {
        Seed {
            image: Arc::new(image),
            base: None,
        }
    }

    /// An image that is a restore of `base`: only chunks that this archive has too are read, from wherever it has them.
    pub fn of(image: impl ReadAt + 'static, base: &Archive) -> Seed {
        Seed {
            image: Arc::new(image),
            base: Some(base.clone()),
        }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// The seeds of a restore, and where to look in them.
#[derive(Debug)]
pub(crate) struct Seeds(RwLock<Vec<(Seed, Option<Occurrences>)>>);

impl Seeds {
    pub(super) fn new(seeds: &[Seed]) -> Seeds {
        let occurrences = |base: &Archive| {
            let index = base.index();
            Occurrences::new(index, 0..index.count())
        };
        let seeds = seeds.iter();
        let seeds = seeds.map(|seed| (seed.clone(), seed.base.as_ref().map(occurrences)));
        Seeds(RwLock::new(seeds.collect()))
    }

    /// One more image that may have chunks at the same offsets as the archive.
    pub(crate) fn add(&self, image: Arc<dyn ReadAt>) {
        let seed = Seed { image, base: None };
        self.0.write().push((seed, None));
    }

    /// An image that was added is of no more use.
    pub(crate) fn remove(&self, image: &Arc<dyn ReadAt>) {
        let mut seeds = self.0.write();
        seeds.retain(|(seed, _)| !Arc::ptr_eq(&seed.image, image));
    }

    /// The images that may hold a chunk, each with the offset at which the chunk would begin.
    pub(super) fn candidates(&self, chunk: &Chunk) -> Vec<(Arc<dyn ReadAt>, u64)> {
        let candidate = |(seed, occurrences): &(Seed, Option<Occurrences>)| {
            let offset = match (&seed.base, occurrences) {
                (Some(base), Some(known)) => {
                    let index = base.index();
                    index.chunk(known.find(index, &chunk.digest)?)?.offset
                }
                _ => chunk.offset,
            };
            Some((Arc::clone(&seed.image), offset))
        };
        self.0.read().iter().filter_map(candidate).collect()
    }
}
