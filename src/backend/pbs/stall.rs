//! Tells whether a server is at work on its answers, by the bytes that come while the client waits.

use std::time::Duration;

use crate::net::StallTimer;

/// How many answers to later requests must come before the oldest one counts as stuck. A few may
/// come earlier in good order: a server looks for all chunks at once and sends each as soon as its
/// disk has it, so over a slow line much can come before the oldest.
const OVERTAKERS: u32 = 8;

/// Detects that a session has stalled: all of its answers together, or the oldest answer that is
/// awaited.
#[derive(Debug)]
pub(super) struct StallDetector {
    session: StallTimer,
    oldest: StallTimer,
    /// The stream of the oldest answer that is awaited.
    stream: Option<u32>,
    /// The stream of the last request, now and when the timer of the oldest answer was last
    /// restarted.
    last: u32,
    last_then: u32,
    /// How many answers have come to requests that were made after that restart.
    overtakers: u32,
}

/// The ways in which a server is not at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// Nothing comes, or no more than a trickle.
    Session,
    /// One answer does not come while others do.
    Oldest,
}

impl StallDetector {
    pub(super) fn new(limit: Duration) -> StallDetector {
        StallDetector {
            session: StallTimer::new(limit),
            oldest: StallTimer::new(limit),
            stream: None,
            last: 0,
            last_then: 0,
            overtakers: 0,
        }
    }

    /// Notes that a request was made on this stream.
    pub(super) fn asked(&mut self, stream: u32) {
        self.last = stream;
    }

    /// Notes that the answer on this stream has ended. `received` bytes of all answers had come by
    /// then.
    pub(super) fn ended(&mut self, stream: u32, received: u64) {
        self.session.renew(received);
        if stream > self.last_then {
            self.overtakers += 1;
        }
    }

    /// How much longer to wait. `received` bytes of all answers have come so far, and `oldest` is
    /// the stream of the oldest answer with the bytes that came of it.
    pub(super) fn left(
        &mut self,
        received: u64,
        oldest: Option<(u32, u64)>,
    ) -> Result<Duration, Stall> {
        let session = self.session.left(received).ok_or(Stall::Session)?;
        let Some((stream, received)) = oldest else {
            return Ok(session);
        };
        if self.stream != Some(stream) || self.oldest.has_enough(received) {
            self.stream = Some(stream);
            self.oldest.renew(received);
            (self.last_then, self.overtakers) = (self.last, 0);
        }
        if self.overtakers < OVERTAKERS {
            return Ok(session);
        }
        let oldest = self.oldest.left(received).ok_or(Stall::Oldest)?;
        Ok(session.min(oldest))
    }

    pub(super) fn waited(&mut self, time: Duration) {
        self.session.waited(time);
        self.oldest.waited(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);

    /// A session with 16 requests in flight.
    struct Session {
        watch: StallDetector,
        /// Each awaited answer: its stream and how many of its bytes came, the oldest first.
        open: Vec<(u32, u64)>,
        received: u64,
        next: u32,
    }

    impl Session {
        fn new() -> Session {
            let mut session = Session {
                watch: StallDetector::new(LIMIT),
                open: Vec::new(),
                received: 0,
                next: 1,
            };
            (0..16).for_each(|_| session.ask());
            session
        }

        fn ask(&mut self) {
            self.open.push((self.next, 0));
            self.watch.asked(self.next);
            self.next += 2;
        }

        /// After a time, bytes come for one answer. Once the answer has this length it is complete,
        /// and another request is made.
        fn come(&mut self, at: usize, bytes: u64, len: u64, after: Duration) -> Result<(), Stall> {
            self.watch.left(self.received, self.open.first().copied())?;
            self.watch.waited(after);
            self.received += bytes;
            self.open[at].1 += bytes;
            if self.open[at].1 >= len {
                let (stream, _) = self.open.remove(at);
                self.watch.ended(stream, self.received);
                self.ask();
            }
            Ok(())
        }
    }

    /// How many steps, of a second each, it takes until the session is given up.
    fn seconds(mut step: impl FnMut(&mut Session) -> Result<(), Stall>) -> (u64, Stall) {
        let mut session = Session::new();
        for seconds in 0..10_000 {
            if let Err(stall) = step(&mut session) {
                return (seconds, stall);
            }
        }
        panic!("it is never given up");
    }

    #[test]
    fn silence_and_a_trickle_are_a_stall_after_the_limit() {
        let silence = seconds(|session| session.come(0, 0, 100, SECOND));
        assert_eq!(silence, (30, Stall::Session));
        let trickle = seconds(|session| session.come(0, 1, 4 << 20, SECOND));
        assert_eq!(trickle, (30, Stall::Session));
        let of_all =
            seconds(|session| (0..16).try_for_each(|at| session.come(at, 1, 4 << 20, SECOND / 16)));
        assert_eq!(of_all, (30, Stall::Session));
    }

    #[test]
    fn an_answer_that_many_overtake_is_a_stall_even_if_it_trickles() {
        let silent = seconds(|session| session.come(1, 1 << 20, 1 << 20, SECOND));
        assert_eq!(silent, (30, Stall::Oldest));
        let trickling = seconds(|session| {
            session.come(0, 100, 4 << 20, SECOND / 2)?;
            session.come(1, 1 << 20, 1 << 20, SECOND / 2)
        });
        assert_eq!(trickling, (30, Stall::Oldest));
    }

    #[test]
    fn no_order_of_answers_is_a_stall_however_slow() {
        const CHUNK: u64 = 4 << 20;
        // Each chunk takes longer than the limit.
        let slow = LIMIT.mul_f64(1.5);
        let per_come = slow / 64;
        let mut oldest_first = Session::new();
        let mut fair = Session::new();
        let mut as_read = Session::new();
        for step in 0..20_000 {
            let piece = CHUNK / 64;
            assert_eq!(oldest_first.come(0, piece, CHUNK, per_come), Ok(()));
            assert_eq!(fair.come(step % 16, piece, CHUNK, per_come), Ok(()));
            // The disk delivered the oldest chunk after all the others, and two more came before
            // it.
            let at = if step / 64 % 18 == 17 { 0 } else { 1 };
            assert_eq!(as_read.come(at, piece, CHUNK, per_come), Ok(()));
        }
    }

    #[test]
    fn time_spent_elsewhere_is_no_stall() {
        let mut session = Session::new();
        for _ in 0..10_000 {
            // Hours may pass between these calls, but the detector is told of none.
            assert_eq!(session.come(1, 1 << 20, 1 << 20, Duration::ZERO), Ok(()));
        }
    }
}
