//! The hand-over protocol under loom: every interleaving of small programs, over a queue that loom understands.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p wraith-transport --release --test pool_loom`
//!
//! A slot's bytes are a loom cell, which reports any two accesses that nothing orders: a model passes only if
//! the orderings in `pool/protocol.rs`, `pool/magazine.rs` and `memory/owner.rs` are strong enough. `ArrayQueue` itself is crossbeam's to
//! prove; the model queue gives no more than it does: release in push, acquire in pop.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use wraith_transport::memory::{Holding, Owner, State};
use wraith_transport::pool::magazine::Magazine;
use wraith_transport::pool::protocol::{FreeList, Protocol, Refused};

/// A bag of slot numbers: a cell for each, 1 when the slot is in it. Pops in no promised order.
struct Bag {
    cells: Vec<AtomicU32>,
}

impl Bag {
    fn new(count: u32) -> Bag {
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
struct Pool {
    protocol: Protocol<Bag>,
    bytes: Vec<UnsafeCell<u32>>,
}

impl Pool {
    fn new(count: u32, may_wait: bool) -> Arc<Pool> {
        let protocol = Protocol::new(count, Bag::new(count), may_wait);
        Arc::new(Pool { protocol, bytes: (0..count).map(|_| UnsafeCell::new(0)).collect() })
    }

    /// What a holder does: its bytes are zero, it writes them and finds what it wrote.
    fn use_alone(&self, slot: u32, token: u32) {
        self.write(slot, |bytes| {
            assert_eq!(*bytes, 0, "slot {slot} came dirty");
            *bytes = token;
        });
        self.write(slot, |bytes| assert_eq!(*bytes, token));
    }

    #[expect(unsafe_code, reason = "loom checks that the access is exclusive")]
    fn write(&self, slot: u32, with: impl FnOnce(&mut u32)) {
        // SAFETY: the claim under test; loom fails the model where it is wrong.
        self.bytes[slot as usize].with_mut(|bytes| with(unsafe { &mut *bytes }));
    }

    fn push(&self, slot: u32, from: (State, Owner)) -> Result<(), Refused> {
        self.protocol.push(slot, from, || self.write(slot, |bytes| *bytes = 0))
    }

    fn reclaim(&self, owner: Owner) -> u32 {
        self.protocol.reclaim(owner, |slot| self.write(slot, |bytes| *bytes = 0))
    }

    fn holding(&self, slot: u32) -> Holding {
        self.protocol.table().load(slot).unwrap()
    }

    /// The law at a quiet point: all at home, zero, and each in the list once.
    fn assert_all_home(&self) {
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

fn owner(number: u32) -> Owner {
    Owner::new(number).unwrap()
}

const fn lent(owner: Owner) -> (State, Owner) {
    (State::Lent, owner)
}

/// Runs a model, with at most `preemptions` forced switches where all interleavings would take too long.
fn model(preemptions: Option<usize>, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(body);
}

#[test]
fn a_slot_has_one_holder_and_comes_zeroed() {
    model(Some(3), || {
        let pool = Pool::new(2, false);
        let users: Vec<_> = (1..=3)
            .map(|n| {
                let pool = Arc::clone(&pool);
                thread::spawn(move || {
                    if let Some(slot) = pool.protocol.pop(lent(owner(n))) {
                        pool.use_alone(slot, n);
                        pool.push(slot, lent(owner(n))).unwrap();
                    }
                })
            })
            .collect();
        users.into_iter().for_each(|user| user.join().unwrap());
        pool.assert_all_home();
    });
}

#[test]
fn a_slot_that_two_release_comes_home_once() {
    model(None, || {
        let pool = Pool::new(1, false);
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        pool.use_alone(slot, 7);
        let other = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.push(slot, lent(owner(1))).is_ok())
        };
        let mine = pool.push(slot, lent(owner(1))).is_ok();
        assert!(mine != other.join().unwrap());
        assert_eq!(pool.holding(slot).generation, 1);
        pool.assert_all_home();
    });
}

#[test]
fn a_ticket_is_adopted_once_and_brings_its_bytes() {
    model(None, || {
        let pool = Pool::new(1, false);
        let transit = (State::Transit, owner(1));
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        let adopters: Vec<_> = (2..=3)
            .map(|n| {
                let pool = Arc::clone(&pool);
                thread::spawn(move || {
                    let adopted = pool.protocol.exchange(slot, transit, lent(owner(n))).is_ok();
                    if adopted {
                        pool.write(slot, |bytes| assert_eq!(*bytes, 7));
                        pool.push(slot, lent(owner(n))).unwrap();
                    }
                    adopted
                })
            })
            .collect();
        // Written and sent while the adopters already look for it: whoever comes too early finds nothing, and only
        // the exchange orders the bytes.
        pool.use_alone(slot, 7);
        pool.protocol.exchange(slot, lent(owner(1)), transit).unwrap();
        let adopted = adopters.into_iter().map(|a| a.join().unwrap());
        match adopted.filter(|&adopted| adopted).count() {
            0 => pool.push(slot, transit).unwrap(),
            n => assert_eq!(n, 1),
        }
        pool.assert_all_home();
    });
}

#[test]
fn reclaiming_races_with_a_release_and_with_a_new_holder() {
    model(None, || {
        let pool = Pool::new(1, false);
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        pool.use_alone(slot, 7);
        let cleaner = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.reclaim(owner(1)))
        };
        let other = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                if let Some(slot) = pool.protocol.pop(lent(owner(2))) {
                    pool.use_alone(slot, 9);
                    pool.push(slot, lent(owner(2))).unwrap();
                }
            })
        };
        let released = pool.push(slot, lent(owner(1))).is_ok();
        let reclaimed = cleaner.join().unwrap();
        other.join().unwrap();
        assert_eq!(u32::from(released) + reclaimed, 1);
        pool.assert_all_home();
    });
}

