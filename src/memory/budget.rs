//! What the runs of a restore that go on at the same time share: memory for chunks, and cores to decode them. Knows nothing
//! of what either is used for.

use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// Of the memory, one part in so many at the most is for what is being decoded.
const DECODING: u64 = 3;

/// How large most chunks are.
const USUAL: u64 = 4 << 20;

#[derive(Debug)]
pub(crate) struct MemoryBudget {
    bytes: u64,
    /// How many chunks are decoded at once, by all together: half as many again as there are cores, so that none of these is idle
    /// while one hands over to the next. More would only take more memory.
    decoders: usize,
    state: Mutex<State>,
    decoded: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many share.
    runs: usize,
    taken: u64,
    decoding: usize,
}

/// What one run has of a budget; given back when it is dropped.
///
/// One buffer it always has, within the memory or beyond, so that whoever took all can't hold it up.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<MemoryBudget>,
    /// Bytes of a buffer.
    size: u64,
    /// Buffers that there are for all.
    all: usize,
    /// Buffers that it has a use for.
    most: usize,
    /// Buffers that it has for as long as it goes on.
    set_aside: usize,
    /// Buffers that it has in all. Those that it has beyond the memory are not among them.
    taken: usize,
}

/// The right to decode one chunk, until it is dropped.
#[derive(Debug)]
pub(crate) struct DecodePermit<'a>(&'a MemoryBudget);

impl MemoryBudget {
    pub(crate) fn new(bytes: u64) -> Arc<MemoryBudget> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let affordable = usize::try_from(bytes / DECODING / USUAL).unwrap_or(usize::MAX);
        Arc::new(MemoryBudget {
            bytes,
            decoders: (cores + cores / 2).min(affordable).max(1),
            state: Mutex::default(),
            decoded: Condvar::new(),
        })
    }

    /// Waits for a turn to decode a chunk.
    pub(crate) fn decode(&self) -> DecodePermit<'_> {
        let mut state = self.state.lock();
        while state.decoding == self.decoders {
            self.decoded.wait(&mut state);
        }
        state.decoding += 1;
        DecodePermit(self)
    }

    /// For one more run, with buffers of `size` bytes, and no use for more than `most`.
    pub(crate) fn join(self: &Arc<MemoryBudget>, size: u64, most: usize) -> Share {
        let buffers = usize::try_from(self.bytes / size.max(1)).unwrap_or(usize::MAX);
        self.state.lock().runs += 1;
        Share {
            budget: Arc::clone(self),
            size,
            // A chunk that is decoded takes a second one meanwhile.
            all: buffers.saturating_sub(self.decoders),
            most: most.max(1),
            set_aside: 0,
            taken: 0,
        }
    }
}

impl Drop for DecodePermit<'_> {
    fn drop(&mut self) {
        self.0.state.lock().decoding -= 1;
        self.0.decoded.notify_one();
    }
}

impl Share {
    pub(crate) fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// How many buffers it may ever have, if nobody else takes any: at least 1.
    pub(crate) fn most(&self) -> usize {
        self.all.min(self.most).max(1)
    }

    /// How many buffers there should be by now, with those that chunks are decoded into, and one to copy what occurs again.
    pub(crate) fn buffers(&self) -> usize {
        self.taken.max(self.set_aside + 1) + self.budget.decoders + 1
    }

    /// Of the buffers that it has by now, keeps up to so many for as long as the run goes on, but not the last one; says how
    /// many.
    pub(crate) fn set_aside(&mut self, wanted: usize) -> usize {
        let got = wanted.min(self.adjust(0) - 1);
        self.set_aside += got;
        got
    }

    /// Takes its part, or gives back what is more than that and not in use; says how many buffers it has by now beside
    /// those that were set aside: at least 1.
    pub(crate) fn adjust(&mut self, in_use: usize) -> usize {
        let needed = self.set_aside + in_use;
        (self.take(|fair| fair.max(needed)) - self.set_aside).max(1)
    }

