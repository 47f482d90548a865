//! Restores over and over while things go wrong, and watches that nothing is wrong, hangs or grows.
//!
//! `cargo bench --bench soak` takes an hour; `--minutes N` says otherwise. Each round restores once: from a PBS, a web
//! server, a bucket or a folder, or from two of them, into nothing, a stream or a file, which goes on with what a round
//! before left; with other options, and other faults, each time. Where a fault lasts it may fail, with an error of the
//! right kind. A wrong byte, another error, a panic or a hang ends the soak, and says which round it was: `--seed` and
//! `--rounds 1` do that one again.
//!
//! The servers are in a process of their own, a new one for each round. So what this process holds is the client's; it
//! is counted between the rounds, and compared at the end. `--pause-ms N` leaves the machine to others meanwhile.

mod census;
mod check;
mod client;
mod peers;
mod round;
mod store;
#[path = "../../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt;
use std::process::exit;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use testkit::within;

use census::{Census, History, is_flat};
use client::{End, Outcome, restore};
use round::Round;
use store::Store;
use support::usage::cpu_seconds;

/// Longer than any round takes: one that is not done by then hangs.
const LIMIT: Duration = Duration::from_secs(300);

#[derive(Debug, Parser)]
struct Arguments {
    /// How long it takes.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// How many rounds at the most.
    #[arg(long)]
    rounds: Option<u64>,
    /// The first round's; by default another one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// How long to wait between rounds.
    #[arg(long, default_value_t = 20)]
    pause_ms: u64,
    /// How often to say how it goes.
    #[arg(long, default_value_t = 30)]
    every_seconds: u64,
    /// Says what each round is, and how it ends.
    #[arg(long)]
    verbose: bool,
    /// Only sees that it runs.
    #[arg(long)]
    test: bool,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was done so far.
#[derive(Debug, Default)]
struct Tally {
    rounds: u64,
    whole: u64,
    salvaged: u64,
    failed: BTreeMap<String, u64>,
    retries: u64,
    fetched: u64,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        self.rounds += 1;
        match outcome.end {
            End::Whole => self.whole += 1,
            End::Salvaged => self.salvaged += 1,
            End::Failed(kind) => *self.failed.entry(format!("{kind:?}")).or_default() += 1,
        }
        self.retries += outcome.retries;
        self.fetched += outcome.fetched;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} restores: {} whole, {} salvaged, failed as they may {:?}; {} retries, {} MiB fetched",
            self.rounds,
            self.whole,
            self.salvaged,
            self.failed,
            self.retries,
            self.fetched >> 20
        )
    }
}

fn main() {
    peers::serve_if_asked();
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed();
        now.map_or(0, |now| now.as_secs())
    });
    println!("seed {seed}");
    let rounds = arguments.rounds.or(arguments.test.then_some(6));
    let end = Duration::from_secs_f64(60.0 * arguments.minutes);
    let pause = Duration::from_millis(arguments.pause_ms);
    let every = Duration::from_secs(arguments.every_seconds);

    let store = Arc::new(Store::new());
    let (mut tally, mut history) = (Tally::default(), History::default());
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut told = Duration::ZERO;
    while start.elapsed() < end && rounds.is_none_or(|rounds| tally.rounds < rounds) {
        let round = Round::new(seed.wrapping_add(tally.rounds));
        let words = round.to_string();
        let outcome = {
            let store = Arc::clone(&store);
            within(LIMIT, move || restore(&round, &store))
        };
        if arguments.verbose {
            println!("{words}: {outcome:?}");
        }
        tally.add(&outcome);
        // Also for threads that have done their work to leave.
        thread::sleep(pause);
        let (at, census) = (start.elapsed(), Census::take());
        history.add(at, census);
        if at - told >= every || arguments.test {
            told = at;
            let busy = 100.0 * (cpu_seconds() - cpu) / at.as_secs_f64();
            println!(
                "{} s: {tally}; {census}; {busy:.0} % of a core",
                at.as_secs()
            );
        }
    }
    println!("{tally}");
    if rounds.is_some() {
        return;
    }
    let (early, late) = history.early_and_late();
    println!("second tenth: {early}\nlast tenth:   {late}");
    if !is_flat(early, late) {
        println!("it grows");
        exit(1);
    }
    println!("flat");
}
