//! The record of verified chunks (`verify --new-only`): an entry for each chunk of one place, with
//! the day on which it was verified last.
//!
//! The file: [`MAGIC`], the version (1 byte), the length of the place's name (2 bytes), that name,
//! the number of entries (8 bytes), the entries (16 bytes of the digest and 2 of the day, from
//! 1970-01-01, sorted by digest), and the SHA-256 of all that. Numbers are little-endian.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use rustix::fs::OFlags;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::due::Due;
use crate::failure::Failure;
use crate::output::Output;
use crate::report_file::folder_of;
use crate::shown::shown;
use crate::verified_table::{Entry, Mark, Table};

const MAGIC: &[u8] = b"chunk-restore verified\n";
const VERSION: u8 = 1;
const ENTRY_LEN: u64 = 18;
const CHECKSUM_LEN: u64 = 32;

/// The most entries that are read: 5 GB of memory, and 1 PiB in chunks of 4 MiB.
const ENTRIES_MAX: u64 = 1 << 28;

/// The permission of the group and of all others to write to a file.
const WRITE_BY_OTHERS: u32 = 0o022;

/// How many bytes of the file are read or written, and hashed, at once.
const BLOCK_LEN: usize = 1 << 20;

/// How long a run may go on before what it verified is saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(300);

/// The file of the record, locked against other runs.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    place: String,
    /// Holds the lock.
    file: File,
    /// Whether the file may be replaced: a record of another place, user or version is kept.
    is_ours: bool,
    saved: Instant,
}

/// Why a file is not used as the record.
enum Unusable {
    /// It never was a record.
    Foreign,
    /// It is a record that would be lost if it was replaced.
    Kept(String),
    /// It is worth nothing, and is replaced.
    Worthless(&'static str),
    Unreadable(io::Error),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Unusable {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Unusable::Worthless("it is cut off"),
            _ => Unusable::Unreadable(error),
        }
    }
}

impl Record {
    /// Opens or makes the record of a place, and locks it. A record that can't be used is ignored
    /// with a warning.
    pub(crate) fn open(
        path: &Path,
        place: String,
        output: &Output,
    ) -> Result<(Record, Table), Failure> {
        let shown_path = path.display();
        let cannot = |error: io::Error| {
            let message = format!("cannot use the record of verified chunks {shown_path}");
            Failure::target(message, &error)
        };
        let (file, is_locked) = locked(path).map_err(cannot)?.ok_or_else(|| {
            Failure::refused(format!(
                "{shown_path} is in use by another run: wait for it, or name another file"
            ))
        })?;
        if !is_locked {
            let text = format!(
                "{shown_path} can't be locked on its file system: of two runs at the same time, the last one to end would replace what the other one recorded"
            );
            output.warn(
                text,
                &json!({ "event": "unlocked", "target": path.to_string_lossy() }),
            );
        }
        let mut record = Record {
            path: path.to_owned(),
            place,
            file,
            is_ours: true,
            saved: Instant::now(),
        };
        let reason = match record.read() {
            Ok(table) => return Ok((record, table)),
            Err(Unusable::Foreign) => {
                return Err(Failure::refused(format!(
                    "{shown_path} is no record of verified chunks: name another file"
                )));
            }
            Err(Unusable::Unreadable(error)) => return Err(cannot(error)),
            Err(Unusable::Worthless(reason)) => format!("{reason}; a new record replaces it"),
            Err(Unusable::Kept(reason)) => {
                record.is_ours = false;
                format!("{reason}; it is left as it is, and this run is not recorded")
            }
        };
        let text = format!("the record of verified chunks {shown_path} is ignored: {reason}");
        let json = json!({
            "event": "record_ignored",
            "target": path.to_string_lossy(),
            "reason": reason,
            "replaced": record.is_ours,
        });
        output.warn(text, &json);
        Ok((record, Table::default()))
    }

    fn read(&self) -> Result<Table, Unusable> {
        let found = self.file.metadata()?;
        if found.uid() != Uid::effective().as_raw() {
            return Err(Unusable::Kept(format!(
                "it belongs to another user, with the number {}",
                found.uid()
            )));
        }
        let len = found.len();
        if len == 0 {
            return Ok(Table::default());
        }
        let mut magic = [0; MAGIC.len()];
        let known = usize::try_from(len).map_or(MAGIC.len(), |len| len.min(MAGIC.len()));
        (&self.file).read_exact(&mut magic[..known])?;
        if magic[..known] != MAGIC[..known] {
            return Err(Unusable::Foreign);
        }
        if found.mode() & WRITE_BY_OTHERS != 0 {
            return Err(Unusable::Worthless("other users can write to it"));
        }
        let body_len = len.saturating_sub(known as u64 + CHECKSUM_LEN);
        let hash = Sha256::new_with_prefix(MAGIC);
        let body = Hashing((&self.file).take(body_len), hash);
        let mut file = BufReader::with_capacity(BLOCK_LEN, body);
        let [version] = number(&mut file)?;
        if version != VERSION {
            return Err(Unusable::Kept(format!(
                "it has version {version} of the format, and this program knows version {VERSION}"
            )));
        }
        let mut place = vec![0; u16::from_le_bytes(number(&mut file)?).into()];
        file.read_exact(&mut place)?;
        let count = u64::from_le_bytes(number(&mut file)?);
        let head = MAGIC.len() as u64 + 1 + 2 + place.len() as u64 + 8;
        if count > ENTRIES_MAX || len != head + count * ENTRY_LEN + CHECKSUM_LEN {
            return Err(Unusable::Worthless(
                "its length is not what its beginning says",
            ));
        }
        let entries = entries(&mut file, count)?;
        let sum: [u8; CHECKSUM_LEN as usize] = file.into_inner().1.finalize().into();
        if number(&mut &self.file)? != sum {
            return Err(Unusable::Worthless("its checksum is wrong"));
        }
        if place != self.place.as_bytes() {
            let place = shown(String::from_utf8_lossy(&place));
            return Err(Unusable::Kept(format!(
                "it is of another place, {place}, and not of {}",
                self.place
            )));
        }
        Ok(Table::of(entries))
    }

