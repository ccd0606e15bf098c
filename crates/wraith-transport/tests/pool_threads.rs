//! The pool under many threads: every slot has one holder, nothing is lost, nobody waits in vain.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;

use wraith_transport::memory::{Dirty, MemoryOptions, Owner, State};
use wraith_transport::pool::{Exhausted, PoolCore};
use wraith_transport::{Buffer, BufferPool, Code};

const THREADS: u64 = 8;
const ROUNDS: u64 = 5_000;

/// Writes a token all over the buffer, lets others run, and reads it back.
fn use_alone(buffer: &mut Buffer, token: u64) {
    assert!(buffer.iter().all(|&byte| byte == 0), "a buffer came dirty");
    for word in buffer.chunks_exact_mut(8) {
        word.copy_from_slice(&token.to_ne_bytes());
    }
    if token.is_multiple_of(64) {
        thread::yield_now();
    }
    assert!(buffer.chunks_exact(8).all(|word| word == token.to_ne_bytes()), "a buffer had two holders");
}

/// A different number on each call of each thread, without a pattern that all threads share.
fn mix(token: u64) -> u64 {
    let mut x = token.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

#[test]
fn many_threads_share_few_buffers_and_each_has_one_holder() {
    for capacity in [1, 5, 64] {
        let pool = BufferPool::builder(64, capacity).on_exhausted(Exhausted::Fail).build().unwrap();
        let refused = AtomicU64::new(0);
        thread::scope(|scope| {
            for t in 0..THREADS {
                let (pool, refused) = (&pool, &refused);
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for round in 0..ROUNDS {
                        let token = t * ROUNDS + round + 1;
                        match pool.try_acquire() {
                            Ok(mut buffer) => {
                                use_alone(&mut buffer, token);
                                held.push((token, buffer));
                            }
                            Err(error) => {
                                assert_eq!(error.code(), Code::PoolExhausted);
                                refused.fetch_add(1, Ordering::Relaxed);
                                held.clear();
                                thread::yield_now();
                            }
                        }
                        if !mix(token).is_multiple_of(3) && !held.is_empty() {
                            let (token, buffer) = held.swap_remove(mix(token) as usize % held.len());
                            assert!(buffer.chunks_exact(8).all(|word| word == token.to_ne_bytes()));
                            pool.release(buffer);
                        }
                    }
                });
            }
        });
        assert!(pool.audit().is_ok(), "{:?}", pool.audit());
        assert_eq!(pool.available(), capacity);
        let counted = pool.snapshot();
        let refused = refused.into_inner() as f64;
        assert_eq!(counted.total_acquires, (THREADS * ROUNDS) as f64);
        assert_eq!(counted.releases, counted.total_acquires - refused);
        assert_eq!(counted.exhaustions, refused);
    }
}

#[test]
fn buffers_may_be_released_by_other_threads_than_acquired_them() {
    let pool = BufferPool::new(64, 32);
    let (sender, receiver) = mpsc::sync_channel::<(u64, Buffer)>(16);
    let receiver = std::sync::Mutex::new(receiver);
    thread::scope(|scope| {
        for t in 0..THREADS / 2 {
            let (pool, sender) = (&pool, sender.clone());
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let token = t * ROUNDS + round + 1;
                    let mut buffer = pool.acquire();
                    use_alone(&mut buffer, token);
                    sender.send((token, buffer)).unwrap();
                }
            });
            let (receiver, pool) = (&receiver, pool);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let (token, buffer) = receiver.lock().unwrap().recv().unwrap();
                    assert!(buffer.chunks_exact(8).all(|word| word == token.to_ne_bytes()));
                    pool.release(buffer);
                }
            });
        }
    });
    assert!(pool.audit().is_ok(), "{:?}", pool.audit());
    assert_eq!(pool.available(), 32);
    let counted = pool.snapshot();
    assert_eq!(counted.releases + counted.fallback_releases, (THREADS / 2 * ROUNDS) as f64);
    assert_eq!(counted.foreign_releases, 0.0);
}

#[test]
fn a_buffer_that_rests_with_an_idle_thread_can_be_had_by_others() {
    let pool = BufferPool::builder(64, 64).on_exhausted(Exhausted::Fail).build().unwrap();
    let (used, done) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let held: Vec<_> = (0..64).map(|_| pool.acquire()).collect();
            drop(held);
            used.wait();
            done.wait();
        });
        used.wait();
        assert_eq!(pool.available(), 64);
        let held: Vec<_> = (0..64).map(|_| pool.acquire()).collect();
        assert_eq!(pool.available(), 0);
        assert_eq!(pool.try_acquire().unwrap_err().code(), Code::PoolExhausted);
        drop(held);
        let core = pool.core();
        let mut slots = [0; 65];
        let to = (State::Posted, Owner::RUST);
        assert_eq!(core.pop_into(to, &mut slots), 64);
        slots[..64].iter().for_each(|&slot| core.push(slot, to, Dirty::Nothing).unwrap());
        done.wait();
    });
    assert!(pool.audit().is_ok(), "{:?}", pool.audit());
}

