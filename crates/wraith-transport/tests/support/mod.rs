//! What several test files need.

use std::process::{Command, Output};

/// Runs the test named `test` of this binary again, alone, with `variable` set: the test sees the variable and does
/// the part that needs a process of its own.
pub(crate) fn again_with(test: &str, variable: &str) -> Output {
    let me = std::env::current_exe().unwrap();
    let child = Command::new(me).args(["--exact", test, "--nocapture"]).env(variable, "1").output().unwrap();
    // Were the name wrong, the child would run nothing and succeed.
    assert!(child.stdout.windows(14).any(|text| text == b"running 1 test"), "{child:?}");
    child
}
