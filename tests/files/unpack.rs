//! Unpacks archives by the tools that people have, and describes what came out.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tempfile::TempDir;
use testkit::pxar::describe_folder;

/// Whether a tool is there. Where it must be and is not, the test fails.
pub(crate) fn has(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    is_there || skip(&format!("{tool} is not installed"))
}

/// Whether this process may make devices and give files to others, as a container may not.
pub(crate) fn is_almighty() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("device");
    let made = mknodat(
        CWD,
        device,
        FileType::BlockDevice,
        Mode::RUSR,
        makedev(7, 7),
    );
    made.is_ok() || skip("only root can make devices")
}

fn skip(why: &str) -> bool {
    assert!(env::var_os("CHUNK_RESTORE_REQUIRE").is_none(), "{why}");
    // What `eprintln!` says is not shown of a test that passes.
    let message = format!("SKIPPED: {why}\n");
    io::stderr().write_all(message.as_bytes()).unwrap();
    false
}

/// Unpacks an archive into a new folder by a command, which finds the archive as `../archive`.
pub(crate) fn unpack(archive: &[u8], command: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("archive"), archive).unwrap();
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(&target)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    folder
}

/// Describes what was unpacked.
pub(crate) fn described(folder: &TempDir) -> String {
    describe_folder(folder.path().join("target"))
}
