//! Ratios of runs that were made in turns, beside a control that measures one side twice. Knows nothing of what runs.

use crate::support::Spread;

/// A comparison that was made.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    pub(crate) name: String,
    /// What it should be.
    pub(crate) bar: &'static str,
    pub(crate) ratio: Spread,
    /// The same, of one side with itself: how much of it is noise. None for what is no ratio.
    pub(crate) control: Option<Spread>,
}

impl Compared {
    /// A figure by itself, of several runs.
    pub(crate) fn plain(name: &str, bar: &'static str, values: Vec<f64>) -> Compared {
        Compared {
            name: name.to_owned(),
            bar,
            ratio: Spread::of(values),
            control: None,
        }
    }

    /// The figure of `a` as a ratio to that of `b`. In turns, so that neither always comes first.
    pub(crate) fn ratio(
        name: &str,
        bar: &'static str,
        pairs: usize,
        mut a: impl FnMut() -> f64,
        mut b: impl FnMut() -> f64,
    ) -> Compared {
        let (mut ratios, mut control) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            let (of_a, of_b, again) = if pair % 2 == 0 {
                let of_a = a();
                (of_a, b(), b())
            } else {
                let (of_b, again) = (b(), b());
                (a(), again, of_b)
            };
            ratios.push(of_a / of_b);
            control.push(again / of_b);
        }
        Compared {
            name: name.to_owned(),
            bar,
            ratio: Spread::of(ratios),
            control: Some(Spread::of(control)),
        }
    }
}
