//! Regular files: keeps what is there, and makes the others.

use std::os::unix::fs::FileExt;

use rustix::fs::{FileType, Stat};

use crate::error::Result;
use crate::files::extract::place::{MakeError, OVERWRITE_FILES, Place};
use crate::files::extract::pool::SmallFile;
use crate::files::extract::report::ExtractReport;
use crate::files::extract::request::FileRequest;
use crate::files::extract::run::Extraction;
use crate::files::extract::times::mtime_of;
use crate::files::pieces::{PIECE_LEN, Piece, Pieces};
use crate::files::pxar::{Entry, EntryKind};
use crate::files::{FileEntry, FileReader};

/// Files up to this length are made by the threads of the pool.
const SMALL_LEN_MAX: u64 = 256 << 10;

impl Extraction<'_> {
    pub(super) fn file(
        &mut self,
        entry: &FileEntry,
        file: &Entry,
        offset: u64,
        observer: &mut dyn FnMut(&ExtractReport),
    ) -> Result<(), MakeError> {
        let EntryKind::File(payload) = file.kind else {
            return Ok(());
        };
        let folder = self.folder_around(&entry.path)?;
        let replaces = self.options.overwrite.files;
        let mut place = self.place(&folder, &entry.path, replaces, OVERWRITE_FILES);
        let found = place.look()?;
        if let Some(found) = &found {
            if self.is_whole(found, file, payload.len, &place, entry)? {
                let report = &mut self.common.done.lock().report;
                report.kept += 1;
                report.kept_bytes += payload.len;
                self.taken.push_any(file.offset, offset, &entry.path);
                return Ok(());
            }
            place.replaces |= self.is_not_durable(found);
            place.check_replaces(found)?;
        }
        let (replaces, is_own, times) = (place.replaces, place.is_own, place.times);
        self.change_directory()?;
        self.taken.push_any(file.offset, offset, &entry.path);
        self.batch.files += 1;
        self.batch.bytes += payload.len + entry.path.as_os_str().len() as u64;
        let request = FileRequest {
            name: entry.path.file_name().unwrap_or_default().to_owned(),
            folder,
            path: entry.path.clone(),
            metadata: file.metadata.clone(),
            temporary: format!("{}-{offset:x}", self.common.temporaries),
            // What comes there later may be another entry.
            replaces: replaces && found.is_some(),
            is_own,
            not_durable: self.common.not_durable,
            times,
        };
        if payload.len + file.metadata.attributes_len() <= SMALL_LEN_MAX {
            return Ok(self.small_file(entry, request)?);
        }
        self.large_file(entry, request, observer)
    }

    /// Has a file made by the threads of the pool.
    fn small_file(&mut self, entry: &FileEntry, request: FileRequest) -> Result<()> {
        let damaged = self.damage.len();
        let content = match self.selected.content_at_hand(entry) {
            Some(content) => content.to_vec(),
            _ => {
                let reader = self.selected.content(entry)?;
                let mut content = Vec::with_capacity(reader.len() as usize);
                let mut pieces = Pieces::new(&reader, &entry.path, self.options.salvage);
                while let Some(piece) = pieces.next(&mut self.buffer, &mut self.damage)? {
                    match piece {
                        Piece::Data(data) => content.extend_from_slice(data),
                        Piece::Lost(len) => content.resize(content.len() + len as usize, 0),
                    }
                }
                content
            }
        };
        self.pool.make(SmallFile {
            request,
            content,
            is_damaged: self.damage.len() > damaged,
        });
        Ok(())
    }

    fn large_file(
        &mut self,
        entry: &FileEntry,
        request: FileRequest,
        observer: &mut dyn FnMut(&ExtractReport),
    ) -> Result<(), MakeError> {
        let reader = self.selected.content(entry)?;
        let mut file = request.create(self.common.naming)?;
        let damaged = self.damage.len();
        let mut pieces = Pieces::new(&reader, &entry.path, self.options.salvage);
        let mut position = 0;
        while let Some(piece) = pieces.next(&mut self.buffer, &mut self.damage)? {
            self.tree.check_cancelled()?;
            let (len, written) = match piece {
                Piece::Data(data) => (data.len() as u64, file.write(data)),
                Piece::Lost(len) => {
                    file.skip(len);
                    (len, Ok(()))
                }
            };
            written.map_err(|error| request.place().not_made(error))?;
            position += len;
            // The bytes of a file count for good only when it has its name.
            let report = &mut self.common.done.lock().report;
            report.bytes += position;
            report.elapsed = self.begun.elapsed();
            observer(report);
            report.bytes -= position;
        }
        let mut left_out = Vec::new();
        let made = request.finish(file, &self.common.attributes, &mut left_out);
        let is_damaged = self.damage.len() > damaged;
        (self.common).settle(request, reader.len(), is_damaged, made, left_out);
        Ok(())
    }

    /// Whether a file that is there is one of this archive that did not become durable.
    pub(super) fn is_not_durable(&self, found: &Stat) -> bool {
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        is_file && mtime_of(found) == self.common.not_durable
    }

    /// Whether a file that is there is the archive's: by its length and time, or by its bytes. A file
    /// with another name, which the file system takes for the same, may be another one's.
    pub(super) fn is_whole(
        &mut self,
        found: &Stat,
        file: &Entry,
        len: u64,
        place: &Place<'_>,
        entry: &FileEntry,
    ) -> Result<bool> {
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let has_len = u64::try_from(found.st_size).is_ok_and(|found| found == len);
        let has_time = place.times.has_time(found, file.metadata.mtime);
        if !is_file || !has_len || !has_time || !place.folder.lists(place.name()) {
            return Ok(false);
        }
        if !self.options.verify {
            return Ok(true);
        }
        let reader = self.selected.content(entry)?;
        self.has_content(place, &reader)
    }

    fn has_content(&mut self, place: &Place<'_>, reader: &FileReader) -> Result<bool> {
        let Ok(found) = place.open() else {
            return Ok(false);
        };
        let mut found_piece = vec![0; PIECE_LEN];
        let mut damage = Vec::new();
        let mut pieces = Pieces::new(reader, place.path, self.options.salvage);
        let mut position = 0;
        while let Some(piece) = pieces.next(&mut self.buffer, &mut damage)? {
            match piece {
                // What the archive has lost can't be compared.
                Piece::Lost(len) => position += len,
                Piece::Data(data) => {
                    let found_piece = &mut found_piece[..data.len()];
                    let read = found.read_exact_at(found_piece, position);
                    if read.is_err() || *found_piece != *data {
                        return Ok(false);
                    }
                    position += data.len() as u64;
                }
            }
        }
        Ok(true)
    }
}