#[test]
fn waiting_threads_all_get_a_buffer_in_the_end() {
    let pool = BufferPool::builder(64, 2).on_exhausted(Exhausted::Wait).build().unwrap();
    thread::scope(|scope| {
        for t in 0..THREADS {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..ROUNDS / 10 {
                    use_alone(&mut pool.acquire(), t * ROUNDS + round + 1);
                }
            });
        }
    });
    assert!(pool.audit().is_ok(), "{:?}", pool.audit());
    assert_eq!(pool.available(), 2);
    let counted = pool.snapshot();
    assert_eq!(counted.releases, (THREADS * (ROUNDS / 10)) as f64);
    assert_eq!(counted.waits, counted.exhaustions);
}

#[test]
fn a_close_wakes_every_waiter_with_an_error() {
    let pool = BufferPool::builder(64, 1).on_exhausted(Exhausted::Wait).build().unwrap();
    let held = pool.acquire();
    thread::scope(|scope| {
        let waiters: Vec<_> =
            (0..4).map(|_| scope.spawn(|| pool.try_acquire().map(drop).unwrap_err().code())).collect();
        // All four have found the pool empty; whether they sleep yet does not matter.
        while pool.snapshot().waits < 4.0 {
            thread::yield_now();
        }
        assert!(pool.close());
        assert!(!pool.close());
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Code::PoolClosed);
        }
    });
    assert_eq!(pool.available(), 0);
    drop(held);
    assert_eq!(pool.available(), 1);
    assert_eq!(pool.try_acquire().unwrap_err().code(), Code::PoolClosed);
}

#[test]
#[should_panic(expected = "WRAITH_ERR_POOL_CLOSED")]
fn acquire_panics_after_close() {
    let pool = BufferPool::new(64, 1);
    pool.close();
    pool.acquire();
}

#[test]
#[should_panic(expected = "WRAITH_ERR_POOL_EXHAUSTED")]
fn acquire_panics_when_it_may_neither_allocate_nor_wait() {
    let pool = BufferPool::builder(64, 1).on_exhausted(Exhausted::Fail).build().unwrap();
    let _held = pool.acquire();
    pool.acquire();
}

#[test]
#[should_panic(expected = "WRAITH_ERR_OUT_OF_RANGE")]
fn a_pool_of_nothing_panics() {
    BufferPool::new(0, 256);
}

#[test]
fn a_buffer_may_outlive_its_pool_and_its_thread() {
    let buffer = thread::spawn(|| {
        let pool = BufferPool::new(64, 2);
        let mut buffer = pool.acquire();
        buffer.fill(5);
        buffer
    });
    let mut buffer = buffer.join().unwrap();
    assert_eq!(*buffer, [5; 64]);
    buffer.fill(6);
    assert_eq!(*buffer, [6; 64]);
}

#[test]
fn a_buffer_of_another_pool_goes_home_to_its_own() {
    let (a, b) = (BufferPool::new(64, 1), BufferPool::new(64, 1));
    let buffer = a.acquire();
    b.release(buffer);
    assert_eq!((a.available(), b.available()), (1, 1));
    assert_eq!((a.snapshot().foreign_releases, b.snapshot().foreign_releases), (0.0, 1.0));
    assert!(a.audit().is_ok() && b.audit().is_ok());
}

#[test]
fn slots_of_dead_owners_come_home_while_others_work() {
    let core = PoolCore::new(64, 64, &MemoryOptions::default()).unwrap();
    let (stop, handed_out) = (AtomicBool::new(false), AtomicUsize::new(0));
    let owner = |n: u64| Owner::new(n as u32 + 1).unwrap();
    thread::scope(|scope| {
        for t in 0..THREADS {
            let (core, stop, handed_out) = (&core, &stop, &handed_out);
            scope.spawn(move || {
                let held = (State::Lent, owner(t));
                while !stop.load(Ordering::Relaxed) {
                    let Some(slot) = core.pop(held) else {
                        thread::yield_now();
                        continue;
                    };
                    handed_out.fetch_add(1, Ordering::Relaxed);
                    // Half are given back; half are forgotten, and some are reclaimed from under the holder.
                    if slot.is_multiple_of(2)
                        && let Err(error) = core.push(slot, held, Dirty::All)
                    {
                        assert_eq!(error.code(), Code::StaleBuffer);
                    }
                }
            });
        }
        let mut reclaimed = 0;
        while handed_out.load(Ordering::Relaxed) < 20_000 || reclaimed < 200 {
            (0..THREADS).for_each(|t| reclaimed += core.reclaim(owner(t)));
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
    (0..THREADS).for_each(|t| _ = core.reclaim(owner(t)));
    let audit = core.audit();
    assert!(audit.is_ok() && audit.free == 64, "{audit:?}");
}
