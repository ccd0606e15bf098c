//! Medians with their intervals, and rows as lines of JSON on standard output, for `npm run bench`; text goes to standard error.

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Estimate {
    /// By order statistics: the ranks between which a median lies with 95 % are those of the binomial distribution. With fewer
    /// than 6 values that is more than there is: the extremes then.
    pub(crate) fn of(mut values: Vec<f64>) -> Estimate {
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        let reach = 0.98 * n.sqrt();
        let low = ((n / 2.0 - reach).floor().max(0.0) as usize).min(values.len() - 1);
        let high = ((n / 2.0 + reach).ceil() as usize).min(values.len() - 1);
        Estimate { median: values[values.len() / 2], low: values[low], high: values[high] }
    }
}

/// One contender beside another, in nanoseconds of CPU a frame, round by round.
pub(crate) struct Pair<'a> {
    pub(crate) case: &'a str,
    pub(crate) ours: &'a [f64],
    pub(crate) baseline: &'a str,
    pub(crate) theirs: &'a [f64],
    /// What theirs / ours must reach.
    pub(crate) gate: Option<f64>,
}

impl Pair<'_> {
    /// Prints the row; whether its gate is not missed, by the whole interval.
    pub(crate) fn print(&self) -> bool {
        let ratios = self.ours.iter().zip(self.theirs).map(|(ours, theirs)| theirs / ours).collect();
        let Estimate { median, low, high } = Estimate::of(ratios);
        let (ours, theirs) = (Estimate::of(self.ours.to_vec()), Estimate::of(self.theirs.to_vec()));
        let (case, baseline, rounds) = (self.case, self.baseline, self.ours.len());
        let gate = self.gate.map_or(String::new(), |gate| format!(r#","gate":{{"atLeast":{gate}}}"#));
        println!(
            r#"{{"case":"{case}","baseline":"{baseline}","ratio":{median:.4},"interval":[{low:.4},{high:.4}],"ours":{:.2},"theirs":{:.2},"unit":"ns CPU a frame","rounds":{rounds}{gate}}}"#,
            ours.median, theirs.median
        );
        let verdict = match self.gate {
            None => String::new(),
            Some(gate) if low >= gate => format!("  gate {gate} met"),
            Some(gate) if high >= gate => format!("  gate {gate} unclear"),
            Some(gate) => format!("  gate {gate} missed"),
        };
        eprintln!(
            "  {case}: {:.1} ns ({:.1} to {:.1}); {baseline}: {:.1} ns ({:.1} to {:.1}); {median:.3} times as fast [{low:.3} to {high:.3}]{verdict}",
            ours.median, ours.low, ours.high, theirs.median, theirs.low, theirs.high
        );
        self.gate.is_none_or(|gate| high >= gate)
    }
}
