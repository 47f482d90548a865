//! The files that a mount shows: what the kernel asks about them, and its answers.

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use chunk_restore::Reader;
use crossbeam_channel::{Receiver, Sender, unbounded};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry,
    ReplyLseek, ReplyOpen, ReplyStatfs, Request,
};
use rustix::process::{getegid, geteuid};

use crate::disks::Disk;
use crate::failure::Failure;
use crate::output::Output;
use crate::read_failures::ReadFailures;

/// How many reads of disks are answered at once. A read that waits for its chunk holds up only those
/// that come when so many wait already.
const READS_MAX: usize = 32;

/// How many reads ahead of its programs the kernel may have waiting.
const READS_AHEAD_MAX: u16 = 32;

/// How long the kernel may keep what it was told about a file: nothing ever changes.
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// The number of the first file. The folder itself has the number 1.
const FIRST_FILE: u64 = 2;

/// The blocks that file systems count in, in bytes.
const BLOCK_LEN: u64 = 512;

/// The block size that programs are told to read in, in bytes.
const READ_LEN: u32 = 128 << 10;

/// What programs ask `lseek` for.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// A file in the folder.
#[derive(Clone, Debug)]
pub(crate) struct File {
    name: String,
    content: Content,
    /// How many bytes of it are not in holes.
    data_len: u64,
}

#[derive(Clone, Debug)]
enum Content {
    Disk(Reader),
    Small(Vec<u8>),
}

impl File {
    pub(crate) fn of(disk: &Disk) -> File {
        let reader = disk.reader.clone();
        let extents = reader.extents(0..reader.len());
        let data_len = extents
            .filter(|extent| !extent.is_zero)
            .map(|extent| extent.len)
            .sum();
        File {
            name: disk.name.clone(),
            content: Content::Disk(reader),
            data_len,
        }
    }

    pub(crate) fn small(name: String, bytes: Vec<u8>) -> File {
        File {
            name,
            data_len: bytes.len() as u64,
            content: Content::Small(bytes),
        }
    }

    fn len(&self) -> u64 {
        match &self.content {
            Content::Disk(reader) => reader.len(),
            Content::Small(bytes) => bytes.len() as u64,
        }
    }

    /// Where data, or a hole, is next from an offset on; `None` beyond the end, and if no more data
    /// comes. The end of a file counts as a hole.
    fn seek(&self, offset: u64, to_hole: bool) -> Option<u64> {
        let len = self.len();
        if offset >= len {
            return None;
        }
        match &self.content {
            Content::Disk(reader) => {
                let mut extents = reader.extents(offset..len);
                let found = extents.find(|extent| extent.is_zero == to_hole);
                let found = found.map(|extent| extent.offset);
                found.or_else(|| to_hole.then_some(len))
            }
            Content::Small(_) if to_hole => Some(len),
            Content::Small(_) => Some(offset),
        }
    }
}

/// A read of a disk that waits to be answered.
struct Job {
    file: Arc<File>,
    offset: u64,
    len: u32,
    reply: ReplyData,
}

/// The folder.
pub(crate) struct Files {
    files: Vec<Arc<File>>,
    time: SystemTime,
    /// Whether the users of this machine may all read the files.
    is_for_all: bool,
    jobs: Sender<Job>,
    /// Hears that the kernel has no more questions.
    end: Option<mpsc::Sender<()>>,
}

impl Files {
    /// A folder with these files, all of them of this time, in seconds since 1970. Threads that
    /// answer reads are started, and live as long as the folder.
    pub(crate) fn new(
        files: Vec<File>,
        time: i64,
        is_for_all: bool,
        output: &Output,
    ) -> Result<Files, Failure> {
        let (jobs, receiver) = unbounded();
        let failures = Arc::new(ReadFailures::new(output));
        for _ in 0..READS_MAX {
            let (receiver, failures) = (receiver.clone(), Arc::clone(&failures));
            let started = thread::Builder::new()
                .name("reads".to_owned())
                .spawn(move || answer(&receiver, &failures));
            started.map_err(|error| {
                Failure::output("cannot start a thread that answers reads").because(&error)
            })?;
        }
        let since_1970 = Duration::from_secs(u64::try_from(time).unwrap_or_default());
        Ok(Files {
            files: files.into_iter().map(Arc::new).collect(),
            time: SystemTime::UNIX_EPOCH + since_1970,
            is_for_all,
            jobs,
            end: None,
        })
    }

