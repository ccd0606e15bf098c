//! A shared pool with several members, tickets and a channel, and a plain model of it: the same step on both, compared after each.
//!
//! The fuzz target `sharing_program` runs it too.
#![expect(unsafe_code, reason = "looks at and writes the bytes of slots that the model says are held")]

#[path = "channel.rs"]
mod channel;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wraith_transport::Code;
use wraith_transport::memory::{Dirty, MemoryOptions, Owner, State};
use wraith_transport::pool::{
    Attachment, Delivery, Events, Notify, PoolCore, SharingOptions, WaitId, Waited,
};

pub(crate) const SIZE: usize = 96;
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Of a member, for itself.
    Pop(usize),
    /// The choice is among the slots that are held.
    Push(usize),
    Quarantine(usize, bool),
    Wait(usize),
    /// Of all waits that ever were.
    Cancel(usize, usize),
    Events(usize),
    Transfer(usize, u32),
    /// Of all tickets that ever were.
    Adopt(usize, usize),
    CancelTicket(usize),
    Send(usize, u32, bool),
    Receive(usize),
    Sweep {
        late: bool,
    },
    /// Ends a member, or lets it come again.
    LeaveOrJoin(usize),
    Close,
}

/// The last is a source.
pub(crate) const MEMBERS: usize = 4;
const ISOLATES: usize = 3;

#[derive(Default)]
struct Bell(AtomicBool);

impl Notify for Bell {
    fn notify(&self) {
        assert!(!self.0.swap(true, Ordering::Relaxed), "rung twice without a look");
    }
}

/// A member that is there, and what it should find when it looks.
struct Member {
    attachment: Attachment,
    bell: Arc<Bell>,
    inbox: VecDeque<Delivery>,
    events: Events,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticket {
    slot: u32,
    generation: u32,
    length: u32,
    byte: u8,
}

/// A pool and what it should be.
pub(crate) struct World {
    core: Arc<PoolCore>,
    members: [Option<Member>; MEMBERS],
    /// By whom each slot that is out is held, and what it is full of; those in inboxes are not here.
    held: BTreeMap<u32, (State, Owner, u8)>,
    tickets: Vec<Ticket>,
    /// Those of `tickets` that are good.
    good: Vec<Ticket>,
    line: channel::Line,
    queue: VecDeque<(usize, WaitId)>,
    waits: Vec<WaitId>,
    closed: bool,
    home: bool,
    next_byte: u8,
}

fn owner(member: usize) -> Owner {
    Owner::new(member as u32 + 1).unwrap()
}

fn bytes(core: &PoolCore, slot: u32) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    // SAFETY: a whole slot of a live slab, and this program has one thread.
    unsafe { core.slab().slot(slot).copy_to_nonoverlapping(bytes.as_mut_ptr(), SIZE) };
    bytes
}

impl World {
    pub(crate) fn new(capacity: u32) -> World {
        let sharing = SharingOptions { ticket_timeout: Some(HOUR) };
        let core = PoolCore::shared(SIZE, capacity, &MemoryOptions::default(), sharing).unwrap();
        let mut world = World {
            line: channel::Line::new(&core),
            core,
            members: [const { None }; MEMBERS],
            held: BTreeMap::new(),
            tickets: Vec::new(),
            good: Vec::new(),
            queue: VecDeque::new(),
            waits: Vec::new(),
            closed: false,
            home: false,
            next_byte: 0,
        };
        (0..MEMBERS).for_each(|member| world.join(member));
        world
    }

    fn join(&mut self, member: usize) {
        let bell = Arc::new(Bell::default());
        let notify: Arc<dyn Notify> = Arc::clone(&bell) as _;
        let enter = if member < ISOLATES { PoolCore::attach } else { PoolCore::attach_source };
        match enter(&self.core, owner(member), notify) {
            Ok(attachment) => {
                assert!(!self.closed);
                let (inbox, events) = (VecDeque::new(), Events::default());
                self.members[member] = Some(Member { attachment, bell, inbox, events });
            }
            Err(error) => assert!(self.closed && error.code() == Code::PoolClosed, "{error}"),
        }
    }

    fn in_inboxes(&self) -> usize {
        self.members.iter().flatten().map(|member| member.inbox.len()).sum()
    }

    fn free(&self) -> usize {
        let out = self.held.len() + self.good.len() + self.line.len() + self.in_inboxes();
        self.core.capacity() as usize - out
    }

    /// A slot that was free is `to`'s, full of zeros; it is written to.
    fn came(&mut self, slot: u32, to: (State, Owner)) {
        assert!(bytes(&self.core, slot).iter().all(|&byte| byte == 0), "slot {slot} came dirty");
        self.next_byte = self.next_byte.wrapping_add(1);
        // SAFETY: the slot is held, by one who does not look at it now.
        unsafe { self.core.slab().slot(slot).write_bytes(self.next_byte, SIZE) };
        let before = self.held.insert(slot, (to.0, to.1, self.next_byte));
        assert!(before.is_none(), "slot {slot} was given out twice");
        assert!(self.good.iter().all(|ticket| ticket.slot != slot), "slot {slot} is a ticket");
    }

