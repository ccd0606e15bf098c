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
//! - Waiting is Dekker's problem. Who brings a slot home puts it into the list and then reads the number of those who
//!   wait; who waits raises that number and then looks into the list. Each has a SeqCst fence between its two
//!   steps, so at least one sees the other: the one who waits finds the slot, or the other sees that somebody waits and
//!   serves the queue, under the lock under which it was entered. Whoever serves gives what it finds to the first in
//!   the queue, so it does not matter which of the two it is. The look at the number *before* the list is passed by
//!   (see [`Protocol::push`]) needs no fence: missing somebody there only means the way through the list.
//! - `closed` is a flag that takes effect soon: relaxed to read on the fast path. It is set under the lock of the queue,
//!   and nobody enters the queue without having read it there, so nobody waits through a close.
//! - That a closed pool's last slot is noticed is Dekker's problem twice more, with the same fences: against `close`
//!   (the flag, then the table; the table, then the flag), and between the last two who bring slots home (each changes
//!   its own word, then reads the other's).

use std::sync::Arc;
use std::time::Duration;

use super::limit::LimitWord;
use super::member::{Delivery, Events, Notify, WaitId, Waited};
pub use super::member::{MemberKey, Role};
use super::waiters::{Cancelled, Waiters};
use crate::memory::owner::{Holding, Owner, OwnerTable, State};
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

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
    /// The pool is closed; the slot is as it was.
    Closed,
}

/// The word of a slot at home.
const HOME: (State, Owner) = (State::Free, Owner::NONE);

/// Owner table, free list, and those who wait.
pub struct Protocol<F> {
    table: OwnerTable,
    free: F,
    closed: AtomicBool,
    /// Who waits and who is told of it; `None` when nobody ever does, and then a release needs no fence.
    waiters: Option<Waiters>,
    /// A slot that was not home when somebody looked after the close.
    awaited: AtomicU32,
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
            waiters: may_wait.then(|| Waiters::new(count)),
            awaited: AtomicU32::new(0),
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

    /// Takes a free slot for `to`; blocks while there is none, behind all who came before. `None`: the pool is closed.
    /// `patience` is asked before each sleep how long that may be; what it does runs without a lock.
    ///
    /// # Panics
    /// When the protocol was made with `may_wait == false`.
    pub fn pop_wait(&self, to: (State, Owner), patience: impl FnMut() -> Option<Duration>) -> Option<u32> {
        let Some(waiters) = &self.waiters else { panic!("nobody would wake this thread") };
        if let Some(slot) = self.pop(to) {
            return Some(slot);
        }
        waiters.wait_here(to, |to| self.pop(to), patience)
    }

    /// Brings a slot home: takes it from `from` first, so that nothing is touched that is not the caller's,
    /// then clears it, then hands it to the first who waits or puts it into the list.
    #[inline]
    pub fn push(&self, slot: u32, from: (State, Owner), clear: impl FnOnce()) -> Result<(), Refused> {
        if from.0 == State::Free {
            return Err(Refused::NotYours(self.table.load(slot)));
        }
        self.table.exchange(slot, from, HOME).map_err(Refused::NotYours)?;
        clear();
        self.settle(slot)
    }

    /// As [`Protocol::push`], from exactly this word.
    pub(super) fn push_exact(&self, slot: u32, from: Holding, clear: impl FnOnce()) -> Result<(), Refused> {
        self.table.exchange_exact(slot, from, HOME).map_err(Refused::NotYours)?;
        clear();
        self.settle(slot)
    }

    /// The slot's word says free, its bytes are cleared, and it is in no list.
    #[inline]
    fn settle(&self, slot: u32) -> Result<(), Refused> {
        match &self.waiters {
            None if self.free.push(slot) => Ok(()),
            None => Err(Refused::Full),
            Some(waiters) => self.settle_among(waiters, slot),
        }
    }

    fn settle_among(&self, waiters: &Waiters, slot: u32) -> Result<(), Refused> {
        if waiters.waiting() && waiters.hand(slot, |to| self.table.exchange(slot, HOME, to).is_ok()) {
            return Ok(());
        }
        if !self.free.push(slot) {
            return Err(Refused::Full);
        }
        fence(Ordering::SeqCst);
        if waiters.waiting() {
            waiters.serve(|to| self.pop(to));
        }
        if self.is_closed() {
            self.look_for_slots_out(waiters);
        }
        Ok(())
    }

