//! Symbolic links, hard links, devices, named pipes and sockets.

use std::path::Path;

use crate::files::FileEntry;
use crate::files::extract::folders::Folder;
use crate::files::extract::make::{
    self, MakeError, OVERWRITE_HARD_LINKS, OVERWRITE_SYMLINKS, Place, REPLACES_NOTHING,
};
use crate::files::extract::pending::note;
use crate::files::extract::report::ExtractReport;
use crate::files::extract::run::Extraction;
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
        let replaces = self.options.overwrite.symlinks || self.unfinished.is_own(&entry.path);
        let place = self.place(&folder, &entry.path, replaces, OVERWRITE_SYMLINKS);
        let mut left_out = Vec::new();
        let attributes = &self.common.attributes;
        make::symlink(place, target, &node.metadata, attributes, &mut left_out)?;
        let report = &mut self.common.done.lock().report;
        report.symlinks += 1;
        note(report, &entry.path, left_out);
        Ok(())
    }

    pub(super) fn special(&mut self, entry: &FileEntry, node: &Entry) -> Result<(), MakeError> {
        let is_device = matches!(
            node.kind,
            EntryKind::BlockDevice(_) | EntryKind::CharDevice(_)
        );
        let leave_out = || {
            let report = &mut self.common.done.lock().report;
            report.leave_out(LeftOut::Device, &entry.path);
            Ok(())
        };
        if is_device && !self.options.wanted.special {
            return leave_out();
        }
        let folder = self.folder_around(&entry.path)?;
        let replaces = self.unfinished.is_own(&entry.path);
        let place = self.place(&folder, &entry.path, replaces, REPLACES_NOTHING);
        let mut left_out = Vec::new();
        let attributes = &self.common.attributes;
        match make::special(place, node, attributes, &mut left_out) {
            Err(MakeError::Entry(_))
                if is_device
                    && (self.options.ignores_device_errors || !attributes.is_privileged) =>
            {
                return leave_out();
            }
            made => made?,
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
        let Some(target) = self.taken.path(link.target) else {
            // The file itself is not taken, so that the first of its links becomes the file.
            let Some(file) = self.selected.resolve(entry)? else {
                return Ok(());
            };
            return self.file(entry, &file, link.offset, observer);
        };
        self.common.wait_until_idle();
        self.link_to(entry, &target)
    }

    fn link_to(&mut self, entry: &FileEntry, target: &Path) -> Result<(), MakeError> {
        let folder = self.folder_around(&entry.path)?;
        let replaces = self.options.overwrite.hard_links || self.unfinished.is_own(&entry.path);
        let place = self.place(&folder, &entry.path, replaces, OVERWRITE_HARD_LINKS);
        let around = target.parent().unwrap_or(Path::new(""));
        let target_folder = match self.levels.last() {
            Some(level) if level.path == around => folder.clone(),
            _ => (self.target.descend(around)).map_err(|error| place.not_made(error))?,
        };
        let name = target.file_name().unwrap_or_default();
        make::hard_link(place, &target_folder, name)?;
        self.common.done.lock().report.hard_links += 1;
        Ok(())
    }

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
        Place {
            folder,
            path,
            replaces,
            advice,
            temporary: &self.common.temporaries,
        }
    }
}
