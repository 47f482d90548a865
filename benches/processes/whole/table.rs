//! Figures as Markdown and CSV. Knows nothing of how they came about.

use std::fmt::Write;

use crate::compare::Compared;
use crate::first::{Line, THEN};
use crate::measure::Figures;
use crate::support::Spread;
use crate::survey::{Part, Row};

/// A column: its name in Markdown and in CSV, and how many decimals it has.
type Column = (
    &'static str,
    &'static str,
    usize,
    fn(&Row) -> Option<Spread>,
);

const COLUMNS: [Column; 10] = [
    ("MiB/s", "mib_per_s", 0, |row| row.spread(Figures::speed)),
    ("fetched MiB/s", "fetched_mib_per_s", 0, |row| {
        row.spread(Figures::fetched_speed)
    }),
    ("CPU s/GiB", "cpu_s_per_gib", 2, |row| {
        row.spread(Figures::cost)
    }),
    ("cores", "cores", 2, |row| row.spread(Figures::cores)),
    ("page faults a chunk", "faults_per_chunk", 1, |row| {
        row.spread(Figures::faults_per_chunk)
    }),
    ("after half", "faults_per_chunk_after_half", 2, |row| {
        row.spread(|run| run.late_faults)
    }),
    ("context switches a chunk", "switches_per_chunk", 1, |row| {
        row.spread(Figures::switches_per_chunk)
    }),
    ("peak RSS, MiB", "peak_rss_mib", 0, |row| {
        row.spread(Figures::peak_mib)
    }),
    ("CPU / floor", "cpu_to_floor", 2, |row| row.to_floor),
    ("speed / 1 in flight", "speed_to_serial", 2, |row| {
        row.to_serial
    }),
];

pub(crate) fn cells(rows: &[Row]) -> String {
    let names = COLUMNS.iter().map(|(name, ..)| *name);
    let mut table = head(["cell"].into_iter().chain(names));
    for row in rows {
        let figures = COLUMNS
            .iter()
            .map(|(_, _, decimals, of)| show(of(row), *decimals));
        push(
            &mut table,
            [row.cell.to_string()].into_iter().chain(figures),
        );
    }
    table
}

/// With the quartiles in columns of their own.
pub(crate) fn csv(rows: &[Row]) -> String {
    let mut csv = String::from("cell");
    for (_, name, ..) in &COLUMNS {
        write!(csv, ",{name},{name}_low,{name}_high").expect("a string takes all");
    }
    csv.push('\n');
    for row in rows {
        write!(csv, "{}", row.cell).expect("a string takes all");
        for (.., of) in &COLUMNS {
            match of(row) {
                Some(Spread { median, low, high }) => {
                    write!(csv, ",{median:.4},{low:.4},{high:.4}")
                }
                None => write!(csv, ",,,"),
            }
            .expect("a string takes all");
        }
        csv.push('\n');
    }
    csv
}

pub(crate) fn bars(compared: &[Compared]) -> String {
    let mut table = head(["", "measured", "control", "should be"].into_iter());
    for line in compared {
        let decimals = if line.ratio.median < 100.0 { 3 } else { 0 };
        let figures = [
            line.name.clone(),
            show(Some(line.ratio), decimals),
            show(line.control, 3),
            line.bar.to_owned(),
        ];
        push(&mut table, figures.into_iter());
    }
    table
}

pub(crate) fn parts(parts: &[Part]) -> String {
    let mut table = head(["disk", "what", "CPU s/GiB"].into_iter());
    for part in parts {
        let figures = [
            part.content.to_string(),
            part.name.to_owned(),
            show(Some(part.cost), 3),
        ];
        push(&mut table, figures.into_iter());
    }
    table
}

pub(crate) fn first(lines: &[Line]) -> String {
    let names = [
        "latency",
        "1 in flight, MiB/s",
        "16, MiB/s",
        "ratio",
        "CPU",
        "page faults",
        "cores",
    ];
    let mut table = head(names.into_iter());
    for line in lines {
        let figures = [
            format!("{} ms", line.latency),
            show(Some(line.serial), 0),
            show(Some(line.parallel), 0),
            show(Some(line.speed_ratio), 2),
            show(Some(line.cpu_ratio), 2),
            show(Some(line.fault_ratio), 2),
            show(Some(line.cores), 2),
        ];
        push(&mut table, figures.into_iter());
    }
    format!("{table}\n({THEN})\n")
}

/// `12.3 [12.1, 12.6]`: the median between the quartiles.
fn show(spread: Option<Spread>, decimals: usize) -> String {
    match spread {
        Some(Spread { median, low, high }) => {
            format!("{median:.decimals$} [{low:.decimals$}, {high:.decimals$}]")
        }
        None => "-".to_owned(),
    }
}

fn head(names: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<&str> = names.collect();
    let rule = "---|".repeat(names.len());
    format!("| {} |\n|{rule}\n", names.join(" | "))
}

fn push(table: &mut String, figures: impl Iterator<Item = String>) {
    let figures: Vec<String> = figures.collect();
    writeln!(table, "| {} |", figures.join(" | ")).expect("a string takes all");
}
