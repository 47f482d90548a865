//! The file system of a mount: what the kernel asks, and its answers. Disks and small files lie in the
//! root folder, beside a folder for each file archive.

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use rustix::process::{getegid, geteuid};

use crate::failure::Failure;
use crate::mount::answers::Answers;
use crate::mount::attributes::{BLOCK_LEN, READ_LEN};
use crate::mount::folder_reply::FolderReply;
use crate::mount::folders::{Folder, Folders};
use crate::mount::mounted_file::{Content, File};
use crate::output::Output;
use crate::read_failures::ReadFailures;

/// How many reads ahead of its programs the kernel may have waiting.
const READS_AHEAD_MAX: u16 = 32;

/// How long the kernel may keep what it was told about a file: nothing ever changes.
pub(crate) const KEEP: Duration = Duration::from_secs(24 * 3600);

/// The number of the first file. The root folder has the number 1, and the entries of file archives
/// have the numbers after those of the files.
const FIRST_FILE: u64 = 2;

/// What programs ask `lseek` for.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// The root folder, with all that is in it.
pub(crate) struct FileSystem {
    files: Vec<Arc<File>>,
    folders: Arc<Folders>,
    time: SystemTime,
    /// Whether the users of this machine may all read the files.
    is_for_all: bool,
    answers: Answers,
    failures: Arc<ReadFailures>,
    /// Hears that the kernel has no more questions.
    end: Option<mpsc::Sender<()>>,
}

