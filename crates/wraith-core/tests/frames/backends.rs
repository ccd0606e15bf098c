//! Which backends this run is about. A CPU that has an instruction set and a build that leaves it out is a failure, not a pass.

use std::collections::BTreeSet;
use std::io::Write;

use wraith_core::frames::{Backend, Supported};

fn available() -> BTreeSet<Backend> {
    Backend::available().map(Supported::backend).collect()
}

/// What this CPU must have, by another way than the one that the library asks.
fn expected() -> BTreeSet<Backend> {
    let mut expected = BTreeSet::from([Backend::Scalar]);
    if !cfg!(feature = "simd") {
        return expected;
    }
    if cfg!(target_arch = "aarch64") {
        expected.insert(Backend::Neon);
    }
    if cfg!(target_arch = "x86_64") {
        let info = std::fs::read_to_string("/proc/cpuinfo").expect("a kernel that tells the CPU's features");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags")).expect("the features");
        let flags: BTreeSet<_> = flags.split_whitespace().collect();
        let has = |names: &[&str]| names.iter().all(|name| flags.contains(name));
        expected.insert(Backend::Sse2);
        let others = [
            (Backend::Sse41, has(&["ssse3", "sse4_1"])),
            (Backend::Avx2, has(&["avx2"])),
            (Backend::Avx512, has(&["avx512f", "avx512bw", "avx512vl", "avx512dq"])),
        ];
        expected.extend(others.into_iter().filter_map(|(backend, there)| there.then_some(backend)));
    }
    expected
}

#[test]
fn every_backend_that_this_cpu_must_have_is_tested() {
    let names: Vec<_> = available().into_iter().map(Backend::as_str).collect();
    // Past the test runner's capture: a run says what it was about also when it passes.
    writeln!(std::io::stderr(), "backends on this {} CPU: {}", std::env::consts::ARCH, names.join(", "))
        .expect("standard error");
    assert_eq!(available(), expected());
    // Runs elsewhere, in emulation say, name the architecture and the backends that they are there for.
    if let Ok(wanted) = std::env::var("WRAITH_EXPECT_BACKENDS") {
        assert_eq!(format!("{}: {}", std::env::consts::ARCH, names.join(", ")), wanted);
    }
    assert_eq!(Some(&Backend::best().backend()), expected().last());
}
