//! Files with reports of a drill. They are written beside their path and renamed, so that no reader
//! meets half a report.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::failure::Failure;
use crate::reading::open_at_once;

/// Writes a report. What is there is replaced if it is empty or begins as this report does, up to
/// the end of `begins`.
pub(crate) fn write(path: &Path, report: &str, begins: &str) -> Result<(), Failure> {
    let shown = path.display();
    match is_replaceable(path, begins.as_bytes()) {
        Ok(true) => {}
        Ok(false) => {
            return Err(Failure::refused(format!(
                "{shown} is there, and is no such report: remove it, or name another file"
            )));
        }
        Err(error) => return Err(cannot_write(path, &error)),
    }
    replace(path, report).map_err(|error| cannot_write(path, &error))
}

pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::target(format!("cannot write the report {}", path.display()), error)
}

fn is_replaceable(path: &Path, begins: &[u8]) -> io::Result<bool> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
        Ok(found) if !found.is_file() => return Ok(false),
        Ok(found) if found.len() == 0 => return Ok(true),
        Ok(_) => {}
    }
    let file = open_at_once(OpenOptions::new().read(true), path)?;
    let mut head = Vec::new();
    file.take(begins.len() as u64).read_to_end(&mut head)?;
    Ok(head == begins)
}

fn replace(path: &Path, report: &str) -> io::Result<()> {
    // Others may read the report as far as the umask lets them: a collector of metrics is another
    // user.
    let mut file = tempfile::Builder::new().make_in(folder_of(path), |path| {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o666).open(path)
    })?;
    file.as_file_mut().write_all(report.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
