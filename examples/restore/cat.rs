//! `restore cat`: writes one file of a file archive to standard output.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use chunk_restore::files::FileReader;
use chunk_restore::target::PollWriter;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::file_archive::FileArchive;
use crate::file_arguments::Cat;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::output::Output;
use crate::shown::shown_name;
use crate::stdout;

/// How much is read of the file at once, in bytes.
const READ_LEN: usize = 1 << 20;

pub(crate) fn run(
    cat: &Cat,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let archive = FileArchive::open(&cat.archive, options, interrupt, output)?;
    let _running = interrupt.run()?;
    let file = archive.read(&cat.path)?;
    let mut stdout = stdout::writer(interrupt)?;
    copy(&file, &mut stdout, cat, interrupt)?;
    Ok(Exit::Done)
}

/// Copies the file.
fn copy(
    file: &FileReader,
    stdout: &mut PollWriter,
    cat: &Cat,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let mut buffer = vec![0; READ_LEN];
    let mut offset = 0;
    loop {
        let len = file.read_at(&mut buffer, offset).map_err(|error| {
            let path = shown_name(cat.path.as_os_str().as_bytes());
            Failure::from(error).about(path)
        })?;
        if len == 0 {
            return Ok(());
        }
        match stdout.write_all(&buffer[..len]) {
            Ok(()) => offset += len as u64,
            // Ctrl-C on a terminal also ends the program that reads from a pipe.
            Err(_) if interrupt.cancel().is_cancelled() => return Err(Failure::interrupted()),
            Err(error) => return Err(stdout::cannot_write(&error)),
        }
    }
}
