//! A pool that isolates, sockets and Rust threads use at the same time.
#![expect(unsafe_code, reason = "clears slots that the protocol has just taken")]

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::Channels;
use super::core::{Features, PoolCore, reserved};
use super::limit::LimitWord;
use super::member::{Delivery, Events, MemberKey, Notify, Role, WaitId, Waited};
use super::protocol::Refused;
use super::transit::Tickets;
use crate::memory::{Dirty, Holding, MemoryOptions, Owner, State};
use crate::metrics::Counter;
use crate::{Code, Error};

/// How a shared pool differs from a private one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharingOptions {
    /// How long a ticket stays good when nobody adopts it; `None`: until the pool is closed.
    pub ticket_timeout: Option<Duration>,
}

impl Default for SharingOptions {
    /// Tickets stay good for 30 seconds.
    fn default() -> SharingOptions {
        SharingOptions { ticket_timeout: Some(Duration::from_secs(30)) }
    }
}

/// The tickets of a pool, and its clock.
pub(super) struct Sharing {
    tickets: Tickets,
    timeout: Option<Duration>,
    began: Instant,
    channels: Channels,
}

impl Sharing {
    pub(super) fn new(capacity: u32, options: SharingOptions) -> Sharing {
        Sharing {
            tickets: Tickets::new(capacity),
            timeout: options.ticket_timeout,
            began: Instant::now(),
            channels: Channels::default(),
        }
    }

    /// On the tickets' clock, rounded down; later moments than it knows are never.
    fn at(&self, when: Instant) -> u64 {
        let since = when.saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(Tickets::NEVER)
    }

    /// Rounded up, so that a ticket lives as long as was said.
    fn deadline(&self) -> u64 {
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        deadline.map_or(Tickets::NEVER, |deadline| self.at(deadline).saturating_add(1))
    }
}

impl PoolCore {
    /// A pool that can be shared: attachments, waiting and tickets. A release costs a fence more than in a private pool.
    ///
    /// # Errors
    /// Those of [`Slab::new`](crate::memory::Slab::new).
    pub fn shared(
        buffer_size: usize,
        capacity: u32,
        options: &MemoryOptions,
        sharing: SharingOptions,
    ) -> Result<Arc<PoolCore>, Error> {
        let features = Features { may_wait: true, magazine: 0, sharing: Some(sharing) };
        PoolCore::with_features(buffer_size, capacity, options, features)
    }

    /// Whether the pool was made by [`PoolCore::shared`].
    pub fn is_shared(&self) -> bool {
        self.sharing().is_some()
    }

    /// The word that says how many slots a magazine may hold. `None`: the pool is private.
    pub fn limit_word(&self) -> Option<&Arc<LimitWord>> {
        self.sharing().and(self.protocol().limit())
    }

    /// Enters an isolate that keeps slots in a magazine: it counts in the limit and is asked to flush. Its slots are
    /// `owner`'s, a number that no other living attachment to this pool has.
    ///
    /// # Errors
    /// [`Code::NotShared`]: the pool is private. [`Code::PoolClosed`]: it was closed. [`Code::Internal`]: `owner` is nobody,
    /// or the library's own.
    pub fn attach(self: &Arc<Self>, owner: Owner, notify: Arc<dyn Notify>) -> Result<Attachment, Error> {
        self.enter(owner, Role::Isolate, notify)
    }

    /// Enters a source that only waits for slots, with an owner number of its own: no limit, no flush.
    ///
    /// # Errors
    /// As [`PoolCore::attach`].
    pub fn attach_source(
        self: &Arc<Self>,
        owner: Owner,
        notify: Arc<dyn Notify>,
    ) -> Result<Attachment, Error> {
        self.enter(owner, Role::Source, notify)
    }

    fn enter(
        self: &Arc<Self>,
        owner: Owner,
        role: Role,
        notify: Arc<dyn Notify>,
    ) -> Result<Attachment, Error> {
        self.need_sharing()?;
        if Owner::new(owner.get()).is_none() {
            return Err(Error::new(Code::Internal, format!("{owner:?} cannot attach to a pool")));
        }
        let key = self.protocol().join(owner, role, notify).ok_or_else(closed)?;
        Ok(Attachment { core: Arc::clone(self), owner, key })
    }

