//! Tickets: one ends each, and none is forgotten.

use loom::sync::Arc;
use loom::thread;
use wraith_transport::memory::State;
use wraith_transport::pool::protocol::Refused;
use wraith_transport::pool::transit::Tickets;

use crate::support::{Pool, lent, model, owner};

/// Both sides of a pool that has tickets.
struct Shared {
    pool: Arc<Pool>,
    tickets: Tickets,
}

impl Shared {
    fn new(count: u32) -> Arc<Shared> {
        Arc::new(Shared { pool: Pool::new(count, true), tickets: Tickets::new(count) })
    }

    fn send(&self, slot: u32, from: u32, length: u32, deadline: u64) -> Result<u32, Refused> {
        self.pool.protocol.transfer(&self.tickets, slot, lent(owner(from)), length, deadline)
    }

    /// Adopts, finds what was sent, and gives the slot back.
    fn adopt(&self, slot: u32, generation: u32, to: u32, bytes: u32) -> bool {
        let adopted = self.pool.protocol.adopt(&self.tickets, slot, generation, lent(owner(to)));
        if let Ok(length) = adopted {
            assert_eq!(length, bytes);
            self.pool.write(slot, |found| assert_eq!(*found, bytes));
            self.pool.push(slot, lent(owner(to))).unwrap();
        }
        adopted.is_ok()
    }

    fn take_back(&self, slot: u32, generation: u32) -> bool {
        self.pool.protocol.take_back(slot, generation, || self.pool.write(slot, |bytes| *bytes = 0))
    }

    fn sweep(&self, now: u64) -> u32 {
        self.pool.protocol.sweep(&self.tickets, now, |slot| self.pool.write(slot, |bytes| *bytes = 0))
    }

    /// Takes a slot, writes `bytes` into it, and makes a ticket of it.
    fn sent(&self, from: u32, bytes: u32, deadline: u64) -> (u32, u32) {
        let slot = self.pool.protocol.pop(lent(owner(from))).unwrap();
        self.pool.use_alone(slot, bytes);
        (slot, self.send(slot, from, bytes, deadline).unwrap())
    }
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
fn one_of_adopting_cancelling_and_expiring_ends_a_ticket() {
    model(Some(3), || {
        let shared = Shared::new(1);
        let (slot, generation) = shared.sent(1, 7, 100);
        let adopter = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.adopt(slot, generation, 2, 7))
        };
        let sweeper = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.sweep(100) == 1)
        };
        let cancelled = shared.take_back(slot, generation);
        let ended = [cancelled, adopter.join().unwrap(), sweeper.join().unwrap()];
        assert_eq!(ended.iter().filter(|&&won| won).count(), 1, "{ended:?}");
        shared.pool.assert_all_home();
    });
}

#[test]
fn a_ticket_of_an_earlier_journey_is_good_for_nothing() {
    model(None, || {
        let shared = Shared::new(1);
        let (slot, first) = shared.sent(1, 7, Tickets::NEVER);
        let late = {
            let shared = Arc::clone(&shared);
            // Whenever it comes, it gets the first journey's bytes or nothing.
            thread::spawn(move || shared.adopt(slot, first, 3, 7))
        };
        let adopted = shared.pool.protocol.adopt(&shared.tickets, slot, first, lent(owner(2)));
        if adopted.is_ok() {
            shared.pool.write(slot, |bytes| *bytes = 9);
            let second = shared.send(slot, 2, 9, Tickets::NEVER).unwrap();
            assert_ne!(first, second);
            assert!(shared.adopt(slot, second, 2, 9));
        }
        assert!(adopted.is_ok() != late.join().unwrap());
        shared.pool.assert_all_home();
    });
}

#[test]
fn a_ticket_that_is_made_during_a_sweep_is_swept_by_a_later_one() {
    model(None, || {
        let shared = Shared::new(2);
        shared.sent(1, 7, 100);
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.sent(2, 9, 200);
            })
        };
        assert_eq!(shared.sweep(150), 1);
        sender.join().unwrap();
        assert_eq!(shared.sweep(199), 0);
        assert_eq!(shared.sweep(200), 1);
        shared.pool.assert_all_home();
    });
}

#[test]
fn two_sweeps_forget_no_ticket() {
    model(Some(3), || {
        let shared = Shared::new(2);
        shared.sent(1, 7, 100);
        shared.sent(1, 9, 200);
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.sweep(150))
        };
        let mine = shared.sweep(150);
        assert_eq!(mine + other.join().unwrap(), 1);
        assert_eq!(shared.tickets.earliest(), 200);
        assert_eq!(shared.sweep(200), 1);
        shared.pool.assert_all_home();
    });
}

#[test]
fn no_ticket_outlives_a_close() {
    model(None, || {
        let shared = Shared::new(1);
        let slot = shared.pool.protocol.pop(lent(owner(1))).unwrap();
        shared.pool.use_alone(slot, 7);
        let closer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                assert!(shared.pool.protocol.close());
                shared.sweep(Tickets::NEVER)
            })
        };
        let sent = shared.send(slot, 1, 7, Tickets::NEVER);
        if let Err(refused) = sent {
            // The slot is still the sender's.
            assert_eq!(refused, Refused::Closed);
            shared.pool.push(slot, lent(owner(1))).unwrap();
        }
        assert_eq!(closer.join().unwrap(), u32::from(sent.is_ok()));
        shared.pool.assert_all_home();
    });
}

#[test]
fn an_expired_ticket_serves_one_who_waits() {
    model(Some(3), || {
        let shared = Shared::new(1);
        shared.sent(1, 7, 100);
        let waiter = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let slot = shared.pool.protocol.pop_wait(lent(owner(2)), || None).unwrap();
                shared.pool.use_alone(slot, 9);
                shared.pool.push(slot, lent(owner(2))).unwrap();
            })
        };
        assert_eq!(shared.sweep(100), 1);
        waiter.join().unwrap();
        shared.pool.assert_all_home();
    });
}
