//! Ratios that hold on a noisy machine: both sides are measured in turns, beside a control that measures one side twice.

#![allow(dead_code, reason = "each bench uses a part of it")]

pub(crate) mod bare;
pub(crate) mod null;
pub(crate) mod usage;

use std::env;
use std::time::Instant;

/// Pairs of runs behind each ratio.
const PAIRS: usize = 15;

/// Whether cargo only wants to see that the bench runs (`cargo bench -- --test`).
pub(crate) fn is_trial() -> bool {
    env::args().any(|argument| argument == "--test")
}

/// Prints the median ratio of the time that `a` takes to the time that `b` takes, with its quartiles; and the same for
/// `b` against itself, which is how much of it is noise.
pub(crate) fn ratio(name: &str, mut a: impl FnMut(), mut b: impl FnMut()) {
    a();
    b();
    ratios_of([name], PAIRS, || [seconds(&mut a)], || [seconds(&mut b)]);
}

/// The same, by so many pairs, for each of the things that `a` and `b` measure themselves.
pub(crate) fn ratios_of<const N: usize>(
    names: [&str; N],
    pairs: usize,
    mut a: impl FnMut() -> [f64; N],
    mut b: impl FnMut() -> [f64; N],
) {
    let pairs = if is_trial() { 1 } else { pairs };
    let (mut ratios, mut control) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        // In turns, so that neither always comes first.
        let (of_a, of_b) = if pair % 2 == 0 {
            let of_a = a();
            (of_a, b())
        } else {
            let of_b = b();
            (a(), of_b)
        };
        ratios.push((of_a, of_b));
        control.push((b(), b()));
    }
    for (at, name) in names.iter().enumerate() {
        let spread = |pairs: &[([f64; N], [f64; N])]| {
            Spread::of(pairs.iter().map(|(a, b)| a[at] / b[at]).collect())
        };
        let (ratio, control) = (spread(&ratios), spread(&control));
        println!("ratio {name}: {ratio} (control {control})");
    }
}

/// Whether a part of the bench is wanted: it is named after the program, or nothing is.
pub(crate) fn is_asked(name: &str) -> bool {
    let mut asked = env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .peekable();
    asked.peek().is_none() || asked.any(|word| word == name)
}

/// How long one run takes.
pub(crate) fn seconds(run: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// A median between its quartiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// The spread of at least one value.
    pub(crate) fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
        Spread {
            median: at(2),
            low: at(1),
            high: at(3),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}]", self.median, self.low, self.high)
    }
}
