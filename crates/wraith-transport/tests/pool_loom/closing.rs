//! Closing: who waits leaves, and the last slot that comes home is noticed.

use loom::sync::Arc;
use loom::thread;
use wraith_transport::memory::State;

use crate::support::{Member, Pool, lent, model, owner};

#[test]
fn a_close_ends_a_members_wait_unless_a_slot_came_first() {
    model(Some(3), || {
        let pool = Pool::new(1, true);
        let member = Member::join(&pool, 2);
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        let waiter = thread::spawn(move || {
            if let Some(slot) = member.acquire() {
                member.use_up(slot);
            }
        });
        let closer = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || assert!(pool.protocol.close()))
        };
        pool.push(slot, lent(owner(1))).unwrap();
        waiter.join().unwrap();
        closer.join().unwrap();
        pool.assert_all_home();
    });
}

#[test]
fn the_last_slot_that_comes_home_is_noticed() {
    model(Some(4), || {
        let pool = Pool::new(2, true);
        let member = Member::join(&pool, 2);
        let slots = [0, 1].map(|_| pool.protocol.pop(lent(owner(1))).unwrap());
        let releaser = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.push(slots[0], lent(owner(1))).unwrap())
        };
        let closer = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || assert!(pool.protocol.close()))
        };
        pool.push(slots[1], lent(owner(1))).unwrap();
        let mut closed = false;
        loop {
            let (events, _) = member.turn();
            closed |= events.closed;
            if events.home {
                break;
            }
        }
        assert!(closed, "home before closed");
        releaser.join().unwrap();
        closer.join().unwrap();
        assert!(!member.look().0.home, "home twice");
        pool.assert_all_home();
    });
}

#[test]
fn a_slot_in_quarantine_is_not_waited_for() {
    model(Some(4), || {
        let pool = Pool::new(2, true);
        let member = Member::join(&pool, 2);
        let [lost, other] = [0, 1].map(|_| pool.protocol.pop(lent(owner(1))).unwrap());
        let loser = {
            let pool = Arc::clone(&pool);
            let quarantined = (State::Quarantined, owner(1));
            thread::spawn(move || pool.protocol.exchange(lost, lent(owner(1)), quarantined).unwrap())
        };
        let closer = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || assert!(pool.protocol.close()))
        };
        pool.push(other, lent(owner(1))).unwrap();
        while !member.turn().0.home {}
        loser.join().unwrap();
        closer.join().unwrap();
        assert_eq!(pool.reclaim(owner(1)), 1);
        pool.assert_all_home();
    });
}
