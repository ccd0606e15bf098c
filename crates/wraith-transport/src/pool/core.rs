//! What sources and bindings build on: slab, owner table, free list and metrics under one `Arc`.
#![expect(unsafe_code, reason = "clears a slot that the protocol has just taken")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_queue::ArrayQueue;

use super::audit::Audit;
use super::protocol::{Protocol, Refused};
use crate::memory::{Dirty, Holding, MemoryOptions, Owner, Slab, State};
use crate::metrics::{Counter, PoolMetrics, PoolSnapshot};
use crate::{Code, Error};

/// A slab and who holds its slots. Every method may be called from any thread; none takes a lock unless a
/// thread waits for a slot.
pub struct PoolCore {
    slab: Arc<Slab>,
    protocol: Protocol<ArrayQueue<u32>>,
    metrics: PoolMetrics,
    /// Buffers alive that were allocated outside of the slab.
    fallbacks: AtomicU32,
}

impl PoolCore {
    /// A pool of `capacity` slots of `buffer_size` bytes, all at home.
    ///
    /// # Errors
    /// Those of [`Slab::new`].
    pub fn new(buffer_size: usize, capacity: u32, options: &MemoryOptions) -> Result<Arc<PoolCore>, Error> {
        PoolCore::with_waiting(buffer_size, capacity, options, false)
    }

    /// As [`PoolCore::new`]; `may_wait` makes [`PoolCore::wait_buffer`] possible and every release dearer by a
    /// fence.
    pub(super) fn with_waiting(
        buffer_size: usize,
        capacity: u32,
        options: &MemoryOptions,
        may_wait: bool,
    ) -> Result<Arc<PoolCore>, Error> {
        let slab = Arc::new(Slab::new(buffer_size, capacity, options)?);
        let protocol = Protocol::new(capacity, ArrayQueue::new(capacity as usize), may_wait);
        Ok(Arc::new(PoolCore {
            slab,
            protocol,
            metrics: PoolMetrics::default(),
            fallbacks: AtomicU32::new(0),
        }))
    }

    /// The memory. A clone of the `Arc` keeps it valid beyond the pool.
    pub fn slab(&self) -> &Arc<Slab> {
        &self.slab
    }

    /// Usable bytes of a slot.
    pub fn buffer_size(&self) -> usize {
        self.slab.slot_size()
    }

    /// How many slots there are.
    pub fn capacity(&self) -> u32 {
        self.slab.count()
    }

    /// How many slots are at home; while other threads work, a moment ago.
    pub fn available(&self) -> u32 {
        self.protocol.free().len() as u32
    }

    /// Takes a free slot, full of zeros unless its last holder opted out of clearing. `None`: there is none,
    /// the pool is closed, or `to` is [`State::Free`].
    #[inline]
    pub fn pop(&self, to: (State, Owner)) -> Option<u32> {
        if reserved(to) { None } else { self.protocol.pop(to) }
    }

    /// Takes free slots until `out` is full or there are no more; returns how many.
    pub fn pop_into(&self, to: (State, Owner), out: &mut [u32]) -> usize {
        let mut taken = 0;
        for place in out {
            let Some(slot) = self.pop(to) else { break };
            *place = slot;
            taken += 1;
        }
        taken
    }

    /// Hands a slot from one holder to the next without going home; returns its generation.
    ///
    /// # Errors
    /// [`Code::StaleBuffer`]: the slot is not held as `from` says. [`Code::Internal`]: no such slot, or one
    /// side is [`State::Free`] (only pop and push cross that border) or a [`Buffer`](crate::Buffer) (which
    /// lends references to its bytes). Nothing has been changed.
    #[inline]
    pub fn exchange(&self, slot: u32, from: (State, Owner), to: (State, Owner)) -> Result<u32, Error> {
        if reserved(from) || reserved(to) {
            return Err(self.refusal(slot, from, to, self.holding(slot)));
        }
        self.protocol.exchange(slot, from, to).map_err(|found| self.refusal(slot, from, to, found))
    }

    /// Brings a slot home: takes it from `from`, zeroes what is dirty, puts it into the free list and wakes a
    /// waiter if there is one.
    ///
    /// # Errors
    /// As [`PoolCore::exchange`]; no byte has been touched then.
    #[inline]
    pub fn push(&self, slot: u32, from: (State, Owner), dirty: Dirty) -> Result<(), Error> {
        if reserved(from) {
            return Err(self.refusal(slot, from, HOME, self.holding(slot)));
        }
        self.bring_home(slot, from, dirty)
    }

