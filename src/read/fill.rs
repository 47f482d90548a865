//! Fills a file with what is read, and with the rest of the archive behind it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, select};
use parking_lot::Mutex;

use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::error::{Error, ErrorKind, Result, Scope};
use crate::fetch::Threads;
use crate::format::blob::Verified;
use crate::format::index::Chunk;
use crate::read::filled::{Arrival, Filled};
use crate::read::shared::{Behind, Shared};
use crate::restore::plan::Plan;
use crate::restore::scan::{Finding, Scan};
use crate::target::{FileTarget, ReadAt, Target};

/// How long the fill waits before it asks again for a chunk of a place that can't be reached.
const RETRY: Duration = Duration::from_secs(1);

/// How long the fill may sleep before it looks again whether it was cancelled.
const GLANCE: Duration = Duration::from_millis(200);

/// A file that becomes the whole archive while the archive is read, made by
/// [`Reader::fill`](crate::Reader::fill).
///
/// Dropping it ends the fill: what the file holds stays, and the next fill or restore to the same
/// name goes on with it.
#[derive(Debug)]
pub struct Fill {
    filled: Arc<Filled>,
    outcome: Arc<Mutex<Option<Result<()>>>>,
    stop: Cancel,
    threads: Threads,
}

impl Fill {
    /// Starts to fill a file.
    ///
    /// # Errors
    /// [`ErrorKind::Target`] where the file can't take the archive, and [`ErrorKind::Resources`]
    /// where a thread can't be started.
    pub(super) fn start(
        shared: &Arc<Shared>,
        mut target: FileTarget,
        cancel: &Cancel,
    ) -> Result<Fill> {
        let archive = &shared.archive;
        let plan = Arc::new(Plan::new(archive.index(), archive.key(), 0..u64::MAX));
        let begun = target.begin_in_any_order(plan.len(), plan.zeros());
        begun.map_err(|error| target_error("prepare", 0, error))?;
        let file = target.reader();
        let stop = cancel.child();
        let mut threads = Threads::default();
        let mut scan = None;
        if target.is_begun() {
            let begun = Arc::new(Scan::new(archive, &plan, Arc::clone(&file), true, &stop)?);
            scan = Some(Arc::clone(&begun));
            threads.start("restore-fill-scan".to_owned(), move || begun.run())?;
        }
        let (filled, arrived) = Filled::new(archive.index().count());
        let filled = Arc::new(filled);
        let outcome = Arc::new(Mutex::default());
        let held: Arc<dyn ReadAt> = Arc::new(Held {
            archive: archive.clone(),
            filled: Arc::clone(&filled),
            file,
        });
        shared.seeds.add(Arc::clone(&held));
        let its_seed = Arc::clone(&held);
        let filler = Filler {
            shared: Arc::clone(shared),
            filled: Arc::clone(&filled),
            outcome: Arc::clone(&outcome),
            scan,
            target,
            arrived,
            held,
            stop: stop.clone(),
            lost: None,
        };
        *shared.fill.lock() = Some(Arc::clone(&filled));
        let started = threads.start("restore-fill".to_owned(), move || filler.run());
        if let Err(error) = started {
            // The scan need not go on, and nobody writes what is read.
            stop.cancel();
            shared.seeds.remove(&its_seed);
            shared.end_fill(&filled);
            return Err(error);
        }
        Ok(Fill {
            filled,
            outcome,
            stop,
            threads,
        })
    }

    /// How many bytes of the archive the file holds, zeros included.
    #[must_use]
    pub fn filled(&self) -> u64 {
        self.filled.bytes()
    }

    /// What came of it, once the fill has ended; `None` before. `Ok` means that the file holds every
    /// byte, verified and durable, and has its final name.
    ///
    /// # Errors
    /// [`ErrorKind::Target`] where the file could not be written; why a chunk can't be had, where all
    /// others are in the file; [`ErrorKind::Cancelled`]. The unfinished file stays.
    pub fn outcome(&self) -> Option<Result<()>> {
        self.outcome.lock().clone()
    }