    /// A slot has left its holder for home, where the first in the queue gets it.
    fn went_home(&mut self, slot: u32) {
        if let Some((member, wait)) = self.queue.pop_front() {
            let member = self.members[member].as_mut().unwrap();
            member.inbox.push_back(Delivery { wait, slot });
        } else if self.closed {
            self.look_for_slots_out();
        }
    }

    fn look_for_slots_out(&mut self) {
        let quarantined = self.held.values().filter(|held| held.0 == State::Quarantined).count();
        if self.free() + quarantined == self.core.capacity() as usize && !self.home {
            self.home = true;
            self.members.iter_mut().flatten().for_each(|member| member.events.home = true);
        }
    }

    fn nth_held(&self, which: usize) -> Option<(u32, (State, Owner), u8)> {
        let (&slot, &(state, owner, byte)) = self.held.iter().nth(which % self.held.len().max(1))?;
        Some((slot, (state, owner), byte))
    }

    fn end_ticket(&mut self, ticket: Ticket) -> bool {
        let before = self.good.len();
        self.good.retain(|good| *good != ticket);
        self.good.len() < before
    }

    pub(crate) fn run(&mut self, step: Step) {
        let core = Arc::clone(&self.core);
        match step {
            Step::Pop(member) => {
                let to = (State::Lent, owner(member));
                let slot = core.pop(to);
                assert_eq!(slot.is_some(), !self.closed && self.free() > 0);
                slot.into_iter().for_each(|slot| self.came(slot, to));
            }
            Step::Push(which) => {
                let Some((slot, from, _)) = self.nth_held(which) else { return };
                core.push(slot, from, Dirty::All).unwrap();
                self.held.remove(&slot);
                self.went_home(slot);
            }
            Step::Quarantine(which, for_good) => {
                let Some((slot, from, byte)) = self.nth_held(which) else { return };
                let to = if for_good { Owner::NONE } else { from.1 };
                if for_good {
                    core.quarantine_for_good(slot, from).unwrap();
                } else {
                    core.exchange(slot, from, (State::Quarantined, to)).unwrap();
                }
                self.held.insert(slot, (State::Quarantined, to, byte));
                if self.closed {
                    self.look_for_slots_out();
                }
            }
            Step::Wait(who) => self.wait(who),
            Step::Cancel(who, which) => self.cancel(who, which),
            Step::Events(who) => self.events(who),
            Step::Transfer(which, length) => self.transfer(which, length),
            Step::Adopt(who, which) => {
                let Some(&ticket) = self.tickets.get(which % self.tickets.len().max(1)) else { return };
                let to = (State::Cached, owner(who));
                match core.adopt(ticket.slot, ticket.generation, to) {
                    Ok(length) => {
                        assert!(self.end_ticket(ticket) && !self.closed);
                        assert_eq!(length, ticket.length);
                        assert_eq!(bytes(&core, ticket.slot), [ticket.byte; SIZE]);
                        self.held.insert(ticket.slot, (to.0, to.1, ticket.byte));
                    }
                    Err(error) => {
                        let expected = if self.closed { Code::PoolClosed } else { Code::StaleTicket };
                        assert_eq!(error.code(), expected, "{error}");
                        assert!(!self.good.contains(&ticket));
                    }
                }
            }
            Step::CancelTicket(which) => {
                let Some(&ticket) = self.tickets.get(which % self.tickets.len().max(1)) else { return };
                let was_good = self.end_ticket(ticket);
                assert_eq!(core.cancel_ticket(ticket.slot, ticket.generation), was_good);
                if was_good {
                    self.went_home(ticket.slot);
                }
            }
            Step::Send(which, length, copied) => self.send(which, length, copied),
            Step::Receive(who) => self.receive(who),
            Step::Sweep { late } => {
                let when = Instant::now() + if late { 2 * HOUR } else { Duration::ZERO };
                let expected = if late { self.good.len() } else { 0 };
                assert_eq!(core.sweep(when) as usize, expected);
                if late {
                    self.expire_all();
                }
            }
            Step::LeaveOrJoin(who) => self.leave_or_join(who),
            Step::Close => {
                assert_eq!(core.close(), !self.closed);
                if !self.closed {
                    self.closed = true;
                    self.queue.clear();
                    self.members.iter_mut().flatten().for_each(|member| member.events.closed = true);
                    self.look_for_slots_out();
                    self.expire_all();
                    self.end_line();
                }
            }
        }
    }

    /// Slots of the lowest numbers first, as a sweep does.
    fn expire_all(&mut self) {
        let mut slots: Vec<u32> = self.good.drain(..).map(|ticket| ticket.slot).collect();
        slots.sort_unstable();
        slots.into_iter().for_each(|slot| self.went_home(slot));
    }