#[test]
fn an_operation_keeps_its_slot_through_a_reclaim() {
    model(None, || {
        let pool = Pool::new(1, false);
        let op = (State::Op, owner(1));
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        pool.protocol.exchange(slot, lent(owner(1)), op).unwrap();
        let operation = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                pool.use_alone(slot, 7);
                pool.push(slot, op).unwrap();
            })
        };
        assert_eq!(pool.reclaim(owner(1)), 0);
        operation.join().unwrap();
        pool.assert_all_home();
    });
}

#[test]
fn a_waiter_is_woken_by_a_release() {
    model(None, || {
        let pool = Pool::new(1, true);
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        pool.use_alone(slot, 7);
        let waiter = {
            let pool = Arc::clone(&pool);
            // A lost wake-up is a deadlock, which loom reports.
            thread::spawn(move || {
                let slot = pool.protocol.pop_wait(lent(owner(2)), || None).unwrap();
                pool.use_alone(slot, 9);
                pool.push(slot, lent(owner(2))).unwrap();
            })
        };
        pool.push(slot, lent(owner(1))).unwrap();
        waiter.join().unwrap();
        pool.assert_all_home();
    });
}

#[test]
fn two_waiters_share_one_slot() {
    model(Some(3), || {
        let pool = Pool::new(1, true);
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        let waiters: Vec<_> = (2..=3)
            .map(|n| {
                let pool = Arc::clone(&pool);
                thread::spawn(move || {
                    let slot = pool.protocol.pop_wait(lent(owner(n)), || None).unwrap();
                    pool.use_alone(slot, n);
                    pool.push(slot, lent(owner(n))).unwrap();
                })
            })
            .collect();
        pool.push(slot, lent(owner(1))).unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        pool.assert_all_home();
    });
}

