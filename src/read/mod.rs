//! Reads any bytes of an archive at any time, from any number of threads: [`Reader`].

#[cfg(feature = "nbd")]
mod announced;
mod cursor;
mod driver;
mod extents;
mod fill;
mod filled;
mod report;
mod shared;
mod shelf;
mod streams;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::bounded;

use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::error::Result;
use crate::fetch::{Fetcher, Threads};
use crate::read::driver::Driver;
use crate::read::shared::Shared;
use crate::read::streams::{Read, StreamId};
use crate::restore::Restore;
use crate::target::FileTarget;

#[cfg(feature = "nbd")]
pub(crate) use announced::Announced;
pub use cursor::Cursor;
pub use extents::{Extent, Extents};
pub use fill::Fill;
pub use report::ReadReport;

impl Restore {
    /// Opens an archive for reads of any bytes at any time. The reader has the options of this
    /// restore: its threads, memory, attempts, hedged requests, rate, seeds and cancel. Its patience
    /// with the places is 60 seconds, unless [`patience`](Restore::patience) was called. The options
    /// [`range`](Restore::range) and [`salvage`](Restore::salvage) have no effect on a reader.
    ///
    /// A connection to each place is opened at once and kept until the last clone of the reader is
    /// dropped. So a Proxmox Backup Server does not prune the snapshot meanwhile. A connection that
    /// breaks is made anew. A place that can't be reached is not an error here: reads wait for the
    /// place.
    ///
    /// # Errors
    /// [`Resources`](crate::ErrorKind::Resources) where a thread can't be started.
    pub fn reader(&self, archive: &Archive) -> Result<Reader> {
        let (settings, share, cancel) = self.for_reader(archive);
        let (bell, rung) = bounded(1);
        let mut fetcher = Fetcher::new(archive, settings, share.permits(), &cancel);
        let shared = Arc::new(Shared::new(archive, fetcher.seeds(), bell));
        fetcher.open_connections()?;
        let hook = self.retry_hook();
        let driver = Driver::new(
            Arc::clone(&shared),
            fetcher,
            share,
            rung,
            cancel.clone(),
            hook,
        );
        let mut threads = Threads::default();
        threads.start("restore-reader".to_owned(), move || driver.run())?;
        Ok(Reader(Arc::new(Inner {
            shared,
            cancel,
            threads,
        })))
    }
}

/// Reads any bytes of an archive at any time, from any number of threads. Cheap to clone; all clones
/// share chunks, memory and connections.
///
/// Every byte that a reader gives was verified. A chunk that several reads wait for is fetched once.
/// A read of several chunks asks for them all at once. Reads that follow one another are recognised
/// as a stream, also among other reads, and the chunks after them are fetched ahead: from the second
/// read in a row on one chunk, and then ever more, up to twice as many as there are requests in
/// flight. Chunks that somebody waits for overtake chunks that are fetched ahead. While a read of a
/// stream waits, the next chunks of the stream are as urgent as the chunk that it waits for: up to 16
/// chunks, which all streams share. Chunks that were read stay in memory as long as there is room.
/// Chunks of zeros are known by the index, and cost neither requests nor memory.
///
/// A read fails alone: after an error the next read tries again. A chunk that is missing, corrupt or
/// unreadable is asked for at each place and twice; a place that can't be reached is waited for.
///
/// # About threads
///
/// A reader has a thread of its own beside its workers. All of them have ended when the last clone
/// has been dropped. If a worker panics, all reads fail, and the drop of the last clone raises the
/// panic again.
///
/// ```no_run
/// # use chunk_restore::{Datastore, Restore};
/// let archive = Datastore::open("/mnt/datastore")?
///     .snapshot("vm/100")?
///     .archive("drive-scsi0.img")?;
/// let reader = Restore::new().reader(&archive)?;
/// let mut sector = [0; 512];
/// reader.read_at(&mut sector, 0)?;
/// # Ok::<_, chunk_restore::Error>(())
/// ```
#[derive(Clone)]
pub struct Reader(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    cancel: Cancel,
    /// The thread that drives the fetcher.
    threads: Threads,
}

