//! The hand-over protocol: owner words, a free list, closing and waiting, and nothing else.
//!
//! It is generic over the free list so that `tests/pool_loom.rs` can run exactly this code over a queue that
//! loom understands. Who holds a slot may touch its bytes; a slot in the free list belongs to the list.
//!
//! The orderings, in one place:
//! - Owner words are exchanged with acquire-release (see [`OwnerTable::exchange`]): the bytes go with the word.
//! - The free list publishes what was done before `push` to whoever pops the slot (release in push, acquire in
//!   pop; `ArrayQueue` does this through the stamp of each of its cells). The clearing of a slot lies between
//!   the exchange to free and the push, so the next holder sees zeros.
//! - Waiting is Dekker's problem: the releaser writes the list and reads `waiters`, the waiter writes `waiters`
//!   and reads the list. Each has a SeqCst fence between its two steps, so at least one sees the other: the
//!   waiter finds the slot, or the releaser finds the waiter and notifies it under the lock.
//! - `closed` is a flag that takes effect soon: relaxed to read on the fast path. A waiter reads it under
//!   the lock that the closer takes before it notifies, so no waiter sleeps through a close.

use crate::memory::owner::{Holding, Owner, OwnerTable, State};
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use crate::sync::{Condvar, Mutex};

/// A multi-producer multi-consumer list of free slots.
pub trait FreeList {
    /// Puts a slot in; publishes all that this thread did before. `false`: full, which cannot happen unless a
    /// slot is put in twice.
    fn push(&self, slot: u32) -> bool;
    /// Takes a slot out, or `None` when there is none.
    fn pop(&self) -> Option<u32>;
}

/// Why a slot did not come home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The slot's word was another one; nothing was touched. `None`: no such slot.
    NotYours(Option<Holding>),
    /// The free list was full: the slot had been in it already.
    Full,
}

/// The word of a slot at home.
const HOME: (State, Owner) = (State::Free, Owner::NONE);

/// Owner table, free list, gate.
pub struct Protocol<F> {
    table: OwnerTable,
    free: F,
    closed: AtomicBool,
    /// Threads between their last look at the fast path and their way out of [`Protocol::pop_wait`].
    waiters: AtomicU32,
    /// Whether anybody may ever wait; if not, a release needs no fence.
    may_wait: bool,
    gate: Mutex<()>,
    home: Condvar,
}

impl<F: FreeList> Protocol<F> {
    /// All `count` slots at home in `free`, which must be empty and have room for them.
    pub fn new(count: u32, free: F, may_wait: bool) -> Protocol<F> {
        for slot in 0..count {
            assert!(free.push(slot), "the free list has no room for {count} slots");
        }
        Protocol {
            table: OwnerTable::new(count),
            free,
            closed: AtomicBool::new(false),
            waiters: AtomicU32::new(0),
            may_wait,
            gate: Mutex::new(()),
            home: Condvar::new(),
        }
    }

    /// The owner words.
    pub fn table(&self) -> &OwnerTable {
        &self.table
    }

    /// The free list.
    pub fn free(&self) -> &F {
        &self.free
    }

    /// Takes a free slot for `to`. `None`: there is none, or the pool is closed.
    #[inline]
    pub fn pop(&self, to: (State, Owner)) -> Option<u32> {
        if self.is_closed() {
            return None;
        }
        while let Some(slot) = self.free.pop() {
            match self.table.exchange(slot, HOME, to) {
                Ok(_) => return Some(slot),
                // A slot in the list whose word is not free: a bug. Nobody may use it; the audit shows it.
                Err(found) => debug_assert!(false, "slot {slot} in the free list is {found:?}"),
            }
        }
        None
    }

    /// Takes a free slot for `to`; blocks while there is none. `None`: the pool is closed.
    ///
    /// # Panics
    /// When the protocol was made with `may_wait == false`.
    pub fn pop_wait(&self, to: (State, Owner)) -> Option<u32> {
        assert!(self.may_wait, "nobody would wake this thread");
        if let Some(slot) = self.pop(to) {
            return Some(slot);
        }
        self.waiters.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut gate = lock(&self.gate);
        let slot = loop {
            if let Some(slot) = self.pop(to) {
                break Some(slot);
            }
            if self.is_closed() {
                break None;
            }
            gate = match self.home.wait(gate) {
                Ok(gate) => gate,
                Err(poisoned) => poisoned.into_inner(),
            };
        };
        drop(gate);
        self.waiters.fetch_sub(1, Ordering::Relaxed);
        slot
    }

    /// Brings a slot home: takes it from `from` first, so that nothing is touched that is not the caller's,
    /// then clears it, then puts it into the list and wakes one waiter.
    #[inline]
    pub fn push(&self, slot: u32, from: (State, Owner), clear: impl FnOnce()) -> Result<(), Refused> {
        if from.0 == State::Free {
            return Err(Refused::NotYours(self.table.load(slot)));
        }
        self.table.exchange(slot, from, HOME).map_err(Refused::NotYours)?;
        clear();
        if !self.free.push(slot) {
            return Err(Refused::Full);
        }
        if self.may_wait {
            fence(Ordering::SeqCst);
            if self.waiters.load(Ordering::Relaxed) != 0 {
                // Through the lock: a waiter that has seen an empty list holds it until it sleeps.
                drop(lock(&self.gate));
                self.home.notify_one();
            }
        }
        Ok(())
    }

    /// Hands a slot from one holder to the next; neither side may be the free list.
    #[inline]
    pub fn exchange(
        &self,
        slot: u32,
        from: (State, Owner),
        to: (State, Owner),
    ) -> Result<u32, Option<Holding>> {
        if from.0 == State::Free || to.0 == State::Free {
            return Err(self.table.load(slot));
        }
        self.table.exchange(slot, from, to)
    }

    /// Brings home every slot that a dead owner had cached, lent or posted, and returns how many. A slot that
    /// is being given back at the same time comes home once: the exchange decides by whom.
    pub fn reclaim(&self, owner: Owner, mut clear: impl FnMut(u32)) -> u32 {
        let mut home = 0;
        for slot in 0..self.table.count() {
            let Some(found) = self.table.load(slot) else { continue };
            let ours = matches!(found.state, State::Cached | State::Lent | State::Posted);
            if ours && found.owner == owner {
                home += u32::from(self.push(slot, (found.state, owner), || clear(slot)).is_ok());
            }
        }
        home
    }

    /// Closes the gate: nothing is taken any more and waiters leave empty-handed; slots still come home.
    /// `true`: it was open.
    pub fn close(&self) -> bool {
        // The lock orders this after the check of any waiter that is about to sleep.
        let gate = lock(&self.gate);
        let was_open = !self.closed.swap(true, Ordering::Release);
        drop(gate);
        self.home.notify_all();
        was_open
    }

    /// Whether [`Protocol::close`] was called.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// The gate guards no data, so a panic elsewhere has left nothing half-done in it.
fn lock(gate: &Mutex<()>) -> crate::sync::MutexGuard<'_, ()> {
    match gate.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}
