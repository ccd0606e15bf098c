//! What the other crates agree on and that touches no operating system.
//!
//! [`sizes`]: the buffer and pool sizes of the WRAITH Buffer Pool Integration Guide. [`frames`]: frames of the WRAITH protocol
//! and packets, a batch at a time, by the vector instructions that the CPU has.

pub mod frames;
pub mod sizes;

/// The programs of `docs/frames.md` run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/frames.md")]
struct FramesPage;

/// The programs of `docs/packets.md` run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/packets.md")]
struct PacketsPage;
