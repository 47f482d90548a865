//! The requests of a connection: one thread reads them, and a few workers answer them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Scope};

use crossbeam_channel::{Receiver, bounded};

use super::answer::{Answers, PIECE_LEN_MAX};
use super::buffers::Buffers;
use super::channel::Channel;
use super::codec::{Agreement, Command, HEADER_LEN, REQUEST_LEN_MAX, Request, Rules};
use super::service::FailureHook;
use super::tally::Tally;
use crate::cancel::Cancel;
use crate::read::{Announced, Reader};

/// How many requests may wait for a worker. When there are as many, no further request is read.
const QUEUE_LEN_MAX: usize = 64;

/// How many requests of a connection are answered at once.
const WORKERS_MAX: usize = 8;

/// The buffers of a connection, in bytes: for two large pieces, or a small one for each worker.
const BUFFERS_LEN: usize = 2 * PIECE_LEN_MAX;

/// How many bytes of outstanding reads are fetched before their turn. A client with many long reads
/// would otherwise have more chunks fetched than there is memory for, and each several times.
const HINTED_LEN_MAX: u64 = 4 << 20;

/// The stack of a worker, in bytes.
const STACK_LEN: usize = 512 << 10;

/// A connection after its handshake.
pub(super) struct Transmission<'a> {
    pub(super) channel: &'a Channel<'a>,
    pub(super) reader: &'a Reader,
    pub(super) agreement: Agreement,
    /// The name of the export.
    pub(super) export: &'a str,
    pub(super) tally: &'a Tally,
    pub(super) failure_hook: &'a FailureHook,
    pub(super) cancel: &'a Cancel,
}

/// A request that waits for a worker.
#[derive(Debug)]
struct Job<'a> {
    request: Asked,
    /// The read, where the reader knows of it already.
    announced: Option<Announced<'a>>,
}

/// A request that was checked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    cookie: u64,
    command: Command,
}

/// Serves requests until the client disconnects, and answers those that are outstanding then.
/// `rest` holds bytes that came already.
pub(super) fn transmit(transmission: &Transmission<'_>, rest: Vec<u8>) {
    let buffers = Buffers::new(BUFFERS_LEN);
    let answers = Answers {
        channel: transmission.channel,
        reader: transmission.reader,
        is_structured: transmission.agreement.is_structured,
        buffers: &buffers,
        export: transmission.export,
        tally: transmission.tally,
        failure_hook: transmission.failure_hook,
        cancel: transmission.cancel,
    };
    let mut requests = Requests {
        transmission,
        input: rest,
    };
    let (sender, receiver) = bounded(QUEUE_LEN_MAX);
    let open = OpenRequests::default();
    thread::scope(|scope| {
        let workers = Workers {
            receiver,
            answers: &answers,
            open: &open,
        };
        let mut started = 0;
        loop {
            let request = match requests.next() {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(_) => {
                    transmission.channel.abort();
                    break;
                }
            };
            let before = open.record(request.command);
            let announced = fetch_early(transmission.reader, request.command, before);
            if started < open.workers() {
                let is_started = workers.start(scope).is_ok();
                started += usize::from(is_started);
            }
            if started == 0 {
                // This machine has no threads left, so nobody would answer.
                transmission.channel.abort();
                break;
            }
            if sender.send(Job { request, announced }).is_err() {
                break;
            }
        }
        // The workers end when the queue is empty.
        drop(sender);
    });
}

/// The requests that came and are not answered yet.
#[derive(Debug, Default)]
struct OpenRequests {
    count: AtomicUsize,
    /// The bytes of all reads among them.
    read_bytes: AtomicU64,
}

impl OpenRequests {
    /// Counts a request. Returns how many bytes the reads before it ask for.
    fn record(&self, command: Command) -> u64 {
        self.count.fetch_add(1, SeqCst);
        self.read_bytes.fetch_add(read_len(command), SeqCst)
    }

    fn record_answer(&self, command: Command) {
        self.count.fetch_sub(1, SeqCst);
        self.read_bytes.fetch_sub(read_len(command), SeqCst);
    }

    /// How many workers these requests have a use for: as long as there are fewer than
    /// [`WORKERS_MAX`], no request waits behind another one.
    fn workers(&self) -> usize {
        self.count.load(SeqCst).min(WORKERS_MAX)
    }
}

