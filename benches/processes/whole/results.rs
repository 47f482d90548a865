//! All that was measured, as text on the terminal and as files. Knows nothing of how it was measured.

use std::fs;
use std::path::Path;

use crate::cells::{Cell, Content};
use crate::cells::{IN_FLIGHT, LATENCIES, Place, Sink};
use crate::compare::Compared;
use crate::first::Line;
use crate::machine::Machine;
use crate::measure::Figures;
use crate::support::Spread;
use crate::survey::{Part, Row};
use crate::svg::{Chart, Curve};
use crate::table;

const START: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->";

/// The tables so far.
pub(crate) struct Results {
    note: String,
    rows: Vec<Row>,
    parts: String,
    first: String,
    bars: Vec<Compared>,
}

impl Results {
    pub(crate) fn new(machine: Machine) -> Results {
        Results {
            note: machine.to_string(),
            rows: Vec::new(),
            parts: String::new(),
            first: String::new(),
            bars: Vec::new(),
        }
    }

    pub(crate) fn cells(&mut self, rows: Vec<Row>) {
        self.rows = rows;
    }

    pub(crate) fn parts(&mut self, parts: &[Part]) {
        self.parts = table::parts(parts);
    }

    pub(crate) fn first(&mut self, lines: &[Line]) {
        self.first = table::first(lines);
    }

    pub(crate) fn bars(&mut self, compared: Vec<Compared>) {
        self.bars.extend(compared);
    }

    /// Prints it all.
    pub(crate) fn show(&self) {
        println!("{}", self.markdown());
    }

    /// Writes the tables, and the curves as far as their cells were measured.
    pub(crate) fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("the folder for the results can be made");
        let put = |name: &str, text: &str| {
            fs::write(folder.join(name), text).expect("the results can be written");
        };
        put("whole.md", &self.markdown());
        if !self.rows.is_empty() {
            put("whole.csv", &table::csv(&self.rows));
        }
        let typical = "typical disk from a PBS over TLS, 4 MiB chunks";
        let speed = format!("Speed: {typical}");
        let cost = format!("Client CPU: {typical}");
        let speed = self.chart(&speed, "MiB/s", |row| row.spread(Figures::speed));
        let mut cost = self.chart(&cost, "s/GiB", |row| row.spread(Figures::cost));
        self.add_floor(&mut cost);
        for (name, chart) in [("speed.svg", speed), ("cpu.svg", cost)] {
            if !chart.curves.is_empty() {
                put(name, &chart.draw());
            }
        }
    }

    /// Replaces what is between the marks.
    pub(crate) fn put_into(&self, file: &Path) {
        let text = fs::read_to_string(file).expect("the file can be read");
        let parts = text.split_once(START).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(END)?;
            Some((before, after))
        });
        let (before, after) = parts.expect("the file has the marks");
        // Those that have one: the rest is in the folder.
        let has_bar = |compared: &&Compared| !compared.bar.is_empty();
        let bars: Vec<Compared> = self.bars.iter().filter(has_bar).cloned().collect();
        let bars = table::bars(&bars);
        let first = &self.first;
        let note = &self.note;
        let text = format!("{before}{START}{note}\n\n{bars}\n{first}{END}{after}");
        fs::write(file, text).expect("the file can be written");
    }

    fn markdown(&self) -> String {
        let mut text = format!("# Whole restores\n\n{}\n", self.note);
        text += "\nMedians, with the quartiles in brackets. Ratios are of runs made in turns; the control compares one side \
                 with itself.\n";
        let mut section = |title: &str, table: &str| {
            if !table.is_empty() {
                text += &format!("\n## {title}\n\n{table}");
            }
        };
        if !self.rows.is_empty() {
            section("Cells", &table::cells(&self.rows));
        }
        section("The floor and its parts", &self.parts);
        section("The first measurements, made again", &self.first);
        if !self.bars.is_empty() {
            section("Bars", &table::bars(&self.bars));
        }
        text
    }

    fn chart<'a>(
        &'a self,
        title: &'a str,
        unit: &'a str,
        of: fn(&Row) -> Option<Spread>,
    ) -> Chart<'a> {
        let curves = LATENCIES.into_iter().filter_map(|latency| {
            let points = IN_FLIGHT.into_iter().map(|in_flight| {
                let row = self.row(|cell| cell.latency == latency && cell.in_flight == in_flight);
                row.and_then(of)
            });
            Some(Curve {
                name: match latency {
                    0 => "no latency".to_owned(),
                    latency => format!("{latency} ms"),
                },
                points: points.collect::<Option<_>>()?,
            })
        });
        Chart {
            title,
            unit,
            note: &self.note,
            places: &IN_FLIGHT,
            curves: curves.collect(),
        }
    }

    /// What the same bytes cost in a bare loop, by the cells' own ratios.
    fn add_floor(&self, chart: &mut Chart<'_>) {
        let Some(row) = self.row(|cell| cell.latency == 50 && cell.in_flight == 16) else {
            return;
        };
        if let (Some(cost), Some(ratio)) = (row.spread(Figures::cost), row.to_floor) {
            let floor = Spread::of(vec![cost.median / ratio.median]);
            chart.curves.push(Curve {
                name: "bare loop".to_owned(),
                points: vec![floor; IN_FLIGHT.len()],
            });
        }
    }

    fn row(&self, is_wanted: impl Fn(&Cell) -> bool) -> Option<&Row> {
        self.rows.iter().find(|row| {
            let Cell {
                place,
                disk,
                sink,
                memory,
                ..
            } = row.cell;
            let is_usual = disk.content == Content::Typical && sink == Sink::Null && memory == 0;
            place == Place::Pbs && is_usual && is_wanted(&row.cell)
        })
    }
}
