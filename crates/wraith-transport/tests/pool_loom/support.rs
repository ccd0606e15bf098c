//! A pool that loom understands, and who uses it.

use std::sync::Arc as StdArc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use wraith_transport::memory::{Holding, Owner, State};
use wraith_transport::pool::protocol::{FreeList, MemberKey, Protocol, Refused, Role};
use wraith_transport::pool::{Delivery, Events, Notify, WaitId, Waited};

/// A bag of slot numbers: a cell for each, 1 when the slot is in it. Pops in no promised order.
pub(crate) struct Bag {
    cells: Vec<AtomicU32>,
}

impl Bag {
    pub(crate) fn new(count: u32) -> Bag {
        Bag { cells: (0..count).map(|_| AtomicU32::new(0)).collect() }
    }
}

impl FreeList for Bag {
    fn push(&self, slot: u32) -> bool {
        self.cells[slot as usize].swap(1, Ordering::Release) == 0
    }

    fn pop(&self) -> Option<u32> {
        let taken = |cell: &AtomicU32| {
            // A relaxed look first: it may be stale, as the real queue's may.
            cell.load(Ordering::Relaxed) == 1
                && cell.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        self.cells.iter().position(taken).map(|slot| slot as u32)
    }
}

/// The protocol and the bytes that it hands over: one number a slot.
pub(crate) struct Pool {
    pub(crate) protocol: Protocol<Bag>,
    bytes: Vec<UnsafeCell<u32>>,
}

impl Pool {
    pub(crate) fn new(count: u32, may_wait: bool) -> Arc<Pool> {
        let protocol = Protocol::new(count, Bag::new(count), may_wait);
        Arc::new(Pool { protocol, bytes: (0..count).map(|_| UnsafeCell::new(0)).collect() })
    }

    /// What a holder does: its bytes are zero, it writes them and finds what it wrote.
    pub(crate) fn use_alone(&self, slot: u32, token: u32) {
        self.write(slot, |bytes| {
            assert_eq!(*bytes, 0, "slot {slot} came dirty");
            *bytes = token;
        });
        self.write(slot, |bytes| assert_eq!(*bytes, token));
    }

    #[expect(unsafe_code, reason = "loom checks that the access is exclusive")]
    pub(crate) fn write(&self, slot: u32, with: impl FnOnce(&mut u32)) {
        // SAFETY: the claim under test; loom fails the model where it is wrong.
        self.bytes[slot as usize].with_mut(|bytes| with(unsafe { &mut *bytes }));
    }

    pub(crate) fn push(&self, slot: u32, from: (State, Owner)) -> Result<(), Refused> {
        self.protocol.push(slot, from, || self.write(slot, |bytes| *bytes = 0))
    }

    pub(crate) fn reclaim(&self, owner: Owner) -> u32 {
        self.protocol.reclaim(owner, |slot| self.write(slot, |bytes| *bytes = 0))
    }

    pub(crate) fn holding(&self, slot: u32) -> Holding {
        self.protocol.table().load(slot).unwrap()
    }

    /// The law at a quiet point: all at home, zero, and each in the list once.
    pub(crate) fn assert_all_home(&self) {
        let count = self.bytes.len() as u32;
        let mut popped: Vec<u32> = (0..count).map(|_| self.protocol.free().pop().unwrap()).collect();
        assert_eq!(self.protocol.free().pop(), None);
        popped.sort_unstable();
        assert_eq!(popped, (0..count).collect::<Vec<_>>());
        for slot in 0..count {
            let holding = self.holding(slot);
            assert_eq!((holding.state, holding.owner), (State::Free, Owner::NONE));
            self.write(slot, |bytes| assert_eq!(*bytes, 0));
        }
    }
}

pub(crate) fn owner(number: u32) -> Owner {
    Owner::new(number).unwrap()
}

pub(crate) const fn lent(owner: Owner) -> (State, Owner) {
    (State::Lent, owner)
}

/// Runs a model, with at most `preemptions` forced switches where all interleavings would take too long.
pub(crate) fn model(preemptions: Option<usize>, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(body);
}

/// What a notifier rings, and an event loop sleeps by.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ready: Condvar,
}

impl Notify for Bell {
    fn notify(&self) {
        *self.rung.lock().unwrap() = true;
        self.ready.notify_one();
    }
}

/// A member and its event loop.
pub(crate) struct Member {
    pool: Arc<Pool>,
    pub(crate) key: MemberKey,
    pub(crate) owner: Owner,
    bell: StdArc<Bell>,
}

impl Member {
    pub(crate) fn join(pool: &Arc<Pool>, number: u32) -> Member {
        let (bell, owner) = (StdArc::new(Bell::default()), owner(number));
        let notify: StdArc<dyn Notify> = StdArc::clone(&bell) as _;
        let key = pool.protocol.join(owner, Role::Isolate, notify).unwrap();
        Member { pool: Arc::clone(pool), key, owner, bell }
    }

    /// Enters the queue of a pool that is known to be empty.
    pub(crate) fn must_wait(&self) -> WaitId {
        match self.pool.protocol.wait(self.key) {
            Some(Waited::Waiting(id)) => id,
            other => panic!("the pool is empty and open, but {other:?}"),
        }
    }

    /// Sleeps until the bell rings, then says what happened. That it never rings is a deadlock, which loom reports.
    pub(crate) fn turn(&self) -> (Events, Vec<Delivery>) {
        let mut rung = self.bell.rung.lock().unwrap();
        while !*rung {
            rung = self.bell.ready.wait(rung).unwrap();
        }
        *rung = false;
        drop(rung);
        self.look()
    }

    /// What happened, without waiting for the bell.
    pub(crate) fn look(&self) -> (Events, Vec<Delivery>) {
        let mut deliveries = Vec::new();
        let events = self.pool.protocol.events(self.key, &mut deliveries);
        (events, deliveries)
    }

    /// Waits for a slot as `acquireAsync` does. `None`: the pool was closed.
    pub(crate) fn acquire(&self) -> Option<u32> {
        let id = match self.pool.protocol.wait(self.key)? {
            Waited::Granted(slot) => return Some(slot),
            Waited::Waiting(id) => id,
        };
        loop {
            let (events, deliveries) = self.turn();
            if let Some(delivery) = deliveries.first() {
                assert_eq!(delivery.wait, id);
                return Some(delivery.slot);
            }
            if events.closed {
                return None;
            }
        }
    }

    pub(crate) fn cached(&self) -> (State, Owner) {
        (State::Cached, self.owner)
    }

    /// Uses a slot that came, and gives it back.
    pub(crate) fn use_up(&self, slot: u32) {
        self.pool.use_alone(slot, self.owner.get());
        self.pool.push(slot, self.cached()).unwrap();
    }
}
