//! Writes entries of a file archive as a tar archive.

mod acl;
mod header;
mod records;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ::tar::EntryType;

use crate::error::Result;
use crate::files::omission::LeftOut;
use crate::files::pack::report::Progress;
use crate::files::pack::tar::header::{BLOCK_LEN, Header, Stat};
use crate::files::pack::tar::records::Records;
use crate::files::pack::{Packing, WRITE_LEN, output_error};
use crate::files::pxar::{Entry, EntryKind, HardLink};
use crate::files::taken::TakenFiles;
use crate::files::{FileEntry, Node};

/// What ends a tar archive: two blocks of zeros.
const END_LEN: usize = 2 * BLOCK_LEN;

/// Writes the archive, and flushes the output.
pub(super) fn write(packing: &mut Packing<'_>, output: impl Write) -> Result<()> {
    let mut tar = Tar {
        output: BufWriter::with_capacity(WRITE_LEN, output),
        files: TakenFiles::default(),
        stats: Vec::new(),
        link_stats: BTreeMap::new(),
    };
    while let Some(found) = packing.next_entry()? {
        match &found.node {
            Node::Entry(entry) => tar.add_entry(packing, &found, entry)?,
            Node::HardLink(link) => tar.add_hard_link(packing, &found, link)?,
        }
    }
    tar.write_all(&[0; END_LEN])?;
    tar.output.flush().map_err(output_error)
}

/// A tar archive that is written.
struct Tar<W: Write> {
    output: BufWriter<W>,
    /// The files so far, since hard links lead to them.
    files: TakenFiles,
    /// The mode, owner and time of each of these files, by its number: some unpackers set those of
    /// a hard link once more.
    stats: Vec<Stat>,
    /// The same for files that were written in place of a hard link, by their offsets.
    link_stats: BTreeMap<u64, Stat>,
}

impl<W: Write> Tar<W> {
    fn add_entry(
        &mut self,
        packing: &mut Packing<'_>,
        found: &FileEntry,
        entry: &Entry,
    ) -> Result<()> {
        if entry.kind == EntryKind::Socket {
            packing.progress.leave_out(LeftOut::Socket, &found.path);
            return Ok(());
        }
        if matches!(entry.kind, EntryKind::File(_)) {
            self.files.push(entry.offset, &found.path);
            self.stats.push(Stat::of(&entry.metadata));
        }
        self.add_member(packing, found, entry)
    }

    fn add_hard_link(
        &mut self,
        packing: &mut Packing<'_>,
        found: &FileEntry,
        link: &HardLink,
    ) -> Result<()> {
        let Some(target) = self.files.path(link.target) else {
            // The file itself was not selected, so that the first of its links stands for it.
            let Some(file) = packing.resolve(found)? else {
                return Ok(());
            };
            self.files.push_link(link.target, &found.path);
            self.link_stats
                .insert(link.target, Stat::of(&file.metadata));
            return self.add_member(packing, found, &file);
        };
        let number = self.files.number(link.target);
        let stat = match number.and_then(|number| self.stats.get(number)) {
            Some(stat) => Some(stat),
            None => self.link_stats.get(&link.target),
        };
        let mut header = Header::new(EntryType::Link, stat.copied().unwrap_or_default());
        let target = name(&target, false);
        header.link = &target;
        self.write_header(&header, &name(&found.path, false), Records::default())?;
        packing.progress.add_entry();
        Ok(())
    }

    /// Writes an entry with its metadata and its bytes.
    fn add_member(
        &mut self,
        packing: &mut Packing<'_>,
        found: &FileEntry,
        entry: &Entry,
    ) -> Result<()> {
        let mut header = Header::new(EntryType::Regular, Stat::of(&entry.metadata));
        match &entry.kind {
            EntryKind::Directory => header.kind = EntryType::Directory,
            EntryKind::File(payload) => header.size = payload.len,
            EntryKind::Symlink(target) => {
                header.kind = EntryType::Symlink;
                header.link = target;
            }
            EntryKind::BlockDevice(device) => {
                header.kind = EntryType::Block;
                header.device = Some(*device);
            }
            EntryKind::CharDevice(device) => {
                header.kind = EntryType::Char;
                header.device = Some(*device);
            }
            EntryKind::Fifo => header.kind = EntryType::Fifo,
            EntryKind::Socket => return Ok(()),
        }
        let records = attributes(&mut packing.progress, &found.path, entry);
        self.write_header(&header, &name(&found.path, entry.is_directory()), records)?;
        if header.size > 0 {
            let Packing {
                selected,
                contents,
                progress,
            } = packing;
            contents.copy(selected, found, progress, |bytes| self.write_all(bytes))?;
            self.pad(header.size)?;
        }
        packing.progress.add_entry();
        Ok(())
    }

    fn write_header(&mut self, header: &Header<'_>, name: &[u8], records: Records) -> Result<()> {
        self.write_all(&header.encode(name, records))
    }

    /// Fills the last block of a file of this length.
    fn pad(&mut self, len: u64) -> Result<()> {
        let over = (len % BLOCK_LEN as u64) as usize;
        match over {
            0 => Ok(()),
            over => self.write_all(&[0; BLOCK_LEN][over..]),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(output_error)
    }
}

/// The name of an entry in the archive: the root is `./`, and a directory ends with a slash.
fn name(path: &Path, is_directory: bool) -> Vec<u8> {
    let path = path.as_os_str().as_bytes();
    let mut name = match path {
        b"" => b".".to_vec(),
        // bsdtar cuts off what begins a path on Windows.
        [b'\\', ..] | [_, b':', ..] => [b"./", path].concat(),
        path => path.to_vec(),
    };
    if is_directory {
        name.push(b'/');
    }
    name
}

/// The extended attributes and access control lists of an entry. Notes what a tar archive can't
/// hold.
fn attributes(progress: &mut Progress<'_>, path: &Path, entry: &Entry) -> Records {
    let metadata = &entry.metadata;
    let mut records = Records::default();
    let mut are_all_packed = true;
    for xattr in &metadata.xattrs {
        are_all_packed &= records.push_xattr(&xattr.name, &xattr.value);
    }
    if !are_all_packed {
        progress.leave_out(LeftOut::Xattrs, path);
    }
    if let Some(fcaps) = &metadata.fcaps
        && !records.push_capabilities(fcaps)
    {
        progress.leave_out(LeftOut::Capabilities, path);
    }
    let access = acl::access(metadata);
    let default = acl::default(&metadata.acl).filter(|_| entry.is_directory());
    let is_default_lost = default.is_none() && metadata.acl.default.is_some();
    if !records.push_acls(access.as_deref(), default.as_deref()) || is_default_lost {
        progress.leave_out(LeftOut::Acls, path);
    }
    progress.leave_out_flags(path, metadata);
    records
}
