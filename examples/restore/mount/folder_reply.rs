//! A reply to the kernel that takes the entries of a folder, with or without their attributes.

use std::ffi::OsStr;

use fuser::{Errno, FileAttr, Generation, ReplyDirectory, ReplyDirectoryPlus};

use crate::mount::file_system::KEEP;

/// A reply that takes the entries of a folder.
#[derive(Debug)]
pub(crate) enum FolderReply {
    Plain(ReplyDirectory),
    WithAttributes(ReplyDirectoryPlus),
}

impl FolderReply {
    /// Adds an entry; `true` if there is no more room.
    pub(crate) fn add(&mut self, offset: u64, name: &OsStr, attributes: &FileAttr) -> bool {
        let number = attributes.ino;
        match self {
            FolderReply::Plain(reply) => reply.add(number, offset, attributes.kind, name),
            FolderReply::WithAttributes(reply) => {
                reply.add(number, offset, name, &KEEP, attributes, Generation(0))
            }
        }
    }

    pub(crate) fn ok(self) {
        match self {
            FolderReply::Plain(reply) => reply.ok(),
            FolderReply::WithAttributes(reply) => reply.ok(),
        }
    }

    pub(crate) fn error(self, error: Errno) {
        match self {
            FolderReply::Plain(reply) => reply.error(error),
            FolderReply::WithAttributes(reply) => reply.error(error),
        }
    }
}
