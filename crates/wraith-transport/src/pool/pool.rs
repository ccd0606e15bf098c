//! The guide's `BufferPool`.

use std::fmt;
use std::sync::Arc;

use super::audit::Audit;
use super::buffer::{Buffer, Releasable};
use super::core::PoolCore;
use super::policy::{Builder, Exhausted, Policy};
use crate::memory::MemoryInfo;
use crate::metrics::{Counter, PoolMetrics, PoolSnapshot};
use crate::{Code, Error};

/// Pre-allocated buffers of one size: acquire and release are O(1), take no lock and make no system call.
///
/// All methods take `&self` and may be called from any thread; share the pool in an `Arc` or clone it (clones
/// are the same pool). The free list is first in, first out; a thread that acquires may wait for another that was
/// preempted in the middle of a release (lock-free, not wait-free).
///
/// ```
/// use wraith_transport::BufferPool;
///
/// let pool = BufferPool::new(1500, 256);
/// let mut buffer = pool.acquire();
/// buffer[..5].copy_from_slice(b"hello");
/// pool.release(buffer); // or drop it
/// assert_eq!(pool.available(), 256);
/// ```
#[derive(Clone)]
pub struct BufferPool {
    core: Arc<PoolCore>,
    policy: Policy,
    /// Shared by all clones; the last one closes the magazines.
    _last: Arc<CloseMagazines>,
}

/// Magazines hold shares in the pool that they are part of: without this they would keep it alive for ever.
struct CloseMagazines(Arc<PoolCore>);

impl Drop for CloseMagazines {
    fn drop(&mut self) {
        self.0.close_magazines();
    }
}

impl BufferPool {
    /// A pool of `count` buffers of `size` bytes, zeroed, that allocates when it is exhausted.
    ///
    /// # Panics
    /// When [`Builder::build`] would give an error: a size or count of 0, more than 4 GiB, or no memory.
    pub fn new(size: usize, count: usize) -> BufferPool {
        match BufferPool::builder(size, count).build() {
            Ok(pool) => pool,
            Err(error) => panic!("{error}"),
        }
    }

    /// Options for a pool of `count` buffers of `size` bytes.
    pub fn builder(size: usize, count: usize) -> Builder {
        Builder::new(size, count)
    }

    /// The buffers of a shared pool that others use at the same time: isolates, sockets, other threads. Clearing is not
    /// opted out of.
    ///
    /// # Errors
    /// [`Code::NotShared`]: the pool was not made by [`PoolCore::shared`]. A private one may be seen by one isolate as a
    /// whole, which must not read what another thread writes.
    pub fn from_core(core: &Arc<PoolCore>, exhausted: Exhausted) -> Result<BufferPool, Error> {
        if !core.is_shared() {
            return Err(Error::new(Code::NotShared, "The pool is private"));
        }
        let policy = Policy { exhausted, max_fallback: u32::MAX, clear: true };
        Ok(BufferPool::from_parts(Arc::clone(core), policy))
    }

    pub(super) fn from_parts(core: Arc<PoolCore>, policy: Policy) -> BufferPool {
        BufferPool { _last: Arc::new(CloseMagazines(Arc::clone(&core))), core, policy }
    }

    /// A buffer full of zeros (unless clearing was opted out of). When every slot is in use it follows the
    /// [`Exhausted`] policy: allocates, blocks, or fails.
    ///
    /// # Panics
    /// Where [`BufferPool::try_acquire`] gives an error: the pool is closed; it is exhausted and the policy
    /// is [`Exhausted::Fail`], or the limit of fallback buffers is reached. With the default policy
    /// only a closed pool, or no memory, panics.
    #[inline]
    #[track_caller]
    pub fn acquire(&self) -> Buffer {
        match self.core.take_buffer() {
            Some(parked) => Buffer::pooled(parked, self.policy.clear),
            None => match self.acquire_exhausted() {
                Ok(buffer) => buffer,
                Err(error) => panic!("{error}"),
            },
        }
    }

    /// As [`BufferPool::acquire`], without the panics.
    ///
    /// # Errors
    /// [`Code::PoolClosed`], [`Code::PoolExhausted`], or [`Code::NoMemory`] for a fallback buffer.
    #[inline]
    pub fn try_acquire(&self) -> Result<Buffer, Error> {
        match self.core.take_buffer() {
            Some(parked) => Ok(Buffer::pooled(parked, self.policy.clear)),
            None => self.acquire_exhausted(),
        }
    }

    #[cold]
    fn acquire_exhausted(&self) -> Result<Buffer, Error> {
        let closed = || Error::new(Code::PoolClosed, "A buffer was asked for after close()");
        if self.core.is_closed() {
            return Err(closed());
        }
        let metrics = self.core.metrics();
        metrics.add(Counter::Exhaustions, 1);
        match self.policy.exhausted {
            Exhausted::Allocate => Buffer::fallback(&self.core, self.policy.max_fallback),
            Exhausted::Fail => {
                let what = format!("All {} buffers are in use", self.capacity());
                Err(Error::new(Code::PoolExhausted, what))
            }
            Exhausted::Wait => {
                metrics.add(Counter::Waits, 1);
                let parked = self.core.wait_buffer().ok_or_else(closed)?;
                Ok(Buffer::pooled(parked, self.policy.clear))
            }
        }
    }

    /// Gives a buffer back, as dropping it does. Its bytes are zeroed if they were ever borrowed mutably.
    ///
    /// A buffer of another pool goes home to that pool; a `Vec<u8>` (the guide's `BufferGuard` holds one) is
    /// zeroed and freed. Both are counted as foreign releases.
    #[inline]
    pub fn release(&self, buffer: impl Releasable) {
        buffer.release_to(&self.core);
    }

    /// How many buffers can be acquired now without exhausting the pool; while other threads work, a moment ago.
    pub fn available(&self) -> usize {
        self.core.available() as usize
    }

    /// How many buffers the pool was made with.
    pub fn capacity(&self) -> usize {
        self.core.capacity() as usize
    }

    /// Bytes of a buffer.
    pub fn buffer_size(&self) -> usize {
        self.core.buffer_size()
    }

    /// What memory was asked for and what was got.
    pub fn info(&self) -> &MemoryInfo {
        self.core.slab().info()
    }

    /// The counters, for adding to.
    pub fn metrics(&self) -> &PoolMetrics {
        self.core.metrics()
    }

    /// The counters and gauges at this moment.
    pub fn snapshot(&self) -> PoolSnapshot {
        self.core.snapshot()
    }

    /// Counts who holds what; see [`Audit`].
    pub fn audit(&self) -> Audit {
        self.core.audit()
    }

    /// Closes the pool for all its clones: acquiring fails, waiting threads fail, lent buffers stay good and go
    /// home. `true`: it was open.
    pub fn close(&self) -> bool {
        self.core.close()
    }

    /// Whether the pool was closed.
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }

    /// What sources and bindings build on.
    pub fn core(&self) -> &Arc<PoolCore> {
        &self.core
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("core", &self.core).field("policy", &self.policy).finish()
    }
}
