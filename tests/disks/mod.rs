//! File systems and block devices for tests, which only root can make.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system of its own, in a temporary folder.
pub(crate) struct Mount(TempDir);

impl Mount {
    /// Mounts a `tmpfs` or the like; `None` where it can't be, which is said.
    pub(crate) fn of(kind: &str, options: &str) -> Option<Mount> {
        Mount::new(&["-t", kind, "-o", options, "none"])
    }

    pub(crate) fn device(device: &Path) -> Option<Mount> {
        Mount::new(&[device])
    }

    fn new(arguments: &[impl AsRef<OsStr>]) -> Option<Mount> {
        let folder = TempDir::new().unwrap();
        run(Command::new("mount").args(arguments).arg(folder.path()))?;
        Some(Mount(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives it other options, such as another size.
    pub(crate) fn remount(&self, options: &str) {
        let mut command = Command::new("mount");
        let done = run(command
            .args(["-o", &format!("remount,{options}")])
            .arg(self.path()));
        assert!(done.is_some(), "who can mount can remount");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// A block device over a file, which is full of 0xff at first.
pub(crate) struct Loop {
    path: PathBuf,
    file: PathBuf,
    _folder: TempDir,
    /// Unmounted last.
    _mount: Option<Mount>,
}

impl Loop {
    /// One that makes holes in its file where it is told to.
    pub(crate) fn thin(len: usize) -> Option<Loop> {
        let folder = TempDir::new().unwrap();
        Loop::over(folder, None, len, 512)
    }

    /// One with large blocks.
    pub(crate) fn thin_4k(len: usize) -> Option<Loop> {
        Loop::over(TempDir::new().unwrap(), None, len, 4096)
    }

    /// One that can't, as the file system below has no holes to make.
    pub(crate) fn thick(len: usize) -> Option<Loop> {
        let mount = Mount::of("ramfs", "mode=700")?;
        let folder = TempDir::new_in(mount.path()).unwrap();
        Loop::over(folder, Some(mount), len, 512)
    }

    fn over(folder: TempDir, mount: Option<Mount>, len: usize, block: u32) -> Option<Loop> {
        let file = folder.path().join("device");
        fs::write(&file, vec![0xff; len]).unwrap();
        File::open(&file).unwrap().sync_all().unwrap();
        let block = block.to_string();
        let mut command = Command::new("losetup");
        command.args(["--find", "--show", "--sector-size", &block]);
        let shown = run(command.arg(&file))?;
        Some(Loop {
            path: PathBuf::from(shown.trim()),
            file,
            _folder: folder,
            _mount: mount,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file below, which shows what room is taken.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.path).status();
    }
}

/// What a command of root's says. For others the test is skipped, and that is seen.
pub(crate) fn run(command: &mut Command) -> Option<String> {
    // Debian has some of them where users don't look.
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let output = command.env("PATH", path).output();
    let failure = match output {
        Ok(output) if output.status.success() => {
            return Some(String::from_utf8(output.stdout).unwrap());
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let message = format!("{test} needs {command:?}, which takes root: {failure}");
    assert!(env::var_os("CHUNK_RESTORE_REQUIRE").is_none(), "{message}");
    // What `eprintln!` says is not shown of a test that passes.
    let mut output = io::stderr();
    output
        .write_all(format!("SKIPPED: {message}\n").as_bytes())
        .unwrap();
    None
}
