//! What is to go wrong, and when: data, chosen by counting. Knows nothing of how it is done.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use super::lock;

/// Which of several requests, sessions or connections, counted from 1 over the life of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This one.
    Nth(u64),
    /// The first so many.
    First(u64),
    /// This one and all after it.
    From(u64),
    /// All.
    Always,
}

impl When {
    fn includes(self, number: u64) -> bool {
        match self {
            When::Nth(n) => number == n,
            When::First(n) => number <= n,
            When::From(n) => number >= n,
            When::Always => true,
        }
    }
}

/// What goes wrong with one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The right answer, so much later.
    Delay(Duration),
    /// There is no answer, ever.
    Stall,
    /// Headers and half of the body, then nothing more.
    StallInBody,
    /// Headers, then one byte of the body a second.
    Trickle,
    /// A TCP reset instead of the answer.
    Reset,
    /// The connection ends, without close_notify, after at most so many bytes of the body.
    CutAfter(usize),
    /// The body ends properly, one byte short of its content-length. Over HTTP/1.1 it can't: the connection ends.
    Short,
    /// One byte more than the content-length. HTTP/2 only.
    TooLong,
    /// RST_STREAM with this code instead of the answer. HTTP/2 only.
    RstStream(u32),
    /// RST_STREAM with this code after half of the body. HTTP/2 only.
    RstInBody(u32),
    /// GOAWAY as a server sends it that is about to stop: what it has accepted, this too, is answered. HTTP/2 only.
    GoAway,
    /// GOAWAY with this code and the end of the connection, instead of the answer. HTTP/2 only.
    GoAwayNow(u32),
    /// A valid blob with other data.
    WrongBlob,
    /// An empty body.
    EmptyBlob,
    /// The last byte of the body is flipped.
    Corrupt,
    /// Half of the body, as if that were all.
    Truncated,
    /// This body instead.
    Replace(Vec<u8>),
    /// What PBS says where the file of a chunk is gone.
    Missing400,
    /// What PBS says to a session that may not have this chunk.
    Unauthorized401,
    /// This status, with a short text.
    Status(u16),
    /// 200 with this text of this type instead, as a server that wants a sign-in.
    Say {
        /// Such as `text/html`.
        content_type: &'static str,
        /// The body.
        text: String,
    },
    /// 503 with a Retry-After of so many seconds.
    Busy {
        /// The seconds.
        retry_after: u64,
    },
    /// 302 to this place.
    Redirect(String),
}

/// What goes wrong with a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFault {
    /// It is closed as soon as it is there.
    Close,
    /// It is reset as soon as it is there.
    Reset,
    /// The ClientHello is never answered.
    StallInTls,
    /// It speaks HTTP without TLS.
    PlainHttp,
    /// It sends something that is no TLS.
    Garbage,
    /// It ends after the server has sent so many bytes, TLS records and all.
    CutAfter(u64),
    /// It is reset after the server has sent so many bytes.
    ResetAfter(u64),
    /// Nothing more comes after the server has sent so many bytes.
    StallAfter(u64),
    /// No more than 1 KiB a second comes after the server has sent so many bytes.
    TrickleAfter(u64),
}

/// What goes wrong with a reader session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionFault {
    /// 400: someone writes or deletes the snapshot.
    Locked,
    /// An answer without the upgrade.
    Refused {
        /// Such as 500.
        status: u16,
        /// The body.
        text: String,
    },
    /// 200, as if no upgrade had been asked for.
    NotUpgraded,
    /// 101 with another protocol.
    OtherProtocol,
    /// There is no answer, ever.
    Stall,
    /// 101, and then something that is no HTTP/2.
    Garbage,
    /// The connection ends, without GOAWAY or close_notify, instead of the answer to the chunk request after so many.
    CutAfterChunks(u64),
    /// Every index has this content.
    OtherIndex(Vec<u8>),
    /// 101, and then these steps.
    Raw(Vec<super::pbs::raw::Raw>),
}

/// Faults of requests that are told apart by `K`.
#[derive(Debug)]
pub(crate) struct Faults<K, F> {
    state: Mutex<State<K, F>>,
}

#[derive(Debug)]
struct State<K, F> {
    plan: HashMap<K, Vec<(When, F)>>,
    counts: HashMap<K, u64>,
}

impl<K: Eq + Hash + Clone, F: Clone> Faults<K, F> {
    pub(crate) fn new() -> Faults<K, F> {
        let (plan, counts) = (HashMap::new(), HashMap::new());
        Faults {
            state: Mutex::new(State { plan, counts }),
        }
    }

    pub(crate) fn add(&self, key: K, when: When, fault: F) {
        let mut state = lock(&self.state);
        state.plan.entry(key).or_default().push((when, fault));
    }

    pub(crate) fn clear(&self) {
        lock(&self.state).plan.clear();
    }

    /// Counts a request, and gives the first fault that is meant for it.
    pub(crate) fn next(&self, key: &K) -> Option<F> {
        let mut state = lock(&self.state);
        let count = state.counts.entry(key.clone()).or_default();
        *count += 1;
        let number = *count;
        let plan = state.plan.get(key)?;
        let fault = plan.iter().find(|(when, _)| when.includes(number));
        fault.map(|(_, fault)| fault.clone())
    }

    pub(crate) fn count(&self, key: &K) -> u64 {
        lock(&self.state).counts.get(key).copied().unwrap_or(0)
    }

    pub(crate) fn counts(&self) -> HashMap<K, u64> {
        lock(&self.state).counts.clone()
    }
}
