//! Shows how far an extraction is, and tells in the end what it did.

use std::error::Error as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chunk_restore::files::{EntryFailure, ExtractReport, FileDamage, Omission, Pattern};
use chunk_restore::{ErrorKind, Scope};
use serde_json::{Value, json};

use crate::failure::{Failure, name_of};
use crate::output::Output;
use crate::shown::shown_name;
use crate::size::{Size, count};
use crate::ticker::{Ticker, beside_bar};

/// Shows how far the extraction of one archive is.
#[derive(Debug)]
pub(crate) struct Extraction<'a> {
    name: &'a str,
    output: &'a Output,
    ticker: Ticker<'a>,
    /// How many failures and damages were told.
    failures: usize,
    damages: usize,
    /// What to do about something that is in the way.
    in_the_way: &'static str,
    /// Whether the extraction has begun.
    pub(crate) has_begun: bool,
}

impl<'a> Extraction<'a> {
    pub(crate) fn new(
        name: &'a str,
        in_the_way: &'static str,
        output: &'a Output,
    ) -> Extraction<'a> {
        Extraction {
            name,
            output,
            ticker: Ticker::new(name, output),
            failures: 0,
            damages: 0,
            in_the_way,
            has_begun: false,
        }
    }

    pub(crate) fn observe(&mut self, report: &ExtractReport) {
        self.has_begun = true;
        for failure in &report.failures[self.failures..] {
            self.tell_failure(failure);
        }
        for damage in &report.damage[self.damages..] {
            beside_bar(|| tell_damage(self.name, damage, self.output));
        }
        (self.failures, self.damages) = (report.failures.len(), report.damage.len());
        let name = self.name;
        let event = || json("progress", name, report);
        (self.ticker).tick(report.elapsed, || summary(report), event);
    }

    /// Tells what was extracted to this folder.
    pub(crate) fn tell(&self, folder: &Path, report: &ExtractReport) {
        self.ticker.clear();
        for pattern in &report.unmatched {
            tell_unmatched(self.name, pattern, self.output);
        }
        for omission in &report.omissions {
            tell_omission(self.name, omission, self.output);
        }
        let mut json = json("extracted", self.name, report);
        json["folder"] = folder.to_string_lossy().into();
        let folder = shown_name(folder.as_os_str().as_bytes());
        let text = format!("{folder}: {}", whole_summary(report));
        self.output.report(text, &json);
        if !report.is_complete() {
            self.tell_incomplete(&folder, report);
        }
    }

    fn tell_incomplete(&self, folder: &str, report: &ExtractReport) {
        // Events tell the same by their numbers.
        if self.output.is_json() {
            return;
        }
        let failures = &report.failures;
        let lost_nothing = report.damage.is_empty() && !failures.iter().any(is_lost);
        let advice = match failures.iter().any(is_in_the_way) {
            true => self.in_the_way,
            false if lost_nothing => "the same command goes on with it",
            false => "the same command completes it once the datastore is healed",
        };
        let mut text = format!("{folder} is incomplete: {advice}");
        let unlisted = report.failed - report.failures.len() as u64;
        if unlisted > 0 {
            let unlisted = counted_entries(unlisted);
            text += &format!("\n  {unlisted} more could not be restored");
        }
        self.output.remark(text, &Value::Null);
    }

    fn tell_failure(&self, failure: &EntryFailure) {
        let told = Failure::from_library(&failure.error).about(self.name);
        let mut json = told.facts();
        json["event"] = "entry_failed".into();
        json["archive"] = self.name.into();
        set_path(&mut json, &failure.path);
        self.warn(&told.text("not restored"), &json);
    }

    /// Warns while the line on the terminal changes.
    fn warn(&self, text: &str, json: &Value) {
        beside_bar(|| self.output.warn(text, json));
    }
}

fn json(event: &str, name: &str, report: &ExtractReport) -> Value {
    json!({
        "event": event,
        "archive": name,
        "directories": report.directories,
        "files": report.files,
        "bytes": report.bytes,
        "kept": report.kept,
        "kept_bytes": report.kept_bytes,
        "hard_links": report.hard_links,
        "symlinks": report.symlinks,
        "specials": report.specials,
        "failed": report.failed,
        "lost": report.damage.len(),
        "seconds": report.elapsed.as_secs_f64(),
    })
}

/// Whether an entry failed because something else is at its path. Failures of the system have a
/// cause.
fn is_in_the_way(failure: &EntryFailure) -> bool {
    failure.error.kind() == ErrorKind::Target && failure.error.source().is_none()
}

