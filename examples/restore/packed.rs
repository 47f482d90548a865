//! Writes files of a file archive to standard output, as one tar or zip archive.

use std::io::{self, IsTerminal};

use chunk_restore::ErrorKind;
use chunk_restore::files::{Pack, PackReport};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::extraction::{
    counted_entries, set_path, shown_path, tell_damage, tell_omission, tell_unmatched,
};
use crate::failure::Failure;
use crate::file_arguments::PackFormat;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::size::Size;
use crate::stdout;
use crate::ticker::Ticker;

/// Packs the files, and tells what the format could not hold and what is lost.
pub(crate) fn to_stdout(
    pack: &Pack,
    format: PackFormat,
    name: &str,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::usage("standard output is a terminal: redirect it"));
    }
    let stdout = stdout::writer(interrupt)?;
    let mut ticker = Ticker::new(name, output);
    let observe = |report: &PackReport| {
        let event = || json("progress", name, report);
        ticker.tick(report.elapsed, || summary(report), event);
    };
    let packed = match format {
        PackFormat::Tar => pack.tar(stdout, observe),
        PackFormat::Zip => pack.zip(stdout, observe),
    };
    // The line that shows the progress would be in the way of the messages.
    drop(ticker);
    match packed {
        Ok(report) => Ok(tell(&report, name, output)),
        // Ctrl-C on a terminal also ends the program that reads from a pipe.
        Err(_) if interrupt.cancel().is_cancelled() => Err(Failure::interrupted()),
        Err(error) if error.kind() == ErrorKind::Target => Err(Failure::from(error)),
        Err(error) => Err(Failure::from(error).about(name)),
    }
}

/// `1234 entries with 5.6 GiB (456 MiB/s)`.
fn summary(report: &PackReport) -> String {
    let speed = report.bytes as f64 / report.elapsed.as_secs_f64().max(0.001);
    let entries = counted_entries(report.entries);
    let bytes = Size::of(report.bytes);
    format!("{entries} with {bytes} ({}/s)", Size(speed))
}

fn json(event: &str, name: &str, report: &PackReport) -> Value {
    json!({
        "event": event,
        "archive": name,
        "entries": report.entries,
        "bytes": report.bytes,
        "lost": report.damage.len() as u64 + report.lost,
        "seconds": report.elapsed.as_secs_f64(),
    })
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
    output.remark(text, &json("packed", name, report));
    match report.damage.is_empty() && report.losses.is_empty() {
        true => Exit::Done,
        false => Exit::Damaged,
    }
}
