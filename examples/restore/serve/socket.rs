//! The unix socket of a server: nobody but its users can ever connect to it, and it is removed at
//! the end.

use std::env;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::unistd::Group;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::failure::Failure;

/// The mode of a socket for its owner alone.
const OWNER_MODE: u32 = 0o600;
/// The mode of a socket for its owner and a group.
const GROUP_MODE: u32 = 0o660;
/// The mode of the folders that are made for sockets.
const FOLDER_MODE: u32 = 0o700;

/// The longest path of a socket, in bytes: clients can connect to no longer one.
const PATH_LEN_MAX: usize = 107;

/// The name of a socket in a folder of its own.
const SOCKET_NAME: &str = "nbd.sock";

/// A socket in the file system. Dropping it removes it, and the folder that was made for it.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    id: FileId,
    /// The folder that was made for the socket.
    _folder: Option<TempDir>,
}

/// By which a file is known again: its device and its inode.
type FileId = (u64, u64);

impl Socket {
    /// Makes a socket in a new folder, which only this user can enter.
    pub(crate) fn in_new_folder() -> Result<(UnixListener, Socket), Failure> {
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = runtime.filter(|folder| folder.is_absolute());
        let folder = match runtime.and_then(|runtime| new_folder("restore-", &runtime).ok()) {
            Some(folder) => folder,
            None => {
                let parent = env::temp_dir();
                let message = || format!("cannot make a folder in {}", parent.display());
                new_folder("restore-", &parent)
                    .map_err(|error| Failure::target(message(), &error))?
            }
        };
        let (listener, mut socket) = Socket::at(&folder.path().join(SOCKET_NAME), None)?;
        socket._folder = Some(folder);
        Ok((listener, socket))
    }

    /// Makes a socket at a path, for this user and for a group. A socket of this user that nobody
    /// answers any more is replaced, and nothing else is.
    pub(crate) fn at(path: &Path, group: Option<u32>) -> Result<(UnixListener, Socket), Failure> {
        let failed = |error: io::Error| {
            Failure::target(format!("cannot make the socket {}", path.display()), &error)
        };
        let path = std::path::absolute(path).map_err(failed)?;
        check_len(&path)?;
        let leftover = leftover(&path)?;
        // The socket gets its mode and its group in a folder that only this user can enter. So
        // nobody can connect to it, or put something else in its place, before it is ready.
        let parent = path.parent().unwrap_or(&path);
        let workshop = new_folder(".restore-", parent).map_err(failed)?;
        let made = workshop.path().join("new");
        let listener = bind(workshop.path(), &made).map_err(failed)?;
        let mode = match group {
            Some(group) => {
                chown(&made, None, Some(group)).map_err(|error| {
                    let path = path.display();
                    Failure::target(
                        format!("cannot give the socket {path} to the group"),
                        &error,
                    )
                    .advises("only root, and members of the group, can do that")
                })?;
                GROUP_MODE
            }
            None => OWNER_MODE,
        };
        fs::set_permissions(&made, Permissions::from_mode(mode)).map_err(failed)?;
        let id = id(&fs::symlink_metadata(&made).map_err(failed)?);
        if let Some(leftover) = leftover {
            set_aside(&path, leftover, &workshop.path().join("old"))?;
        }
        // A link, unlike a renamed file, never replaces anything.
        fs::hard_link(&made, &path).map_err(failed)?;
        let socket = Socket {
            path,
            id,
            _folder: None,
        };
        Ok((listener, socket))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| id(&found) == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn check_len(path: &Path) -> Result<(), Failure> {
    let len = path.as_os_str().as_bytes().len();
    if len <= PATH_LEN_MAX {
        return Ok(());
    }
    let message = format!(
        "the path of the socket {} has {len} bytes, and {PATH_LEN_MAX} are possible",
        path.display()
    );
    Err(Failure::refused(message).advises("name a shorter path with --socket"))
}

/// Makes a socket in a folder. Its path there may be longer than that of a socket can be.
fn bind(folder: &Path, made: &Path) -> io::Result<UnixListener> {
    if made.as_os_str().as_bytes().len() <= PATH_LEN_MAX {
        return UnixListener::bind(made);
    }
    let folder = File::open(folder)?;
    let name = made.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    UnixListener::bind(short.join(name))
}

/// Makes a folder that only this user can enter. It is removed when it is dropped.
fn new_folder(prefix: &str, parent: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(Permissions::from_mode(FOLDER_MODE));
    builder.prefix(prefix).tempdir_in(parent)
}

/// The socket at a path, if it was left behind by a server of this user that has ended; `None` if
/// there is nothing.
///
/// # Errors
/// There is anything else at the path.
fn leftover(path: &Path) -> Result<Option<FileId>, Failure> {
    let shown = path.display();
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::target(
                format!("cannot make the socket {shown}"),
                &error,
            ));
        }
    };
    let refused = |message: String| Err(Failure::refused(message).advises("name another path"));
    if !found.file_type().is_socket() {
        return refused(format!("{shown} exists already, and is no socket"));
    }
    if found.uid() != geteuid().as_raw() {
        return refused(format!("{shown} is a socket of another user"));
    }
    match try_connect(path) {
        Err(Errno::CONNREFUSED) => Ok(Some(id(&found))),
        Err(Errno::NOENT) => Ok(None),
        Ok(()) | Err(Errno::AGAIN) => refused(format!("a program is listening on {shown} already")),
        Err(error) => Err(Failure::target(
            format!("cannot tell whether {shown} is in use"),
            &error.into(),
        )),
    }
}

/// Connects to a socket, without waiting for a server that is busy.
fn try_connect(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

/// Moves a socket that was left behind out of the way, unless something else has its name by now.
fn set_aside(path: &Path, leftover: FileId, aside: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let failed =
        |error: io::Error| Failure::target(format!("cannot replace the socket {shown}"), &error);
    match fs::rename(path, aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        moved => moved.map_err(failed)?,
    }
    if id(&fs::symlink_metadata(aside).map_err(failed)?) == leftover {
        return Ok(());
    }
    let _ = fs::hard_link(aside, path);
    Err(Failure::refused(format!(
        "another program has just made {shown}"
    )))
}

fn id(found: &Metadata) -> FileId {
    (found.dev(), found.ino())
}

/// The number of a group, by its name or number.
pub(crate) fn group(name: &str) -> Result<u32, Failure> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let shown = name.escape_debug();
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(Failure::usage(format!("there is no group '{shown}'"))),
        Err(error) => {
            let message = format!("cannot look up the group '{shown}'");
            Err(Failure::unreadable(message, &error.into()))
        }
    }
}
