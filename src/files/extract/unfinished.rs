//! The file in the target folder that says that an extraction is not finished. An extraction that
//! finds it goes on where the earlier one ended.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, fsync, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::files::extract::folders::names;

/// The name of the file.
pub(super) const UNFINISHED: &str = ".chunk-restore-unfinished";

/// How long the file may be that is read, in bytes.
const LEN_MAX: u64 = 16 << 20;

/// What stands behind the path of a note. A note that a power cut left incomplete does not end with
/// these bytes.
const NOTE_END: &[u8] = b"\0\n";

/// An extraction that is not finished.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// Held open, since the lock on it shows that the extraction is at work.
    file: File,
    /// The path of the file, for messages.
    path: PathBuf,
    contents: Contents,
    /// Whether this extraction goes on with no earlier one.
    is_new: bool,
}

/// What the file says.
#[derive(Debug, Default)]
struct Contents {
    /// What was in the folder before the extraction began.
    foreign: BTreeSet<OsString>,
    /// Directories that the extraction has made beside or in what was there before. The path of the
    /// folder itself is empty.
    made: BTreeSet<PathBuf>,
    /// Directories that were there before as the archive has them, and that the extraction has
    /// changed since.
    changed: BTreeSet<PathBuf>,
}

/// What a note says of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// The extraction makes it.
    Made,
    /// Somebody else has made it in the meantime.
    NotMade,
    /// The extraction changes it.
    Changed,
}

impl Note {
    const ALL: [Note; 3] = [Note::Made, Note::NotMade, Note::Changed];

    /// The first byte of such a note.
    fn mark(self) -> u8 {
        match self {
            Note::Made => b'+',
            Note::NotMade => b'-',
            Note::Changed => b'=',
        }
    }
}

impl Unfinished {
    /// Makes the file, or takes over that of an earlier extraction of the same archive. If the folder
    /// `is_made`, this extraction has made it.
    ///
    /// # Errors
    /// Another extraction is at work in the folder, or the file can't be made.
    pub(super) fn begin(
        folder: BorrowedFd<'_>,
        is_made: bool,
        path: &Path,
        archive: &str,
    ) -> Result<Unfinished> {
        let at = path.join(UNFINISHED);
        let failed = |error| not_written(&at, error);
        let Some(mut file) = open(folder).map_err(failed)? else {
            let message = format!(
                "{} is not what an extraction has made: look at it, and remove it",
                at.display()
            );
            return Err(Error::new(ErrorKind::Target, message));
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let message = format!("another restore is at work in {}", path.display());
                return Err(Error::new(ErrorKind::Target, message));
            }
            // Without locks, as on some network file systems, nobody watches.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let mut text = Vec::new();
        let read = (&mut file).take(LEN_MAX).read_to_end(&mut text);
        read.map_err(|error| failed(errno(&error)))?;
        let (contents, is_new) = match Contents::parse(&text, archive) {
            Some((contents, whole)) => {
                // Notes come behind whole ones only.
                let is_all = (text.len() as u64) < LEN_MAX;
                let ended = match is_all && whole < text.len() {
                    true => file.set_len(whole as u64),
                    false => Ok(()),
                };
                let ended = ended.and_then(|()| file.seek(SeekFrom::End(0)));
                ended.map_err(|error| failed(errno(&error)))?;
                (contents, false)
            }
            None => {
                let mut foreign = names(folder).map_err(failed)?;
                foreign.remove(OsStr::new(UNFINISHED));
                let mut contents = Contents {
                    foreign,
                    ..Contents::default()
                };
                if is_made {
                    contents.take(Note::Made, Path::new(""));
                }
                write(&mut file, &contents.text(archive))
                    .and_then(|()| fsync(folder).or(Ok(())))
                    .map_err(failed)?;
                (contents, true)
            }
        };
        Ok(Unfinished {
            file,
            path: at,
            contents,
            is_new,
        })
    }

    /// Whether this extraction goes on with no earlier one.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether an entry at this path can only be one that this extraction, or the one that it
    /// continues, has made.
    pub(super) fn is_own(&self, path: &Path) -> bool {
        let Contents { foreign, made, .. } = &self.contents;
        let first = path.components().next();
        first.is_some_and(|first| !foreign.contains(first.as_os_str()))
            || (!made.is_empty() && path.ancestors().any(|above| made.contains(above)))
    }

    /// Whether the extraction has made the target folder.
    pub(super) fn has_made_folder(&self) -> bool {
        self.contents.made.contains(Path::new(""))
    }

    /// Whether a directory was there before as the archive has it, and was changed since by the
    /// extraction.
    pub(super) fn has_changed(&self, directory: &Path) -> bool {
        self.contents.changed.contains(directory)
    }

    /// Notes that the extraction makes a directory beside or in what was there before.
    pub(super) fn note_made(&mut self, directory: &Path) -> Result<()> {
        self.note(Note::Made, directory)
    }

    /// Takes such a note back: somebody else has made the directory in the meantime.
    pub(super) fn note_not_made(&mut self, directory: &Path) -> Result<()> {
        self.note(Note::NotMade, directory)
    }

    /// Notes that the extraction changes a directory that is there as the archive has it.
    pub(super) fn note_changed(&mut self, directory: &Path) -> Result<()> {
        self.note(Note::Changed, directory)
    }

    /// Adds a note to the file. The note is durable before this returns, and so before what it tells
    /// of.
    fn note(&mut self, note: Note, directory: &Path) -> Result<()> {
        let text = note_text(note, directory);
        let written = self.file.write_all(&text);
        let written = written.and_then(|()| self.file.sync_data());
        written.map_err(|error| not_written(&self.path, errno(&error)))?;
        self.contents.take(note, directory);
        Ok(())
    }