/// Has the data of a request fetched before its turn, so that requests don't wait for one another.
/// The open reads before it ask for `before` bytes. Returns the read that was announced.
fn fetch_early(reader: &Reader, command: Command, before: u64) -> Option<Announced<'_>> {
    match command {
        Command::Read { offset, len, .. } if before < HINTED_LEN_MAX => {
            Some(reader.announce(offset..offset + u64::from(len)))
        }
        Command::Cache { offset, len } => {
            reader.prefetch(offset..offset + u64::from(len));
            None
        }
        _ => None,
    }
}

fn read_len(command: Command) -> u64 {
    match command {
        Command::Read { len, .. } => u64::from(len),
        _ => 0,
    }
}

/// Reads requests.
struct Requests<'a> {
    transmission: &'a Transmission<'a>,
    /// Bytes that were received and are not yet taken.
    input: Vec<u8>,
}

impl Requests<'_> {
    /// The next request; `None` if there is no further one.
    fn next(&mut self) -> io::Result<Option<Asked>> {
        while self.input.len() < HEADER_LEN {
            if self.receive()? == 0 {
                return Ok(None);
            }
        }
        let request = self.input.first_chunk().and_then(Request::parse);
        let Some(request) = request else {
            // These bytes are no request, so the next ones can't be found.
            return Ok(None);
        };
        self.input.drain(..HEADER_LEN);
        self.transmission.tally.record_request();
        if request.payload_len() > REQUEST_LEN_MAX {
            return Ok(None);
        }
        if !self.skip(request.payload_len() as usize)? {
            return Ok(None);
        }
        let agreement = self.transmission.agreement;
        let command = request.check(Rules {
            export_len: self.transmission.reader.len(),
            request_max: agreement.request_max,
            is_structured: agreement.is_structured,
            has_allocation: agreement.has_allocation,
        });
        let cookie = request.cookie;
        let is_last = matches!(command, Command::Disconnect);
        Ok((!is_last).then_some(Asked { cookie, command }))
    }

    /// Throws away the data of a write. Says whether all of it came.
    fn skip(&mut self, mut len: usize) -> io::Result<bool> {
        loop {
            let count = len.min(self.input.len());
            self.input.drain(..count);
            len -= count;
            if len == 0 {
                return Ok(true);
            }
            if self.receive()? == 0 {
                return Ok(false);
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        self.transmission.channel.receive(&mut self.input, None)
    }
}

/// What the workers of a connection share.
struct Workers<'a> {
    receiver: Receiver<Job<'a>>,
    answers: &'a Answers<'a>,
    open: &'a OpenRequests,
}

impl<'a> Workers<'a> {
    fn start<'scope>(&self, scope: &'scope Scope<'scope, '_>) -> io::Result<()>
    where
        'a: 'scope,
    {
        let (receiver, answers, open) = (self.receiver.clone(), self.answers, self.open);
        let thread = thread::Builder::new()
            .name("nbd-worker".to_owned())
            .stack_size(STACK_LEN);
        thread.spawn_scoped(scope, move || work(&receiver, answers, open))?;
        Ok(())
    }
}

/// Answers requests until there are no more.
fn work(receiver: &Receiver<Job<'_>>, answers: &Answers<'_>, open: &OpenRequests) {
    let mut panic = None;
    for Job { request, announced } in receiver {
        // The queue is emptied even so: the thread that reads requests may wait for room in it.
        if answers.channel.is_aborted() {
            continue;
        }
        let Asked { cookie, command } = request;
        let answer = AssertUnwindSafe(|| answers.answer(cookie, command, announced));
        let answered = catch_unwind(answer);
        open.record_answer(command);
        if !matches!(answered, Ok(Ok(()))) {
            // The replies of a broken connection reach nobody, so nothing is read for them. The other
            // workers and the thread that reads requests see the end too.
            answers.channel.abort();
        }
        panic = panic.or(answered.err());
    }
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_a_worker_has_taken_counts_until_it_is_answered() {
        let open = OpenRequests::default();
        let request = Command::Cache { offset: 0, len: 1 };
        assert_eq!(open.workers(), 0);
        open.record(request);
        // Whether a worker has taken the first one by now makes no difference.
        open.record(request);
        assert_eq!(open.workers(), 2);
        open.record_answer(request);
        assert_eq!(open.workers(), 1);
        for _ in 0..100 {
            open.record(request);
        }
        assert_eq!(open.workers(), WORKERS_MAX);
    }
}
