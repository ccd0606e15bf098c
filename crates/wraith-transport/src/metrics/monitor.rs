//! The guide's warning thresholds, with hysteresis: pure arithmetic over readings.

use std::time::Duration;

/// Which way a value crossed its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// The value rose above the upper limit.
    Rose,
    /// The value fell below the lower limit.
    Fell,
}

/// A limit with hysteresis: reported once when a value rises above `high`, and again only after it fell below `low`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    high: f64,
    low: f64,
    above: bool,
}

impl Threshold {
    /// The guide's limit for utilization, 0.8; over again below 0.7.
    pub const UTILIZATION: Threshold = Threshold::new(0.8, 0.7);
    /// The guide's limit for the exhaustion rate, 1 %; over again below 0.5 %.
    pub const EXHAUSTION_RATE: Threshold = Threshold::new(0.01, 0.005);

    /// A threshold that no value has crossed yet.
    pub const fn new(high: f64, low: f64) -> Threshold {
        Threshold { high, low, above: false }
    }

    /// Whether the value rose above `high` and has not fallen below `low` since.
    pub fn is_above(&self) -> bool {
        self.above
    }

    /// Takes a new value; the crossing if it made one. Values at a limit, and NaN, cross nothing.
    pub fn update(&mut self, value: f64) -> Option<Crossing> {
        if !self.above && value > self.high {
            self.above = true;
            Some(Crossing::Rose)
        } else if self.above && value < self.low {
            self.above = false;
            Some(Crossing::Fell)
        } else {
            None
        }
    }
}

/// What an observation brought to light.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observed {
    /// Utilization crossed its threshold.
    pub utilization: Option<Crossing>,
    /// The exhaustion rate crossed its threshold.
    pub exhaustion_rate: Option<Crossing>,
    /// The exhaustion rate of the window that this observation ended, 0 to 1.
    pub window_exhaustion_rate: Option<f64>,
}

/// Watches a pool: utilization at each observation, the exhaustion rate over windows.
///
/// A window ends at the first observation that sees 1024 more acquires than at the window's begin or comes a
/// second later; the next begins there. A window without acquires has the rate 0. The caller brings the time
/// and the readings; nothing here looks at a clock or a pool.
#[derive(Clone, Copy, Debug)]
pub struct Monitor {
    utilization: Threshold,
    exhaustion_rate: Threshold,
    begin: Option<Reading>,
}

/// Counters at a moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Duration,
    acquires: u64,
    exhaustions: u64,
}

impl Default for Monitor {
    fn default() -> Monitor {
        Monitor {
            utilization: Threshold::UTILIZATION,
            exhaustion_rate: Threshold::EXHAUSTION_RATE,
            begin: None,
        }
    }
}

impl Monitor {
    /// Acquires that end a window.
    pub const WINDOW_ACQUIRES: u64 = 1024;
    /// Time that ends a window.
    pub const WINDOW: Duration = Duration::from_secs(1);

    /// Takes a reading: the time since any fixed moment, the pool's utilization (0 to 1) and its counters
    /// since it was made. The first reading only opens the first window.
    pub fn observe(&mut self, at: Duration, utilization: f64, acquires: u64, exhaustions: u64) -> Observed {
        let now = Reading { at, acquires, exhaustions };
        let mut observed =
            Observed { utilization: self.utilization.update(utilization), ..Observed::default() };
        let begin = *self.begin.get_or_insert(now);
        let window_acquires = acquires.saturating_sub(begin.acquires);
        if window_acquires >= Monitor::WINDOW_ACQUIRES || at.saturating_sub(begin.at) >= Monitor::WINDOW {
            let rate = match window_acquires {
                0 => 0.0,
                n => exhaustions.saturating_sub(begin.exhaustions) as f64 / n as f64,
            };
            observed.window_exhaustion_rate = Some(rate);
            observed.exhaustion_rate = self.exhaustion_rate.update(rate);
            self.begin = Some(now);
        }
        observed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_crossing_is_reported_once_until_the_value_has_been_low_again() {
        let mut t = Threshold::UTILIZATION;
        let values = [0.5, 0.8, 0.81, 0.99, 0.75, 0.7, 0.85, 0.69, 0.1, 0.8, 0.9, f64::NAN];
        let crossings: Vec<_> = values.into_iter().map(|v| t.update(v)).collect();
        let (rose, fell) = (Some(Crossing::Rose), Some(Crossing::Fell));
        assert_eq!(crossings, [None, None, rose, None, None, None, None, fell, None, None, rose, None]);
        assert!(t.is_above());
    }

    #[test]
    fn a_window_ends_after_1024_acquires() {
        let mut m = Monitor::default();
        assert_eq!(m.observe(ms(0), 0.0, 100, 50), Observed::default());
        assert_eq!(m.observe(ms(1), 0.0, 1123, 62), Observed::default());
        // 1024 acquires, 11 exhaustions: 1.07 %.
        let end = m.observe(ms(2), 0.0, 1124, 61);
        assert_eq!(end.window_exhaustion_rate, Some(11.0 / 1024.0));
        assert_eq!(end.exhaustion_rate, Some(Crossing::Rose));
        // Exhaustions before the window do not count in it: 6 of 1024 is between the limits.
        let end = m.observe(ms(3), 0.0, 2148, 67);
        assert_eq!((end.window_exhaustion_rate, end.exhaustion_rate), (Some(6.0 / 1024.0), None));
        let end = m.observe(ms(4), 0.0, 3172, 72);
        assert_eq!(end.exhaustion_rate, Some(Crossing::Fell));
    }

    #[test]
    fn a_window_ends_after_a_second() {
        let mut m = Monitor::default();
        m.observe(ms(5000), 0.0, 0, 0);
        assert_eq!(m.observe(ms(5999), 0.0, 10, 1).window_exhaustion_rate, None);
        let end = m.observe(ms(6000), 0.0, 10, 1);
        assert_eq!(end.window_exhaustion_rate, Some(0.1));
        assert_eq!(end.exhaustion_rate, Some(Crossing::Rose));
        // A quiet second ends the alarm.
        assert_eq!(m.observe(ms(7000), 0.0, 10, 1).exhaustion_rate, Some(Crossing::Fell));
    }

    #[test]
    fn utilization_is_judged_at_every_observation() {
        let mut m = Monitor::default();
        assert_eq!(m.observe(ms(0), 0.9, 0, 0).utilization, Some(Crossing::Rose));
        assert_eq!(m.observe(ms(0), 0.75, 0, 0).utilization, None);
        assert_eq!(m.observe(ms(0), 0.6, 0, 0).utilization, Some(Crossing::Fell));
    }

    #[test]
    fn counters_that_seem_to_run_backwards_are_no_exhaustions() {
        let mut m = Monitor::default();
        m.observe(ms(10), 0.0, 100, 10);
        let end = m.observe(ms(1010), 0.0, 99, 9);
        assert_eq!(end.window_exhaustion_rate, Some(0.0));
        assert_eq!(m.observe(ms(0), 0.0, 99, 9), Observed::default());
    }
}
