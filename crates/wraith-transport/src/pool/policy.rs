//! What a pool does beyond the guide's defaults.

use super::core::{Features, PoolCore};
use super::pool::BufferPool;
use crate::Error;
use crate::memory::MemoryOptions;

/// What [`BufferPool::acquire`] does when every slot is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exhausted {
    /// Allocate a buffer outside of the slab; it is zeroed and freed when it is released (the guide's
    /// "automatic fallback allocation").
    #[default]
    Allocate,
    /// Give an error.
    Fail,
    /// Block until a buffer is released or the pool is closed. Makes every release dearer by a fence.
    Wait,
}

/// Buffers that one thread keeps at hand at most: a burst of the guide's smallest busy pool.
const MAGAZINE: usize = 256;

/// The options of a [`BufferPool`]; see [`BufferPool::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes a pool only when `build` is called"]
pub struct Builder {
    size: usize,
    count: usize,
    memory: MemoryOptions,
    pub(super) policy: Policy,
}

/// What acquire and release look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) exhausted: Exhausted,
    pub(super) max_fallback: u32,
    pub(super) clear: bool,
}

impl Builder {
    pub(super) fn new(size: usize, count: usize) -> Builder {
        let policy = Policy { exhausted: Exhausted::default(), max_fallback: u32::MAX, clear: true };
        Builder { size, count, memory: MemoryOptions::default(), policy }
    }

    /// Keep the slab from being swapped out (guide, "Memory Locking"). Best effort: `pool.info()` says whether
    /// it was got and what is in the way. Default: no.
    pub fn mlock(mut self, on: bool) -> Builder {
        self.memory.mlock = on;
        self
    }

    /// Lay the slab on transparent huge pages. Best effort as well. Default: no.
    pub fn huge_pages(mut self, on: bool) -> Builder {
        self.memory.huge_pages = on;
        self
    }

    /// What to do when every slot is in use. Default: [`Exhausted::Allocate`].
    pub fn on_exhausted(mut self, policy: Exhausted) -> Builder {
        self.policy.exhausted = policy;
        self
    }

    /// How many fallback buffers of [`Exhausted::Allocate`] may be alive at a time; acquiring beyond that fails
    /// with [`Code::PoolExhausted`](crate::Code::PoolExhausted). Default: no limit, so that acquire always
    /// succeeds as the guide says. Set one wherever a remote sender decides how many buffers are in use.
    pub fn max_fallback(mut self, buffers: u32) -> Builder {
        self.policy.max_fallback = buffers;
        self
    }

    /// Whether a released buffer is zeroed before anybody else can acquire it. Default: yes, the guide's guarantee.
    ///
    /// `false` is the exception for a pool whose buffers all belong to one trust domain and are always
    /// overwritten: the next holder then sees what the last one left.
    pub fn clear_on_release(mut self, on: bool) -> Builder {
        self.policy.clear = on;
        self
    }

    /// Makes the pool: maps and populates the slab.
    ///
    /// # Errors
    /// [`Code::OutOfRange`](crate::Code::OutOfRange): size or count is 0 or the slab would exceed 4 GiB - 1.
    /// [`Code::NoMemory`](crate::Code::NoMemory): more memory than can be had; the process lives.
    pub fn build(self) -> Result<BufferPool, Error> {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        let may_wait = self.policy.exhausted == Exhausted::Wait;
        let magazine = MAGAZINE.min(self.count);
        let features = Features { may_wait, magazine, sharing: None };
        let core = PoolCore::with_features(self.size, count, &self.memory, features)?;
        Ok(BufferPool::from_parts(core, self.policy))
    }
}
