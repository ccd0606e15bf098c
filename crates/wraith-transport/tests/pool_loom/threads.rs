//! Threads that wait for a slot.

use loom::sync::Arc;
use loom::thread;

use crate::support::{Pool, lent, model, owner};

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
    model(Some(3), || {
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
