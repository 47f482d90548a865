//! The buffers of one connection, which together have a fixed size.

use std::ops::{Deref, DerefMut};

use parking_lot::{Condvar, Mutex};

/// Lends buffers, and lets callers wait while too much is lent. Callers are served in the order in
/// which they ask, so that many small buffers don't keep a large one out.
#[derive(Debug)]
pub(super) struct Buffers {
    turn: Mutex<()>,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug)]
struct State {
    /// Bytes that are neither lent nor kept in `spares`.
    free: usize,
    /// Buffers that came back and are kept for the next caller.
    spares: Vec<Vec<u8>>,
}

/// A buffer that goes back when this is dropped.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    buffers: &'a Buffers,
    buffer: Vec<u8>,
    len: usize,
}

impl Buffers {
    pub(super) fn new(bytes: usize) -> Buffers {
        Buffers {
            turn: Mutex::new(()),
            state: Mutex::new(State {
                free: bytes,
                spares: Vec::new(),
            }),
            returned: Condvar::new(),
        }
    }

    /// A buffer of `len` bytes, with any content. `len` must not be larger than all buffers
    /// together.
    pub(super) fn take(&self, len: usize) -> Lease<'_> {
        let _turn = self.turn.lock();
        let mut state = self.state.lock();
        let buffer = loop {
            // A buffer that is much too large would keep others from being lent.
            let fits = |spare: &Vec<u8>| (len..=2 * len).contains(&spare.len());
            if let Some(position) = state.spares.iter().position(fits) {
                break state.spares.swap_remove(position);
            }
            if state.free >= len {
                state.free -= len;
                break vec![0; len];
            }
            match state.spares.pop() {
                Some(spare) => state.free += spare.len(),
                None => self.returned.wait(&mut state),
            }
        };
        Lease {
            buffers: self,
            buffer,
            len,
        }
    }
}

impl Deref for Lease<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.len]
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.buffers.state.lock().spares.push(buffer);
        self.buffers.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn held(buffers: &Buffers) -> usize {
        let state = buffers.state.lock();
        state.free + state.spares.iter().map(Vec::len).sum::<usize>()
    }

    #[test]
    fn a_buffer_that_came_back_is_lent_again() {
        let buffers = Buffers::new(100);
        let first = buffers.take(60);
        let address = first.as_ptr();
        drop(first);
        assert_eq!(buffers.take(50).as_ptr(), address);
        assert_eq!(held(&buffers), 100);
    }

    #[test]
    fn a_kept_buffer_makes_room_for_one_of_another_size() {
        let buffers = Buffers::new(100);
        drop(buffers.take(80));
        let small = buffers.take(10);
        let other = buffers.take(90);
        assert_eq!((small.len(), other.len()), (10, 90));
        assert_eq!(held(&buffers), 0);
    }

    #[test]
    fn whoever_finds_no_room_waits_for_a_buffer_to_come_back() {
        let buffers = Buffers::new(100);
        thread::scope(|scope| {
            let first = buffers.take(60);
            let waiting = scope.spawn(|| buffers.take(50).len());
            drop(first);
            assert_eq!(waiting.join().unwrap(), 50);
        });
        assert_eq!(held(&buffers), 100);
    }
}
