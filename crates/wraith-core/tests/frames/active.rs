//! `WRAITH_SIMD`, in processes of its own: it is read once.

use std::process::Command;

use wraith_core::frames::{Backend, VARIABLE};

/// What the process below is about; by itself it holds that a process has one active backend.
#[test]
fn says_which_backend_is_active() {
    match Backend::active() {
        Ok(supported) => println!("active: {}", supported.backend()),
        Err(error) => println!("refused: {error}"),
    }
    assert_eq!(Backend::active(), Backend::active());
}

/// This program, by the runner that cargo starts it by when there is one: an emulator, say.
fn this_program() -> Command {
    let program = std::env::current_exe().expect("this program's path");
    let architecture = std::env::consts::ARCH.to_uppercase();
    match std::env::var(format!("CARGO_TARGET_{architecture}_UNKNOWN_LINUX_GNU_RUNNER")) {
        Ok(runner) => {
            let mut words = runner.split_whitespace();
            let mut command = Command::new(words.next().expect("a runner's name"));
            command.args(words).arg(program);
            command
        }
        Err(_) => Command::new(program),
    }
}

fn run(value: &str, filter: &[&str]) -> String {
    let mut command = this_program();
    let output = command.args(filter).arg("--nocapture").env(VARIABLE, value).output().expect("this program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{VARIABLE}={value}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn active(value: &str) -> String {
    run(value, &["--exact", "active::says_which_backend_is_active"])
}

#[test]
fn the_variable_forces_each_backend_and_the_whole_suite_passes_under_it() {
    for backend in Backend::available() {
        let name = backend.backend().as_str();
        assert!(active(name).contains(&format!("active: {name}\n")), "{name}");
        let suite = run(name, &["agree::active::"]);
        assert!(suite.contains("11 passed; 0 failed"), "{name}: {suite}");
    }
    let best = Backend::best().backend();
    assert!(active("").contains(&format!("active: {best}\n")));
}

#[test]
fn a_name_that_is_unknown_or_not_on_this_cpu_is_refused_with_what_there_is() {
    assert!(active("avx1024").contains("refused: 'avx1024' is no backend; name one of: scalar"));
    let absent = Backend::ALL.into_iter().find(|backend| !backend.is_supported()).expect("no CPU has all");
    let refused = format!("refused: this CPU or this build does not have '{absent}'; name one of: scalar");
    assert!(active(absent.as_str()).contains(&refused));
}
