//! Frames of the WRAITH protocol: every backend against the oracle, the oracle against what is written down.

mod active;
mod agree;
mod allocations;
mod backends;
mod builder;
mod errors;
#[cfg(unix)]
mod guard_page;
mod oracle;
mod random;
mod support;
