//! What the numbers were measured on.

use std::fs;
use std::process::Command;

/// One line: CPU, kernel, Rust.
pub(crate) fn line() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "{}, {cpus} CPUs, Linux {}, {}, wraith-transport {}; load {}",
        cpu.map_or(std::env::consts::ARCH, |(_, name)| name),
        kernel.trim(),
        rustc.unwrap_or_else(|_| "rustc unknown".into()),
        env!("CARGO_PKG_VERSION"),
        load.split(' ').next().unwrap_or("unknown"),
    )
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec that lives through the call.
    let got = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(got, 0, "this system has no CPU clock for threads");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