/// Whether an entry is lost with its chunk.
fn is_lost(failure: &EntryFailure) -> bool {
    failure.error.scope() == Some(Scope::Chunk)
}

/// Names a pattern that matches nothing.
pub(crate) fn tell_unmatched(name: &str, pattern: &Pattern, output: &Output) {
    let pattern = pattern.as_bytes();
    let text = format!("{name}: nothing matches '{}'", shown_name(pattern));
    let json = json!({
        "event": "unmatched",
        "archive": name,
        "pattern": String::from_utf8_lossy(pattern),
        "pattern_base64": BASE64_STANDARD.encode(pattern),
    });
    output.warn(text, &json);
}

/// Names what was left out.
pub(crate) fn tell_omission(name: &str, omission: &Omission, output: &Output) {
    let text = format!(
        "{name}: left out: {} of {}, first of {}",
        omission.what.name(),
        counted_entries(omission.count),
        shown_path(&omission.example)
    );
    let mut json = json!({
        "event": "omitted",
        "archive": name,
        "property": omission.what.name(),
        "count": omission.count,
    });
    set_path(&mut json, &omission.example);
    output.remark(text, &json);
}

/// Names a part of a file that is lost.
pub(crate) fn tell_damage(name: &str, damage: &FileDamage, output: &Output) {
    let len = damage.range.end - damage.range.start;
    let text = format!(
        "{name}: lost: {len} bytes at offset {} of {}: their chunk is {}",
        damage.range.start,
        shown_path(&damage.path),
        name_of(damage.kind)
    );
    let mut json = json!({
        "event": "lost",
        "archive": name,
        "offset": damage.range.start,
        "len": len,
        "reason": name_of(damage.kind),
    });
    set_path(&mut json, &damage.path);
    output.warn(text, &json);
}

/// Adds the path of an entry to JSON, as text and as bytes.
pub(crate) fn set_path(json: &mut Value, path: &Path) {
    let path = [b"/", path.as_os_str().as_bytes()].concat();
    json["path"] = String::from_utf8_lossy(&path).into();
    json["path_base64"] = BASE64_STANDARD.encode(&path).into();
}

/// The path of an entry for messages.
pub(crate) fn shown_path(path: &Path) -> String {
    match path.as_os_str().as_bytes() {
        b"" => "the root".to_owned(),
        path => shown_name(path),
    }
}

/// `1234 files with 5.6 GiB (456 MiB/s), 10 kept`.
fn summary(report: &ExtractReport) -> String {
    let speed = report.bytes as f64 / report.elapsed.as_secs_f64().max(0.001);
    let files = count(report.files, "file");
    let bytes = Size::of(report.bytes);
    format!("{files} with {bytes} ({}/s){}", Size(speed), rest(report))
}

/// `1234 files with 5.6 GiB in 12.3 s (456 MiB/s), 10 kept; 20 folders, 3 links`.
fn whole_summary(report: &ExtractReport) -> String {
    let seconds = report.elapsed.as_secs_f64();
    let speed = Size(report.bytes as f64 / seconds.max(0.001));
    let files = count(report.files, "file");
    let bytes = Size::of(report.bytes);
    let mut text = format!(
        "{files} with {bytes} in {seconds:.1} s ({speed}/s){}; {}",
        rest(report),
        match report.directories {
            1 => "1 directory".to_owned(),
            number => format!("{number} directories"),
        }
    );
    let others = [
        (report.hard_links, "hard link"),
        (report.symlinks, "symbolic link"),
        (report.specials, "special file"),
    ];
    for (number, thing) in others.into_iter().filter(|(number, _)| *number > 0) {
        text += &format!(", {}", count(number, thing));
    }
    text
}

/// `, 10 kept, 2 failed`.
fn rest(report: &ExtractReport) -> String {
    let (kept, failed) = (report.kept, report.failed);
    let lost = report.damage.len() as u64;
    let counts = [
        (kept, format!("{kept} kept")),
        (failed, format!("{failed} failed")),
        (lost, format!("{} lost", count(lost, "part"))),
    ];
    let counts = counts.iter().filter(|(number, _)| *number > 0);
    counts.fold(String::new(), |text, (_, what)| format!("{text}, {what}"))
}

pub(crate) fn counted_entries(number: u64) -> String {
    match number {
        1 => "1 entry".to_owned(),
        number => format!("{number} entries"),
    }
}
