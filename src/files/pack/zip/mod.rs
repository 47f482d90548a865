//! Writes entries of a file archive as a zip archive.

mod name;
mod sink;

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ::zip::result::ZipError;
use ::zip::write::{FullFileOptions, StreamWriter};
use ::zip::{CompressionMethod, DateTime, ZipWriter};
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::Offset;

use crate::error::Result;
use crate::files::omission::LeftOut;
use crate::files::pack::Packing;
use crate::files::pack::report::Progress;
use crate::files::pack::zip::name::{escape_path, inner_target};
use crate::files::pack::zip::sink::Sink;
use crate::files::pxar::{Acl, Entry, EntryKind, Metadata, Mtime, Payload};
use crate::files::{FileEntry, Node};

/// The longest name of an entry. The format's limit is for the name and the fields beside it.
const NAME_LEN_MAX: usize = 65_000;

/// Files from this length on have sizes of 64 bits: compressed, they could have more than 4 GiB.
const LARGE_FILE_LEN_MIN: u64 = 0xf000_0000;

/// Where a mode lies in the external attributes, by the convention of Info-ZIP.
const MODE_SHIFT: u32 = 16;

/// Writes the archive, and flushes the output.
pub(super) fn write(packing: &mut Packing<'_>, output: impl Write) -> Result<()> {
    let sink = Sink::new(output);
    let mut zip = Zip {
        writer: ZipWriter::new_stream(&sink),
        sink: &sink,
    };
    let added = zip.add_entries(packing);
    if added.is_err() {
        sink.close();
    }
    added?;
    let failed = |error| sink.error(error);
    zip.writer.finish().map_err(failed)?;
    (&sink).flush().map_err(|error| sink.error(error.into()))
}

/// A zip archive that is written.
struct Zip<'a, W: Write> {
    writer: ZipWriter<StreamWriter<&'a Sink<W>>>,
    sink: &'a Sink<W>,
}

impl<W: Write> Zip<'_, W> {
    fn add_entries(&mut self, packing: &mut Packing<'_>) -> Result<()> {
        while let Some(found) = packing.next_entry()? {
            // The root stands for the folder that the archive is unpacked into.
            if found.path.as_os_str().is_empty() {
                continue;
            }
            match &found.node {
                Node::Entry(entry) => self.add_entry(packing, &found, entry)?,
                Node::HardLink(_) => {
                    let Some(file) = packing.resolve(&found)? else {
                        continue;
                    };
                    packing.progress.leave_out(LeftOut::HardLink, &found.path);
                    self.add_entry(packing, &found, &file)?;
                }
            }
        }
        Ok(())
    }

    fn add_entry(
        &mut self,
        packing: &mut Packing<'_>,
        found: &FileEntry,
        entry: &Entry,
    ) -> Result<()> {
        let path = &found.path;
        let name = escape_path(path.as_os_str().as_bytes());
        let progress = &mut packing.progress;
        if name.len() > NAME_LEN_MAX {
            progress.leave_out(LeftOut::LongPath, path);
            return Ok(());
        }
        match &entry.kind {
            EntryKind::Directory => {
                let options = self.options(entry)?;
                let added = self.writer.add_directory(name, options);
                added.map_err(|error| self.sink.error(error))?;
            }
            EntryKind::File(payload) => self.add_file(packing, found, entry, &name, *payload)?,
            EntryKind::Symlink(target) => {
                let depth = path.components().count() - 1;
                let Some(target) = inner_target(target, depth) else {
                    progress.leave_out(LeftOut::OutsideSymlink, path);
                    return Ok(());
                };
                let options = self.options(entry)?;
                let added = self.writer.add_symlink(name, target, options);
                added.map_err(|error| self.sink.error(error))?;
            }
            EntryKind::BlockDevice(_) | EntryKind::CharDevice(_) => {
                progress.leave_out(LeftOut::Device, path);
                return Ok(());
            }
            EntryKind::Fifo => {
                progress.leave_out(LeftOut::Fifo, path);
                return Ok(());
            }
            EntryKind::Socket => {
                progress.leave_out(LeftOut::Socket, path);
                return Ok(());
            }
        }
        note_omissions(&mut packing.progress, path, &entry.metadata);
        packing.progress.add_entry();
        Ok(())
    }

    fn add_file(
        &mut self,
        packing: &mut Packing<'_>,
        found: &FileEntry,
        entry: &Entry,
        name: &str,
        payload: Payload,
    ) -> Result<()> {
        let options = self.options(entry)?;
        let options = options.large_file(payload.len >= LARGE_FILE_LEN_MIN);
        // An empty file would become longer.
        let options = match payload.len {
            0 => options.compression_method(CompressionMethod::Stored),
            _ => options,
        };
        let started = self.writer.start_file(name, options);
        started.map_err(|error| self.sink.error(error))?;
        if payload.len == 0 {
            return Ok(());
        }
        let Packing {
            selected,
            contents,
            progress,
        } = packing;
        contents.copy(selected, found, progress, |bytes| {
            let written = self.writer.write_all(bytes);
            written.map_err(|error| self.sink.error(error.into()))
        })
    }

    /// What the archive says of an entry beside its name.
    fn options(&self, entry: &Entry) -> Result<FullFileOptions<'static, 'static>> {
        let Metadata { mode, mtime, .. } = entry.metadata;
        let mode = match entry.kind {
            EntryKind::Symlink(_) => mode | 0o777,
            _ => mode,
        };
        let options = FullFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .external_attributes(mode << MODE_SHIFT)
            .last_modified_time(dos_time(mtime));
        match seconds(mtime) {
            Some(secs) => {
                let options = options.with_extended_timestamp(Some(secs), None, None);
                options.map_err(|error: ZipError| self.sink.error(error))
            }
            None => Ok(options),
        }
    }
}

/// Whole seconds since 1970 as the format has them: with a sign, in 32 bits.
fn seconds(mtime: Mtime) -> Option<u32> {
    i32::try_from(mtime.secs).ok().map(i32::cast_unsigned)
}

/// The time for unpackers that don't know the field for seconds: in UTC, from 1980 to 2107.
fn dos_time(mtime: Mtime) -> DateTime {
    let first = date(1980, 1, 1).at(0, 0, 0, 0);
    let last = date(2107, 12, 31).at(23, 59, 58, 0);
    let time = Timestamp::from_second(mtime.secs);
    let time = match time.map(|time| Offset::UTC.to_datetime(time)) {
        Ok(time) => time.clamp(first, last),
        Err(_) if mtime.secs < 0 => first,
        Err(_) => last,
    };
    let positive = |number: i8| u8::try_from(number).unwrap_or(0);
    DateTime::from_date_and_time(
        u16::try_from(time.year()).unwrap_or(0),
        positive(time.month()),
        positive(time.day()),
        positive(time.hour()),
        positive(time.minute()),
        positive(time.second()),
    )
    .unwrap_or_default()
}

/// Notes what a zip archive can't hold of an entry.
fn note_omissions(progress: &mut Progress<'_>, path: &Path, metadata: &Metadata) {
    // Every entry has an owner.
    progress.leave_out(LeftOut::Owner, path);
    let omissions = [
        (LeftOut::Time, seconds(metadata.mtime).is_none()),
        (LeftOut::Xattrs, !metadata.xattrs.is_empty()),
        (LeftOut::Capabilities, metadata.fcaps.is_some()),
        (LeftOut::Acls, metadata.acl != Acl::default()),
    ];
    for (what, is_there) in omissions {
        if is_there {
            progress.leave_out(what, path);
        }
    }
    progress.leave_out_flags(path, metadata);
}
