//! A mount by FUSE: what it needs, and its end.

use std::fs::{self, OpenOptions};
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use chunk_restore::Cancel;
use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::failure::Failure;
use crate::mount::file_system::FileSystem;

/// The device that the kernel asks through.
const DEVICE: &str = "/dev/fuse";

/// The program that mounts and unmounts for other users than root.
const HELPER: &str = "fusermount3";

/// The kernel's table of the mounts that this program sees.
const MOUNTS: &str = "/proc/self/mountinfo";

/// The name that tables of mounts show.
const NAME: &str = "restore";

/// How often a mount looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// How long the last reads may take to fail once the mount is gone.
const LAST_ANSWERS: Duration = Duration::from_millis(400);

/// By which a file system is known again: the major and the minor number of its device.
type DeviceId = (u32, u32);

/// A folder that shows files. Dropping it unmounts the folder.
pub(crate) struct Mounted {
    folder: PathBuf,
    /// The device of the folder's file system while the mount is there.
    device: DeviceId,
    /// The threads that answer the kernel; `None` once the folder is unmounted.
    session: Option<BackgroundSession>,
    /// Tells that the folder is not mounted any more.
    ended: Receiver<()>,
}

/// Checks what a mount needs, before anything is opened for it.
///
/// # Errors
/// Says what is missing, and what to do.
pub(crate) fn check(folder: &Path) -> Result<(), Failure> {
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(Failure::refused(format!("{shown} is no folder"))),
        Err(error) => {
            let failure = Failure::target(format!("cannot mount on {shown}"), &error);
            return Err(match error.kind() {
                io::ErrorKind::NotFound => failure.advises("make the folder first"),
                // A mount whose program was killed is in the way.
                io::ErrorKind::NotConnected => failure.advises(format!(
                    "the program of an earlier mount was killed: `umount {shown}` or `{HELPER} -u {shown}` first"
                )),
                _ => failure,
            });
        }
    }
    let is_root = rustix::process::geteuid().is_root();
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    if let Err(error) = device {
        let failure = Failure::target(format!("cannot open {DEVICE}"), &error);
        return Err(failure.advises(match (error.kind(), is_root) {
            (io::ErrorKind::NotFound, _) => {
                "load the kernel's FUSE module (`modprobe fuse`); a container must be given the device"
            }
            (io::ErrorKind::PermissionDenied, false) => {
                "run the command as root, or have root allow it (`chmod 666 /dev/fuse`)"
            }
            _ => "a container must be allowed to use the device (character device 10:229)",
        }));
    }
    if !is_root && !has_helper() {
        return Err(Failure::refused(format!(
            "there is no {HELPER}, which mounts for other users than root"
        ))
        .advises("install the package fuse3, or run the command as root"));
    }
    Ok(())
}

fn has_helper() -> bool {
    let mut helper = Command::new(HELPER);
    helper.arg("--version").stdin(Stdio::null());
    helper.stdout(Stdio::null()).stderr(Stdio::null());
    helper.status().is_ok()
}

