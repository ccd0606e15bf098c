//! A lane: slots on their way to whoever receives from it, in their order, {transit, the lane's owner} in the owner table.
//!
//! Any number of threads send, one receives. What is in the queue is a claim like any other: whoever takes an entry out makes
//! the exchange from the lane's word, and only then has the slot.
//!
//! Two things could go wrong between a sender and the other side, and both are Dekker's problem, solved as in `protocol.rs`
//! by a SeqCst fence between each one's two steps:
//! - Sleep: a receiver that finds nothing raises `asleep`, then looks once more; a sender puts its slots in, then looks at
//!   `asleep`. So a slot is found or its sender wakes the receiver. One wake is enough for all that is sent until it looks.
//! - Close: who closes sets `closed`, then empties the queue; a sender puts its slots in, then looks at `closed`, and empties
//!   the queue itself. So no slot stays in a closed lane.

use std::sync::Arc;

use super::member::Notify;
use super::protocol::{FreeList, Protocol, Refused};
use crate::memory::{Owner, State};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

/// A multi-producer queue of entries, first in, first out.
pub trait Entries {
    /// Puts an entry in; publishes all that this thread did before. `false`: full, which cannot happen while it has room for
    /// every slot of the pool.
    fn push(&self, entry: Entry) -> bool;
    /// Takes the oldest entry out, or `None` when there is none.
    fn pop(&self) -> Option<Entry>;
}

/// A slot on its way, and how many of its bytes are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The slot.
    pub slot: u32,
    /// Its bytes in use.
    pub length: u32,
    /// How many of its bytes, from the first on, may not be zero.
    pub dirty: u32,
}

/// What a look into a lane came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many entries.
    Some(usize),
    /// None. The receiver is woken when there is one.
    Asleep,
    /// None, and there will be none: the lane was closed.
    Closed,
}

/// Names the receiver of a lane; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverKey(u64);

#[derive(Default)]
struct Place {
    last: u64,
    receiver: Option<(ReceiverKey, Arc<dyn Notify>)>,
}

/// The protocol of a channel, over a queue that has room for every slot of the pool.
pub struct Lane<Q> {
    queue: Q,
    owner: Owner,
    /// How many slots are in the queue. Raised before they go in, so it is never below.
    depth: Arc<DepthWord>,
    closed: AtomicBool,
    /// The receiver has found nothing, and nobody has woken it since.
    asleep: AtomicBool,
    /// Who receives. Locked to come, to leave and to wake.
    place: Mutex<Place>,
}

/// How many slots are in a channel, for all who send to read without a call; with [`DepthWord::CLOSED`] once it is closed.
#[derive(Debug)]
pub struct DepthWord(AtomicU32);

impl DepthWord {
    /// More than there can be slots: the channel was closed.
    pub const CLOSED: u32 = 1 << 31;

    /// The present number; while others work, a moment ago.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed) & !DepthWord::CLOSED
    }

    /// Where the word lies, for who reads it from another language.
    pub fn as_ptr(&self) -> *mut u32 {
        #[cfg(not(loom))]
        {
            self.0.as_ptr()
        }
        #[cfg(loom)]
        std::ptr::null_mut()
    }
}

impl<Q: Entries> Lane<Q> {
    /// An empty lane whose slots are `owner`'s while they are in it.
    pub fn new(queue: Q, owner: Owner) -> Lane<Q> {
        Lane {
            queue,
            owner,
            depth: Arc::new(DepthWord(AtomicU32::new(0))),
            closed: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            place: Mutex::new(Place::default()),
        }
    }

