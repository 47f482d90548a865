//! Prints entries of a file archive as they are found: names, long lines, or events.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chunk_restore::Error;
use chunk_restore::files::pxar::{Acl, Device, Entry, EntryKind, Metadata};
use chunk_restore::files::{FileEntry, Files, Node};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::file_archive::{absolute, is_damage, name_of};
use crate::file_arguments::Listed;
use crate::output::Output;
use crate::program;
use crate::shown::{shown_json, shown_name};
use crate::xattrs;

/// Prints entries.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    files: &'a Files,
    form: Form,
    output: &'a Output,
    /// The positions of the chunks whose damage was told.
    told: HashSet<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Names,
    Raw,
    Long,
    Json,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(
        files: &'a Files,
        listed: Listed,
        output: &'a Output,
    ) -> Result<Entries<'a>, Failure> {
        let form = match (output.is_json(), listed) {
            (true, Listed { null: true, .. }) => {
                return Err(
                    Failure::usage("--null is for text, and not for JSON").advises(
                        "the member `path_base64` holds the bytes of each path: leave --null out",
                    ),
                );
            }
            (true, _) => Form::Json,
            (_, Listed { null: true, .. }) => Form::Raw,
            (_, Listed { long: true, .. }) => Form::Long,
            _ => Form::Names,
        };
        Ok(Entries {
            files,
            form,
            output,
            told: HashSet::new(),
        })
    }

    /// Prints the entries of one folder by their names.
    pub(crate) fn print_names(
        &mut self,
        entries: impl Iterator<Item = Result<FileEntry, Error>>,
    ) -> Result<Exit, Failure> {
        self.print(entries, |entry| name_of(entry).to_vec(), None)
    }

    /// Prints the entries of a walk by their paths. A walk can't go on after damage.
    pub(crate) fn print_paths(
        &mut self,
        entries: impl Iterator<Item = Result<FileEntry, Error>>,
    ) -> Result<Exit, Failure> {
        let advice = format!(
            "nothing after it is listed: `{} ls` without --recursive lists the other directories one by one",
            program::name()
        );
        self.print(entries, absolute, Some(&advice))
    }

    /// Prints entries, each by what `name` says of it. Damaged ones are told, and the others printed.
    fn print(
        &mut self,
        entries: impl Iterator<Item = Result<FileEntry, Error>>,
        name: impl Fn(&FileEntry) -> Vec<u8>,
        advice: Option<&str>,
    ) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        for entry in entries {
            let is_found = entry.is_ok();
            match entry.and_then(|entry| self.line(&entry, &name(&entry))) {
                Ok(line) if !self.output.stream(&line)? => break,
                Ok(_) => {}
                Err(error) if is_damage(&error) => {
                    exit = Exit::Integrity;
                    let advice = advice.filter(|_| !is_found);
                    self.tell(error, advice);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(exit)
    }

    /// Tells of damage, once for each chunk.
    fn tell(&mut self, error: Error, advice: Option<&str>) {
        let position = error.position();
        if position.is_none_or(|position| self.told.insert(position)) {
            let failure = Failure::from(error);
            self.output.fail(&match advice {
                Some(advice) => failure.advises(advice),
                None => failure,
            });
        }
    }

    fn line(&self, entry: &FileEntry, name: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(match self.form {
            Form::Names => shown_name(name).into_bytes().with_end(b'\n'),
            Form::Raw => name.to_vec().with_end(0),
            Form::Long => {
                let found = self.files.resolve(entry)?;
                long(&entry.node, &found, name).into_bytes().with_end(b'\n')
            }
            Form::Json => {
                let found = self.files.resolve(entry)?;
                let json = shown_json(json(entry, &found));
                json.into_bytes().with_end(b'\n')
            }
        })
    }
}

trait WithEnd {
    fn with_end(self, end: u8) -> Self;
}

impl WithEnd for Vec<u8> {
    fn with_end(mut self, end: u8) -> Vec<u8> {
        self.push(end);
        self
    }
}

/// A line as `ls -l` has it, without the number of links. `found` is the entry itself, or the file
/// that it is another name of.
fn long(node: &Node, found: &Entry, name: &[u8]) -> String {
    let Metadata { uid, gid, .. } = found.metadata;
    let size = match device(&found.kind) {
        Some(Device { major, minor, .. }) => format!("{major}, {minor}"),
        None => size(&found.kind).to_string(),
    };
    let mode = mode_text(found);
    let time = time(found.metadata.mtime.secs, 0);
    let mut line = format!("{mode} {uid:>5} {gid:>5} {size:>12} {time} ");
    line += &shown_name(name);
    match (node, &found.kind) {
        (Node::HardLink(link), _) => line += &format!(" link to /{}", shown_name(&link.path)),
        (_, EntryKind::Symlink(target)) => line += &format!(" -> {}", shown_name(target)),
        _ => {}
    }
    line
}

fn json(entry: &FileEntry, found: &Entry) -> Value {
    let path = absolute(entry);
    let metadata = &found.metadata;
    let device = device(&found.kind);
    let xattrs = xattrs::all(metadata);
    let names = xattrs.iter().map(|(name, _)| text(name));
    let mut json = json!({
        "event": "entry",
        "path": text(&path),
        "path_base64": BASE64_STANDARD.encode(&path),
        "type": type_name(&found.kind),
        "mode": format!("{:04o}", metadata.mode & 0o7777),
        "uid": metadata.uid,
        "gid": metadata.gid,
        "size": size(&found.kind),
        "mtime": time(metadata.mtime.secs, metadata.mtime.nanos),
        "mtime_secs": metadata.mtime.secs,
        "mtime_nanos": metadata.mtime.nanos,
        "xattrs": names.collect::<Vec<_>>(),
        "major": device.map(|device| device.major),
        "minor": device.map(|device| device.minor),
    });
    let mut add = |member: &str, path: &[u8]| {
        json[member] = text(path).into();
        json[format!("{member}_base64")] = BASE64_STANDARD.encode(path).into();
    };
    match (&entry.node, &found.kind) {
        (Node::HardLink(link), _) => add("link_to", &[b"/", &link.path[..]].concat()),
        (_, EntryKind::Symlink(target)) => add("target", target),
        _ => {}
    }
    json
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn type_name(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::Directory => "directory",
        EntryKind::File(_) => "file",
        EntryKind::Symlink(_) => "symlink",
        EntryKind::BlockDevice(_) => "block_device",
        EntryKind::CharDevice(_) => "char_device",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        _ => "other",
    }
}

/// The length of a file, or of the target of a symbolic link; 0 for anything else, in bytes.
pub(crate) fn size(kind: &EntryKind) -> u64 {
    match kind {
        EntryKind::File(payload) => payload.len,
        EntryKind::Symlink(target) => target.len() as u64,
        _ => 0,
    }
}

fn device(kind: &EntryKind) -> Option<Device> {
    match kind {
        EntryKind::BlockDevice(device) | EntryKind::CharDevice(device) => Some(*device),
        _ => None,
    }
}

/// `drwxr-xr-x+`: type and permissions; a `+` if there are ACLs or extended attributes.
fn mode_text(found: &Entry) -> String {
    let letter = match found.kind {
        EntryKind::Directory => 'd',
        EntryKind::File(_) => '-',
        EntryKind::Symlink(_) => 'l',
        EntryKind::BlockDevice(_) => 'b',
        EntryKind::CharDevice(_) => 'c',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        _ => '?',
    };
    let mode = found.metadata.mode;
    let mut text = String::from(letter);
    // Each with its bit for setuid, setgid or sticky, and the letter for that.
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    let Metadata {
        xattrs, acl, fcaps, ..
    } = &found.metadata;
    let has_more = !xattrs.is_empty() || fcaps.is_some() || *acl != Acl::default();
    text.push(if has_more { '+' } else { ' ' });
    text
}

/// A time in UTC, such as `2026-05-28T20:26:40.5Z`; `@` and seconds since 1970 beyond the year 9999.
fn time(secs: i64, nanos: u32) -> String {
    let time = Timestamp::new(secs, nanos.try_into().unwrap_or_default());
    time.map_or_else(|_| format!("@{secs}"), |time| time.to_string())
}