    /// The folder sends a message to `end` when it is not mounted any more.
    pub(crate) fn tell_end(&mut self, end: mpsc::Sender<()>) {
        self.end = Some(end);
    }

    /// The file with a number.
    fn file(&self, number: INodeNo) -> Option<&Arc<File>> {
        let place = u64::from(number).checked_sub(FIRST_FILE)?;
        self.files.get(usize::try_from(place).ok()?)
    }

    /// What the kernel is told of the thing with this number.
    fn attributes(&self, number: INodeNo) -> Option<FileAttr> {
        let (kind, mode, len, data_len) = match self.file(number) {
            Some(file) => (FileType::RegularFile, 0o400, file.len(), file.data_len),
            None if number == INodeNo::ROOT => (FileType::Directory, 0o500, 0, 0),
            None => return None,
        };
        let mode_for_all = mode | mode >> 3 | mode >> 6;
        Some(FileAttr {
            ino: number,
            size: len,
            blocks: data_len.div_ceil(BLOCK_LEN),
            atime: self.time,
            mtime: self.time,
            ctime: self.time,
            crtime: self.time,
            kind,
            perm: if self.is_for_all { mode_for_all } else { mode },
            nlink: 1,
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            rdev: 0,
            blksize: READ_LEN,
            flags: 0,
        })
    }
}

impl Filesystem for Files {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // The kernel has its own default if it refuses this.
        let _ = config.set_max_background(READS_AHEAD_MAX);
        Ok(())
    }

    fn destroy(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let place = self
            .files
            .iter()
            .position(|file| name == file.name.as_str());
        let number = place.map(|place| INodeNo(FIRST_FILE + place as u64));
        let found = number.filter(|_| parent == INodeNo::ROOT);
        match found.and_then(|number| self.attributes(number)) {
            Some(attributes) => reply.entry(&KEEP, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(number) {
            Some(attributes) => reply.attr(&KEEP, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Nothing ever changes, so what the kernel has of the file stays right.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        len: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = self.file(number) else {
            return reply.error(Errno::ENOENT);
        };
        if let Content::Small(bytes) = &file.content {
            let from = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let to = from.saturating_add(len as usize).min(bytes.len());
            return reply.data(&bytes[from..to]);
        }
        let file = Arc::clone(file);
        let job = Job {
            file,
            offset,
            len,
            reply,
        };
        if let Err(unsent) = self.jobs.send(job) {
            unsent.into_inner().reply.error(Errno::EIO);
        }
    }

    fn lseek(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let Some(file) = self.file(number) else {
            return reply.error(Errno::ENOENT);
        };
        let (SEEK_DATA | SEEK_HOLE) = whence else {
            return reply.error(Errno::EINVAL);
        };
        let found = u64::try_from(offset).ok();
        let found = found.and_then(|offset| file.seek(offset, whence == SEEK_HOLE));
        match found.and_then(|offset| i64::try_from(offset).ok()) {
            Some(offset) => reply.offset(offset),
            None => reply.error(Errno::ENXIO),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if number != INodeNo::ROOT {
            return reply.error(Errno::ENOTDIR);
        }
        let folders = [".", ".."].map(|name| (INodeNo::ROOT, FileType::Directory, name));
        let files = self.files.iter().zip(FIRST_FILE..);
        let files = files
            .map(|(file, number)| (INodeNo(number), FileType::RegularFile, file.name.as_str()));
        let entries = folders.into_iter().chain(files).zip(1..);
        // The offset of an entry is the number of entries up to it.
        for ((number, kind, name), count) in entries.skip(offset as usize) {
            let is_full = reply.add(number, count, kind, name);
            if is_full {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = self
            .files
            .iter()
            .map(|file| file.data_len.div_ceil(BLOCK_LEN));
        let count = self.files.len() as u64;
        reply.statfs(blocks.sum(), 0, 0, count, 0, BLOCK_LEN as u32, 255, 0);
    }
}

/// Answers reads of disks until the folder is gone.
fn answer(jobs: &Receiver<Job>, failures: &ReadFailures) {
    let mut buffer = Vec::new();
    for Job {
        file,
        offset,
        len,
        reply,
    } in jobs
    {
        let Content::Disk(reader) = &file.content else {
            reply.error(Errno::EIO);
            continue;
        };
        buffer.resize(len as usize, 0);
        match reader.read_at(&mut buffer, offset) {
            Ok(len) => reply.data(&buffer[..len]),
            Err(error) => {
                failures.tell(&file.name, &error);
                reply.error(Errno::EIO);
            }
        }
    }
}
