//! What the benchmark of AF_XDP is made of.

pub(crate) mod bare;
pub(crate) mod burst;
pub(crate) mod compare;
pub(crate) mod contender;
#[path = "../../tests/xdp/generator.rs"]
pub(crate) mod generator;
pub(crate) mod link;
pub(crate) mod machine;
pub(crate) mod peer;
pub(crate) mod report;