impl Reader {
    /// The length of the archive, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.shared.archive.index().len()
    }

    /// Whether the archive has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills the buffer with the bytes from an offset on, and returns how many bytes these are: fewer
    /// than the buffer has room for only at the end of the archive, and none beyond it. The buffer
    /// may have any length: a read over many chunks keeps only a few of them in memory.
    ///
    /// # Errors
    /// Why a chunk can't be had, with its digest, position and offset, of the same kinds as for
    /// [`Restore::run`]. It is of kind [`Unavailable`](crate::ErrorKind::Unavailable) where the
    /// places gave nothing for as long as there is patience with them, and
    /// [`Cancelled`](crate::ErrorKind::Cancelled) after the cancel. The content of the buffer is then
    /// unspecified.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let shared = &self.0.shared;
        let len = (buffer.len() as u64).min(self.len().saturating_sub(offset));
        let Some(read) = self.locate(offset..offset + len) else {
            return Ok(0);
        };
        shared.counts.reads.fetch_add(1, Ordering::Relaxed);
        let stream = shared.begin(&read);
        self.copy(&read, &mut buffer[..len as usize], stream)
    }

    /// Fills the buffer, which is as long as the read, with its bytes.
    fn copy(&self, read: &Read, buffer: &mut [u8], stream: StreamId) -> Result<usize> {
        let shared = &self.0.shared;
        let index = shared.archive.index();
        let ahead = shared.ahead_max.load(Ordering::Relaxed).max(1);
        let mut done = 0;
        for position in read.first..=read.last {
            let Some(chunk) = index.chunk(position) else {
                break;
            };
            let from = (read.bytes.start + done as u64 - chunk.offset) as usize;
            let count = (chunk.len as usize - from).min(buffer.len() - done);
            let piece = &mut buffer[done..][..count];
            done += count;
            // While this chunk is waited for, the others come.
            let also = Some(position + ahead).filter(|also| *also <= read.last);
            if shared.is_zero(&chunk) {
                piece.fill(0);
                shared.want_now(also);
                continue;
            }
            let data = shared.chunk(position, &chunk, also, stream)?;
            piece.copy_from_slice(&data.data()[from..][..count]);
            shared.release(data);
        }
        shared
            .counts
            .bytes
            .fetch_add(done as u64, Ordering::Relaxed);
        Ok(done)
    }

    /// Fetches the chunks of these bytes, as many as may be read ahead at once, since they will be
    /// needed soon. Returns at once, and is only a hint: whoever reads meanwhile comes first.
    pub fn prefetch(&self, range: Range<u64>) {
        let end = range.end.min(self.len());
        if let Some(read) = self.locate(range.start.min(end)..end) {
            self.0.shared.prefetch(&read);
        }
    }

    /// Where these bytes have data and where they have zeros, as far as the archive has them. The
    /// index alone says so: nothing is fetched.
    #[must_use]
    pub fn extents(&self, range: Range<u64>) -> Extents<'_> {
        Extents::new(&self.0.shared, range)
    }

    /// Reads the archive as a file is read, from its first byte on.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.clone())
    }

    /// Starts to make a file of the archive while it is read: chunks that are read are kept in the
    /// file, and the others are fetched behind them, in order. Whatever the file holds is from then
    /// on read from the file, and verified again. Once the file holds everything it is synced, and
    /// gets its final name.
    ///
    /// A chunk that can't be had is left out, and all others are written. While a place can't be
    /// reached, the fill waits for it. A file that can't be written ends the fill, and not the reader.
    /// After the fill was cut off, another fill or restore to the same name goes on with what the
    /// file holds. A reader can have one fill at a time: a second one takes over what is read from
    /// then on.
    ///
    /// The fill ends when it is dropped, and with the last clone of the reader.
    ///
    /// # Errors
    /// [`Target`](crate::ErrorKind::Target) where the file can't take the archive, and
    /// [`Resources`](crate::ErrorKind::Resources) where a thread can't be started.
    pub fn fill(&self, target: FileTarget) -> Result<Fill> {
        Fill::start(&self.0.shared, target, &self.0.cancel)
    }

    /// What this reader and its clones have done so far.
    #[must_use]
    pub fn report(&self) -> ReadReport {
        let counts = &self.0.shared.counts;
        ReadReport {
            reads: counts.reads.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
            chunks: counts.chunks.load(Ordering::Relaxed),
            hits: counts.hits.load(Ordering::Relaxed),
            ..self.0.shared.report.lock().clone()
        }
    }

    /// The archive that is read.
    #[cfg(feature = "files")]
    pub(crate) fn archive(&self) -> &Archive {
        &self.0.shared.archive
    }

    /// What ends the reader.
    #[cfg(feature = "files")]
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.0.cancel
    }

    /// The offset where the chunk ends that the byte at an offset lies in; the end of the archive
    /// for an offset beyond it.
    #[cfg(feature = "files")]
    pub(crate) fn chunk_end(&self, offset: u64) -> u64 {
        let index = self.0.shared.archive.index();
        let chunk = index.position_at(offset).and_then(|at| index.chunk(at));
        chunk.map_or(self.len(), |chunk| chunk.offset + u64::from(chunk.len))
    }

    /// The chunks that these bytes lie in; `None` where there are no such bytes.
    fn locate(&self, bytes: Range<u64>) -> Option<Read> {
        let index = self.0.shared.archive.index();
        let last = bytes.end.checked_sub(1)?;
        if bytes.is_empty() {
            return None;
        }
        Some(Read {
            first: index.position_at(bytes.start)?,
            last: index.position_at(last)?,
            bytes,
        })
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("archive", &self.0.shared.archive)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.end();
        self.threads.join();
    }
}
