//! Members: isolates and sockets that wait without blocking.

use loom::sync::Arc;
use loom::thread;
use wraith_transport::pool::Delivery;

use crate::support::{Member, Pool, lent, model, owner};

#[test]
fn a_release_reaches_a_member_that_begins_to_wait() {
    model(None, || {
        let pool = Pool::new(1, true);
        let member = Member::join(&pool, 2);
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        pool.use_alone(slot, 7);
        let waiter = thread::spawn(move || {
            let slot = member.acquire().unwrap();
            member.use_up(slot);
        });
        pool.push(slot, lent(owner(1))).unwrap();
        waiter.join().unwrap();
        pool.assert_all_home();
    });
}

#[test]
fn who_waits_is_served_before_one_who_comes_later() {
    model(None, || {
        let pool = Pool::new(1, true);
        let [first, second] = [2, 3].map(|n| Member::join(&pool, n));
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        let ids = [first.must_wait(), second.must_wait()];
        let late = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || assert_eq!(pool.protocol.pop(lent(owner(4))), None))
        };
        pool.push(slot, lent(owner(1))).unwrap();
        assert_eq!(second.look().1, []);
        assert_eq!(first.turn().1, [Delivery { wait: ids[0], slot }]);
        first.use_up(slot);
        assert_eq!(second.turn().1, [Delivery { wait: ids[1], slot }]);
        // The late one may only come before the last release.
        late.join().unwrap();
        second.use_up(slot);
        pool.assert_all_home();
    });
}

#[test]
fn a_thread_and_a_member_share_one_slot() {
    model(Some(3), || {
        let pool = Pool::new(1, true);
        let member = Member::join(&pool, 2);
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        let isolate = thread::spawn(move || {
            let slot = member.acquire().unwrap();
            member.use_up(slot);
        });
        let blocked = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let slot = pool.protocol.pop_wait(lent(owner(3)), || None).unwrap();
                pool.use_alone(slot, 3);
                pool.push(slot, lent(owner(3))).unwrap();
            })
        };
        pool.push(slot, lent(owner(1))).unwrap();
        isolate.join().unwrap();
        blocked.join().unwrap();
        pool.assert_all_home();
    });
}

#[test]
fn a_cancelled_waits_slot_goes_to_the_next() {
    model(None, || {
        let pool = Pool::new(1, true);
        let [first, second] = [2, 3].map(|n| Member::join(&pool, n));
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        let id = first.must_wait();
        second.must_wait();
        let releaser = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.push(slot, lent(owner(1))).unwrap())
        };
        // Before the release, or after it, but in any case before the delivery is fetched.
        assert!(pool.protocol.cancel(first.key, id));
        assert!(!pool.protocol.cancel(first.key, id));
        // Its bell may have rung; nothing is there.
        assert_eq!(first.look().1, []);
        // It rings for the request to flush, too.
        let mut deliveries = Vec::new();
        while deliveries.is_empty() {
            deliveries = second.turn().1;
        }
        second.use_up(deliveries[0].slot);
        releaser.join().unwrap();
        pool.assert_all_home();
    });
}

#[test]
fn a_wait_is_either_cancelled_or_delivered() {
    model(None, || {
        let pool = Pool::new(1, true);
        let member = Arc::new(Member::join(&pool, 2));
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        let id = member.must_wait();
        let canceller = {
            let (pool, member) = (Arc::clone(&pool), Arc::clone(&member));
            thread::spawn(move || pool.protocol.cancel(member.key, id))
        };
        pool.push(slot, lent(owner(1))).unwrap();
        let (_, deliveries) = member.look();
        let cancelled = canceller.join().unwrap();
        assert_eq!(deliveries.is_empty(), cancelled);
        deliveries.iter().for_each(|delivery| member.use_up(delivery.slot));
        pool.assert_all_home();
    });
}

#[test]
fn a_member_that_leaves_takes_no_slot_with_it() {
    model(Some(3), || {
        let pool = Pool::new(1, true);
        let [leaver, stayer] = [2, 3].map(|n| Member::join(&pool, n));
        let slot = pool.protocol.pop(lent(owner(1))).unwrap();
        leaver.must_wait();
        let waiting = thread::spawn(move || {
            let slot = stayer.acquire().unwrap();
            stayer.use_up(slot);
        });
        let leaving = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                pool.protocol.leave(leaver.key);
                // As an environment's end does: no slot can come any more.
                pool.reclaim(leaver.owner)
            })
        };
        pool.push(slot, lent(owner(1))).unwrap();
        waiting.join().unwrap();
        assert_eq!(leaving.join().unwrap(), 0);
        pool.assert_all_home();
    });
}

#[test]
fn a_magazine_is_flushed_for_one_who_begins_to_wait() {
    model(None, || {
        let pool = Pool::new(8, true);
        let member = Member::join(&pool, 2);
        // All but one are in other hands for good; that one is about to be put into the member's magazine.
        let slots: Vec<u32> = (0..8).map(|_| pool.protocol.pop(member.cached()).unwrap()).collect();
        let waiter = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let slot = pool.protocol.pop_wait(lent(owner(3)), || None).unwrap();
                pool.push(slot, lent(owner(3))).unwrap();
            })
        };
        let in_magazine = pool.protocol.limit().unwrap().get() > 0;
        if in_magazine {
            // Read too early: then the bell will ring.
            while !member.turn().0.flush {}
            // Who is told of the flush puts nothing more into its magazine.
            assert_eq!(pool.protocol.limit().unwrap().get(), 0);
        }
        pool.push(slots[0], member.cached()).unwrap();
        waiter.join().unwrap();
        for &slot in &slots[1..] {
            pool.push(slot, member.cached()).unwrap();
        }
        pool.assert_all_home();
    });
}
