//! `restore bench`: measures how many chunks in flight suit a place. Writes nothing.

use std::time::Duration;

use chunk_restore::{Archive, Cancel, ErrorKind, Event, Report, Restore};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::arguments::Bench;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::output::Output;
use crate::place;

const SETTINGS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// How many chunks are in flight when everything is read once before the measurements.
const WARMING: usize = 16;

/// The most bytes that are fetched with each setting.
const MOST_FETCHED: u64 = 256 << 20;

/// With fewer chunks than this, the beginning and the end weigh more than the time between them.
const ENOUGH_CHUNKS: u64 = 2 * 32;

/// A setting that reaches this share of the best speed is as good as the best.
const GOOD_ENOUGH: f64 = 0.95;

const GIB: f64 = (1 << 30) as f64;
const MIB: f64 = (1 << 20) as f64;

/// What was measured with one setting.
struct Measured {
    report: Report,
    cpu: Duration,
}

impl Measured {
    /// The decoded bytes of what was fetched. Zeros are not fetched, so they don't count.
    fn decoded(&self) -> f64 {
        self.report.committed.saturating_sub(self.report.zeros) as f64
    }

    fn per_second(&self, bytes: f64) -> f64 {
        bytes / self.report.elapsed.as_secs_f64().max(1e-6)
    }

    /// CPU seconds for each GiB of decoded data.
    fn cpu_per_gib(&self) -> f64 {
        self.cpu.as_secs_f64() * GIB / self.decoded().max(1.0)
    }
}

pub(crate) fn run(
    bench: &Bench,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let snapshot = place::snapshot(options, &bench.snapshot, output)?;
    let archive = snapshot.archive(&bench.archive)?;
    if let Some(speed) = snapshot.speedtest()? {
        output.answer(
            format!(
                "speed test of the server, one connection: {:.1} MiB/s",
                speed / MIB
            ),
            &json!({ "event": "speedtest", "bytes_per_second": speed }),
        )?;
    }
    let limit = Duration::from_secs(bench.seconds);
    let mut restore = Restore::new()
        .threads(options.threads)
        .patience(options.patience());
    if let Some(bytes) = options.memory {
        restore = restore.memory(bytes);
    }
    let measure = |in_flight| {
        let restore = restore.clone().in_flight(in_flight);
        measure(&archive, restore, limit, interrupt)
            .map_err(|failure| failure.about(&bench.archive))
    };

    output.remark(
        "reading once to warm the caches, which is not counted",
        &json!({ "event": "warming" }),
    );
    if measure(WARMING)?.report.chunks == 0 {
        let name = &bench.archive;
        return Err(Failure::usage(format!(
            "{name}: nothing of it was fetched, so there is nothing to measure; is it all zeros, or --seconds too short?"
        )));
    }
    let header = "in flight   decoded MiB/s   fetched MiB/s   CPU s/GiB   retries";
    if !output.is_json() {
        output.answer(header, &json!(null))?;
    }
    let (mut speeds, mut chunks) = (Vec::new(), 0);
    for in_flight in SETTINGS {
        let measured = measure(in_flight)?;
        tell(in_flight, &measured, output)?;
        speeds.push((in_flight, measured.per_second(measured.decoded())));
        chunks = measured.report.chunks.max(chunks);
    }
    let chosen = choose(&speeds);
    output.answer(
        format!("choose --streams {chosen}: the fewest within 5 % of the fastest"),
        &json!({ "event": "chosen", "in_flight": chosen }),
    )?;
    if chunks < ENOUGH_CHUNKS {
        output.remark(
            format!("that were only {chunks} chunks at the most: a larger archive, or more --seconds, tells better"),
            &json!({ "event": "few_chunks", "chunks": chunks }),
        );
    }
    Ok(Exit::Done)
}

/// Prints the row of one setting.
fn tell(in_flight: usize, measured: &Measured, output: &Output) -> Result<(), Failure> {
    let decoded = measured.per_second(measured.decoded());
    let fetched = measured.per_second(measured.report.fetched as f64);
    let (cpu, retries) = (measured.cpu_per_gib(), measured.report.retries);
    let text = format!(
        "{in_flight:>9}   {:>13.1}   {:>13.1}   {cpu:>9.2}   {retries:>7}",
        decoded / MIB,
        fetched / MIB
    );
    let json = json!({
        "event": "measured",
        "in_flight": in_flight,
        "decoded_per_second": decoded,
        "fetched_per_second": fetched,
        "cpu_seconds_per_gib": cpu,
        "retries": retries,
        "chunks": measured.report.chunks,
        "seconds": measured.report.elapsed.as_secs_f64(),
    });
    output.answer(text, &json)
}

/// The smallest setting that is about as fast as the fastest.
fn choose(speeds: &[(usize, f64)]) -> usize {
    let best = speeds.iter().map(|(_, speed)| *speed).fold(0.0, f64::max);
    let good = speeds
        .iter()
        .find(|(_, speed)| *speed >= best * GOOD_ENOUGH);
    good.map_or(0, |(in_flight, _)| *in_flight)
}

/// Verifies from the start of the archive until enough was fetched, or the time is up.
fn measure(
    archive: &Archive,
    restore: Restore,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<Measured, Failure> {
    let _running = interrupt.run()?;
    let interrupted = interrupt.cancel();
    let enough = Cancel::new();
    let mut last = Report::default();
    let before = cpu_time();
    let mut after = before;
    let verified = restore.cancel(&enough).verify(archive, |event| {
        let Event::Progress(report) = event else {
            return;
        };
        // What happens after the stop is not part of the measurement.
        if !enough.is_cancelled() {
            last = report.clone();
            after = cpu_time();
        }
        let is_seen = report.fetched >= MOST_FETCHED || report.elapsed >= limit;
        if is_seen || interrupted.is_cancelled() {
            enough.cancel();
        }
    });
    if interrupted.is_cancelled() {
        return Err(Failure::interrupted());
    }
    match verified {
        Ok(report) => {
            last = report;
            after = cpu_time();
        }
        Err(error) if error.kind() == ErrorKind::Cancelled => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Measured {
        report: last,
        cpu: after.saturating_sub(before),
    })
}

/// The CPU time that all threads of this program have taken so far, including time in the kernel.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
