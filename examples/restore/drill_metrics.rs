//! The report of a drill as metrics for Prometheus, in its text format.

use std::fmt::{Display, Write};

use crate::drill::Drill;
use crate::drill_json::mib_per_second;
use crate::exit::Exit;
use crate::shown::shown;

/// A metrics file begins like this.
pub(crate) const BEGINS: &str = "# HELP chunk_restore_verify_";

const PREFIX: &str = "chunk_restore_verify_";

pub(crate) fn file(drill: &Drill) -> String {
    let mut metrics = Metrics(String::new());
    let base = [("place", &*drill.place), ("namespace", &*drill.namespace)];
    metrics.of_run(drill, &base);
    let counts = drill.counts;
    metrics.head(
        "chunks",
        "Different chunks of the last drill, by what became of them.",
    );
    for (state, number) in [
        ("verified", counts.verified),
        ("lost", counts.lost),
        ("verified_before", counts.fresh),
        ("not_chosen", counts.not_chosen),
        ("not_reached", counts.open),
    ] {
        metrics.value("chunks", &[base[0], base[1], ("state", state)], number);
    }
    metrics.of_snapshots(drill);
    metrics.0
}

struct Metrics(String);

impl Metrics {
    fn of_run(&mut self, drill: &Drill, labels: &[(&str, &str)]) {
        self.head(
            "info",
            "The version of the program that ran the last drill.",
        );
        let version = ("version", env!("CARGO_PKG_VERSION"));
        self.value("info", &[labels[0], labels[1], version], 1);
        let is_right = u8::from(drill.exit == Exit::Done);
        self.one(
            "success",
            "Whether the last drill found all as it should be.",
            labels,
            is_right,
        );
        let exit = drill.exit as u8;
        self.one(
            "exit_code",
            "The exit code of the last drill.",
            labels,
            exit,
        );
        let began = drill.began.as_second();
        self.one(
            "start_time_seconds",
            "When the last drill began.",
            labels,
            began,
        );
        self.one(
            "duration_seconds",
            "How long the last drill took.",
            labels,
            drill.seconds,
        );
        let read = drill.bytes_read();
        self.one(
            "read_bytes",
            "How many bytes of chunks the last drill read.",
            labels,
            read,
        );
        let speed = mib_per_second(drill) * f64::from(1 << 20);
        self.one(
            "read_bytes_per_second",
            "How fast the last drill read.",
            labels,
            speed,
        );
        let help =
            "The share of the chunks that were looked at by the last drill or are in its record.";
        self.head("covered_ratio", help);
        if let Some(share) = drill.share() {
            self.value("covered_ratio", labels, share);
        }
        self.head(
            "missed_probability",
            "The chance that so many bad chunks were all missed.",
        );
        for (bad, chance) in drill.chances() {
            let bad = bad.to_string();
            let labels = [labels[0], labels[1], ("bad_chunks", &*bad)];
            self.value("missed_probability", &labels, chance);
        }
    }

    /// A snapshot goes by the name of its group, so that its series go on with the next one.
    fn of_snapshots(&mut self, drill: &Drill) {
        let labels: Vec<_> = (drill.snapshots.iter())
            .map(|checked| {
                let namespace = ("namespace", &*checked.namespace);
                [
                    ("place", &*drill.place),
                    namespace,
                    ("group", &*checked.group),
                ]
            })
            .collect();
        self.head(
            "snapshot_success",
            "Whether nothing is wrong with the last snapshot of the group.",
        );
        for (checked, labels) in drill.snapshots.iter().zip(&labels) {
            self.value("snapshot_success", labels, u8::from(checked.is_right()));
        }
        self.head(
            "snapshot_age_seconds",
            "The age of the last snapshot of the group.",
        );
        for (checked, labels) in drill.snapshots.iter().zip(&labels) {
            if let Some(age) = checked.age_seconds {
                self.value("snapshot_age_seconds", labels, age);
            }
        }
        self.head(
            "snapshot_lost_chunks",
            "Lost chunks in the archives of the last snapshot of the group.",
        );
        for (checked, labels) in drill.snapshots.iter().zip(&labels) {
            // Nothing is known of a snapshot that could not be opened.
            if checked.name.is_some() {
                self.value("snapshot_lost_chunks", labels, checked.lost());
            }
        }
    }

    fn one(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: impl Display) {
        self.head(name, help);
        self.value(name, labels, value);
    }

    fn head(&mut self, name: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} gauge"
        );
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = (labels.iter())
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        let _ = writeln!(self.0, "{PREFIX}{name}{{{}}} {value}", labels.join(","));
    }
}

/// The value of a label. Control characters are spelt out first, so that none breaks a line.
fn escaped(value: &str) -> String {
    shown(value).replace('\\', r"\\").replace('"', "\\\"")
}