    /// How many slots are in it.
    pub fn depth(&self) -> &Arc<DepthWord> {
        &self.depth
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn word(&self) -> (State, Owner) {
        (State::Transit, self.owner)
    }

    fn place(&self) -> crate::sync::MutexGuard<'_, Place> {
        // Nothing is half-changed when somebody panics.
        match self.place.lock() {
            Ok(place) => place,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Puts a slot at the end. Every view onto it must be gone. The receiver may be asleep until [`Lane::settle`].
    pub fn put<F: FreeList>(
        &self,
        pool: &Protocol<F>,
        entry: Entry,
        from: (State, Owner),
    ) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        pool.exchange(entry.slot, from, self.word()).map_err(Refused::NotYours)?;
        // Relaxed: a number to go by, which orders nothing.
        self.depth.0.fetch_add(1, Ordering::Relaxed);
        if self.queue.push(entry) { Ok(()) } else { Err(Refused::Full) }
    }

    /// What was put is under way: wakes the receiver if it sleeps. Returns how many slots went home, because the lane was closed
    /// meanwhile.
    pub fn settle<F: FreeList>(&self, pool: &Protocol<F>, clear: impl FnMut(u32)) -> u32 {
        // Between the two steps of one who sends.
        fence(Ordering::SeqCst);
        if self.is_closed() {
            return self.empty(pool, clear);
        }
        self.wake();
        0
    }

    fn wake(&self) {
        // One of all who send at once wakes it. Relaxed: the fences order the queue and the flag.
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some((_, notify)) = &self.place().receiver
        {
            notify.notify();
        }
    }

    /// Enters the receiver. `None`: there is one.
    pub fn enter(&self, notify: Arc<dyn Notify>) -> Option<ReceiverKey> {
        let mut place = self.place();
        if place.receiver.is_some() {
            return None;
        }
        place.last += 1;
        let key = ReceiverKey(place.last);
        place.receiver = Some((key, notify));
        Some(key)
    }

    /// The receiver leaves: it is not woken any more once this has returned. What is in the lane stays, for the next one.
    pub fn leave(&self, key: ReceiverKey) {
        let mut place = self.place();
        if place.receiver.as_ref().is_some_and(|(it, _)| *it == key) {
            let left = place.receiver.take();
            drop(place);
            // Dropped without the lock: what that does is not ours to know.
            drop(left);
        }
    }

    /// Takes the oldest slots for `to`, as many as `out` has room for.
    pub fn take<F: FreeList>(&self, pool: &Protocol<F>, to: (State, Owner), out: &mut [Entry]) -> Received {
        match self.take_some(pool, to, out) {
            0 => {}
            taken => return Received::Some(taken),
        }
        if self.is_closed() {
            return Received::Closed;
        }
        self.asleep.store(true, Ordering::Relaxed);
        // Between the two steps of one who goes to sleep.
        fence(Ordering::SeqCst);
        match self.take_some(pool, to, out) {
            0 if self.is_closed() => Received::Closed,
            0 => Received::Asleep,
            taken => {
                self.asleep.store(false, Ordering::Relaxed);
                Received::Some(taken)
            }
        }
    }

    fn take_some<F: FreeList>(&self, pool: &Protocol<F>, to: (State, Owner), out: &mut [Entry]) -> usize {
        let mut taken = 0;
        while taken < out.len() {
            let Some(entry) = self.pop() else { break };
            match pool.exchange(entry.slot, self.word(), to) {
                Ok(_) => {
                    out[taken] = entry;
                    taken += 1;
                }
                // A slot in the queue whose word is not the lane's: a bug. Nobody may use it; the audit shows it.
                Err(found) => debug_assert!(false, "slot {} in a lane is {found:?}", entry.slot),
            }
        }
        taken
    }

    fn pop(&self) -> Option<Entry> {
        let entry = self.queue.pop()?;
        self.depth.0.fetch_sub(1, Ordering::Relaxed);
        Some(entry)
    }

    /// Closes the lane: nothing can be put any more, and what is in it goes home. Returns whether it was open, and how many
    /// slots that were.
    pub fn close<F: FreeList>(&self, pool: &Protocol<F>, clear: impl FnMut(u32)) -> (bool, u32) {
        let was_open = !self.closed.swap(true, Ordering::Relaxed);
        self.depth.0.fetch_or(DepthWord::CLOSED, Ordering::Relaxed);
        // Between the two steps of one who closes.
        fence(Ordering::SeqCst);
        let home = self.empty(pool, clear);
        if was_open {
            self.wake();
        }
        (was_open, home)
    }

    /// Brings home what is in the queue.
    fn empty<F: FreeList>(&self, pool: &Protocol<F>, mut clear: impl FnMut(u32)) -> u32 {
        let mut home = 0;
        while let Some(entry) = self.pop() {
            home += u32::from(pool.push(entry.slot, self.word(), || clear(entry.slot)).is_ok());
        }
        home
    }
}
