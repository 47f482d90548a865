//! Writes files of a file archive to standard output, as one tar or zip archive.

use std::error::Error as _;
use std::io;
use std::os::fd::AsFd;

use chunk_restore::files::{Pack, PackReport};
use chunk_restore::target::PollWriter;
use chunk_restore::{Error, ErrorKind};
use serde_json::json;

use crate::exit::Exit;
use crate::extraction::{
    counted_entries, set_path, shown_path, tell_damage, tell_omission, tell_unmatched,
};
use crate::failure::Failure;
use crate::file_arguments::PackFormat;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::size::Size;

/// Packs the files, and tells what the format could not hold and what is lost.
pub(crate) fn to_stdout(
    pack: &Pack,
    format: PackFormat,
    name: &str,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let stdout = stdout
        .and_then(|stdout| PollWriter::new(stdout, interrupt.cancel()))
        .map_err(|error| Failure::target("cannot write to standard output", &error))?;
    let packed = match format {
        PackFormat::Tar => pack.tar(stdout, |_| {}),
        PackFormat::Zip => pack.zip(stdout, |_| {}),
    };
    match packed {
        Ok(report) => Ok(tell(&report, name, output)),
        // Ctrl-C on a terminal also ends the program that reads from a pipe.
        Err(_) if interrupt.cancel().is_cancelled() => Err(Failure::interrupted()),
        Err(error) if is_closed(&error) => Ok(Exit::Done),
        Err(error) if error.kind() == ErrorKind::Target => Err(Failure::from(error)),
        Err(error) => Err(Failure::from(error).about(name)),
    }
}

/// Whether the reader of a pipe has read enough.
fn is_closed(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    let kind = cause.map(io::Error::kind);
    error.kind() == ErrorKind::Target && kind == Some(io::ErrorKind::BrokenPipe)
}

fn tell(report: &PackReport, name: &str, output: &Output) -> Exit {
    for pattern in &report.unmatched {
        tell_unmatched(name, pattern, output);
    }
    for omission in &report.omissions {
        tell_omission(name, omission, output);
    }
    for damage in &report.damage {
        tell_damage(name, damage, output);
    }
    for loss in &report.losses {
        let told = Failure::from_library(&loss.error).about(name);
        let mut json = told.facts();
        json["event"] = "entry_failed".into();
        json["archive"] = name.into();
        set_path(&mut json, &loss.path);
        let text = format!("{} or entries of it: ", shown_path(&loss.path));
        output.warn(text + &told.text("lost"), &json);
    }
    let seconds = report.elapsed.as_secs_f64();
    let text = format!(
        "{name}: {} with {} in {seconds:.1} s",
        counted_entries(report.entries),
        Size::of(report.bytes)
    );
    let json = json!({
        "event": "packed",
        "archive": name,
        "entries": report.entries,
        "bytes": report.bytes,
        "lost": report.damage.len() as u64 + report.lost,
        "seconds": seconds,
    });
    output.remark(text, &json);
    match report.damage.is_empty() && report.losses.is_empty() {
        true => Exit::Done,
        false => Exit::Damaged,
    }
}