    fn wait(&mut self, who: usize) {
        let free = self.free() > 0;
        let Some(member) = &self.members[who] else { return };
        match member.attachment.wait() {
            Ok(Waited::Granted(slot)) => {
                assert!(free && self.queue.is_empty() && !self.closed);
                self.came(slot, (State::Cached, owner(who)));
            }
            Ok(Waited::Waiting(id)) => {
                assert!(!free && !self.closed);
                if self.queue.is_empty() {
                    let isolates = self.members[..ISOLATES].iter_mut().flatten();
                    isolates.for_each(|member| member.events.flush = true);
                }
                self.queue.push_back((who, id));
                assert!(self.waits.last().is_none_or(|&last| last < id), "ids ascend");
                self.waits.push(id);
            }
            Err(error) => assert!(self.closed && error.code() == Code::PoolClosed, "{error}"),
        }
    }

    fn cancel(&mut self, who: usize, which: usize) {
        let Some(&id) = self.waits.get(which % self.waits.len().max(1)) else { return };
        let Some(member) = &mut self.members[who] else { return };
        let delivered = member.inbox.iter().position(|delivery| delivery.wait == id);
        let delivery = delivered.and_then(|at| member.inbox.remove(at));
        let cancelled = member.attachment.cancel(id);
        let queued = self.queue.contains(&(who, id));
        assert_eq!(cancelled, queued || delivery.is_some());
        self.queue.retain(|&wait| wait != (who, id));
        delivery.into_iter().for_each(|delivery| self.went_home(delivery.slot));
    }

    fn events(&mut self, who: usize) {
        let Some(member) = &mut self.members[who] else { return };
        let mut deliveries = Vec::new();
        let events = member.attachment.events(&mut deliveries);
        member.bell.0.store(false, Ordering::Relaxed);
        assert_eq!(member.inbox, deliveries);
        assert_eq!(events, std::mem::take(&mut member.events));
        member.inbox.clear();
        for delivery in deliveries {
            self.came(delivery.slot, (State::Cached, owner(who)));
        }
    }

    fn transfer(&mut self, which: usize, length: u32) {
        let Some((slot, from, byte)) = self.nth_held(which) else { return };
        let before = self.core.holding(slot).unwrap();
        match self.core.transfer(slot, from, length) {
            Ok(generation) => {
                assert!(!self.closed && length as usize <= SIZE);
                self.held.remove(&slot);
                let ticket = Ticket { slot, generation, length, byte };
                assert!(!self.tickets.contains(&ticket), "a ticket was made twice");
                self.tickets.push(ticket);
                self.good.push(ticket);
            }
            Err(error) => {
                let too_long = length as usize > SIZE;
                assert_eq!(error.code(), if too_long { Code::Internal } else { Code::PoolClosed });
                assert!(too_long || self.closed);
                assert_eq!(self.core.holding(slot), Some(before));
            }
        }
    }

    fn leave_or_join(&mut self, who: usize) {
        let Some(member) = self.members[who].take() else { return self.join(who) };
        member.attachment.leave();
        assert!(member.attachment.wait().is_err(), "a member that has left cannot wait");
        self.queue.retain(|&(waiting, _)| waiting != who);
        let mut home: Vec<u32> = member.inbox.iter().map(|delivery| delivery.slot).collect();
        let dead: Vec<u32> =
            self.held.iter().filter(|(_, held)| held.1 == owner(who)).map(|(&slot, _)| slot).collect();
        assert_eq!(self.core.reclaim(owner(who)) as usize, dead.len());
        home.extend(dead);
        for slot in home {
            self.held.remove(&slot);
            self.went_home(slot);
        }
    }

    pub(crate) fn check(&self) {
        let audit = self.core.audit();
        assert!(audit.is_ok(), "{audit:?}");
        assert_eq!(audit.free as usize, self.free());
        assert_eq!(audit.transit as usize, self.good.len() + self.line.len());
        self.line.check(self.closed);
        assert!(self.free() == 0 || self.queue.is_empty(), "somebody waits beside a free slot");
        let isolates = self.members[..ISOLATES].iter().flatten().count() as u32;
        let limit = if self.closed || !self.queue.is_empty() || isolates == 0 {
            0
        } else {
            32.min(self.core.capacity() / (8 * isolates))
        };
        assert_eq!(self.core.limit_word().unwrap().get(), limit);
        for member in self.members.iter().flatten() {
            let something = !member.inbox.is_empty() || member.events != Events::default();
            assert!(member.bell.0.load(Ordering::Relaxed) || !something, "not told");
        }
        for (&slot, &(state, owner, byte)) in &self.held {
            let word = self.core.holding(slot).unwrap();
            assert_eq!((word.state, word.owner), (state, owner));
            assert_eq!(bytes(&self.core, slot), [byte; SIZE], "slot {slot} was written to");
        }
        for holdings in self.core.holdings() {
            let inbox = |member: &&Member| member.attachment.owner() == holdings.owner;
            let inbox = self.members.iter().flatten().find(inbox).map_or(0, |member| member.inbox.len());
            let held = self.held.values().filter(|held| held.1 == holdings.owner).count();
            let tickets = if holdings.owner == Owner::NONE { self.good.len() } else { 0 };
            let sent = self.line.held_by(holdings.owner);
            assert_eq!(holdings.total() as usize, inbox + held + tickets + sent, "{holdings:?}");
        }
        assert!(self.good.is_empty() || self.core.next_deadline().is_some());
    }
}
