//! The arguments of the commands that look into file archives.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// A file archive of a snapshot.
#[derive(Args, Debug)]
pub(crate) struct FileArchive {
    /// The snapshot
    pub(crate) snapshot: String,
    /// The file archive, such as root.pxar; that name also stands for root.mpxar and root.ppxar together
    pub(crate) archive: String,
}

/// How entries are listed.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Listed {
    /// Show mode, owner, group, size and time (UTC) too; a `+` behind the mode stands for ACLs and extended attributes
    #[arg(long, short)]
    pub(crate) long: bool,
    /// End each name with a zero byte instead of a line end, and escape nothing, for `xargs -0`
    #[arg(long, short = '0', conflicts_with = "long")]
    pub(crate) null: bool,
}

/// List the files in a file archive, of one folder or of all below it
///
/// Fetches only what it needs: of one folder its table and where its files begin. In text, bytes that are not UTF-8, control
/// characters and backslashes are escaped, as in `\xff` and `\n`.
#[derive(Args, Debug)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) archive: FileArchive,
    /// A folder of the archive or something in it, from the archive's root; the root itself if none is given
    pub(crate) path: Option<PathBuf>,
    /// List everything below the folder, with paths from the archive's root
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
    #[command(flatten)]
    pub(crate) listed: Listed,
}

/// Write one file of a file archive to standard output
///
/// Fetches only the chunks that the file lies in, and those that lead to it. Messages go to standard error. If the reader
/// closes the pipe, the program ends without an error.
#[derive(Args, Debug)]
pub(crate) struct Cat {
    #[command(flatten)]
    pub(crate) archive: FileArchive,
    /// The file, from the archive's root; symbolic links are not followed
    pub(crate) path: PathBuf,
}

/// Look for files in a file archive, by patterns
///
/// A pattern is compared with the path from the archive's root if it begins with `/`, and otherwise also with what follows
/// each `/` of the path. `*` and `?` stand for anything but `/`, `**` for any number of folders, and [a-z] for one byte. A
/// `/` at the end is for folders only. A pattern after `!` excludes. If several patterns match, the last one decides.
#[derive(Args, Debug)]
pub(crate) struct Find {
    #[command(flatten)]
    pub(crate) archive: FileArchive,
    /// What to look for, such as '*.conf', '/etc/**' or '!*.bak'; quote it for the shell
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<OsString>,
    #[command(flatten)]
    pub(crate) listed: Listed,
}
