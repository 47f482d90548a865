//! Symbolic links, hard links, devices, named pipes and sockets.

use std::path::Path;

use rustix::fs::Stat;

use crate::files::FileEntry;
use crate::files::extract::folders::Folder;
use crate::files::extract::make;
use crate::files::extract::pending::note;
use crate::files::extract::place::{
    Made, MakeError, OVERWRITE_HARD_LINKS, OVERWRITE_SYMLINKS, Place, REPLACES_NOTHING,
};
use crate::files::extract::report::ExtractReport;
use crate::files::extract::request::FileId;
use crate::files::extract::run::Extraction;
use crate::files::extract::times::Times;
use crate::files::omission::LeftOut;
use crate::files::pxar::{Entry, EntryKind, HardLink};

impl<'a> Extraction<'a> {
    pub(super) fn symlink(
        &mut self,
        entry: &FileEntry,
        node: &Entry,
        target: &[u8],
    ) -> Result<(), MakeError> {
        let folder = self.folder_around(&entry.path)?;
        let replaces = self.options.overwrite.symlinks;
        let place = self.place(&folder, &entry.path, replaces, OVERWRITE_SYMLINKS);
        if place.replaces || place.look()?.is_none() {
            self.change_directory()?;
        }
        let mut left_out = Vec::new();
        let attributes = &self.common.attributes;
        let is_made = make::symlink(place, target, &node.metadata, attributes, &mut left_out)?;
        let report = &mut self.common.done.lock().report;
        match is_made {
            true => report.symlinks += 1,
            false => left_out = vec![LeftOut::Symlink],
        }
        note(report, &entry.path, left_out);
        Ok(())
    }

    pub(super) fn special(&mut self, entry: &FileEntry, node: &Entry) -> Result<(), MakeError> {
        let (what, is_device) = match node.kind {
            EntryKind::BlockDevice(_) | EntryKind::CharDevice(_) => (LeftOut::Device, true),
            EntryKind::Socket => (LeftOut::Socket, false),
            _ => (LeftOut::Fifo, false),
        };
        let leave_out = || {
            let report = &mut self.common.done.lock().report;
            report.leave_out(what, &entry.path);
            Ok(())
        };
        if is_device && !self.options.wanted.special {
            return leave_out();
        }
        let folder = self.folder_around(&entry.path)?;
        let place = self.place(&folder, &entry.path, false, REPLACES_NOTHING);
        if place.replaces || place.look()?.is_none() {
            self.change_directory()?;
        }
        let mut left_out = Vec::new();
        let attributes = &self.common.attributes;
        let is_made = match make::special(place, node, attributes, &mut left_out) {
            Err(MakeError::Entry(_)) if is_device && self.options.ignores_device_errors => false,
            made => made?,
        };
        if !is_made {
            return leave_out();
        }
        let report = &mut self.common.done.lock().report;
        report.specials += 1;
        note(report, &entry.path, left_out);
        Ok(())
    }

    pub(super) fn hard_link(
        &mut self,
        entry: &FileEntry,
        link: &HardLink,
        observer: &mut dyn FnMut(&ExtractReport),
    ) -> Result<(), MakeError> {
        if let Some(target) = self.taken.path(link.target) {
            self.common.wait_until_idle();
            if self.link_to(entry, &target)? {
                self.common.done.lock().report.hard_links += 1;
                return Ok(());
            }
            let report = &mut self.common.done.lock().report;
            report.leave_out(LeftOut::HardLink, &entry.path);
        }
        // The file itself is not taken, so that the first of its links becomes the file. Or the file
        // system has no links, so that each is a file.
        let Some(file) = self.selected.resolve(entry)? else {
            return Ok(());
        };
        self.file(entry, &file, link.offset, observer)
    }

    /// Makes a link to a file. Returns whether the file system has such links.
    fn link_to(&mut self, entry: &FileEntry, target: &Path) -> Result<bool, MakeError> {
        let folder = self.folder_around(&entry.path)?;
        let replaces = self.options.overwrite.hard_links;
        let mut place = self.place(&folder, &entry.path, replaces, OVERWRITE_HARD_LINKS);
        let around = target.parent().unwrap_or(Path::new(""));
        let target_folder = match self.levels.last() {
            Some(level) if level.path == around => folder.clone(),
            _ => (self.target.descend(around)).map_err(|error| place.not_made(error))?,
        };
        let name = target.file_name().unwrap_or_default();
        let file = target_folder.look(name);
        let file = FileId::of(&file.map_err(|error| place.not_made(error))?);
        let found = place.look()?;
        if let Some(found) = &found {
            if FileId::of(found) == file {
                return Ok(true);
            }
            place.replaces |= self.is_not_durable(found);
            if !place.replaces && self.is_whole_link(found, &place, entry)? {
                return Ok(false);
            }
            place.check_replaces(found)?;
        }
        self.change_directory()?;
        let made = make::hard_link(place, found.as_ref(), &target_folder, name)?;
        Ok(made == Made::Yes)
    }

    /// Whether a file that is there is what a hard link leads to, although under no other name: a
    /// copy.
    fn is_whole_link(
        &mut self,
        found: &Stat,
        place: &Place<'_>,
        entry: &FileEntry,
    ) -> Result<bool, MakeError> {
        let Some(file) = self.selected.resolve(entry)? else {
            return Ok(false);
        };
        let EntryKind::File(payload) = file.kind else {
            return Ok(false);
        };
        Ok(self.is_whole(found, &file, payload.len, place, entry)?)
    }

    /// The place of an entry in the directory that is being taken. What the extraction has made
    /// itself is replaced in any case.
    pub(super) fn place<'p>(
        &self,
        folder: &'p Folder,
        path: &'p Path,
        replaces: bool,
        advice: &'static str,
    ) -> Place<'p>
    where
        'a: 'p,
    {
        let is_own = self.unfinished.is_own(path);
        Place {
            folder,
            path,
            replaces: replaces || is_own,
            advice,
            temporary: &self.common.temporaries,
            is_own,
            times: self.levels.last().map_or(Times::ALL, |level| level.times),
        }
    }
}
