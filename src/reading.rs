//! Opens files that somebody named, without being held up by them: whoever opens a named pipe that
//! nobody writes to would wait for ever.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// How long to wait for somebody to open the other end of a pipe for writing.
const PATIENCE: Duration = Duration::from_secs(3);

/// The most bytes of a text with a secret, of which the first line counts.
pub(crate) const SECRET_MAX: u64 = 64 << 10;

/// How often to check a pipe that nobody writes to.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// Opens a regular file for reading, and refuses anything else.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    let found = file.metadata()?.file_type();
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        return Err(not_a("regular file"));
    }
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Reads the first byte of a regular file from its disk, and not from the system's cache.
pub(crate) fn read_from_disk(path: &Path) -> io::Result<()> {
    let mut file = open_file(path)?;
    // A system that ignores this advice reads from its cache.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    file.read(&mut [0]).map(drop)
}

/// Reads a small file whole. The path may also be a pipe, for example where a shell passes the
/// output of a command as a file: then reading goes on for as long as somebody writes to it. More
/// than `limit` bytes are an error.
pub(crate) fn read_small(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open(path)?;
    let found = file.metadata()?.file_type();
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if found.is_block_device() {
        return Err(not_a("file or a pipe"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    if found.is_fifo() {
        await_writer(&file, &mut bytes)?;
    }
    loop {
        if bytes.len() as u64 > limit {
            let message = format!("it has more than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        match read_some(&file, &mut bytes) {
            Ok(0) => return Ok(bytes),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for(&file, None)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads the secret in the first line of a file or a pipe, as [`read_small`] does.
pub(crate) fn read_secret(path: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = read_small(path, SECRET_MAX)?;
    let text = str::from_utf8(&bytes);
    first_line(text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))?)
}

/// The secret in the first line of a text.
pub(crate) fn first_line(text: &str) -> io::Result<Zeroizing<String>> {
    match text.lines().next() {
        None | Some("") => {
            let message = "its first line is empty";
            Err(io::Error::new(io::ErrorKind::InvalidData, message))
        }
        Some(line) => Ok(Zeroizing::new(line.to_owned())),
    }
}

/// Waits until somebody has opened the other end of a pipe. That program may be waiting for this
/// end.
fn await_writer(file: &File, bytes: &mut Vec<u8>) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match read_some(file, bytes) {
            Ok(0) if begun.elapsed() < PATIENCE => {
                wait_for(file, Some(&LOOK))?;
            }
            Ok(0) => {
                let message = "it is a pipe, and nobody writes to it";
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => return Ok(()),
        }
    }
}

/// Waits until something can be read, a signal comes, or `limit` has passed.
fn wait_for(file: &File, limit: Option<&Timespec>) -> io::Result<()> {
    match poll(&mut [PollFd::new(file, PollFlags::IN)], limit) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn read_some(mut file: &File, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut some = Zeroizing::new([0; 4096]);
    let read = loop {
        match file.read(&mut *some) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    bytes.extend_from_slice(&some[..read]);
    Ok(read)
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        // A file server may hold the file, and is asked to give it back. An open without NONBLOCK
        // waits for that.
        Err(error)
            if error.kind() == io::ErrorKind::WouldBlock && fs::metadata(path)?.is_file() =>
        {
            File::open(path)
        }
        opened => opened,
    }
}

fn not_a(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is not a {what}"))
}
