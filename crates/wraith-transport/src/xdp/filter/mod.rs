//! Which frames go to the sockets: the rules, the XDP program they become, and a way to try them.

mod assembler;
mod facts;
mod management;
mod maps;
mod program;
mod rules;

pub use maps::{FilterTest, Verdict, test_filter};
pub(super) use maps::{Loaded, Sockets};
pub use rules::{Addresses, Filter, Match, Ports, Prefix, Select};
