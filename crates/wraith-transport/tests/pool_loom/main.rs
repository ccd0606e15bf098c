//! The hand-over protocol under loom: every interleaving of small programs, over a queue that loom understands.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p wraith-transport --release --test pool_loom`
//!
//! A slot's bytes are a loom cell, which reports any two accesses that nothing orders: a model passes only if
//! the orderings in `pool/` and `memory/owner.rs` are strong enough. `ArrayQueue` itself is crossbeam's to
//! prove; the model queue gives no more than it does: release in push, acquire in pop.
#![cfg(loom)]

mod closing;
mod hand_over;
mod lanes;
mod magazine;
mod members;
mod support;
mod threads;
mod tickets;
