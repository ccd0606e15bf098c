//! Taking, giving back and reclaiming.

use loom::sync::Arc;
use loom::thread;
use wraith_transport::memory::State;

use crate::support::{Pool, lent, model, owner};

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
