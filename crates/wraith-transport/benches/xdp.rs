//! AF_XDP over a veth pair: what a received frame costs beside others, and whether bursts come whole. Needs root.
//!
//!     cargo bench -p wraith-transport --features xsk-rs --bench xdp -- [compare] [burst] [--rounds N] [--frames N] [--batch N]
//!
//! Without the feature all but xsk-rs is there. Everything is copy mode. Times of two runs are not for comparison; the ratios are.

#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "reads slots by pointer; the bare loop and the generator are plain libc")
)]

#[cfg(target_os = "linux")]
mod support;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("AF_XDP exists on Linux only");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::env;
    use std::process::ExitCode;

    let number = |name: &str, default: usize| {
        let mut arguments = env::args().skip_while(|argument| argument != name);
        arguments.nth(1).map_or(default, |text| text.parse().expect("a number"))
    };
    let asked = |mode: &str| env::args().any(|argument| argument == mode);
    let all = !asked("compare") && !asked("burst");
    if let Err(why) = support::link::own_namespace() {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    eprintln!("{}", support::machine::line());
    if all || asked("burst") {
        support::burst::run();
    }
    let kept = (!all && !asked("compare"))
        || support::compare::run(
            number("--rounds", 11).max(7),
            number("--frames", 16_384),
            number("--batch", 64),
        );
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
