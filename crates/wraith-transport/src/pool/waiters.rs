//! Who waits for a slot, in the order of their coming, and who is told that somebody does.
//!
//! Isolates, sockets and Rust threads wait in one queue. A slot that comes home while somebody waits is handed to the
//! first of them and does not enter the free list, so that nobody who came later gets it. Members (isolates and
//! sockets) find it in their inbox and are notified; a thread sleeps on a condition variable of its own.
//!
//! Everything here is behind one lock, which nobody takes while nobody waits: [`Waiters::waiting`] is a plain load.
//! That no wake-up is lost is Dekker's argument, written down in `protocol.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::limit::LimitWord;
use super::member::{Delivery, Events, MemberKey, Notify, Role, WaitId, Waited};
use crate::memory::{Owner, State};
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use crate::sync::{Condvar, Mutex, MutexGuard, sleep_on};

/// What cancelling a wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// It was in the queue, and is not any more.
    Removed,
    /// Its slot lay in the inbox: it is the caller's now, who must bring it home.
    Delivered(u32, Owner),
    /// No such wait: its delivery was fetched, or the pool was closed.
    Unknown,
}

/// The queue, the members, and the word that limits magazines.
pub(super) struct Waiters {
    /// How many are in the queue. Written under the lock.
    count: AtomicU32,
    limit: Arc<LimitWord>,
    capacity: u32,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    closed: bool,
    home: bool,
    last: u64,
    /// In the order of their coming, which is that of the ids.
    waits: BTreeMap<WaitId, Wait>,
    members: BTreeMap<MemberKey, Member>,
    isolates: u32,
}

struct Wait {
    to: (State, Owner),
    who: Who,
}

enum Who {
    Member(MemberKey),
    Thread(Arc<Seat>),
}

struct Member {
    owner: Owner,
    role: Role,
    notify: Arc<dyn Notify>,
    notified: bool,
    events: Events,
    inbox: VecDeque<Delivery>,
}

/// Where a thread waits. `granted` is read and written under the lock.
struct Seat {
    granted: AtomicU32,
    ready: Condvar,
}

/// No slots have these numbers: a slab of 4 GiB has fewer.
const PENDING: u32 = u32::MAX;
const CLOSED: u32 = u32::MAX - 1;

impl Member {
    fn tell(&mut self) {
        if !self.notified {
            self.notified = true;
            self.notify.notify();
        }
    }
}

impl Queue {
    fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The word of the slot says `wait.to` already.
    fn give(&mut self, id: WaitId, wait: &Wait, slot: u32) {
        match &wait.who {
            Who::Thread(seat) => {
                seat.granted.store(slot, Ordering::Relaxed);
                seat.ready.notify_one();
            }
            Who::Member(key) => {
                // A member's waits leave with it.
                if let Some(member) = self.members.get_mut(key) {
                    member.inbox.push_back(Delivery { wait: id, slot });
                    member.tell();
                }
            }
        }
    }
}

impl Waiters {
    pub(super) fn new(capacity: u32) -> Waiters {
        let limit = Arc::new(LimitWord::new());
        Waiters { count: AtomicU32::new(0), limit, capacity, queue: Mutex::new(Queue::default()) }
    }

    pub(super) fn limit(&self) -> &Arc<LimitWord> {
        &self.limit
    }

