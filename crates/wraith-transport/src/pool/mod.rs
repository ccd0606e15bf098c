//! The pool: a lock-free free list of slots over one slab, and the buffers that are lent from it.
//!
//! [`PoolCore`] is what sources and bindings build on; [`BufferPool`] is the guide's API over it.

#[cfg(not(loom))]
mod audit;
mod barrier;
#[cfg(not(loom))]
mod buffer;
#[cfg(not(loom))]
mod channel;
#[cfg(not(loom))]
mod core;
#[cfg(not(loom))]
mod free_list;
#[cfg(not(loom))]
mod policy;
#[cfg(not(loom))]
#[expect(clippy::module_inception, reason = "the file of BufferPool is named after it")]
mod pool;
#[cfg(not(loom))]
mod sharing;
// Public for the loom models in `tests/` alone.
#[doc(hidden)]
pub mod lane;
mod limit;
#[doc(hidden)]
pub mod magazine;
mod member;
#[doc(hidden)]
pub mod protocol;
#[doc(hidden)]
pub mod transit;
mod waiters;

#[cfg(not(loom))]
pub use self::audit::{Audit, Holdings};
#[cfg(not(loom))]
pub use self::buffer::{Buffer, Releasable};
#[cfg(not(loom))]
pub use self::channel::{Channel, ChannelCounts, Receiver};
#[cfg(not(loom))]
pub use self::core::PoolCore;
pub use self::lane::{DepthWord, Entry, Received};
pub use self::limit::LimitWord;
pub use self::member::{Delivery, Events, Notify, WaitId, Waited};
#[cfg(not(loom))]
pub use self::policy::{Builder, Exhausted};
#[cfg(not(loom))]
pub use self::pool::BufferPool;
#[cfg(not(loom))]
pub use self::sharing::{Attachment, SharingOptions};