    /// Saves the entries if that was long ago.
    pub(crate) fn save_now_and_then(&mut self, table: &mut Table, due: Due) {
        if self.saved.elapsed() >= SAVE_INTERVAL {
            // If this fails, the last save of the run fails too, and says why.
            let _ = self.save(table, due);
            self.saved = Instant::now();
        }
    }

    /// Replaces the file by one with all chunks whose verification still counts.
    pub(crate) fn save(&mut self, table: &mut Table, due: Due) -> Result<(), Failure> {
        if !self.is_ours {
            return Ok(());
        }
        self.file = self.replace(table.entries(), due).map_err(|error| {
            let path = self.path.display();
            Failure::target(
                format!("cannot write the record of verified chunks {path}"),
                &error,
            )
        })?;
        Ok(())
    }

    fn replace(&self, entries: &[Entry], due: Due) -> io::Result<File> {
        let folder = folder_of(&self.path);
        let new = tempfile::Builder::new().make_in(folder, |path| {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create_new(true);
            options.mode(0o600).open(path)
        })?;
        self.write(new.as_file(), entries, due)?;
        new.as_file().sync_all()?;
        // The new file is locked before it can be found.
        let _ = new.as_file().try_lock();
        let new = new.persist(&self.path)?;
        File::open(folder)?.sync_all()?;
        Ok(new)
    }

    fn write(&self, file: &File, entries: &[Entry], due: Due) -> io::Result<()> {
        let stays = |entry: &&Entry| {
            let is_right = matches!(entry.mark, Mark::Earlier | Mark::Fresh | Mark::Verified);
            is_right && due.is_fresh(&entry.digest, entry.day)
        };
        let mut file = BufWriter::with_capacity(BLOCK_LEN, Hashing(file, Sha256::new()));
        let place = self.place.as_bytes();
        let place_len = u16::try_from(place.len()).map_err(io::Error::other)?;
        file.write_all(MAGIC)?;
        file.write_all(&[VERSION])?;
        file.write_all(&place_len.to_le_bytes())?;
        file.write_all(place)?;
        let count = entries.iter().filter(stays).count() as u64;
        file.write_all(&count.to_le_bytes())?;
        for entry in entries.iter().filter(stays) {
            let mut bytes = [0; ENTRY_LEN as usize];
            bytes[..16].copy_from_slice(&entry.digest);
            bytes[16..].copy_from_slice(&entry.day.to_le_bytes());
            file.write_all(&bytes)?;
        }
        let Hashing(mut file, hash) = file.into_inner()?;
        file.write_all(&hash.finalize())
    }
}

/// Reads so many entries, which must be in the order of their digests.
fn entries(file: &mut impl Read, count: u64) -> Result<Vec<Entry>, Unusable> {
    let mut entries: Vec<Entry> = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let digest = number(file)?;
        if entries.last().is_some_and(|last| last.digest >= digest) {
            return Err(Unusable::Worthless("its entries are not in order"));
        }
        entries.push(Entry {
            digest,
            day: u16::from_le_bytes(number(file)?),
            mark: Mark::Earlier,
        });
    }
    Ok(entries)
}

/// Opens or makes the file, and locks it: `None` where another run has it. Says whether the file
/// system knows locks.
fn locked(path: &Path) -> io::Result<Option<(File, bool)>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    loop {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).custom_flags(flags).open(path)?;
        let held = file.metadata()?;
        if !held.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let is_locked = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(_)) => false,
        };
        // Another run may have replaced the file since it was opened.
        match path.symlink_metadata() {
            Ok(found) if (found.dev(), found.ino()) == (held.dev(), held.ino()) => {
                return Ok(Some((file, is_locked)));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn number<const LEN: usize>(file: &mut impl Read) -> io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Hashes all that is read or written.
struct Hashing<T>(T, Sha256);

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(bytes)?;
        self.1.update(&bytes[..read]);
        Ok(read)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
