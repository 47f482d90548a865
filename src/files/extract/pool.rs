//! Threads that make small files, each with one system call after the other, while the archive is
//! read on.

use std::thread::Builder;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};

use crate::error::Error;
use crate::files::extract::attributes::Attributes;
use crate::files::extract::new_file::Naming;
use crate::files::extract::pending::{PendingFile, note};
use crate::files::extract::place::MakeError;
use crate::files::extract::report::ExtractReport;
use crate::files::extract::request::{FileId, FileRequest};
use crate::files::omission::LeftOut;
use crate::files::pxar::Mtime;

/// How many files may wait for a thread.
const WAITING_MAX: usize = 64;

/// The most threads that make files.
const THREADS_MAX: usize = 4;

/// What all threads of an extraction share.
pub(super) struct Common {
    pub(super) attributes: Attributes,
    pub(super) naming: Naming,
    /// How the names of files begin that are there only for a moment.
    pub(super) temporaries: String,
    /// The time of a file that is not durable yet, where somebody else's files may lie.
    pub(super) not_durable: Mtime,
    pub(super) done: Mutex<Done>,
    /// Signals that no file is under way.
    idle: Condvar,
}

/// What has been done.
#[derive(Default)]
pub(super) struct Done {
    pub(super) report: ExtractReport,
    pub(super) files: Vec<PendingFile>,
    /// Why nothing else will fare better.
    pub(super) fatal: Option<Error>,
    /// Whether anything but regular files was made.
    pub(super) has_made: bool,
    under_way: usize,
}

/// A small file with all of its bytes.
pub(super) struct SmallFile {
    pub(super) request: FileRequest,
    pub(super) content: Vec<u8>,
    pub(super) is_damaged: bool,
}

impl Common {
    pub(super) fn new(
        attributes: Attributes,
        naming: Naming,
        temporaries: String,
        not_durable: Mtime,
    ) -> Common {
        Common {
            attributes,
            naming,
            temporaries,
            not_durable,
            done: Mutex::default(),
            idle: Condvar::new(),
        }
    }

    /// Waits until no file is under way.
    pub(super) fn wait_until_idle(&self) {
        let mut done = self.done.lock();
        while done.under_way > 0 {
            self.idle.wait(&mut done);
        }
    }

    /// Notes how it went with a file.
    pub(super) fn settle(
        &self,
        request: FileRequest,
        len: u64,
        is_damaged: bool,
        made: Result<Option<FileId>, MakeError>,
        left_out: Vec<LeftOut>,
    ) {
        let mut done = self.done.lock();
        match made {
            Ok(id) => {
                done.report.files += 1;
                done.report.bytes += len;
                note(&mut done.report, &request.path, left_out);
                // Without its time, a damaged file is taken again by the next extraction.
                if !is_damaged {
                    done.files.push(PendingFile {
                        path: request.path,
                        id,
                        mtime: request.metadata.mtime,
                        times: request.times,
                        flags: request.metadata.flags,
                    });
                }
            }
            Err(MakeError::Entry(error)) => done.report.fail(&request.path, error),
            Err(MakeError::Everything(error)) => {
                done.fatal.get_or_insert(error);
            }
        }
    }

    fn make(&self, file: SmallFile) {
        let mut left_out = Vec::new();
        let made = file.request.create(self.naming).and_then(|mut new| {
            let written = new.write(&file.content);
            written.map_err(|error| file.request.place().not_made(error))?;
            file.request.finish(new, &self.attributes, &mut left_out)
        });
        let len = file.content.len() as u64;
        self.settle(file.request, len, file.is_damaged, made, left_out);
    }
}

/// Counts a file as under way for as long as it lives, also if its thread panics.
struct UnderWay<'a>(&'a Common);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut done = self.0.done.lock();
        done.under_way -= 1;
        if done.under_way == 0 {
            self.0.idle.notify_all();
        }
    }
}

/// Hands small files to the threads.
pub(super) struct Pool<'a> {
    common: &'a Common,
    /// Nobody receives where no thread could be started.
    queue: Sender<SmallFile>,
}

impl Pool<'_> {
    /// Makes a file on a thread of the pool, or on this one if there is none.
    pub(super) fn make(&self, file: SmallFile) {
        self.common.done.lock().under_way += 1;
        if let Err(unsent) = self.queue.send(file) {
            let _under_way = UnderWay(self.common);
            self.common.make(unsent.into_inner());
        }
    }
}

/// Runs `extract` with threads beside it. They have ended when this returns; a panic of a thread is
/// raised again.
pub(super) fn with_pool<T>(common: &Common, extract: impl FnOnce(&Pool<'_>) -> T) -> T {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let (sender, receiver) = bounded::<SmallFile>(WAITING_MAX);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(THREADS_MAX) {
            let receiver: Receiver<SmallFile> = receiver.clone();
            let thread = Builder::new().name("restore-files".to_owned());
            let started = thread.spawn_scoped(scope, move || {
                for file in receiver {
                    let _under_way = UnderWay(common);
                    common.make(file);
                }
            });
            if started.is_err() {
                // Fewer threads do the same.
                break;
            }
        }
        drop(receiver);
        let pool = Pool {
            common,
            queue: sender,
        };
        extract(&pool)
    })
}