    /// Ends the fill, and returns what came of it. A sync of the file that has begun is waited for, and
    /// the file may then be whole.
    ///
    /// # Errors
    /// As [`outcome`](Fill::outcome).
    pub fn end(mut self) -> Result<()> {
        self.stop.cancel();
        self.threads.join();
        let outcome = self.outcome.lock().take();
        outcome.unwrap_or_else(|| {
            let message = "the thread that fills the file has ended";
            Err(Error::new(ErrorKind::Resources, message))
        })
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.stop.cancel();
        self.threads.join();
    }
}

/// The chunks that the file holds already, for the workers: they verify what they read.
struct Held {
    archive: Archive,
    filled: Arc<Filled>,
    file: Arc<dyn ReadAt>,
}

impl ReadAt for Held {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let position = self.archive.index().position_at(offset);
        match position {
            Some(position) if self.filled.holds(position) => {
                self.file.read_exact_at(buffer, offset)
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The thread that writes the file.
struct Filler {
    shared: Arc<Shared>,
    filled: Arc<Filled>,
    outcome: Arc<Mutex<Option<Result<()>>>>,
    scan: Option<Arc<Scan>>,
    target: FileTarget,
    arrived: Receiver<Arrival>,
    /// The seed that the file is for the workers.
    held: Arc<dyn ReadAt>,
    stop: Cancel,
    /// The first chunk that can't be had.
    lost: Option<Error>,
}

impl Filler {
    fn run(mut self) {
        let outcome = self.fill();
        // From now on nothing is kept any more. A whole file is still read; another fill may go on with an
        // unfinished one.
        if outcome.is_err() {
            self.shared.seeds.remove(&self.held);
        }
        self.shared.end_fill(&self.filled);
        *self.outcome.lock() = Some(outcome);
    }

    /// Goes through the archive in order, and writes what comes for others meanwhile.
    fn fill(&mut self) -> Result<()> {
        for position in 0..self.shared.archive.index().count() {
            if let Some(chunk) = self.shared.archive.index().chunk(position) {
                self.fill_one(position, &chunk)?;
            }
        }
        if let Some(error) = self.lost.take() {
            return Err(error);
        }
        // A sync may take long, and what still waits holds memory.
        self.take_arrivals()?;
        let finished = self.target.finish(false);
        finished.map_err(|error| target_error("finish", self.shared.archive.index().len(), error))
    }

    fn fill_one(&mut self, position: usize, chunk: &Chunk) -> Result<()> {
        self.wait_for_scan(position, chunk)?;
        if self.filled.holds(position) {
            return Ok(());
        }
        if self.shared.is_zero(chunk) {
            self.target.seek(chunk.offset);
            let written = self.target.write_zeros(u64::from(chunk.len));
            written.map_err(|error| target_error("write", chunk.offset, error))?;
            self.filled.set_holds(position, chunk.len);
            return Ok(());
        }
        loop {
            match self.fetch(position, chunk)? {
                Ok(data) => {
                    let written = self.write(position, chunk, &data);
                    self.shared.release(data);
                    return written;
                }
                Err(error) if error.scope() == Some(Scope::Chunk) => {
                    self.lost.get_or_insert(error);
                    return Ok(());
                }
                // The place may come back, and this machine may have what it lacks.
                Err(error) if may_pass(&error) => self.pause()?,
                Err(error) => return Err(error),
            }
            if self.filled.holds(position) {
                return Ok(());
            }
        }
    }

    /// Waits until it is known whether the file held the chunk before.
    fn wait_for_scan(&mut self, position: usize, chunk: &Chunk) -> Result<()> {
        loop {
            self.take_arrivals()?;
            let Some(scan) = &self.scan else {
                return Ok(());
            };
            match scan.finding(position) {
                Finding::Holds if !self.filled.holds(position) => {
                    self.filled.set_holds(position, chunk.len);
                    return Ok(());
                }
                Finding::Unknown => _ = scan.bell().recv_timeout(GLANCE),
                _ => return Ok(()),
            }
        }
    }

    /// The chunk, which is asked for behind all that somebody waits for, and those after it.
    ///
    /// # Errors
    /// The fill was stopped, or the file could not be written. The inner error is why the chunk can't
    /// be had.
    fn fetch(&mut self, position: usize, chunk: &Chunk) -> Result<Result<Arc<Verified>>> {
        let (filled, scan) = (&self.filled, &self.scan);
        // Of the chunks after it, the file may hold those that the scan has not looked at.
        let is_lacking = |at| {
            let finding = scan.as_ref().map(|scan| scan.finding(at));
            !filled.holds(at) && finding.is_none_or(|finding| finding == Finding::Differs)
        };
        let delivery = self.shared.fetch_behind(position, chunk, is_lacking);
        let delivery = match delivery {
            Ok(Behind::Coming(delivery)) => delivery,
            Ok(Behind::Here(data)) => return Ok(Ok(data)),
            // Nothing can be read any more.
            Err(error) => return Err(error),
        };
        loop {
            select! {
                recv(delivery) -> delivered => {
                    let taken_back = || Error::new(ErrorKind::Unavailable, "the request was taken back");
                    return Ok(delivered.unwrap_or_else(|_| Err(taken_back())));
                }
                recv(self.arrived) -> arrival => if let Ok(arrival) = arrival {
                    self.keep(arrival)?;
                },
                default(GLANCE) => {}
            }
            self.check_stopped()?;
        }
    }

    fn take_arrivals(&mut self) -> Result<()> {
        self.check_stopped()?;
        while let Ok(arrival) = self.arrived.try_recv() {
            self.keep(arrival)?;
        }
        Ok(())
    }

    fn keep(&mut self, Arrival { position, data }: Arrival) -> Result<()> {
        let finding = self.scan.as_ref().map(|scan| scan.finding(position));
        let chunk = self.shared.archive.index().chunk(position);
        let mut written = Ok(());
        // The scan may read the bytes at this moment, where it has not looked yet.
        if let Some(chunk) = chunk
            && finding.is_none_or(|finding| finding == Finding::Differs)
            && !self.filled.holds(position)
        {
            written = self.write(position, &chunk, &data);
        }
        self.shared.release(data);
        written
    }

    fn write(&mut self, position: usize, chunk: &Chunk, data: &Verified) -> Result<()> {
        // What is written need not be kept for the fill.
        self.shared.shelf.lock().let_go(&chunk.digest);
        // It may have come for somebody else meanwhile.
        if self.filled.holds(position) {
            return Ok(());
        }
        self.target.seek(chunk.offset);
        let written = self.target.write(data.data());
        written.map_err(|error| target_error("write", chunk.offset, error))?;
        self.filled.set_holds(position, chunk.len);
        Ok(())
    }

    fn pause(&self) -> Result<()> {
        self.stop.wait(RETRY);
        self.check_stopped()
    }

    fn check_stopped(&self) -> Result<()> {
        if self.stop.is_cancelled() || self.shared.is_ended() {
            let filled = self.filled.bytes();
            let len = self.shared.archive.index().len();
            let message = format!("stopped to fill the file after {filled} of {len} bytes");
            return Err(Error::new(ErrorKind::Cancelled, message));
        }
        Ok(())
    }
}

/// Whether the same chunk may be had later.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Resources)
}

fn target_error(verb: &str, offset: u64, error: io::Error) -> Error {
    let message = format!("cannot {verb} the file that is to be filled, at offset {offset}");
    Error::new(ErrorKind::Target, message)
        .because(error)
        .at_offset(offset)
}
