//! Decode permits: the bound on how many chunks are decoded at once. While a chunk is decoded it can
//! take a second buffer, so this bound is also one on memory.

use parking_lot::{Condvar, Mutex};

/// A semaphore for decoding, shared by all runs of a restore and its clones.
#[derive(Debug)]
pub(crate) struct DecodePermits {
    /// How many permits there are.
    count: usize,
    acquired: Mutex<usize>,
    released: Condvar,
    /// Wakes those that leave no permit to others: they come first.
    released_to_urgent: Condvar,
}

/// The right to decode one chunk. Dropping the permit releases it.
#[derive(Debug)]
pub(crate) struct DecodePermit<'a>(&'a DecodePermits);

impl DecodePermits {
    /// `count` permits, but at least 1.
    pub(super) fn new(count: usize) -> DecodePermits {
        DecodePermits {
            count: count.max(1),
            acquired: Mutex::new(0),
            released: Condvar::new(),
            released_to_urgent: Condvar::new(),
        }
    }

    /// How many chunks can be decoded at once: at least 1.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Waits until fewer chunks are being decoded than there are permits, and takes a permit.
    pub(crate) fn acquire(&self) -> DecodePermit<'_> {
        let mut acquired = self.acquired.lock();
        while *acquired >= self.count {
            self.released_to_urgent.wait(&mut acquired);
        }
        *acquired += 1;
        DecodePermit(self)
    }

    /// Does the same as [`acquire`](DecodePermits::acquire), but leaves one permit, where there are
    /// several, to chunks that somebody waits for.
    pub(crate) fn acquire_ahead(&self) -> DecodePermit<'_> {
        let most = (self.count - 1).max(1);
        let mut acquired = self.acquired.lock();
        while *acquired >= most {
            self.released.wait(&mut acquired);
        }
        *acquired += 1;
        DecodePermit(self)
    }
}

impl Drop for DecodePermit<'_> {
    fn drop(&mut self) {
        *self.0.acquired.lock() -= 1;
        if !self.0.released_to_urgent.notify_one() {
            self.0.released.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn no_more_chunks_are_decoded_at_once_than_there_are_permits() {
        let permits = DecodePermits::new(0);
        assert_eq!(permits.count(), 1, "a chunk can always be decoded");
        let permit = permits.acquire();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(permits.acquire()));
            assert_eq!(*permits.acquired.lock(), 1);
            drop(permit);
            waiting.join().expect("the permit was released");
        });
        assert_eq!(*permits.acquired.lock(), 0);
    }
}