    /// Makes a ticket of a slot, with `length` of its bytes in use, and returns the ticket's generation. The slot is
    /// nobody's until it is adopted, cancelled or swept. Every view onto it must be gone. Cost: a few atomics.
    ///
    /// # Errors
    /// [`Code::NotShared`], [`Code::PoolClosed`], [`Code::StaleBuffer`]: the slot is not `from`'s. [`Code::Internal`]: no
    /// such slot, `length` is larger than a slot, or `from` is not for callers to name. The slot is as it was then.
    pub fn transfer(&self, slot: u32, from: (State, Owner), length: u32) -> Result<u32, Error> {
        let sharing = self.need_sharing()?;
        if length as usize > self.buffer_size() {
            let what = format!("{length} bytes of a slot of {} are said to be in use", self.buffer_size());
            return Err(Error::new(Code::Internal, what));
        }
        if self.is_closed() {
            return Err(closed());
        }
        if reserved(from) {
            return Err(self.refusal(slot, from, TRANSIT, self.holding(slot)));
        }
        let deadline = sharing.deadline();
        let generation = self
            .protocol()
            .transfer(&sharing.tickets, slot, from, length, deadline)
            .map_err(|refused| self.refused(refused, slot, from, TRANSIT))?;
        self.metrics().add(Counter::Transferred, 1);
        Ok(generation)
    }

    /// Ends a ticket: its slot is `to`'s, and the number of bytes in use is returned. Exactly one of all who try gets it.
    ///
    /// # Errors
    /// [`Code::StaleTicket`]: it was adopted, cancelled or swept, or never made. [`Code::PoolClosed`]: closing ended all
    /// tickets. [`Code::NotShared`]. [`Code::OutOfRange`]: no such slot. [`Code::Internal`]: `to` is not for callers to name.
    pub fn adopt(&self, slot: u32, generation: u32, to: (State, Owner)) -> Result<u32, Error> {
        let sharing = self.need_sharing()?;
        if reserved(to) {
            return Err(self.refusal(slot, TRANSIT, to, self.holding(slot)));
        }
        if self.is_closed() {
            return Err(closed());
        }
        let adopted = self.protocol().adopt(&sharing.tickets, slot, generation, to);
        let length = adopted.map_err(|found| match found {
            None => {
                let what = format!("The ticket names slot {slot} of a pool of {}", self.capacity());
                Error::new(Code::OutOfRange, what)
            }
            Some(found) => stale_ticket(slot, generation, found),
        })?;
        self.metrics().add(Counter::Adopted, 1);
        Ok(length)
    }

    /// Ends a ticket: its slot comes home, zeroed. `false`: it had ended already.
    pub fn cancel_ticket(&self, slot: u32, generation: u32) -> bool {
        // SAFETY: the protocol calls this after it has taken the slot and before anybody else can.
        let clear = || unsafe { self.slab().clear(slot, Dirty::All) };
        let cancelled = self.is_shared() && self.protocol().take_back(slot, generation, clear);
        self.metrics().add(Counter::Cancelled, u64::from(cancelled));
        cancelled
    }

    /// Brings home the slots of tickets that nobody adopted until `now`, zeroed; returns how many. Taking a slot from an
    /// empty pool, reading its metrics and auditing it do this too. Cost: a load before the first deadline, then two loads per slot.
    pub fn sweep(&self, now: Instant) -> u32 {
        self.sharing().map_or(0, |sharing| self.sweep_at(sharing, sharing.at(now)))
    }

    /// As [`PoolCore::sweep`] at this moment, without asking the clock when no ticket can expire.
    pub(super) fn sweep_now(&self) -> u32 {
        match self.sharing() {
            Some(sharing) if sharing.tickets.earliest() != Tickets::NEVER => self.sweep(Instant::now()),
            _ => 0,
        }
    }

    /// Ends every ticket, for a pool that is being closed.
    pub(super) fn sweep_all(&self) {
        if let Some(sharing) = self.sharing() {
            self.sweep_at(sharing, Tickets::NEVER);
        }
    }

    fn sweep_at(&self, sharing: &Sharing, now: u64) -> u32 {
        // SAFETY: as in `cancel_ticket`.
        let clear = |slot| unsafe { self.slab().clear(slot, Dirty::All) };
        let expired = self.protocol().sweep(&sharing.tickets, now, clear);
        self.metrics().add(Counter::Expired, u64::from(expired));
        expired
    }