    /// Removes the file: the extraction is finished.
    pub(super) fn end(self, folder: BorrowedFd<'_>) -> Result<(), Errno> {
        unlinkat(folder, UNFINISHED, AtFlags::empty())?;
        // The names are durable once the folder is, where the file system can sync it.
        let _ = fsync(folder);
        Ok(())
    }
}

/// Opens the file, or makes it. `None` if something else has its name: a link, a device, or a file
/// that has another name elsewhere, which must not be written to.
fn open(folder: BorrowedFd<'_>) -> Result<Option<File>, Errno> {
    let is_own = |found: &Stat| {
        FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_nlink <= 1
    };
    match statat(folder, UNFINISHED, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {}
        // To open a device can have effects, so its kind is looked at before.
        found if !is_own(&found?) => return Ok(None),
        _ => {}
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let flags = flags | OFlags::NONBLOCK;
    let file = openat(folder, UNFINISHED, flags, Mode::RUSR | Mode::WUSR)?;
    let is_own = is_own(&fstat(&file)?);
    Ok(is_own.then(|| file.into()))
}

/// The text is the archive's name and the names that were in the folder, each with a zero byte behind
/// it, one more zero byte, and the notes.
impl Contents {
    /// What a text says, and how much of it is whole; `None` if the text is another archive's, or cut
    /// short before the notes.
    fn parse(text: &[u8], archive: &str) -> Option<(Contents, usize)> {
        let names_len = text.windows(2).position(|pair| pair == b"\0\0")?;
        let mut names = text[..names_len].split(|byte| *byte == 0);
        if names.next()? != archive.as_bytes() {
            return None;
        }
        let names = names.map(|name| OsString::from_vec(name.to_vec()));
        let mut contents = Contents {
            foreign: names.collect(),
            ..Contents::default()
        };
        let mut whole = names_len + 2;
        while let Some((note, path, len)) = parse_note(&text[whole..]) {
            contents.take(note, path);
            whole += len;
        }
        Some((contents, whole))
    }

    fn text(&self, archive: &str) -> Vec<u8> {
        let mut text = archive.as_bytes().to_vec();
        for name in &self.foreign {
            text.push(0);
            text.extend_from_slice(name.as_bytes());
        }
        text.extend_from_slice(b"\0\0");
        for directory in &self.made {
            text.extend_from_slice(&note_text(Note::Made, directory));
        }
        text
    }

    fn take(&mut self, note: Note, directory: &Path) {
        match note {
            Note::Made => drop(self.made.insert(directory.to_owned())),
            Note::NotMade => drop(self.made.remove(directory)),
            Note::Changed => drop(self.changed.insert(directory.to_owned())),
        }
    }
}

fn note_text(note: Note, directory: &Path) -> Vec<u8> {
    let path = directory.as_os_str().as_bytes();
    [&[note.mark()], path, NOTE_END].concat()
}

/// The note at the start of a text, its path, and its length; `None` if there is no whole one.
fn parse_note(text: &[u8]) -> Option<(Note, &Path, usize)> {
    let (mark, rest) = text.split_first()?;
    let note = Note::ALL.into_iter().find(|note| note.mark() == *mark)?;
    let path_len = rest.iter().position(|byte| *byte == 0)?;
    let is_whole = rest[path_len..].starts_with(NOTE_END);
    let path = Path::new(OsStr::from_bytes(&rest[..path_len]));
    is_whole.then_some((note, path, 1 + path_len + NOTE_END.len()))
}

fn not_written(path: &Path, error: Errno) -> Error {
    let message = format!("{} can't be written", path.display());
    Error::new(ErrorKind::Target, message).because(std::io::Error::from(error))
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn write(file: &mut File, text: &[u8]) -> Result<(), Errno> {
    let mut write = || {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(text)?;
        file.sync_all()
    };
    write().map_err(|error| errno(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Option<(Contents, usize)> {
        Contents::parse(text, "a of b")
    }

    #[test]
    fn only_a_whole_list_of_the_same_archive_is_taken_over() {
        let names = |text: &[u8]| parse(text).map(|(contents, _)| contents.foreign);
        assert_eq!(names(b"a of b\0\0").map(|names| names.len()), Some(0));
        let two = names(b"a of b\0x\0y z\0\0").unwrap();
        assert!(two.contains(OsStr::new("x")) && two.contains(OsStr::new("y z")));
        assert!(names(b"a of c\0\0").is_none());
        assert!(names(b"a of b\0x").is_none());
        assert!(names(b"").is_none());
    }

    #[test]
    fn notes_are_taken_over_up_to_the_first_that_is_not_whole() {
        let whole = b"a of b\0x\0\0+x/y\0\n=x\0\n+x/z\0\n-x/z\0\n";
        for torn in [
            &b""[..],
            b"+x/",
            b"+x/w\0",
            b"+x/w\0\0\0",
            b"\0\0",
            b"?x/w\0\n",
        ] {
            let (contents, len) = parse(&[&whole[..], torn].concat()).unwrap();
            assert_eq!(contents.made, BTreeSet::from(["x/y".into()]), "{torn:?}");
            assert_eq!(contents.changed, BTreeSet::from(["x".into()]));
            assert_eq!(len, whole.len());
        }
        let mut made = Contents::default();
        made.take(Note::Made, Path::new(""));
        let (made, _) = parse(&made.text("a of b")).unwrap();
        assert!(made.made.contains(Path::new("")));
    }
}
