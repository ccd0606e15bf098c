//! Contenders that take turns in one process, compared round by round: what slows the machine down slows all of them down.

use std::time::{Duration, Instant};

/// How often all take their turn.
const ROUNDS: usize = 61;

/// How long one turn takes at least.
const TURN: Duration = Duration::from_micros(1500);

/// One that is measured: parses the next batch and says how many rows it had.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    pub(crate) work: Box<dyn FnMut() -> usize + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: &'static str, work: impl FnMut() -> usize + 'a) -> Self {
        Self { name, work: Box::new(work) }
    }
}

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Estimate {
    /// By order statistics: the ranks between which a median lies with 95 % are those of the binomial distribution.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        let reach = 0.98 * n.sqrt();
        let low = ((n / 2.0 - reach).floor() as usize).min(values.len() - 1);
        let high = ((n / 2.0 + reach).ceil() as usize).min(values.len() - 1);
        Self { median: values[values.len() / 2], low: values[low], high: values[high] }
    }
}

/// What one contender was measured at.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    /// Nanoseconds a row.
    pub(crate) ns: Estimate,
    /// How many times faster than the first contender it is.
    pub(crate) ratio: Estimate,
}

fn turn(contender: &mut Contender<'_>) -> f64 {
    let (start, mut rows) = (Instant::now(), 0);
    loop {
        for _ in 0..16 {
            rows += (contender.work)();
        }
        let elapsed = start.elapsed();
        if elapsed >= TURN {
            return elapsed.as_nanos() as f64 / rows as f64;
        }
    }
}

/// Measures all, each beside the first.
pub(crate) fn measure(mut contenders: Vec<Contender<'_>>) -> Vec<Measured> {
    contenders.iter_mut().for_each(|contender| {
        turn(contender);
    });
    let count = contenders.len();
    let mut times = vec![Vec::with_capacity(ROUNDS); count];
    for round in 0..ROUNDS {
        // Each round begins with another one: none is always the one behind the slowest.
        for step in 0..count {
            let at = (round + step) % count;
            times[at].push(turn(&mut contenders[at]));
        }
    }
    let ratios = |of: &[f64]| times[0].iter().zip(of).map(|(first, own)| first / own).collect();
    let measured = |(contender, own): (&Contender<'_>, &Vec<f64>)| Measured {
        name: contender.name,
        ns: Estimate::of(own.clone()),
        ratio: Estimate::of(ratios(own)),
    };
    contenders.iter().zip(&times).map(measured).collect()
}