    /// Has as many buffers as `wanted` makes of its part, or else what there is.
    fn take(&mut self, wanted: impl FnOnce(usize) -> usize) -> usize {
        let mut state = self.budget.state.lock();
        let fair = (self.all / state.runs.max(1)).min(self.most);
        let others = state.taken - self.taken as u64 * self.size;
        let theirs = usize::try_from(others.div_ceil(self.size.max(1))).unwrap_or(usize::MAX);
        let there_is = self.all.saturating_sub(theirs).max(self.taken);
        self.taken = wanted(fair).min(there_is);
        state.taken = others + self.taken as u64 * self.size;
        self.taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock();
        state.taken -= self.taken as u64 * self.size;
        state.runs -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1000;

    /// For so many buffers, beside those of the decoders.
    fn budget(buffers: u64) -> Arc<MemoryBudget> {
        let one = MemoryBudget::new(0);
        assert_eq!(one.decoders, 1, "little memory is for one decoder");
        MemoryBudget::new((buffers + 1) * SIZE)
    }

    #[test]
    fn one_run_has_it_all_and_two_a_half_each_once_the_first_has_no_use_for_more() {
        let budget = budget(10);
        let mut first = budget.join(SIZE, 100);
        assert_eq!((first.most(), first.adjust(0)), (10, 10));
        let mut second = budget.join(SIZE, 100);
        assert_eq!(second.adjust(0), 1, "one beyond the memory");
        assert_eq!(first.adjust(8), 8);
        assert_eq!(second.adjust(1), 2);
        assert_eq!(first.adjust(3), 5);
        assert_eq!(second.adjust(2), 5);
        drop(first);
        assert_eq!(second.adjust(5), 10);
        drop(second);
        assert_eq!(budget.join(SIZE, 100).adjust(0), 10);
    }

    #[test]
    fn many_runs_have_one_each_and_the_others_are_beyond_the_memory() {
        let budget = budget(10);
        let mut runs: Vec<Share> = (0..64).map(|_| budget.join(SIZE, 100)).collect();
        for run in &mut runs {
            assert_eq!((run.adjust(0), run.adjust(1), run.set_aside(5)), (1, 1, 0));
        }
        let taken: usize = runs.iter().map(|run| run.taken).sum();
        assert!(taken <= 10, "{taken}");
        runs.truncate(2);
        let slots: Vec<usize> = runs.iter_mut().map(|run| run.adjust(1)).collect();
        assert_eq!(slots, [5, 5]);
    }

    #[test]
    fn runs_of_other_sizes_take_so_much_less() {
        let budget = budget(10);
        let mut small = budget.join(SIZE, 100);
        let mut large = budget.join(4 * SIZE, 100);
        assert_eq!(large.most(), 1, "two, and one is the decoder's");
        assert_eq!((small.adjust(0), large.adjust(0)), (5, 1));
        assert!(budget.state.lock().taken <= 10 * SIZE);
    }

    #[test]
    fn what_is_set_aside_stays_and_the_last_is_never() {
        let budget = budget(10);
        let mut run = budget.join(SIZE, 100);
        assert_eq!((run.set_aside(4), run.adjust(0)), (4, 6));
        assert_eq!((run.set_aside(100), run.adjust(0)), (5, 1));
        let mut other = budget.join(SIZE, 100);
        assert_eq!((run.adjust(1), other.adjust(0)), (1, 1));
    }

    #[test]
    fn no_more_than_the_decoders_decode_at_once() {
        let budget = MemoryBudget::new(0);
        let turn = budget.decode();
        thread::scope(|scope| {
            let waits = scope.spawn(|| drop(budget.decode()));
            assert_eq!(budget.state.lock().decoding, 1);
            drop(turn);
            waits.join().expect("it had its turn");
        });
        assert_eq!(budget.state.lock().decoding, 0);
    }
}
