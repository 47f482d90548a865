//! Keeps a value for its next use, for a limited time.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A slot for one value. A thread waits beside the slot, and drops the value if nobody takes it out
/// in time. The thread ends when the value is dropped, taken or replaced, or when the slot is
/// dropped.
pub(super) struct IdleSlot<T> {
    limit: Duration,
    place: Arc<Place<T>>,
}

struct Place<T> {
    parked: Mutex<Parked<T>>,
    changed: Condvar,
}

struct Parked<T> {
    thing: Option<T>,
    /// How many values were parked so far.
    number: u64,
}

impl<T: Send + 'static> IdleSlot<T> {
    pub(super) fn new(limit: Duration) -> IdleSlot<T> {
        let (thing, number) = (None, 0);
        let place = Place {
            parked: Mutex::new(Parked { thing, number }),
            changed: Condvar::new(),
        };
        IdleSlot {
            limit,
            place: Arc::new(place),
        }
    }

    /// Parks a value, in place of the one that was parked before.
    pub(super) fn park(&self, thing: T) {
        let mut parked = self.place.parked.lock();
        let before = parked.thing.replace(thing);
        parked.number += 1;
        let number = parked.number;
        drop(parked);
        self.place.changed.notify_all();
        // It may take time to drop the old value, so that is never done under the lock.
        drop(before);
        let (place, deadline) = (Arc::clone(&self.place), Instant::now() + self.limit);
        let waiter = thread::Builder::new().name("parking".to_owned());
        if waiter.spawn(move || place.wait(number, deadline)).is_err() {
            drop(self.take());
        }
    }
}

impl<T> IdleSlot<T> {
    pub(super) fn take(&self) -> Option<T> {
        self.take_if(|_| true)
    }

    pub(super) fn take_if(&self, fits: impl FnOnce(&T) -> bool) -> Option<T> {
        let taken = self.place.parked.lock().thing.take_if(|thing| fits(thing));
        self.place.changed.notify_all();
        taken
    }
}

impl<T> Place<T> {
    /// Drops the value with this number at the deadline, if it is still parked.
    fn wait(&self, number: u64, deadline: Instant) {
        let mut parked = self.parked.lock();
        while parked.number == number && parked.thing.is_some() {
            let is_late = self.changed.wait_until(&mut parked, deadline).timed_out();
            if is_late && parked.number == number {
                let late = parked.thing.take();
                drop(parked);
                drop(late);
                return;
            }
        }
    }
}

impl<T> Drop for IdleSlot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, Sender, unbounded};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(20);

    /// Reports when it is dropped.
    struct Thing(u32, Sender<u32>);

    impl Drop for Thing {
        fn drop(&mut self) {
            let _ = self.1.send(self.0);
        }
    }

    /// The number of the value that is dropped next.
    fn next(dropped: &Receiver<u32>) -> Option<u32> {
        dropped.recv_timeout(Duration::from_secs(20)).ok()
    }

    #[test]
    fn what_nobody_takes_is_dropped() {
        let (dropping, dropped) = unbounded();
        let parking = IdleSlot::new(SHORT);
        for number in 0..3 {
            parking.park(Thing(number, dropping.clone()));
            assert_eq!(next(&dropped), Some(number));
            assert!(parking.take().is_none());
        }
    }

    #[test]
    fn what_is_taken_in_time_is_not() {
        let (dropping, dropped) = unbounded();
        let parking = IdleSlot::new(LONG);
        parking.park(Thing(1, dropping));
        assert!(parking.take_if(|thing| thing.0 == 2).is_none());
        let taken = parking.take_if(|thing| thing.0 == 1);
        assert!(taken.is_some() && parking.take().is_none());
        assert!(dropped.is_empty());
    }

    #[test]
    fn a_second_thing_takes_the_place_of_the_first_and_goes_with_the_room() {
        let (dropping, dropped) = unbounded();
        let parking = IdleSlot::new(LONG);
        parking.park(Thing(1, dropping.clone()));
        parking.park(Thing(2, dropping));
        assert_eq!(next(&dropped), Some(1));
        drop(parking);
        assert_eq!(next(&dropped), Some(2));
    }

    #[test]
    fn its_threads_end_when_there_is_nothing_to_wait_for() {
        let parking = IdleSlot::new(LONG);
        for number in 0..100 {
            parking.park(number);
            assert_eq!(parking.take(), Some(number));
        }
        let place = Arc::downgrade(&parking.place);
        parking.park(100);
        drop(parking);
        // Each thread that still waits holds a reference to the place.
        let deadline = Instant::now() + Duration::from_secs(20);
        while place.strong_count() > 0 {
            assert!(Instant::now() < deadline, "{}", place.strong_count());
            thread::yield_now();
        }
    }
}
