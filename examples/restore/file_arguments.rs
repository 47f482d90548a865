//! The arguments of the commands for file archives.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
/// Fetches only the chunks that the file lies in, and those that lead to it. Messages go to standard error.
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

/// Extract the files of a container or a host, or some of them, into a folder
///
/// Restores owners, permissions, times, hard links, extended attributes, access control lists, devices and holes. A file
/// has its name only once it is whole. What stopped before it was done goes on when the same command runs again: files
/// that are there with the right length and time are kept. Until everything is there, the folder holds a file
/// `.chunk-restore-unfinished`.
///
/// What can't be restored is named, and the rest is restored: the exit code is 8 then. As another user than root, owners
/// and the like are left out, and named once. Nothing outside the folder is changed, whatever the archive holds.
#[derive(Args, Debug)]
pub(crate) struct FilesArguments {
    #[command(flatten)]
    pub(crate) archive: FileArchive,
    /// The folder to extract into, which is made if the one above it exists; or `-`, with --format: standard output
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Extract only this file or folder, such as etc/hosts, or what matches a pattern for paths from the root on, such as
    /// 'var/log/*.gz'; a folder with everything in it
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Extract only what matches a pattern, such as '*.conf' or '/etc/**'; may be repeated
    ///
    /// A pattern is compared with the path from the archive's root if it begins with `/`, and otherwise also with what follows
    /// each `/` of the path. `*` and `?` stand for anything but `/`, `**` for any number of folders, and [a-z] for one byte. A
    /// `/` at the end is for folders only. A pattern after `!` excludes. If several patterns match, the last one decides. A
    /// folder that matches is extracted with everything in it. A pattern that matches nothing is named.
    #[arg(long = "pattern", value_name = "PATTERN")]
    pub(crate) patterns: Vec<OsString>,
    /// Write one archive to standard output, with DIR `-`, rather than to make files
    #[arg(long, value_name = "FORMAT", conflicts_with_all = [
        "allow_existing_dirs", "overwrite_files", "overwrite_symlinks", "overwrite_hardlinks", "ignore_acls",
        "ignore_xattrs", "ignore_ownership", "ignore_permissions", "ignore_extract_device_errors", "no_special", "verify",
    ])]
    pub(crate) format: Option<PackFormat>,
    /// Extract into folders that exist
    ///
    /// Without this, only DIR itself may exist, and what an earlier extraction has made.
    #[arg(long)]
    pub(crate) allow_existing_dirs: bool,
    /// Let regular files replace what exists; --overwrite stands for this and the next two
    #[arg(long)]
    pub(crate) overwrite_files: bool,
    /// Let symbolic links replace what exists
    #[arg(long)]
    pub(crate) overwrite_symlinks: bool,
    /// Let hard links replace what exists
    #[arg(long)]
    pub(crate) overwrite_hardlinks: bool,
    /// Leave out access control lists
    #[arg(long)]
    pub(crate) ignore_acls: bool,
    /// Leave out extended attributes
    #[arg(long)]
    pub(crate) ignore_xattrs: bool,
    /// Leave out owners and groups, and setuid and setgid of files that get another owner
    #[arg(long)]
    pub(crate) ignore_ownership: bool,
    /// Leave out permissions: all is for you alone
    #[arg(long)]
    pub(crate) ignore_permissions: bool,
    /// Leave out devices that can't be made
    #[arg(long)]
    pub(crate) ignore_extract_device_errors: bool,
    /// Leave out devices, setuid and setgid, capabilities and trusted attributes
    #[arg(long)]
    pub(crate) no_special: bool,
    /// Write the archive's prelude, which says what the backup left out, to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) prelude_target: Option<PathBuf>,
    /// Put zeros where chunks are missing or damaged, name the files, and go on; the exit code is 3
    ///
    /// Such a file does not get its time, so that the same command on a healed datastore makes it anew.
    #[arg(long)]
    pub(crate) salvage: bool,
    /// Fetch the files that are there already too, and compare them, rather than to keep them for their length and time
    #[arg(long)]
    pub(crate) verify: bool,
}

impl FilesArguments {
    /// Whether the files go to standard output as one archive.
    pub(crate) fn is_to_stdout(&self) -> bool {
        self.format.is_some() || self.folder.as_os_str() == "-"
    }
}

/// A format of archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PackFormat {
    /// With all that tar archives can hold: unpack it by `tar --xattrs --xattrs-include='*' --acls --numeric-owner -xpf -`
    Tar,
    /// For desktops: files, folders, and symbolic links that stay inside
    Zip,
}
