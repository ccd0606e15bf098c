//! Results as lines of JSON on standard output, for `npm run bench`, and as text on standard error.

use super::rounds::{Estimate, Measured};

/// What a ratio must reach, and what it should.
#[derive(Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) gate: f64,
    pub(crate) aim: f64,
}

fn verdict(limit: f64, ratio: Estimate) -> &'static str {
    if ratio.low >= limit {
        "met"
    } else if ratio.high >= limit {
        "unclear"
    } else {
        "missed"
    }
}

/// Prints what was measured of a group; whether every gate is met or unclear.
pub(crate) fn group(group: &str, measured: &[Measured], goals: &[Goal]) -> bool {
    let baseline = &measured[0];
    eprintln!("\n{group}, against {} at {:.2} ns a row", baseline.name, baseline.ns.median);
    let mut kept = true;
    for one in &measured[1..] {
        let goal = goals.iter().find(|goal| goal.name == one.name);
        let (Estimate { median, low, high }, ns) = (one.ratio, one.ns.median);
        let mut line = format!("  {:<10} {ns:>7.3} ns  {median:>6.2}x [{low:.2} to {high:.2}]", one.name);
        let mut goals = String::new();
        if let Some(&Goal { gate, aim, .. }) = goal {
            let verdict_of_gate = verdict(gate, one.ratio);
            line += &format!("  gate {gate} {verdict_of_gate}, aim {aim} {}", verdict(aim, one.ratio));
            goals = format!(r#","gate":{{"atLeast":{gate}}},"aim":{{"atLeast":{aim}}}"#);
            kept &= verdict_of_gate != "missed";
        }
        eprintln!("{line}");
        println!(
            r#"{{"bench":"frames","case":"{group}/{}","baseline":"{}","ratio":{median},"interval":[{low},{high}],"ours":{ns},"theirs":{},"unit":"ns"{goals}}}"#,
            one.name, baseline.name, baseline.ns.median
        );
    }
    kept
}
