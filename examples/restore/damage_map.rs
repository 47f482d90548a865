//! The list of damage: a file for programs that lists the lost chunks. Only such a list is ever
//! replaced or removed.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chunk_restore::{Archive, Damage};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::damage;
use crate::failure::Failure;
use crate::report_file::folder_of;

/// The most bytes that a list of damage can have; a longer file is not a list. A list of a million
/// lost chunks is shorter.
const LONGEST: u64 = 256 << 20;

/// With these flags, a link in place of the list is not followed, and opening a pipe does not wait.
const FLAGS: i32 =
    (rustix::fs::OFlags::NOFOLLOW.bits() | rustix::fs::OFlags::NONBLOCK.bits()) as i32;

/// The file that lists the damage of one target.
#[derive(Debug)]
pub(crate) struct DamageMap {
    path: PathBuf,
    /// The path of the file or device that has the damage.
    damaged: String,
}

impl DamageMap {
    pub(crate) fn new(path: PathBuf, damaged: &Path) -> DamageMap {
        DamageMap {
            path,
            damaged: damaged.display().to_string(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a file that is something else, or that the restore will write to as one of `others`,
    /// or that can't be made. This is checked before anything is restored, since otherwise the
    /// damage would be listed nowhere.
    pub(crate) fn check(&self, others: &[&Path]) -> Result<(), Failure> {
        let path = self.path.display();
        if let Some(other) = others.iter().find(|other| is_same(&self.path, other)) {
            let other = other.display();
            return Err(Failure::refused(format!(
                "the list of damage can't be written to {path}, as {other} is restored: name another file with --damage-map"
            )));
        }
        match self.path.symlink_metadata() {
            Ok(_) if !self.is_ours() => Err(Failure::refused(format!(
                "{path} is there, and is no list of the damage of {}: remove it, or name another file with --damage-map",
                self.damaged
            ))),
            _ => self.make().map(drop).map_err(|error| {
                Failure::target(format!("cannot write the list of damage {path}"), &error)
                    .advises("name a file in another folder with --damage-map")
            }),
        }
    }

    /// Makes an empty file in the list's folder. The file is removed when it is dropped.
    fn make(&self) -> io::Result<NamedTempFile> {
        let folder = folder_of(&self.path);
        if !folder.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        // The file is made and written without the help of `tempfile`, so that no message contains
        // its random name.
        tempfile::Builder::new().make_in(folder, |path| {
            (File::options().write(true).create_new(true))
                .mode(0o666)
                .open(path)
        })
    }

    /// Writes the list; `range` is the part of the archive that was restored.
    pub(crate) fn write(
        &self,
        name: &str,
        archive: &Archive,
        range: &Range<u64>,
        damage: &[Damage],
    ) -> io::Result<()> {
        let list = json!({
            "namespace": archive.path().snapshot.namespace.to_string(),
            "snapshot": archive.path().snapshot.snapshot.to_string(),
            "archive": name,
            "len": archive.index().len(),
            "range": { "offset": range.start, "len": range.end - range.start },
            "target": self.damaged,
            "damage": damage.iter().map(damage::json).collect::<Vec<_>>(),
        });
        let mut file = self.make()?;
        let text = format!("{list:#}\n");
        file.as_file_mut().write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        // A file that somebody else made meanwhile is not replaced.
        match self.is_ours() {
            true => file.persist(&self.path)?,
            false => file.persist_noclobber(&self.path)?,
        };
        Ok(())
    }

    /// Removes the list, since nothing is lost any more.
    pub(crate) fn remove(&self) {
        if self.is_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Whether the file is a list of this damage. Its content tells.
    fn is_ours(&self) -> bool {
        self.target().is_some_and(|target| {
            // The target may have been named from another folder, so only the file names are
            // compared.
            Path::new(&target).file_name() == Path::new(&self.damaged).file_name()
        })
    }

    /// The target that the list names; `None` where the file is not a list of damage.
    fn target(&self) -> Option<String> {
        let found = self.path.symlink_metadata().ok()?;
        if !found.is_file() || found.len() > LONGEST {
            return None;
        }
        let file = File::options()
            .read(true)
            .custom_flags(FLAGS)
            .open(&self.path);
        let mut text = Vec::new();
        let file = file.ok().filter(|file| is_file(file, &found))?;
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        let list: Value = serde_json::from_slice(&text).ok()?;
        let members = [
            "namespace",
            "snapshot",
            "archive",
            "len",
            "range",
            "target",
            "damage",
        ];
        let is_list = list.as_object()?.keys().len() == members.len()
            && members.iter().all(|member| list.get(member).is_some());
        is_list.then(|| list["target"].as_str().map(str::to_owned))?
    }
}

fn is_file(file: &File, found: &Metadata) -> bool {
    file.metadata().is_ok_and(|held| id(&held) == id(found))
}

/// Whether two paths lead to the same file, or will do so once it is made.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => id(&one) == id(&other),
        (Err(_), Err(_)) => place(one).is_some_and(|place_of| Some(place_of) == place(other)),
        _ => false,
    }
}

/// The folder that a file will be in, and its name there. A link that leads to nothing yet is
/// followed.
fn place(path: &Path) -> Option<((u64, u64), PathBuf)> {
    let path = match path.read_link() {
        Ok(target) => path.parent()?.join(target),
        Err(_) => path.to_owned(),
    };
    let folder = match path.parent()? {
        folder if folder.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    let folder = folder.metadata().ok()?;
    Some((id(&folder), path.file_name()?.into()))
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}
