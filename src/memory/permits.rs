//! Decode permits: the bound on how many chunks are decoded at once. While a chunk is decoded it can
//! take a second buffer, so this bound is also one on memory.

use parking_lot::{Condvar, Mutex};

/// A semaphore for decoding, shared by all runs of a restore and its clones.
#[derive(Debug)]
pub(crate) struct DecodePermits {
    /// How many permits there are.
    count: usize,
    acquired: Mutex<Acquired>,
    /// Wakes those that take any permit, and those that leave one to others.
    released: Condvar,
    released_ahead: Condvar,
}

/// How many permits are acquired.
#[derive(Debug, Default)]
struct Acquired {
    all: usize,
    /// Those of chunks that nobody waits for.
    ahead: usize,
}

/// The right to decode one chunk. Dropping the permit releases it.
#[derive(Debug)]
pub(crate) struct DecodePermit<'a> {
    permits: &'a DecodePermits,
    is_ahead: bool,
}

impl DecodePermits {
    /// `count` permits, but at least 1.
    pub(super) fn new(count: usize) -> DecodePermits {
        DecodePermits {
            count: count.max(1),
            acquired: Mutex::default(),
            released: Condvar::new(),
            released_ahead: Condvar::new(),
        }
    }

    /// How many chunks can be decoded at once: at least 1.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Waits until fewer chunks are being decoded than there are permits, and takes a permit.
    pub(crate) fn acquire(&self) -> DecodePermit<'_> {
        let mut acquired = self.acquired.lock();
        while acquired.all >= self.count {
            self.released.wait(&mut acquired);
        }
        acquired.all += 1;
        DecodePermit {
            permits: self,
            is_ahead: false,
        }
    }

    /// Does the same as [`acquire`](DecodePermits::acquire), but leaves one permit, where there are
    /// several, to chunks that somebody waits for.
    pub(crate) fn acquire_ahead(&self) -> DecodePermit<'_> {
        let most = (self.count - 1).max(1);
        let mut acquired = self.acquired.lock();
        while acquired.all >= self.count || acquired.ahead >= most {
            self.released_ahead.wait(&mut acquired);
        }
        acquired.all += 1;
        acquired.ahead += 1;
        DecodePermit {
            permits: self,
            is_ahead: true,
        }
    }
}

impl Drop for DecodePermit<'_> {
    fn drop(&mut self) {
        let mut acquired = self.permits.acquired.lock();
        acquired.all -= 1;
        acquired.ahead -= usize::from(self.is_ahead);
        drop(acquired);
        // Either may be the one that can go on.
        self.permits.released.notify_one();
        self.permits.released_ahead.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::thread;

    use super::*;

    /// Several threads take permits again and again. No more than `most` of them may hold one at any time.
    fn crowd<'a>(most: usize, acquire: impl Fn() -> DecodePermit<'a> + Sync) {
        let held = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..most + 2 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _permit = acquire();
                        let others = held.fetch_add(1, SeqCst);
                        assert!(others < most, "{others} others hold one");
                        thread::yield_now();
                        held.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
    }

    #[test]
    fn no_more_chunks_are_decoded_at_once_than_there_are_permits() {
        for count in [0, 1, 2, 4] {
            let permits = DecodePermits::new(count);
            assert_eq!(permits.count(), count.max(1), "one can always be decoded");
            crowd(permits.count(), || permits.acquire());
            assert_eq!(permits.acquired.lock().all, 0);
        }
    }

    #[test]
    fn one_permit_is_left_to_chunks_that_somebody_waits_for() {
        let permits = DecodePermits::new(3);
        crowd(2, || permits.acquire_ahead());
        let first = permits.acquire_ahead();
        let _second = permits.acquire_ahead();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(permits.acquire_ahead()));
            drop(permits.acquire());
            drop(first);
            waiting.join().expect("a permit was released");
        });
        // Those that somebody waits for don't count among the others.
        let _urgent = [permits.acquire(), permits.acquire()];
        assert_eq!(permits.acquired.lock().all, 3);
        let alone = DecodePermits::new(1);
        crowd(1, || alone.acquire_ahead());
    }
}