    /// Whether anybody waits; a moment ago, unless a fence orders it (see `protocol.rs`).
    #[inline]
    pub(super) fn waiting(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No operation leaves the queue half-changed when it panics.
        match self.queue.lock() {
            Ok(queue) => queue,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Before the lock is let go: the words that others read without it. A member that is notified afterwards sees them.
    fn publish(&self, queue: &Queue) {
        let waiting = queue.waits.len() as u32;
        self.count.store(waiting, Ordering::Relaxed);
        self.limit.set(match queue.isolates {
            0 => 0,
            _ if waiting > 0 || queue.closed => 0,
            isolates => LimitWord::MOST.min(self.capacity / 8 / isolates),
        });
    }

    /// Hands a slot that the caller has, and that is not in the free list, to the first who waits. `false`: nobody
    /// does. `grant` makes the slot's word the one it is given; it cannot fail while the slot is the caller's.
    pub(super) fn hand(&self, slot: u32, grant: impl FnOnce((State, Owner)) -> bool) -> bool {
        let mut queue = self.lock();
        let Some((id, wait)) = queue.waits.pop_first() else { return false };
        self.publish(&queue);
        if grant(wait.to) {
            queue.give(id, &wait, slot);
        }
        true
    }

    /// Hands what `take` finds to those who wait, as far as it reaches.
    pub(super) fn serve(&self, take: impl FnMut((State, Owner)) -> Option<u32>) {
        self.serve_locked(&mut self.lock(), take);
    }

    fn serve_locked(&self, queue: &mut Queue, mut take: impl FnMut((State, Owner)) -> Option<u32>) {
        while let Some(first) = queue.waits.first_entry() {
            let Some(slot) = take(first.get().to) else { break };
            let (id, wait) = first.remove_entry();
            self.publish(queue);
            queue.give(id, &wait, slot);
        }
    }

    /// Puts a wait at the end of the queue, hands out what is free, and asks for what rests in magazines.
    fn enter(
        &self,
        queue: &mut Queue,
        wait: Wait,
        take: impl FnMut((State, Owner)) -> Option<u32>,
    ) -> WaitId {
        let alone = queue.waits.is_empty();
        let id = WaitId::new(queue.next_id());
        queue.waits.insert(id, wait);
        self.publish(queue);
        // Between the two steps of one who waits: see `protocol.rs`.
        fence(Ordering::SeqCst);
        self.serve_locked(queue, take);
        if alone && !queue.waits.is_empty() {
            for member in queue.members.values_mut().filter(|member| member.role == Role::Isolate) {
                member.events.flush = true;
                member.tell();
            }
        }
        id
    }

    /// Enters a member. `None`: closed.
    pub(super) fn join(&self, owner: Owner, role: Role, notify: Arc<dyn Notify>) -> Option<MemberKey> {
        let mut queue = self.lock();
        if queue.closed {
            return None;
        }
        let key = MemberKey::new(queue.next_id());
        // One that comes while others wait has nothing to flush, and finds a limit of 0.
        let member = Member {
            owner,
            role,
            notify,
            notified: false,
            events: Events::default(),
            inbox: VecDeque::new(),
        };
        queue.members.insert(key, member);
        queue.isolates += u32::from(role == Role::Isolate);
        self.publish(&queue);
        Some(key)
    }

    /// Ends a member and its waits. The slots that lay in its inbox are the caller's, who must bring them home.
    pub(super) fn leave(&self, key: MemberKey) -> Option<(Owner, VecDeque<Delivery>)> {
        let mut queue = self.lock();
        let member = queue.members.remove(&key)?;
        queue.waits.retain(|_, wait| !matches!(wait.who, Who::Member(who) if who == key));
        queue.isolates -= u32::from(member.role == Role::Isolate);
        self.publish(&queue);
        drop(queue);
        // The notifier is dropped without the lock: its drop is not ours to know.
        Some((member.owner, member.inbox))
    }

    /// A slot for a member at once, or a place in the queue. `None`: closed, or no such member.
    pub(super) fn wait(
        &self,
        key: MemberKey,
        mut take: impl FnMut((State, Owner)) -> Option<u32>,
    ) -> Option<Waited> {
        let mut queue = self.lock();
        if queue.closed {
            return None;
        }
        let to = (State::Cached, queue.members.get(&key)?.owner);
        if queue.waits.is_empty()
            && let Some(slot) = take(to)
        {
            return Some(Waited::Granted(slot));
        }
        let id = self.enter(&mut queue, Wait { to, who: Who::Member(key) }, take);
        Some(Waited::Waiting(id))
    }

    /// Blocks the thread until it has a slot. `None`: closed. `patience` is asked, without the lock, before each sleep how
    /// long that may be.
    pub(super) fn wait_here(
        &self,
        to: (State, Owner),
        take: impl FnMut((State, Owner)) -> Option<u32>,
        mut patience: impl FnMut() -> Option<Duration>,
    ) -> Option<u32> {
        let seat = Arc::new(Seat { granted: AtomicU32::new(PENDING), ready: Condvar::new() });
        let mut at_most = patience();
        let mut queue = self.lock();
        if queue.closed {
            return None;
        }
        self.enter(&mut queue, Wait { to, who: Who::Thread(Arc::clone(&seat)) }, take);
        loop {
            match seat.granted.load(Ordering::Relaxed) {
                PENDING => {}
                CLOSED => return None,
                slot => return Some(slot),
            }
            let timed_out;
            (queue, timed_out) = sleep_on(&seat.ready, queue, at_most);
            if timed_out {
                drop(queue);
                at_most = patience();
                queue = self.lock();
            }
        }
    }

    pub(super) fn cancel(&self, key: MemberKey, id: WaitId) -> Cancelled {
        let mut queue = self.lock();
        if matches!(queue.waits.get(&id), Some(Wait { who: Who::Member(who), .. }) if *who == key) {
            queue.waits.remove(&id);
            self.publish(&queue);
            return Cancelled::Removed;
        }
        let Some(member) = queue.members.get_mut(&key) else { return Cancelled::Unknown };
        let at = member.inbox.iter().position(|delivery| delivery.wait == id);
        match at.and_then(|at| member.inbox.remove(at)) {
            Some(delivery) => Cancelled::Delivered(delivery.slot, member.owner),
            None => Cancelled::Unknown,
        }
    }

    /// What happened to a member, and the slots that came for it, which are its own from now on.
    pub(super) fn events(&self, key: MemberKey, deliveries: &mut Vec<Delivery>) -> Events {
        let mut queue = self.lock();
        let Some(member) = queue.members.get_mut(&key) else { return Events::default() };
        member.notified = false;
        deliveries.extend(member.inbox.drain(..));
        std::mem::take(&mut member.events)
    }

    /// Sets `closed` and sends everybody away. `true`: it was open.
    pub(super) fn close(&self, closed: &AtomicBool) -> bool {
        let mut queue = self.lock();
        let was_open = !closed.swap(true, Ordering::Release);
        queue.closed = true;
        let waits = std::mem::take(&mut queue.waits);
        self.publish(&queue);
        for wait in waits.into_values() {
            if let Who::Thread(seat) = wait.who {
                seat.granted.store(CLOSED, Ordering::Relaxed);
                seat.ready.notify_one();
            }
        }
        if was_open {
            for member in queue.members.values_mut() {
                member.events.closed = true;
                member.tell();
            }
        }
        was_open
    }

    /// Every slot of the closed pool is home: tells all members, once.
    pub(super) fn all_home(&self) {
        let mut queue = self.lock();
        if std::mem::replace(&mut queue.home, true) {
            return;
        }
        for member in queue.members.values_mut() {
            member.events.home = true;
            member.tell();
        }
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count.load(Ordering::Relaxed);
        f.debug_struct("Waiters")
            .field("count", &count)
            .field("limit", &self.limit.get())
            .finish_non_exhaustive()
    }
}
