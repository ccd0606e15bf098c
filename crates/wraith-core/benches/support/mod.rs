//! What the benchmarks of frames and packets share.
#![allow(dead_code, unused_imports, reason = "each benchmark uses a part of it")]

pub(crate) mod columns;
pub(crate) mod corpus;
pub(crate) mod machine;
pub(crate) mod packets;
pub(crate) mod random;
pub(crate) mod report;
pub(crate) mod rounds;
