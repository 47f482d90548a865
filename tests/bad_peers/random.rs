//! Restores under faults that dice choose: all right within the budget of retries, all typed errors beyond it.

use std::time::Duration;

use chunk_restore::{ErrorKind, Restore};
use testkit::{ConnectionFault, Fault, Prng, SessionFault, When, within};

use crate::{CHUNKS, LIMIT, Peer};

/// How many restores are tried: `CHUNK_RESTORE_REPEAT` for more of them.
fn rounds() -> u64 {
    let rounds = std::env::var("CHUNK_RESTORE_REPEAT").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

struct Dice(Prng);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    fn answer(&mut self) -> Fault {
        match self.below(14) {
            0 => Fault::Delay(Duration::from_millis(self.below(50))),
            1 => Fault::Stall,
            2 => Fault::StallInBody,
            3 => Fault::Reset,
            4 => Fault::CutAfter(self.below(4096) as usize),
            5 => Fault::Short,
            6 => Fault::TooLong,
            7 => Fault::RstStream(self.below(14) as u32),
            8 => Fault::RstInBody(self.below(14) as u32),
            9 => Fault::GoAway,
            10 => Fault::GoAwayNow(self.below(14) as u32),
            11 => Fault::Status(500),
            12 => Fault::Busy { retry_after: 0 },
            _ => Fault::Trickle,
        }
    }

    /// Of what is damaged only the first is asked for again.
    fn damage(&mut self) -> Fault {
        match self.below(4) {
            0 => Fault::Corrupt,
            1 => Fault::Truncated,
            2 => Fault::WrongBlob,
            _ => Fault::EmptyBlob,
        }
    }

    fn session(&mut self) -> SessionFault {
        match self.below(5) {
            0 => SessionFault::Locked,
            1 => SessionFault::Garbage,
            2 => SessionFault::Stall,
            3 => SessionFault::CutAfterChunks(self.below(CHUNKS)),
            _ => SessionFault::Refused {
                status: 503,
                text: "busy".to_owned(),
            },
        }
    }

    fn connection(&mut self) -> ConnectionFault {
        match self.below(6) {
            0 => ConnectionFault::Close,
            1 => ConnectionFault::Reset,
            2 => ConnectionFault::StallInTls,
            3 => ConnectionFault::CutAfter(self.below(40_000)),
            4 => ConnectionFault::ResetAfter(self.below(40_000)),
            _ => ConnectionFault::StallAfter(self.below(40_000)),
        }
    }
}

/// What fails a connection is got over, however often; what is wrong with a chunk comes only once.
fn round(seed: u64) {
    let mut dice = Dice(Prng::new(seed));
    let peer = Peer::new();
    let mut planned = Vec::new();
    for _ in 0..1 + dice.below(3) {
        // A file is asked for before, on the same connections, with a budget of its own.
        let number = 1 + dice.below(3);
        match dice.below(5) {
            0 => {
                let fault = dice.session();
                planned.push(format!("session {number}: {fault:?}"));
                peer.server.on_session(When::Nth(number), fault);
            }
            1 => {
                let fault = dice.connection();
                planned.push(format!("connection {number}: {fault:?}"));
                peer.server.on_connection(When::Nth(number), fault);
            }
            2 => {
                let (position, fault) = (dice.below(CHUNKS) as usize, dice.damage());
                planned.push(format!("chunk {position}: {fault:?}"));
                let digest = peer.disk().digests[position];
                peer.server.on_chunk(&digest, When::First(1), fault);
            }
            _ => {
                let (position, fault) = (dice.below(CHUNKS) as usize, dice.answer());
                planned.push(format!("chunk {position}: {fault:?}"));
                let digest = peer.disk().digests[position];
                peer.server.on_chunk(&digest, When::First(1), fault);
            }
        }
    }
    let restored = peer.restore(&Restore::new().threads(1 + dice.below(4) as usize));
    restored.unwrap_or_else(|error| panic!("seed {seed}: {planned:?}: {error:?}"));
    peer.wait_until_left();
}

/// Something that never works.
fn hopeless_round(seed: u64) {
    let mut dice = Dice(Prng::new(seed));
    let peer = Peer::new();
    let position = dice.below(CHUNKS) as usize;
    let (fault, kind) = match dice.below(6) {
        0 => (dice.damage(), ErrorKind::Corrupt),
        1 => (Fault::Missing400, ErrorKind::Missing),
        2 => (Fault::Unauthorized401, ErrorKind::Denied),
        3 => (Fault::Status(500), ErrorKind::Unavailable),
        4 => (Fault::Reset, ErrorKind::Unavailable),
        _ => (Fault::StallInBody, ErrorKind::Unavailable),
    };
    peer.server
        .on_chunk(&peer.disk().digests[position], When::Always, fault.clone());
    let threads = 1 + dice.below(4) as usize;
    let restore = Restore::new().threads(threads);
    let error = peer.restore(&restore.patience(Duration::from_secs(3)));
    let error = error.expect_err("the chunk never comes");
    assert_eq!(error.kind(), kind, "seed {seed}: {fault:?}: {error:?}");
    assert!(error.position().is_some(), "seed {seed}: {error:?}");
    peer.wait_until_left();
}

/// Runs the rounds, several at once, as they mostly wait.
fn all_rounds(round: fn(u64)) {
    const AT_ONCE: u64 = 20;
    let rounds = rounds();
    within(LIMIT * (1 + rounds as u32 / 200), move || {
        std::thread::scope(|scope| {
            for first in 0..AT_ONCE {
                scope.spawn(move || (first..rounds).step_by(AT_ONCE as usize).for_each(round));
            }
        });
    });
    // All tests of this file have names of other threads than those of a restore.
    #[cfg(target_os = "linux")]
    assert_no_thread_left();
}

/// Other tests restore at the same time: it is enough that no thread of a restore stays.
#[cfg(target_os = "linux")]
fn assert_no_thread_left() {
    let workers = || -> std::collections::BTreeSet<String> {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let threads = threads.filter_map(|thread| {
            let path = thread.ok()?.path();
            let name = std::fs::read_to_string(path.join("comm")).ok()?;
            name.starts_with("restore-")
                .then(|| path.display().to_string())
        });
        threads.collect()
    };
    let mut left = workers();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !left.is_empty() {
        assert!(std::time::Instant::now() < deadline, "{left:?}");
        std::thread::sleep(Duration::from_millis(20));
        left = left.intersection(&workers()).cloned().collect();
    }
}

#[test]
fn random_faults_within_the_budget_are_got_over() {
    all_rounds(round);
}

#[test]
fn random_faults_beyond_the_budget_are_typed_errors() {
    all_rounds(hopeless_round);
}