    /// Tells the members when no slot of the closed pool is out any more. Looks no further than to the first that is,
    /// and begins where it was found last: over all calls about as many loads as there are slots.
    fn look_for_slots_out(&self, waiters: &Waiters) {
        let count = self.table.count();
        let first = self.awaited.load(Ordering::Relaxed);
        for slot in (first..count).chain(0..first) {
            let state = self.table.load(slot).map(|word| word.state);
            if !matches!(state, Some(State::Free | State::Quarantined)) {
                return self.awaited.store(slot, Ordering::Relaxed);
            }
        }
        waiters.all_home();
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
        let generation = self.table.exchange(slot, from, to)?;
        if to.0 == State::Quarantined {
            self.one_less_to_come();
        }
        Ok(generation)
    }

    /// A slot went where nobody waits for it.
    #[cold]
    fn one_less_to_come(&self) {
        if let Some(waiters) = &self.waiters {
            fence(Ordering::SeqCst);
            if self.is_closed() {
                self.look_for_slots_out(waiters);
            }
        }
    }

    /// Brings home every slot that a dead owner had cached, lent, posted or in quarantine, and returns how many. A slot
    /// that is being given back at the same time comes home once: the exchange decides by whom. What nobody has in
    /// quarantine stays there.
    pub fn reclaim(&self, owner: Owner, mut clear: impl FnMut(u32)) -> u32 {
        let mut home = 0;
        for slot in 0..self.table.count() {
            let Some(found) = self.table.load(slot) else { continue };
            let ours = match found.state {
                State::Cached | State::Lent | State::Posted => true,
                State::Quarantined => owner != Owner::NONE,
                State::Free | State::Op | State::Transit | State::Retiring => false,
            };
            if ours && found.owner == owner {
                home += u32::from(self.push(slot, (found.state, owner), || clear(slot)).is_ok());
            }
        }
        home
    }

    /// Closes the pool: nothing is taken any more and who waits leaves empty-handed; slots still come home.
    /// `true`: it was open.
    pub fn close(&self) -> bool {
        let Some(waiters) = &self.waiters else { return !self.closed.swap(true, Ordering::Release) };
        let was_open = waiters.close(&self.closed);
        fence(Ordering::SeqCst);
        self.look_for_slots_out(waiters);
        was_open
    }

    /// Whether [`Protocol::close`] was called.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The word that limits magazines, if there are waiters at all.
    pub fn limit(&self) -> Option<&Arc<LimitWord>> {
        self.waiters.as_ref().map(Waiters::limit)
    }

    /// Whether anybody waits; a moment ago.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        self.waiters.as_ref().is_some_and(Waiters::waiting)
    }

    /// Enters a member; see [`Attachment`](super::Attachment). `None`: closed, or nobody may wait here.
    pub fn join(&self, owner: Owner, role: Role, notify: Arc<dyn Notify>) -> Option<MemberKey> {
        self.waiters.as_ref()?.join(owner, role, notify)
    }

    /// Ends a member, its waits and deliveries. Notifies it no more once this has returned.
    pub fn leave(&self, member: MemberKey) {
        let Some(waiters) = &self.waiters else { return };
        let Some((owner, inbox)) = waiters.leave(member) else { return };
        for delivery in inbox {
            self.give_back(delivery.slot, owner);
        }
    }

    /// A slot for a member at once, or a place in the queue. `None`: closed, or the member has left.
    pub fn wait(&self, member: MemberKey) -> Option<Waited> {
        self.waiters.as_ref()?.wait(member, |to| self.pop(to))
    }

    /// Ends a wait. A slot that had been delivered for it goes to the next. `false`: its delivery was fetched
    /// already, or the pool was closed.
    pub fn cancel(&self, member: MemberKey, wait: WaitId) -> bool {
        match self.waiters.as_ref().map_or(Cancelled::Unknown, |waiters| waiters.cancel(member, wait)) {
            Cancelled::Removed => true,
            Cancelled::Delivered(slot, owner) => {
                self.give_back(slot, owner);
                true
            }
            Cancelled::Unknown => false,
        }
    }

    /// What happened to a member; its deliveries are its own from now on.
    pub fn events(&self, member: MemberKey, deliveries: &mut Vec<Delivery>) -> Events {
        self.waiters.as_ref().map_or(Events::default(), |waiters| waiters.events(member, deliveries))
    }

    /// Brings a slot home that was delivered and never seen: it is still clean. Refused when the owner's death was
    /// dealt with first.
    fn give_back(&self, slot: u32, owner: Owner) {
        let _ = self.push(slot, (State::Cached, owner), || {});
    }
}
