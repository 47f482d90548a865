//! The command line of `verify`.

use std::path::PathBuf;

use chunk_restore::Sample;
use clap::Args;
use jiff::Timestamp;

/// The seconds of a day.
pub(crate) const DAY_SECONDS: i64 = 86_400;

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The snapshot
    #[arg(required_unless_present = "all")]
    pub(crate) snapshot: Option<String>,
    /// What to verify of it; everything if nothing is named
    #[arg(value_name = "ARCHIVE")]
    pub(crate) archives: Vec<String>,
    /// Verify the last finished snapshot of each group, of this namespace and of all below it
    ///
    /// A snapshot that can't be opened is told, and the others are verified.
    #[arg(long, conflicts_with = "snapshot")]
    pub(crate) all: bool,
    /// Verify only part N of M equal parts of the chunks, such as 3/30; day/30 takes the next part each day (UTC)
    ///
    /// A chunk's digest says which part it is in, whatever snapshot holds it: M runs verify each chunk exactly once.
    #[arg(long, value_name = "N/M", value_parser = parse_sample)]
    pub(crate) sample: Option<Sample>,
    /// Verify only chunks that no run with this record has verified lately; the file is made if there is none
    ///
    /// A chunk is due again after half of --max-age at the earliest; its digest says on which day.
    ///
    /// It is for you alone (mode 0600), and for one place. No other run can use it meanwhile.
    #[arg(long, value_name = "STATE")]
    pub(crate) new_only: Option<PathBuf>,
    /// After how many days, at the latest, a chunk of the record is verified again
    #[arg(long, value_name = "DAYS", default_value_t = 30, requires = "new_only",
        value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub(crate) max_age: u16,
    /// Write a report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report_file: Option<PathBuf>,
    /// Write a report as JUnit XML, as CI servers read it
    #[arg(long, value_name = "FILE")]
    pub(crate) junit_file: Option<PathBuf>,
    /// Write figures for Prometheus, such as for the textfile collector of its node exporter
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_file: Option<PathBuf>,
}

impl Verify {
    /// Whether more is asked for than to verify one snapshot.
    pub(crate) fn is_drill(&self) -> bool {
        let files = [
            &self.new_only,
            &self.report_file,
            &self.junit_file,
            &self.metrics_file,
        ];
        self.all || self.sample.is_some() || files.iter().any(|file| file.is_some())
    }
}

fn parse_sample(text: &str) -> Result<Sample, String> {
    let sample = match text.strip_prefix("day/") {
        None => text.parse(),
        Some(of) => {
            let parts = format!("1/{of}").parse::<Sample>();
            parts.and_then(|parts| {
                let today = Timestamp::now().as_second().div_euclid(DAY_SECONDS);
                let number = today.rem_euclid(parts.of().into()) as u32 + 1;
                Sample::new(number, parts.of())
            })
        }
    };
    sample.map_err(|error| error.to_string())
}