impl Mounted {
    pub(crate) fn new(
        mut files: FileSystem,
        folder: &Path,
        allow_other: bool,
    ) -> Result<Mounted, Failure> {
        let failed = |error: io::Error| {
            Failure::target(format!("cannot mount on {}", folder.display()), &error)
        };
        let folder = fs::canonicalize(folder).map_err(failed)?;
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::RO,
            MountOption::NoSuid,
            MountOption::NoDev,
            MountOption::FSName(NAME.to_owned()),
        ];
        if allow_other {
            config.mount_options.push(MountOption::DefaultPermissions);
            config.acl = SessionACL::All;
        }
        let (end, ended) = mpsc::channel();
        files.tell_end(end);
        let session = Session::new(files, &folder, &config).map_err(|error| {
            match error.to_string().contains("user_allow_other") {
                true => failed(error).advises(
                    "for --allow-other, root must put the line `user_allow_other` into /etc/fuse.conf",
                ),
                false => failed(error),
            }
        })?;
        // The session is spawned first: it answers the kernel if that asks about the folder.
        let session = session.spawn().map_err(failed)?;
        Ok(Mounted {
            device: device_of(&folder).map_err(|error| failed(error.into()))?,
            session: Some(session),
            folder,
            ended,
        })
    }

    /// The folder, with its full path.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until the mount is to end, and ends it; or until somebody has unmounted the folder.
    pub(crate) fn wait(mut self, cancel: &Cancel) -> Result<(), Failure> {
        while self.ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if cancel.is_cancelled() {
                self.unmount()?;
                // Programs that read meanwhile get an error. Those that have files open get one at
                // their next read: the connection to the kernel ends with this program.
                let _ = self.ended.recv_timeout(LAST_ANSWERS);
                return Ok(());
            }
        }
        self.forget();
        Ok(())
    }

    /// Takes the folder out of the tree at once, also while programs have files of it open. Does nothing
    /// where somebody has done so before.
    ///
    /// # Errors
    /// The folder can't be unmounted, or shows another mount, which lies over this one.
    fn unmount(&mut self) -> Result<(), Failure> {
        self.forget();
        if !self.is_there() {
            return match self.is_listed() {
                false => Ok(()),
                true => Err(self.covered()),
            };
        }
        let lazily = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        let done = match unmount(&self.folder, lazily) {
            // Somebody has unmounted the folder since.
            Err(Errno::INVAL) => Ok(()),
            Err(Errno::PERM) => self.unmount_by_helper(),
            done => done.map_err(io::Error::from),
        };
        match done {
            Err(error) if self.is_there() => Err(Failure::target(
                format!("cannot unmount {}", self.folder.display()),
                &error,
            )),
            _ => Ok(()),
        }
    }

    /// Whether the folder still shows this mount, and no other that was made there since.
    fn is_there(&self) -> bool {
        device_of(&self.folder) == Ok(self.device)
    }

    /// Whether this mount is on the folder at all, perhaps below another one.
    fn is_listed(&self) -> bool {
        let (major, minor) = self.device;
        let device = format!("{major}:{minor}");
        let folder = escaped(&self.folder);
        let table = fs::read(MOUNTS).unwrap_or_default();
        table.split(|byte| *byte == b'\n').any(|line| {
            // The number of the mount, that of its parent, the device, the root, and the folder.
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').take(5).collect();
            matches!(fields[..], [_, _, of, _, on] if of == device.as_bytes() && on == folder)
        })
    }

    fn covered(&self) -> Failure {
        let folder = self.folder.display();
        Failure::refused(format!(
            "cannot unmount {folder}: something else is mounted over it"
        ))
        .advises(format!(
            "run `umount {folder}` twice: for that mount, and for what is left of this one"
        ))
    }

    /// Unmounts as other users than root must.
    fn unmount_by_helper(&self) -> io::Result<()> {
        let mut helper = Command::new(HELPER);
        helper.args(["-u", "-q", "-z", "--"]).arg(&self.folder);
        let status = helper.stdin(Stdio::null()).status()?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("{HELPER}: {status}"))),
        }
    }

    /// Keeps `fuser` from unmounting too: in version 0.18 it does so even if the folder is unmounted
    /// already, and then unmounts whatever else is mounted there.
    fn forget(&mut self) {
        if let Some(session) = self.session.take() {
            mem::forget(session);
        }
    }
}

/// A path as the kernel's table of mounts has it, with some characters as octal numbers.
fn escaped(path: &Path) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").bytes()),
            byte => escaped.push(*byte),
        }
    }
    escaped
}

/// The device of the file system that a folder shows. The kernel knows it by itself: a mount whose program
/// does not answer is not asked.
fn device_of(folder: &Path) -> Result<DeviceId, Errno> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW;
    let found = statx(CWD, folder, flags, StatxFlags::empty())?;
    Ok((found.stx_dev_major, found.stx_dev_minor))
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.session.is_some() {
            let _ = self.unmount();
        }
    }
}
