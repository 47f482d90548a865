//! The disks of a snapshot, opened for reads at any offset: what `serve` exports and `mount` shows.

use std::fmt;

use chunk_restore::read::ReadReport;
use chunk_restore::{Archive, Reader, Restore, Snapshot};
use serde_json::{Value, json};

use crate::content::{self, Content};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::program;
use crate::size::{Size, count};

/// The ending of the files in a datastore that are the indexes of disks.
const DISK_ENDING: &str = ".fidx";

/// Whether the file of a snapshot with this name is the index of a disk.
pub(crate) fn is_disk(file: &str) -> bool {
    file.ends_with(DISK_ENDING)
}

/// An archive that any bytes can be read of.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The archive's name as people type it.
    pub(crate) name: String,
    pub(crate) reader: Reader,
}

/// Opens the archives that were asked for; if none were asked for, all disks of the snapshot. If no
/// archives were named, a disk whose index is damaged is reported and left out, and the exit code says so. `settings` says
/// how an archive is read.
pub(crate) fn open(
    snapshot: &Snapshot,
    asked: &[String],
    settings: &dyn Fn(&str, &Archive) -> Result<Restore, Failure>,
    output: &Output,
) -> Result<(Vec<Disk>, Exit), Failure> {
    let mut names = content::select(snapshot, asked)?;
    if asked.is_empty() {
        names.retain(|name| is_disk(name));
    }
    let (mut disks, mut exit) = (Vec::new(), Exit::Done);
    for name in &names {
        match open_one(snapshot, name, settings) {
            Ok(disk) => disks.push(disk),
            Err(failure) if failure.exit() == Exit::Integrity && asked.is_empty() => {
                output.fail(&failure);
                exit = Exit::Integrity;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok((disks, exit))
}

/// Opens one archive.
fn open_one(
    snapshot: &Snapshot,
    name: &str,
    settings: &dyn Fn(&str, &Archive) -> Result<Restore, Failure>,
) -> Result<Disk, Failure> {
    match Content::open(snapshot, name)? {
        Content::Archive { name, archive } => {
            let reader = settings(&name, &archive)?.reader(&archive)?;
            Ok(Disk { name, reader })
        }
        Content::Small { name, .. } => Err(Failure::usage(format!(
            "{name} is a small file, and no disk"
        ))
        .advises(format!(
            "`{} image {} {name} -` shows it",
            program::name(),
            snapshot.name()
        ))),
    }
}

/// What was read of disks and file archives so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    reads: u64,
    bytes: u64,
    chunks: u64,
    hits: u64,
    fetched: u64,
    retries: u64,
}

impl Reads {
    pub(crate) fn of(disks: &[Disk]) -> Reads {
        Reads::sum(disks.iter().map(|disk| disk.reader.report()))
    }

    pub(crate) fn sum(reports: impl Iterator<Item = ReadReport>) -> Reads {
        reports.fold(Reads::default(), |sum, report| Reads {
            reads: sum.reads + report.reads,
            bytes: sum.bytes + report.bytes,
            chunks: sum.chunks + report.chunks,
            hits: sum.hits + report.hits,
            fetched: sum.fetched + report.fetched,
            retries: sum.retries + report.retries,
        })
    }

    /// The numbers as JSON for programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "reads": self.reads,
            "bytes": self.bytes,
            "chunks": self.chunks,
            "hits": self.hits,
            "fetched": self.fetched,
            "retries": self.retries,
        })
    }
}

/// `812 reads of 101 MiB, 203 chunks needed (180 in memory already), 38.2 MiB fetched`.
impl fmt::Display for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, fetched) = (Size::of(self.bytes), Size::of(self.fetched));
        write!(
            f,
            "{} of {bytes}, {} needed ({} in memory already), {fetched} fetched",
            count(self.reads, "read"),
            count(self.chunks, "chunk"),
            self.hits
        )?;
        match self.retries {
            0 => Ok(()),
            1 => f.write_str(", 1 retry"),
            retries => write!(f, ", {retries} retries"),
        }
    }
}
