//! What sources and bindings build on: slab, owner table, free list and metrics under one `Arc`.
#![expect(unsafe_code, reason = "clears slots that are the caller's or that the protocol has just taken")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;

use super::audit::{Audit, Holdings};
use super::magazine::Magazine;
use super::protocol::Protocol;
use super::sharing::{Sharing, SharingOptions};
use crate::memory::{Dirty, Holding, MemoryOptions, Owner, Slab, State};
use crate::metrics::counter::{OWN_ROWS, row};
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
    /// One for each row of threads that buffers are acquired in and released by; none when they are off.
    magazines: Box<[CachePadded<Magazine<Parked>>]>,
    /// Of shared pools only.
    sharing: Option<Sharing>,
}

/// How a pool of buffers differs from a plain core.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Features {
    /// Makes [`PoolCore::wait_buffer`] possible, and every release dearer by a fence.
    pub(super) may_wait: bool,
    /// Buffers that a thread's magazine may hold.
    pub(super) magazine: usize,
    /// Makes tickets and attachments possible.
    pub(super) sharing: Option<SharingOptions>,
}

/// The slot of a [`Buffer`](crate::Buffer), and its share in the pool. In a magazine the slot is as it was when it
/// was lent; only the magazine's length tells them apart.
pub(super) struct Parked {
    pub(super) slot: u32,
    pub(super) core: Arc<PoolCore>,
}

impl PoolCore {
    /// A pool of `capacity` slots of `buffer_size` bytes, all at home.
    ///
    /// # Errors
    /// Those of [`Slab::new`].
    pub fn new(buffer_size: usize, capacity: u32, options: &MemoryOptions) -> Result<Arc<PoolCore>, Error> {
        PoolCore::with_features(buffer_size, capacity, options, Features::default())
    }

    pub(super) fn with_features(
        buffer_size: usize,
        capacity: u32,
        options: &MemoryOptions,
        features: Features,
    ) -> Result<Arc<PoolCore>, Error> {
        let slab = Arc::new(Slab::new(buffer_size, capacity, options)?);
        let protocol = Protocol::new(capacity, ArrayQueue::new(capacity as usize), features.may_wait);
        // A waiter is woken by the free list alone.
        let rows = if features.may_wait || features.magazine == 0 { 0 } else { OWN_ROWS };
        Ok(Arc::new(PoolCore {
            slab,
            protocol,
            metrics: PoolMetrics::default(),
            fallbacks: AtomicU32::new(0),
            magazines: (0..rows).map(|_| CachePadded::new(Magazine::new(features.magazine))).collect(),
            sharing: features.sharing.map(|options| Sharing::new(capacity, options)),
        }))
    }

    pub(super) fn protocol(&self) -> &Protocol<ArrayQueue<u32>> {
        &self.protocol
    }

    pub(super) fn sharing(&self) -> Option<&Sharing> {
        self.sharing.as_ref()
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

    /// How many slots can be had: those in the free list and in the magazines of threads. While other threads work, a
    /// moment ago.
    pub fn available(&self) -> u32 {
        (self.protocol.free().len() as u32 + self.in_magazines()).min(self.capacity())
    }

    fn in_magazines(&self) -> u32 {
        self.magazines.iter().map(|magazine| magazine.fill()).sum()
    }

    /// Whether somebody waits for a slot to come home; a moment ago. Cost: a load.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        self.protocol.is_awaited()
    }

