//! Memory and packet I/O of wraith-transport: one slab of slots, a lock-free pool over it, and sources that receive into it.

#[cfg(not(loom))]
pub mod error;
pub mod memory;
#[cfg(not(loom))]
pub mod metrics;
pub mod pool;
#[cfg(not(loom))]
pub mod sizing;
mod sync;
#[cfg(not(loom))]
pub mod udp;
#[cfg(not(loom))]
pub mod xdp;

#[cfg(not(loom))]
pub use error::{Code, Error};
#[cfg(not(loom))]
pub use pool::{Buffer, BufferPool};

/// The programs of `docs/rust.md` run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
struct RustPage;