    /// Takes a slot for a [`Buffer`](crate::Buffer).
    #[inline]
    pub(super) fn pop_buffer(&self) -> Option<u32> {
        self.protocol.pop((State::Lent, Owner::BUFFER))
    }

    /// As [`PoolCore::pop_buffer`]; blocks while there is no free slot. `None`: the pool is closed.
    pub(super) fn wait_buffer(&self) -> Option<u32> {
        self.protocol.pop_wait((State::Lent, Owner::BUFFER))
    }

    /// Brings the slot of a [`Buffer`](crate::Buffer) home, which is being dropped.
    #[inline]
    pub(super) fn push_buffer(&self, slot: u32, dirty: Dirty) -> Result<(), Error> {
        self.bring_home(slot, (State::Lent, Owner::BUFFER), dirty)
    }

    #[inline]
    fn bring_home(&self, slot: u32, from: (State, Owner), dirty: Dirty) -> Result<(), Error> {
        // SAFETY: the protocol calls this after it has taken the slot and before anybody can pop it.
        let clear = || unsafe { self.slab.clear(slot, dirty) };
        self.protocol.push(slot, from, clear).map_err(|refused| match refused {
            Refused::NotYours(found) => self.refusal(slot, from, HOME, found),
            Refused::Full => {
                Error::new(Code::Internal, format!("Slot {slot} came home twice: the free list is full"))
            }
        })
    }

    /// The slot's word as it is now. `None`: no such slot.
    pub fn holding(&self, slot: u32) -> Option<Holding> {
        self.protocol.table().load(slot)
    }

    /// Brings home, zeroed, every slot that a dead owner had cached, lent or posted; returns how many. Slots in
    /// op and transit stay: whoever completes or adopts them brings them home. Cost: one load per slot.
    pub fn reclaim(&self, owner: Owner) -> u32 {
        if reserved((State::Lent, owner)) {
            return 0;
        }
        // SAFETY: as in `push`.
        let clear = |slot| unsafe { self.slab.clear(slot, Dirty::All) };
        let home = self.protocol.reclaim(owner, clear);
        self.metrics.add(Counter::Reclaimed, u64::from(home));
        home
    }

    /// Counts who holds what. Exact at a quiet point. Cost: one load per slot.
    pub fn audit(&self) -> Audit {
        Audit::of(self.protocol.table(), self.available())
    }

    /// Closes the pool: nothing can be taken any more, waiters leave, slots still come home. `true`: it was
    /// open.
    pub fn close(&self) -> bool {
        self.protocol.close()
    }

    /// Whether the pool was closed.
    pub fn is_closed(&self) -> bool {
        self.protocol.is_closed()
    }

    /// The counters and gauges at this moment.
    pub fn snapshot(&self) -> PoolSnapshot {
        PoolSnapshot {
            capacity_slots: self.capacity(),
            available_slots: self.available(),
            buffer_size_bytes: self.buffer_size(),
            memory_bytes: self.slab.info().bytes,
            fallbacks_alive: self.fallbacks.load(Ordering::Relaxed),
            ..PoolSnapshot::count(&self.metrics)
        }
    }

    /// Buffers alive that were allocated outside of the slab.
    pub(super) fn fallbacks(&self) -> &AtomicU32 {
        &self.fallbacks
    }

    /// The counters.
    pub fn metrics(&self) -> &PoolMetrics {
        &self.metrics
    }

    #[cold]
    fn refusal(&self, slot: u32, from: (State, Owner), to: (State, Owner), found: Option<Holding>) -> Error {
        let step = format!("{}, {:?} -> {}, {:?}", from.0.name(), from.1, to.0.name(), to.1);
        let Some(found) = found else {
            let what = format!("There is no slot {slot} in a pool of {} ({step})", self.capacity());
            return Error::new(Code::Internal, what);
        };
        // When the word is the expected one, the step itself is not allowed.
        let code = if (found.state, found.owner) == from { Code::Internal } else { Code::StaleBuffer };
        Error::new(code, format!("Slot {slot} is {found} and cannot go {step}"))
    }
}

/// The word of a slot at home.
const HOME: (State, Owner) = (State::Free, Owner::NONE);

/// Whether a holder is not for callers to name: slots at home belong to the free list, and a `Buffer` lends
/// references to its bytes, so safe code must not be able to take its slot from it.
#[inline]
fn reserved((state, owner): (State, Owner)) -> bool {
    state == State::Free || owner == Owner::BUFFER
}

impl fmt::Debug for PoolCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolCore")
            .field("buffer_size", &self.buffer_size())
            .field("capacity", &self.capacity())
            .field("available", &self.available())
            .field("closed", &self.is_closed())
            .finish()
    }
}
