//! Whole restores, each in a process of its own, from servers in processes of theirs: what one takes in time, CPU, memory
//! and calls, beside the floor and beside itself with one chunk in flight.
//!
//! `cargo bench --bench whole` measures all there is. Without `long-choice`, `together` and `reads` it took 33 minutes on two
//! cores, with three rounds. Words choose: `cells` or parts of cells' names (`pbs-typical`), `parts` (of the floor), `first`
//! (the table of the first measurements), `bars` or one of them (`cpu`, `latency`, `small`, `calls`, `rss`, `memory`, `sparse`,
//! `file`, `order`, `choice`, `long-choice`, `rate`, `connections`, `huge`, `together`, `reads`). `--rounds N` and `--pairs N`
//! say how often. `--svg FOLDER` writes the tables and the curves there, `--readme FILE` puts the figures into the README.
//!
//! Page faults after warm-up are those after half of the chunks, as the observer sees them pass.

mod bars;
mod cells;
mod child;
mod choice;
mod compare;
mod file;
mod first;
#[path = "../../support/floor.rs"]
mod floor;
mod floors;
mod flow;
mod lab;
mod late;
mod limits;
mod machine;
mod many;
mod measure;
mod reads;
mod results;
#[path = "../../support/mod.rs"]
mod support;
mod survey;
mod svg;
mod table;
mod together;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use clap::Parser;
use testkit::serve_if_asked;

use bars::BARS;
use cells::{Cell, Scale, cells};
use lab::Lab;
use machine::Machine;
use results::Results;

#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure: everything by default.
    names: Vec<String>,
    /// How often each cell is measured.
    #[arg(long)]
    rounds: Option<usize>,
    /// Pairs behind each ratio.
    #[arg(long)]
    pairs: Option<usize>,
    /// Writes tables and curves into this folder, as seen from the root of the repository.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Puts the figures between the marks of this file, as seen from the root of the repository.
    #[arg(long)]
    readme: Option<PathBuf>,
    /// Only sees that it runs.
    #[arg(long)]
    test: bool,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    serve_if_asked();
    child::work_if_asked();
    limits::allow_many_files();
    let arguments = Arguments::parse();
    let mut scale = if arguments.test {
        Scale::TRIAL
    } else {
        Scale::FULL
    };
    scale.rounds = arguments.rounds.unwrap_or(scale.rounds).max(1);
    scale.pairs = arguments.pairs.unwrap_or(scale.pairs).max(1);
    let is_asked = |names: &[&str]| {
        arguments.names.is_empty()
            || (arguments.names.iter()).any(|asked| names.contains(&asked.as_str()))
    };
    let lab = RefCell::new(Lab::new());
    let mut results = Results::new(Machine::here());

    let all = cells(scale);
    let chosen: Vec<Cell> = if is_asked(&["cells"]) {
        // To see that it runs, one in four will do.
        all.into_iter()
            .step_by(if arguments.test { 4 } else { 1 })
            .collect()
    } else {
        let is_named = |cell: &Cell| {
            let name = cell.to_string();
            arguments
                .names
                .iter()
                .any(|asked| asked.contains('-') && name.contains(asked))
        };
        all.into_iter().filter(is_named).collect()
    };
    if !chosen.is_empty() {
        results.cells(survey::rows(&lab, &chosen, scale));
    }
    if is_asked(&["parts"]) {
        results.parts(&survey::parts(&lab, scale));
    }
    if is_asked(&["first"]) {
        results.first(&first::lines(&lab, scale));
    }
    for (name, bar) in BARS {
        if is_asked(&["bars", name]) {
            eprintln!("{name}");
            results.bars(bar(&lab, scale));
        }
    }
    results.show();
    if let Some(folder) = &arguments.svg {
        results.write(&from_root(folder));
    }
    if let Some(file) = &arguments.readme {
        results.put_into(&from_root(file));
    }
}

/// Where a path of the command line leads. Cargo starts a bench in the folder of its package, not in the folder in which
/// the command was typed.
fn from_root(path: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}