    /// When a ticket expires next, as far as is known; a sweep before that does nothing. `None`: none will.
    pub fn next_deadline(&self) -> Option<Instant> {
        let sharing = self.sharing()?;
        match sharing.tickets.earliest() {
            Tickets::NEVER => None,
            earliest => sharing.began.checked_add(Duration::from_millis(earliest)),
        }
    }

    /// How long one who waits for a slot may sleep before a sweep could help: until the next deadline, and at most the time-out
    /// of a ticket that is made meanwhile. `None`: for ever.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let timeout = self.sharing()?.timeout?;
        let next = self.next_deadline().map(|deadline| deadline.saturating_duration_since(now));
        // The clock of tickets ticks in milliseconds: never spin within one.
        Some(next.map_or(timeout, |next| next.min(timeout)).max(Duration::from_millis(1)))
    }

    /// Takes a slot out of use for good, whoever held it: a view onto it got out of reach, so it may be seen for ever.
    ///
    /// The caller must also leak one `Arc` of the [`Slab`](crate::memory::Slab): the memory may not be unmapped either.
    ///
    /// # Errors
    /// As [`PoolCore::exchange`].
    pub fn quarantine_for_good(&self, slot: u32, from: (State, Owner)) -> Result<(), Error> {
        self.exchange(slot, from, (State::Quarantined, Owner::NONE)).map(drop)
    }

    pub(super) fn channels(&self) -> Result<&Channels, Error> {
        self.need_sharing().map(|sharing| &sharing.channels)
    }

    fn need_sharing(&self) -> Result<&Sharing, Error> {
        self.sharing().ok_or_else(|| Error::new(Code::NotShared, "The pool is private"))
    }

    pub(super) fn refused(
        &self,
        refused: Refused,
        slot: u32,
        from: (State, Owner),
        to: (State, Owner),
    ) -> Error {
        match refused {
            Refused::NotYours(found) => self.refusal(slot, from, to, found),
            Refused::Full => {
                Error::new(Code::Internal, format!("Slot {slot} came home twice: the free list is full"))
            }
            Refused::Closed => closed(),
        }
    }
}

const TRANSIT: (State, Owner) = (State::Transit, Owner::NONE);

fn closed() -> Error {
    Error::new(Code::PoolClosed, "The pool was closed")
}

fn stale_ticket(slot: u32, generation: u32, found: Holding) -> Error {
    let what = format!("Ticket {generation} of slot {slot} has ended: the slot is {found}");
    Error::new(Code::StaleTicket, what)
}

/// A member of a shared pool: an isolate or a source, with a place where slots are delivered to it.
///
/// It may be used from any thread. Dropping it ends it as [`Attachment::leave`] does; slots that its owner holds are not
/// touched by that: bring them home, or [`PoolCore::reclaim`] them *after* leaving, so that none is delivered in between.
pub struct Attachment {
    core: Arc<PoolCore>,
    owner: Owner,
    key: MemberKey,
}

impl Attachment {
    /// The pool.
    pub fn core(&self) -> &Arc<PoolCore> {
        &self.core
    }

    /// Who holds this member's slots.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// A slot at once when one is free and nobody waits; otherwise a place at the end of the queue, and the slot comes as a
    /// delivery. Expired tickets are swept first. Takes the pool's lock.
    ///
    /// # Errors
    /// [`Code::PoolClosed`]: the pool was closed, or this member has left.
    pub fn wait(&self) -> Result<Waited, Error> {
        let waited = self.core.protocol().wait(self.key).ok_or_else(closed)?;
        if matches!(waited, Waited::Waiting(_)) {
            self.core.sweep_now();
        }
        Ok(waited)
    }

    /// Gives up a wait: a slot that was delivered for it already goes to the next. `false`: there is nothing to give
    /// up, [`Attachment::events`] has returned its delivery or the pool was closed.
    pub fn cancel(&self, wait: WaitId) -> bool {
        self.core.protocol().cancel(self.key, wait)
    }

    /// What happened since the last call; appends the slots that came, which are {cached, owner} and this member's from now
    /// on. Lets the notifier be called again.
    pub fn events(&self, deliveries: &mut Vec<Delivery>) -> Events {
        self.core.protocol().events(self.key, deliveries)
    }

    /// Ends the membership: waits are gone, deliveries that were not fetched go to the next, the limit is computed
    /// anew, and the notifier is not called any more once this has returned. Does nothing the second time.
    pub fn leave(&self) {
        self.core.protocol().leave(self.key);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("owner", &self.owner).field("core", &self.core).finish()
    }
}
