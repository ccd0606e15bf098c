//! Results as lines of JSON on standard output, for `npm run bench`, and as text on standard error.

use std::sync::Mutex;

use wraith_core::frames::Backend;

use super::rounds::{Estimate, Measured};

/// What a ratio must reach, and what it should.
#[derive(Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) gate: f64,
    pub(crate) aim: f64,
}

/// Group, contender and ratio of everything that was measured.
static MEASURED: Mutex<Vec<(String, &'static str, Estimate)>> = Mutex::new(Vec::new());

fn verdict(limit: f64, ratio: Estimate) -> &'static str {
    if ratio.low >= limit {
        "met"
    } else if ratio.high >= limit {
        "unclear"
    } else {
        "missed"
    }
}

/// Prints what was measured of a group; whether no gate is missed.
pub(crate) fn group(group: &str, measured: &[Measured], goals: &[Goal]) -> bool {
    let baseline = &measured[0];
    eprintln!("\n{group}, against {} at {:.2} ns a row", baseline.name, baseline.ns.median);
    let mut kept = true;
    for one in &measured[1..] {
        let (Estimate { median, low, high }, ns) = (one.ratio, one.ns.median);
        let mut line = format!("  {:<10} {ns:>7.3} ns  {median:>6.2}x [{low:.2} to {high:.2}]", one.name);
        let mut json = String::new();
        if let Some(&Goal { gate, aim, .. }) = goals.iter().find(|goal| goal.name == one.name) {
            let verdict_of_gate = verdict(gate, one.ratio);
            line += &format!("  gate {gate} {verdict_of_gate}, aim {aim} {}", verdict(aim, one.ratio));
            json = format!(r#","gate":{{"atLeast":{gate}}},"aim":{{"atLeast":{aim}}}"#);
            kept &= verdict_of_gate != "missed";
        }
        eprintln!("{line}");
        println!(
            r#"{{"case":"{group}/{}","baseline":"{}","ratio":{median},"interval":[{low},{high}],"ours":{ns},"theirs":{},"unit":"ns a row"{json}}}"#,
            one.name, baseline.name, baseline.ns.median
        );
        MEASURED.lock().expect("one thread").push((group.to_owned(), one.name, one.ratio));
    }
    kept
}

/// The rows of the guide's "Platform-Specific Testing": platform, support and expected speed-up, as it prints them.
const PLATFORMS: [(&str, &str, Backend, (f64, f64)); 3] = [
    ("x86_64 (SSE2)", "Always", Backend::Sse2, (1.5, 2.0)),
    ("x86_64 (AVX2)", "If available", Backend::Avx2, (2.0, 3.0)),
    ("aarch64 (NEON)", "Always", Backend::Neon, (1.5, 2.0)),
];

/// What was measured of a backend in a group, and how it stands to what the guide expects.
fn beside(group: &str, backend: Backend, (low, high): (f64, f64)) -> String {
    let measured = MEASURED.lock().expect("one thread");
    let own = measured.iter().find(|(of, name, _)| of == group && *name == backend.as_str());
    match own {
        None => "not measured here".to_owned(),
        Some((_, _, ratio)) if ratio.high < low => format!("{:.2}x, does not hold", ratio.median),
        Some((_, _, ratio)) if ratio.low > high => format!("{:.2}x, more", ratio.median),
        Some((_, _, ratio)) => format!("{:.2}x, holds", ratio.median),
    }
}

/// Prints the guide's table with what was measured beside its claims.
pub(crate) fn platforms() {
    eprintln!(
        "\nPlatform-Specific Testing, as in the guide, and what was measured now against the best scalar code:\n"
    );
    eprintln!("| Platform | SIMD Support | Expected Speedup | WRAITH frames | Ethernet packets |");
    eprintln!("|----------|--------------|------------------|---------------|------------------|");
    for (platform, support, backend, claim) in PLATFORMS {
        let (frames, packets) =
            (beside("frame_parsing", backend, claim), beside("packet_parsing", backend, claim));
        eprintln!("| {platform} | {support} | {}-{}x | {frames} | {packets} |", claim.0, claim.1);
    }
}
