//! Tickets: slots on their way from one holder to another, {transit, nobody} in the owner table.
//!
//! A ticket is a slot's number and the generation that its word got when it set out. Adopting, cancelling and expiring are
//! one exchange each from exactly that word, so one of them wins, once, whoever tries. What a ticket carries lies
//! beside the word: written before the exchange that makes the ticket, read after the one that ends it.

use super::protocol::{FreeList, Protocol, Refused};
use crate::memory::{Holding, Owner, State};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What the tickets of a pool carry. Times are milliseconds since any fixed moment.
pub struct Tickets {
    slots: Box<[Carried]>,
    /// No ticket expires before this; [`Tickets::NEVER`]: none expires.
    earliest: AtomicU64,
}

struct Carried {
    length: AtomicU32,
    deadline: AtomicU64,
}

/// The word of a ticket, but for its generation.
const TRANSIT: (State, Owner) = (State::Transit, Owner::NONE);

const fn ticket(generation: u32) -> Holding {
    Holding { state: TRANSIT.0, owner: TRANSIT.1, generation }
}

impl Tickets {
    /// The deadline of a ticket that does not expire.
    pub const NEVER: u64 = u64::MAX;

    /// For the slots of one pool.
    pub fn new(count: u32) -> Tickets {
        let carried = || Carried { length: AtomicU32::new(0), deadline: AtomicU64::new(Tickets::NEVER) };
        Tickets { slots: (0..count).map(|_| carried()).collect(), earliest: AtomicU64::new(Tickets::NEVER) }
    }

    /// No ticket expires before this. It may be too early: of a ticket that was adopted meanwhile.
    pub fn earliest(&self) -> u64 {
        self.earliest.load(Ordering::Relaxed)
    }
}

impl<F: FreeList> Protocol<F> {
    /// Makes a ticket of a slot; returns its generation.
    ///
    /// When the pool is closed meanwhile the ticket may be gone by the time this returns: tickets do not outlive a close.
    pub fn transfer(
        &self,
        tickets: &Tickets,
        slot: u32,
        from: (State, Owner),
        length: u32,
        deadline: u64,
    ) -> Result<u32, Refused> {
        let found = self.table().load(slot);
        let carried = match (found, tickets.slots.get(slot as usize)) {
            (Some(holding), Some(carried)) if (holding.state, holding.owner) == from => carried,
            _ => return Err(Refused::NotYours(found)),
        };
        // Relaxed: the exchange below publishes both; only the slot's holder is here.
        carried.length.store(length, Ordering::Relaxed);
        carried.deadline.store(deadline, Ordering::Relaxed);
        let generation = self.exchange(slot, from, TRANSIT).map_err(Refused::NotYours)?;
        // AcqRel, as the swap of a sweep: the two have an order. Is this the first, the sweep sees the ticket in the table.
        // Is it the second, and the sweep that of a close, this thread sees the flag that was set before: so no
        // ticket outlives a close.
        tickets.earliest.fetch_min(deadline, Ordering::AcqRel);
        if self.is_closed() && self.table().exchange_exact(slot, ticket(generation), from).is_ok() {
            return Err(Refused::Closed);
        }
        Ok(generation)
    }

    /// Ends a ticket: the slot is `to`'s. Returns how many of its bytes are in use.
    ///
    /// # Errors
    /// The word that was found when it is not this ticket's. `None`: no such slot.
    pub fn adopt(
        &self,
        tickets: &Tickets,
        slot: u32,
        generation: u32,
        to: (State, Owner),
    ) -> Result<u32, Option<Holding>> {
        let carried = tickets.slots.get(slot as usize).ok_or(None)?;
        if to.0 == State::Free {
            return Err(self.table().load(slot));
        }
        self.table().exchange_exact(slot, ticket(generation), to)?;
        Ok(carried.length.load(Ordering::Relaxed))
    }

    /// Ends a ticket: the slot comes home. `false`: it is not this ticket's any more.
    pub fn take_back(&self, slot: u32, generation: u32, clear: impl FnOnce()) -> bool {
        self.push_exact(slot, ticket(generation), clear).is_ok()
    }

    /// Brings home the slots of all tickets whose deadline has come; returns how many. Cost: nothing before the earliest
    /// deadline, then two loads per slot. `now` of [`Tickets::NEVER`] ends every ticket.
    pub fn sweep(&self, tickets: &Tickets, now: u64, mut clear: impl FnMut(u32)) -> u32 {
        if tickets.earliest() > now {
            return 0;
        }
        // A ticket that is made from here on lowers the minimum again; one that was made before is found below.
        tickets.earliest.swap(Tickets::NEVER, Ordering::AcqRel);
        let mut expired = 0;
        for (slot, carried) in (0..).zip(&tickets.slots) {
            let Some(found) = self.table().load(slot) else { break };
            if (found.state, found.owner) != TRANSIT {
                continue;
            }
            // At least as new as the word. If it is of a later journey, the exchange fails.
            let deadline = carried.deadline.load(Ordering::Relaxed);
            if deadline <= now {
                expired += u32::from(self.take_back(slot, found.generation, || clear(slot)));
            } else {
                tickets.earliest.fetch_min(deadline, Ordering::AcqRel);
            }
        }
        expired
    }
}