#[test]
fn a_close_releases_waiters_and_slots_still_come_home() {
    model(None, || {
        let pool = Pool::new(1, true);
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        pool.use_alone(slot, 7);
        let waiter = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                if let Some(slot) = pool.protocol.pop_wait(lent(owner(2)), || None) {
                    pool.use_alone(slot, 9);
                    pool.push(slot, lent(owner(2))).unwrap();
                }
            })
        };
        let closer = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || assert!(pool.protocol.close()))
        };
        pool.push(slot, lent(owner(1))).unwrap();
        waiter.join().unwrap();
        closer.join().unwrap();
        assert!(!pool.protocol.close());
        assert_eq!(pool.protocol.pop(lent(owner(1))), None);
        pool.assert_all_home();
    });
}

#[test]
fn a_close_wakes_a_waiter_that_nothing_else_would_wake() {
    model(None, || {
        let pool = Pool::new(1, true);
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        let waiter = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || assert_eq!(pool.protocol.pop_wait(lent(owner(2)), || None), None))
        };
        assert!(pool.protocol.close());
        waiter.join().unwrap();
        pool.push(slot, lent(owner(1))).unwrap();
        pool.assert_all_home();
    });
}

/// A magazine and the thread that owns it.
#[expect(unsafe_code, reason = "only the model's main thread owns a magazine")]
mod owned {
    use super::Magazine;

    pub(super) fn put(magazine: &Magazine<u32>, item: u32) -> Result<(), u32> {
        // SAFETY: called by the main thread alone.
        unsafe { magazine.put(item) }
    }

    pub(super) fn take(magazine: &Magazine<u32>) -> Option<u32> {
        // SAFETY: called by the main thread alone.
        unsafe { magazine.take() }
    }
}

#[test]
fn a_robbed_magazine_gives_each_item_once() {
    model(None, || {
        let magazine = Arc::new(Magazine::new(3));
        owned::put(&magazine, 1).unwrap();
        owned::put(&magazine, 2).unwrap();
        let robber = {
            let magazine = Arc::clone(&magazine);
            thread::spawn(move || {
                let mut robbed = Vec::new();
                let first = magazine.rob(|item| robbed.push(item));
                robbed.extend(first);
                robbed
            })
        };
        // The owner does not wait for a robber: what it cannot put it keeps, what it cannot take it leaves.
        let mut seen: Vec<u32> = owned::put(&magazine, 3).err().into_iter().collect();
        seen.extend(owned::take(&magazine));
        seen.extend(robber.join().unwrap());
        assert_eq!(magazine.fill() as usize, 3 - seen.len());
        seen.extend(magazine.close());
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
    });
}

#[test]
fn robbers_exclude_each_other_and_the_owner() {
    model(Some(3), || {
        let magazine = Arc::new(Magazine::new(3));
        owned::put(&magazine, 1).unwrap();
        owned::put(&magazine, 2).unwrap();
        let robbers: Vec<_> = (0..2)
            .map(|_| {
                let magazine = Arc::clone(&magazine);
                thread::spawn(move || {
                    let mut robbed = Vec::new();
                    let first = magazine.rob(|item| robbed.push(item));
                    robbed.extend(first);
                    robbed
                })
            })
            .collect();
        let mut seen: Vec<u32> = owned::take(&magazine).into_iter().collect();
        robbers.into_iter().for_each(|robber| seen.extend(robber.join().unwrap()));
        seen.extend(magazine.close());
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}

#[test]
fn a_closed_magazine_takes_nothing_in() {
    model(None, || {
        let magazine = Arc::new(Magazine::new(2));
        owned::put(&magazine, 1).unwrap();
        let closer = {
            let magazine = Arc::clone(&magazine);
            thread::spawn(move || magazine.close())
        };
        let kept = owned::put(&magazine, 2).err();
        let mut seen = closer.join().unwrap();
        assert_eq!(owned::take(&magazine), None);
        assert_eq!(owned::put(&magazine, 3), Err(3));
        seen.extend(kept);
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}