    /// Takes a free slot, full of zeros unless its last holder opted out of clearing. `None`: there is none,
    /// the pool is closed, or `to` is [`State::Free`].
    #[inline]
    pub fn pop(&self, to: (State, Owner)) -> Option<u32> {
        if reserved(to) {
            return None;
        }
        self.protocol.pop(to).or_else(|| self.scrape_for(to))
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

    /// Takes a slot for a [`Buffer`](crate::Buffer): from the thread's magazine, the free list, or the magazine of
    /// another thread. Counts the acquire.
    #[inline]
    pub(super) fn take_buffer(self: &Arc<Self>) -> Option<Parked> {
        let row = row();
        self.metrics.add_in(row, Counter::TotalAcquires, 1);
        if self.is_closed() {
            return None;
        }
        // SAFETY: a row belongs to one living thread, which is this one, and the counter's registry orders
        // a thread after the last one that had its row.
        let at_hand = self.magazines.get(row).and_then(|magazine| unsafe { magazine.take() });
        at_hand.or_else(|| self.take_from_list()).or_else(|| self.rob())
    }

    fn take_from_list(self: &Arc<Self>) -> Option<Parked> {
        let to = (State::Lent, Owner::BUFFER);
        let slot = self.protocol.pop(to).or_else(|| self.sweep_for(to))?;
        Some(Parked { slot, core: Arc::clone(self) })
    }

    /// As [`PoolCore::take_buffer`]; blocks while there is no free slot. `None`: the pool is closed.
    pub(super) fn wait_buffer(self: &Arc<Self>) -> Option<Parked> {
        // Tickets that nobody adopts are brought home by those who need slots.
        let patience = || {
            self.sweep_now();
            self.patience(Instant::now())
        };
        let slot = self.protocol.pop_wait((State::Lent, Owner::BUFFER), patience)?;
        Some(Parked { slot, core: Arc::clone(self) })
    }

    /// Takes a slot from any magazine, and brings half of that magazine into the free list for the next who need one.
    #[cold]
    fn rob(&self) -> Option<Parked> {
        self.magazines.iter().find_map(|magazine| magazine.rob(Parked::go_home))
    }

    /// The last resort of one who found no free slot and is no [`Buffer`](crate::Buffer).
    #[cold]
    fn scrape_for(&self, to: (State, Owner)) -> Option<u32> {
        self.sweep_for(to).or_else(|| self.rob_for(to))
    }

    /// Takes the slot of a ticket that nobody adopted in time: by way of home, so those who wait come first.
    #[cold]
    fn sweep_for(&self, to: (State, Owner)) -> Option<u32> {
        if self.sweep_now() > 0 { self.protocol.pop(to) } else { None }
    }

    /// Takes a slot from any magazine for somebody who is no [`Buffer`](crate::Buffer): by way of home.
    #[cold]
    fn rob_for(&self, to: (State, Owner)) -> Option<u32> {
        if self.is_closed() {
            return None;
        }
        let parked = self.rob()?;
        let table = self.protocol.table();
        let home = table.exchange(parked.slot, (State::Lent, Owner::BUFFER), HOME);
        let handed = home.and_then(|_| table.exchange(parked.slot, HOME, to));
        debug_assert!(handed.is_ok(), "slot {} of a magazine is {handed:?}", parked.slot);
        handed.is_ok().then_some(parked.slot)
    }

    /// Brings all magazines' slots into the free list; nothing is put into them any more. A magazine's slots keep
    /// the pool alive, so its last user must call this.
    pub(super) fn close_magazines(&self) {
        for parked in self.magazines.iter().flat_map(|magazine| magazine.close()) {
            parked.go_home();
        }
    }

    #[inline]
    fn bring_home(&self, slot: u32, from: (State, Owner), dirty: Dirty) -> Result<(), Error> {
        // SAFETY: the protocol calls this after it has taken the slot and before anybody can pop it.
        let clear = || unsafe { self.slab.clear(slot, dirty) };
        self.protocol.push(slot, from, clear).map_err(|refused| self.refused(refused, slot, from, HOME))
    }

    /// The slot's word as it is now. `None`: no such slot.
    pub fn holding(&self, slot: u32) -> Option<Holding> {
        self.protocol.table().load(slot)
    }

    /// Brings home, zeroed, every slot that a dead owner had cached, lent, posted or in quarantine; returns how many. No view
    /// onto them may be left. Slots in op and transit stay: whoever completes or adopts them brings them home. So do
    /// those that are nobody's: [`PoolCore::quarantine_for_good`]. Cost: one load per slot.
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
        self.sweep_now();
        Audit::of(self.protocol.table(), self.protocol.free().len() as u32, self.in_magazines())
    }

    /// Who holds how many slots, for everybody who holds any; exact at a quiet point. In magazines of threads they count
    /// as lent. Cost: one load and a look into a map per slot.
    pub fn holdings(&self) -> Vec<Holdings> {
        Holdings::of(self.protocol.table())
    }

    /// Closes the pool: nothing can be taken any more, waiters leave, tickets and channels end, slots still come home. `true`: it was
    /// open.
    pub fn close(&self) -> bool {
        let was_open = self.protocol.close();
        self.sweep_all();
        self.close_channels();
        was_open
    }

    /// Whether the pool was closed.
    pub fn is_closed(&self) -> bool {
        self.protocol.is_closed()
    }

    /// The counters and gauges at this moment.
    pub fn snapshot(&self) -> PoolSnapshot {
        self.sweep_now();
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
    pub(super) fn refusal(
        &self,
        slot: u32,
        from: (State, Owner),
        to: (State, Owner),
        found: Option<Holding>,
    ) -> Error {
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

impl Parked {
    /// Gives back the slot of a [`Buffer`](crate::Buffer) that is being dropped: zeroed, to the thread's magazine or
    /// the free list. Counts the release.
    #[inline]
    pub(super) fn give_back(self, dirty: Dirty) {
        let row = row();
        // Counted first: afterwards another thread may already be using the slot.
        self.core.metrics.add_in(row, Counter::Releases, 1);
        debug_assert_eq!(
            self.core.holding(self.slot).map(|word| (word.state, word.owner)),
            Some((State::Lent, Owner::BUFFER)),
        );
        // SAFETY: the slot is the dropped buffer's, whose borrows have ended.
        unsafe { self.core.slab.clear(self.slot, dirty) };
        // SAFETY: the share that keeps the core alive moves into the core's own magazine, so the borrow must not hang
        // on it. It ends before the core can: whoever takes the share out of the magazine must first get the
        // flag that `put` gives back last, and if `put` refuses, the share is still here.
        let magazines = unsafe { &(*Arc::as_ptr(&self.core)).magazines };
        let kept = match magazines.get(row) {
            // SAFETY: as in `take_buffer`.
            Some(magazine) => unsafe { magazine.put(self) },
            None => Err(self),
        };
        if let Err(parked) = kept {
            parked.go_home();
        }
    }

    fn go_home(self) {
        let home = self.core.bring_home(self.slot, (State::Lent, Owner::BUFFER), Dirty::Nothing);
        debug_assert!(home.is_ok(), "{home:?}");
    }
}

/// The word of a slot at home.
const HOME: (State, Owner) = (State::Free, Owner::NONE);

/// Whether a holder is not for callers to name: slots at home belong to the free list, and a `Buffer` lends
/// references to its bytes, so safe code must not be able to take its slot from it.
#[inline]
pub(super) fn reserved((state, owner): (State, Owner)) -> bool {
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
