//! Lanes: no slot is slept through, none stays in one that was closed, and each comes out once with its bytes.

use std::sync::Arc as StdArc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use wraith_transport::memory::State;
use wraith_transport::pool::Notify;
use wraith_transport::pool::lane::{Entries, Entry, Lane, Received};
use wraith_transport::pool::protocol::Refused;

use crate::support::{Pool, lent, model, owner};

/// A bag of entries that gives no more than the real queue: what was done before a push is seen after the pop. No promised order.
struct Model(Vec<AtomicU64>);

/// Bits 63: there is one; 32 and up: the slot; below: the length.
const THERE: u64 = 1 << 63;

impl Entries for Model {
    fn push(&self, entry: Entry) -> bool {
        let word = THERE | u64::from(entry.slot) << 32 | u64::from(entry.length);
        let put =
            |cell: &AtomicU64| cell.compare_exchange(0, word, Ordering::Release, Ordering::Relaxed).is_ok();
        self.0.iter().any(put)
    }

    fn pop(&self) -> Option<Entry> {
        self.0.iter().find_map(|cell| {
            // A relaxed look first: it may be stale, as the real queue's may.
            let word = cell.load(Ordering::Relaxed);
            let taken =
                word != 0 && cell.compare_exchange(word, 0, Ordering::Acquire, Ordering::Relaxed).is_ok();
            let (slot, length) = ((word & !THERE) >> 32, word & u64::from(u32::MAX));
            taken.then_some(Entry { slot: slot as u32, length: length as u32, dirty: u32::MAX })
        })
    }
}

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

struct Shared {
    pool: Arc<Pool>,
    lane: Lane<Model>,
}

impl Shared {
    fn new(count: u32) -> Arc<Shared> {
        let lane = Lane::new(Model((0..count).map(|_| AtomicU64::new(0)).collect()), owner(9));
        Arc::new(Shared { pool: Pool::new(count, true), lane })
    }

    /// Takes a slot, writes into it, and sends it. `false`: the lane was closed, and the slot is home.
    fn send(&self, from: u32) -> bool {
        let slot = self.pool.protocol.pop(lent(owner(from))).unwrap();
        self.pool.use_alone(slot, from);
        let entry = Entry { slot, length: from, dirty: from };
        match self.lane.put(&self.pool.protocol, entry, lent(owner(from))) {
            Ok(()) => {
                self.settle();
                true
            }
            Err(refused) => {
                assert_eq!(refused, Refused::Closed);
                self.pool.push(slot, lent(owner(from))).unwrap();
                false
            }
        }
    }

    fn settle(&self) -> u32 {
        self.lane.settle(&self.pool.protocol, |slot| self.pool.write(slot, |bytes| *bytes = 0))
    }

    fn close(&self) -> u32 {
        self.lane.close(&self.pool.protocol, |slot| self.pool.write(slot, |bytes| *bytes = 0)).1
    }

    /// One slot, as a receiver gets it that sleeps while there is none. `None`: the lane was closed.
    fn receive(&self, bell: &Bell, to: u32) -> Option<u32> {
        let mut out = [Entry { slot: 0, length: 0, dirty: 0 }];
        loop {
            match self.lane.take(&self.pool.protocol, (State::Lent, owner(to)), &mut out) {
                Received::Some(_) => {
                    let Entry { slot, length, .. } = out[0];
                    self.pool.write(slot, |bytes| assert_eq!(*bytes, length));
                    self.pool.push(slot, lent(owner(to))).unwrap();
                    return Some(length);
                }
                Received::Closed => return None,
                Received::Asleep => {
                    let mut rung = bell.rung.lock().unwrap();
                    while !*rung {
                        rung = bell.ready.wait(rung).unwrap();
                    }
                    *rung = false;
                }
            }
        }
    }
}

#[test]
fn a_slot_reaches_a_receiver_that_is_about_to_sleep() {
    model(Some(3), || {
        let shared = Shared::new(1);
        let bell = StdArc::new(Bell::default());
        shared.lane.enter(StdArc::clone(&bell) as _).unwrap();
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || assert!(shared.send(1)))
        };
        assert_eq!(shared.receive(&bell, 2), Some(1));
        sender.join().unwrap();
        assert_eq!(shared.lane.depth().get(), 0);
        shared.pool.assert_all_home();
    });
}

#[test]
fn two_senders_wake_a_receiver_for_both() {
    model(Some(2), || {
        let shared = Shared::new(2);
        let bell = StdArc::new(Bell::default());
        shared.lane.enter(StdArc::clone(&bell) as _).unwrap();
        let senders: Vec<_> = [1, 3]
            .map(|from| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || assert!(shared.send(from)))
            })
            .into_iter()
            .collect();
        let came = [shared.receive(&bell, 2), shared.receive(&bell, 2)];
        assert!(came == [Some(1), Some(3)] || came == [Some(3), Some(1)], "{came:?}");
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        shared.pool.assert_all_home();
    });
}

#[test]
fn no_slot_stays_in_a_closed_lane() {
    model(Some(3), || {
        let shared = Shared::new(1);
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.send(1))
        };
        shared.close();
        sender.join().unwrap();
        shared.pool.assert_all_home();
    });
}

#[test]
fn a_close_wakes_the_receiver() {
    model(Some(3), || {
        let shared = Shared::new(1);
        let bell = StdArc::new(Bell::default());
        shared.lane.enter(StdArc::clone(&bell) as _).unwrap();
        let closer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.close())
        };
        assert_eq!(shared.receive(&bell, 2), None);
        closer.join().unwrap();
        shared.pool.assert_all_home();
    });
}

#[test]
fn a_successor_is_found_or_finds_the_slot_itself() {
    model(Some(3), || {
        let shared = Shared::new(1);
        let first = shared.lane.enter(StdArc::new(Bell::default())).unwrap();
        let mut out = [Entry { slot: 0, length: 0, dirty: 0 }];
        let nothing = shared.lane.take(&shared.pool.protocol, lent(owner(2)), &mut out);
        assert_eq!(nothing, Received::Asleep);
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || assert!(shared.send(1)))
        };
        shared.lane.leave(first);
        let bell = StdArc::new(Bell::default());
        shared.lane.enter(StdArc::clone(&bell) as _).unwrap();
        assert_eq!(shared.receive(&bell, 3), Some(1));
        sender.join().unwrap();
        shared.pool.assert_all_home();
    });
}
