//! The memory under the pool: one region of equal slots, and one word per slot that says who holds it.

#[cfg(not(loom))]
mod available;
#[cfg(not(loom))]
mod map;
pub mod owner;
#[cfg(not(loom))]
pub mod slab;

pub use owner::{Holding, Owner, OwnerTable, State};
#[cfg(not(loom))]
pub use slab::{Dirty, Granted, MemoryInfo, MemoryOptions, Slab};