impl FileSystem {
    /// A root folder with these files, all of them of this time, in seconds since 1970, and these
    /// folders. Threads that answer the kernel are started, and live as long as the root folder.
    pub(crate) fn new(
        files: Vec<File>,
        folders: Vec<Folder>,
        time: i64,
        is_for_all: bool,
        output: &Output,
    ) -> Result<FileSystem, Failure> {
        let failures = Arc::new(ReadFailures::new(output));
        let since_1970 = Duration::from_secs(u64::try_from(time).unwrap_or_default());
        let first = FIRST_FILE + files.len() as u64;
        Ok(FileSystem {
            files: files.into_iter().map(Arc::new).collect(),
            folders: Arc::new(Folders::new(folders, first, Arc::clone(&failures))),
            time: SystemTime::UNIX_EPOCH + since_1970,
            is_for_all,
            answers: Answers::start()?,
            failures,
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

    /// Whether a number is that of the root folder or of a file in it.
    fn is_own(&self, number: INodeNo) -> bool {
        number == INodeNo::ROOT || self.file(number).is_some()
    }

    /// What the kernel is told of the root folder or a file in it.
    fn attributes(&self, number: INodeNo) -> FileAttr {
        let (kind, mode, len, data_len) = match self.file(number) {
            Some(file) => (FileType::RegularFile, 0o400, file.len(), file.data_len),
            None => (FileType::Directory, 0o500, 0, 0),
        };
        let mode_for_all = mode | mode >> 3 | mode >> 6;
        FileAttr {
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
        }
    }

    /// The entries of the root folder.
    fn entries(&self) -> impl Iterator<Item = (&str, FileAttr)> {
        let files = self.files.iter().zip(FIRST_FILE..);
        let files =
            files.map(|(file, number)| (file.name.as_str(), self.attributes(INodeNo(number))));
        files.chain(self.folders.roots())
    }

    /// Lists the entries of a folder from an offset on.
    fn list(&self, number: INodeNo, handle: FileHandle, offset: u64, mut to: FolderReply) {
        if number != INodeNo::ROOT {
            return self.ask(move |folders| {
                folders.list(number.into(), handle.into(), offset, to);
            });
        }
        let dots = [".", ".."].map(|name| (name, self.attributes(INodeNo::ROOT)));
        let entries = dots.into_iter().chain(self.entries()).zip(1..);
        // The offset of an entry is the number of entries up to it.
        for ((name, attributes), count) in entries.skip(offset as usize) {
            if to.add(count, OsStr::new(name), &attributes) {
                break;
            }
        }
        to.ok();
    }

    /// Asks the file archives, which may have to wait for chunks.
    fn ask(&self, question: impl FnOnce(&Folders) + Send + 'static) {
        let folders = Arc::clone(&self.folders);
        self.answers.give(move |_| question(&folders));
    }
}

impl Filesystem for FileSystem {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // The kernel has its own defaults if it refuses these.
        let _ = config.set_max_background(READS_AHEAD_MAX);
        let lists = InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO;
        // Programs that ask for entries of one folder don't wait for one another.
        let parallel = InitFlags::FUSE_PARALLEL_DIROPS;
        for capability in [lists, parallel, InitFlags::FUSE_CACHE_SYMLINKS] {
            let _ = config.add_capabilities(capability);
        }
        if self.is_for_all {
            // The kernel checks permissions then, and needs the ACLs for that.
            let _ = config.add_capabilities(InitFlags::FUSE_POSIX_ACL);
        }
        Ok(())
    }

    fn destroy(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent != INodeNo::ROOT {
            let name = name.to_owned();
            return self.ask(move |folders| match folders.lookup(parent.into(), &name) {
                Ok(attributes) => reply.entry(&KEEP, &attributes, Generation(0)),
                Err(error) => reply.error(error),
            });
        }
        let found = self.entries().find(|(own, _)| name == OsStr::new(own));
        match found {
            Some((_, attributes)) => reply.entry(&KEEP, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn forget(&self, _: &Request, number: INodeNo, times: u64) {
        self.folders.forget(number.into(), times);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        if self.is_own(number) {
            return reply.attr(&KEEP, &self.attributes(number));
        }
        self.ask(move |folders| match folders.attributes(number.into()) {
            Ok(attributes) => reply.attr(&KEEP, &attributes),
            Err(error) => reply.error(error),
        });
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        self.ask(move |folders| match folders.target(number.into()) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(error),
        });
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Nothing ever changes, so what the kernel has of the file stays right.
        let flags = FopenFlags::FOPEN_KEEP_CACHE;
        if self.is_own(number) {
            return reply.opened(FileHandle(0), flags);
        }
        self.ask(move |folders| match folders.open(number.into()) {
            Ok(handle) => reply.opened(FileHandle(handle), flags),
            Err(error) => reply.error(error),
        });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.folders.close(handle.into());
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        len: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = self.file(number).map(Arc::clone) else {
            let folders = Arc::clone(&self.folders);
            return self.answers.give(move |buffer| {
                buffer.resize(len as usize, 0);
                match folders.read(number.into(), handle.into(), offset, buffer) {
                    Ok(len) => reply.data(&buffer[..len]),
                    Err(error) => reply.error(error),
                }
            });
        };
        let failures = Arc::clone(&self.failures);
        if let Content::Small(_) = file.content {
            // Nothing is waited for.
            return file.read(offset, len, &mut Vec::new(), &failures, reply);
        }
        self.answers
            .give(move |buffer| file.read(offset, len, buffer, &failures, reply));
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
        let (SEEK_DATA | SEEK_HOLE) = whence else {
            return reply.error(Errno::EINVAL);
        };
        let to_hole = whence == SEEK_HOLE;
        let answer = move |found: Option<u64>| match found.and_then(|found| found.try_into().ok()) {
            Some(offset) => reply.offset(offset),
            None => reply.error(Errno::ENXIO),
        };
        let Ok(offset) = u64::try_from(offset) else {
            return answer(None);
        };
        match self.file(number) {
            Some(file) => answer(file.seek(offset, to_hole)),
            // File archives hold no holes: each file is one run of data.
            None => self.ask(move |folders| {
                let attributes = folders.attributes(number.into()).ok();
                let len = attributes.map(|attributes| attributes.size);
                let len = len.filter(|len| offset < *len);
                answer(len.map(|len| if to_hole { len } else { offset }));
            }),
        }
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR;
        if number == INodeNo::ROOT {
            return reply.opened(FileHandle(0), flags);
        }
        match self.folders.open_folder(number.into()) {
            Ok(handle) => reply.opened(FileHandle(handle), flags),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        self.list(number, handle, offset, FolderReply::Plain(reply));
    }

    fn readdirplus(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        self.list(number, handle, offset, FolderReply::WithAttributes(reply));
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.folders.close_folder(handle.into());
        reply.ok();
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if self.is_own(number) {
            return reply.error(Errno::NO_XATTR);
        }
        let name = name.to_owned();
        self.ask(move |folders| send_xattr(folders.xattr(number.into(), &name), size, reply));
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        if self.is_own(number) {
            return send_xattr(Ok(Vec::new()), size, reply);
        }
        self.ask(move |folders| send_xattr(folders.xattr_names(number.into()), size, reply));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let files = self.files.iter();
        let lens = files.map(|file| file.data_len).chain([self.folders.len()]);
        let blocks = lens.map(|len| len.div_ceil(BLOCK_LEN)).sum();
        let count = self.files.len() as u64;
        reply.statfs(blocks, 0, 0, count, 0, BLOCK_LEN as u32, 255, 0);
    }
}

/// Answers with bytes if the program has room for them; with their length if it asks for that.
fn send_xattr(bytes: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    match bytes {
        Ok(bytes) if size == 0 => reply.size(bytes.len() as u32),
        Ok(bytes) if bytes.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(bytes) => reply.data(&bytes),
        Err(error) => reply.error(error),
    }
}
