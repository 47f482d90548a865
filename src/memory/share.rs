//! The share that one run has of the memory budget.
//!
//! The runs' shares are equal parts. A run that joins finds the memory in the hands of the runs
//! before it, and gets its part as those runs give back the buffers that they no longer use.

use std::sync::Arc;

use super::budget::MemoryBudget;
use super::permits::DecodePermits;

/// One run's part of a budget, counted in buffers. Dropping the share gives the part back.
///
/// A share has at least one slot, within the budget or beyond it: no run is held up by others that
/// have taken all the memory.
#[derive(Debug)]
pub(crate) struct MemoryShare {
    budget: Arc<MemoryBudget>,
    /// Bytes of one buffer.
    buffer_len: u64,
    /// Buffers that the whole budget has room for.
    budgeted: usize,
    /// Buffers that the run has a use for.
    useful: usize,
    /// Buffers that are set aside until the run ends; never more than `taken`.
    set_aside: usize,
    /// Buffers that the share holds of the budget, with those set aside. A buffer that the run has
    /// beyond the budget is not among them.
    taken: usize,
}

impl MemoryShare {
    /// Joins the budget and takes the run's part, as far as the other runs have left it.
    pub(super) fn new(budget: Arc<MemoryBudget>, buffer_len: u64, useful: usize) -> MemoryShare {
        budget.shared_out.lock().runs += 1;
        let mut share = MemoryShare {
            budgeted: budget.buffers(buffer_len),
            budget,
            buffer_len,
            useful: useful.max(1),
            set_aside: 0,
            taken: 0,
        };
        share.rebalance(0);
        share
    }

    /// The permits to decode chunks, which the run shares with all others of its budget.
    pub(crate) fn permits(&self) -> &Arc<DecodePermits> {
        self.budget.permits()
    }

    /// How many chunks the run may hold by now, from their request to their commit: at least 1.
    /// Buffers that were set aside are not among these slots.
    pub(crate) fn slots(&self) -> usize {
        (self.taken - self.set_aside).max(1)
    }

    /// How many slots the run could have if it were alone: at least 1.
    pub(crate) fn max_slots(&self) -> usize {
        self.budgeted.min(self.useful).max(1)
    }

    /// How many buffers the run can have in use at once by now: those for its slots, those that were
    /// set aside, those that chunks are decoded into, and one to copy a repeated chunk.
    pub(crate) fn buffers(&self) -> usize {
        self.taken.max(self.set_aside + 1) + self.permits().count() + 1
    }

    /// Takes the run's equal part of the budget, or gives back what the share holds beyond that
    /// part. `in_use` slots hold a chunk, and stay.
    pub(crate) fn rebalance(&mut self, in_use: usize) {
        let needed = self.set_aside + in_use;
        let mut shared_out = self.budget.shared_out.lock();
        let equal_part = (self.budgeted / shared_out.runs.max(1)).min(self.useful);
        let others = shared_out.bytes - self.taken as u64 * self.buffer_len;
        // Runs have buffers of different lengths.
        let theirs = others.div_ceil(self.buffer_len.max(1));
        let theirs = usize::try_from(theirs).unwrap_or(usize::MAX);
        let available = self.budgeted.saturating_sub(theirs).max(self.taken);
        self.taken = equal_part.max(needed).min(available);
        shared_out.bytes = others + self.taken as u64 * self.buffer_len;
    }

    /// Sets buffers aside until the run ends, for uses other than its slots. One slot always stays:
    /// at most [`slots`](MemoryShare::slots) less 1 are set aside.
    pub(crate) fn set_aside(&mut self, buffers: usize) {
        self.set_aside += buffers.min(self.slots() - 1);
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        let mut shared_out = self.budget.shared_out.lock();
        shared_out.bytes -= self.taken as u64 * self.buffer_len;
        shared_out.runs -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER_LEN: u64 = 1000;

    /// A budget with room for so many buffers, and for the one that a chunk is decoded into.
    fn budget(buffers: u64) -> Arc<MemoryBudget> {
        let budget = MemoryBudget::new((buffers + 1) * BUFFER_LEN);
        let permits = budget.permits().count();
        assert_eq!(permits, 1, "so little memory is for one chunk at a time");
        budget
    }

    fn slots_after(share: &mut MemoryShare, in_use: usize) -> usize {
        share.rebalance(in_use);
        share.slots()
    }

    #[test]
    fn one_run_has_it_all_and_two_a_half_each_once_the_first_has_no_use_for_more() {
        let budget = budget(10);
        let mut first = budget.join(BUFFER_LEN, 100);
        assert_eq!((first.max_slots(), first.slots()), (10, 10));
        let mut second = budget.join(BUFFER_LEN, 100);
        assert_eq!(second.slots(), 1, "one beyond the memory");
        assert_eq!(slots_after(&mut first, 8), 8);
        assert_eq!(slots_after(&mut second, 1), 2);
        assert_eq!(slots_after(&mut first, 3), 5);
        assert_eq!(slots_after(&mut second, 2), 5);
        drop(first);
        assert_eq!(slots_after(&mut second, 5), 10);
        drop(second);
        assert_eq!(budget.join(BUFFER_LEN, 100).slots(), 10);
    }

    #[test]
    fn many_runs_have_one_each_and_the_others_are_beyond_the_memory() {
        let budget = budget(10);
        let mut runs: Vec<MemoryShare> = (0..64).map(|_| budget.join(BUFFER_LEN, 100)).collect();
        for run in &mut runs {
            assert_eq!((slots_after(run, 0), slots_after(run, 1)), (1, 1));
            run.set_aside(5);
            assert_eq!((run.set_aside, run.slots()), (0, 1));
        }
        let taken: usize = runs.iter().map(|run| run.taken).sum();
        assert!(taken <= 10, "{taken}");
        runs.truncate(2);
        let slots: Vec<usize> = runs.iter_mut().map(|run| slots_after(run, 1)).collect();
        assert_eq!(slots, [5, 5]);
    }

    #[test]
    fn runs_with_longer_buffers_have_fewer_of_them() {
        let budget = budget(10);
        let mut short = budget.join(BUFFER_LEN, 100);
        let mut long = budget.join(4 * BUFFER_LEN, 100);
        assert_eq!(long.max_slots(), 1, "of two buffers one is the decoder's");
        assert_eq!(
            (slots_after(&mut short, 0), slots_after(&mut long, 0)),
            (5, 1)
        );
        assert!(budget.shared_out.lock().bytes <= 10 * BUFFER_LEN);
    }

    #[test]
    fn buffers_that_are_set_aside_stay_and_the_last_slot_is_never_set_aside() {
        let budget = budget(10);
        let mut run = budget.join(BUFFER_LEN, 100);
        run.set_aside(4);
        assert_eq!((run.set_aside, slots_after(&mut run, 0)), (4, 6));
        run.set_aside(100);
        assert_eq!((run.set_aside, slots_after(&mut run, 0)), (9, 1));
        let other = budget.join(BUFFER_LEN, 100);
        assert_eq!((slots_after(&mut run, 1), other.slots()), (1, 1));
    }
}
