//! A shared pool under many threads: tickets, waiting members, waiting threads, leaving and closing.
#![expect(unsafe_code, reason = "writes and reads the bytes of slots that a thread holds")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use wraith_transport::memory::{Dirty, MemoryOptions, Owner, State};
use wraith_transport::pool::{
    Attachment, Delivery, Events, Exhausted, Notify, PoolCore, SharingOptions, Waited,
};
use wraith_transport::{BufferPool, Code};

const SIZE: usize = 64;
const ROUNDS: u64 = 2_000;

fn shared(capacity: u32, ticket_timeout: Option<Duration>) -> Arc<PoolCore> {
    PoolCore::shared(SIZE, capacity, &MemoryOptions::default(), SharingOptions { ticket_timeout }).unwrap()
}

/// What an event loop sleeps by.
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

/// An isolate: an attachment and its event loop.
struct Isolate {
    attachment: Attachment,
    bell: Arc<Bell>,
}

impl Isolate {
    fn attach(core: &Arc<PoolCore>, number: u32) -> Isolate {
        let bell = Arc::new(Bell::default());
        let notify: Arc<dyn Notify> = Arc::clone(&bell) as _;
        Isolate { attachment: core.attach(Owner::new(number).unwrap(), notify).unwrap(), bell }
    }

    fn cached(&self) -> (State, Owner) {
        (State::Cached, self.attachment.owner())
    }

    /// Sleeps until there is something, without limit: a lost wake-up hangs the test.
    fn turn(&self, deliveries: &mut Vec<Delivery>) -> Events {
        let mut rung = self.bell.rung.lock().unwrap();
        while !*rung {
            rung = self.bell.ready.wait(rung).unwrap();
        }
        *rung = false;
        drop(rung);
        self.attachment.events(deliveries)
    }

    /// `None`: the pool was closed.
    fn acquire(&self) -> Option<u32> {
        let id = match self.attachment.wait() {
            Ok(Waited::Granted(slot)) => return Some(slot),
            Ok(Waited::Waiting(id)) => id,
            Err(error) => {
                assert_eq!(error.code(), Code::PoolClosed);
                return None;
            }
        };
        let mut deliveries = Vec::new();
        loop {
            let events = self.turn(&mut deliveries);
            if let Some(delivery) = deliveries.first() {
                assert_eq!((delivery.wait, deliveries.len()), (id, 1));
                return Some(delivery.slot);
            }
            if events.closed {
                return None;
            }
        }
    }
}

fn stamp(core: &PoolCore, slot: u32, token: u64) {
    // SAFETY: the caller holds the slot of 64 aligned bytes.
    let words = unsafe { std::slice::from_raw_parts_mut(core.slab().slot(slot).cast::<u64>(), SIZE / 8) };
    assert!(words.iter().all(|&word| word == 0), "slot {slot} came dirty");
    words.fill(token);
}

fn verify(core: &PoolCore, slot: u32, token: u64) {
    // SAFETY: as above.
    let words = unsafe { std::slice::from_raw_parts(core.slab().slot(slot).cast::<u64>(), SIZE / 8) };
    assert!(words.iter().all(|&word| word == token), "slot {slot} had two holders");
}

struct Letter {
    slot: u32,
    generation: u32,
    token: u64,
}

/// Eight threads: two receive and post, two parse what was posted (and try each ticket twice), two isolates and two
/// plain threads only use slots. All but the parsers wait when there is none.
#[test]
fn isolates_and_threads_share_pools_of_any_size_and_all_make_progress() {
    for capacity in [1, 2, 8, 63] {
        let core = shared(capacity, None);
        let buffers = BufferPool::from_core(&core, Exhausted::Wait).unwrap();
        let (sender, receiver) = mpsc::channel::<Letter>();
        let receiver = Mutex::new(receiver);
        let cancelled = AtomicU64::new(0);
        thread::scope(|scope| {
            for t in 1..=2_u64 {
                let (core, sender, cancelled) = (&core, sender.clone(), &cancelled);
                scope.spawn(move || {
                    let isolate = Isolate::attach(core, t as u32);
                    for round in 0..ROUNDS {
                        let token = t << 32 | (round + 1);
                        let slot = isolate.acquire().unwrap();
                        stamp(core, slot, token);
                        let generation = core.transfer(slot, isolate.cached(), 8).unwrap();
                        sender.send(Letter { slot, generation, token }).unwrap();
                        if round.is_multiple_of(7) && core.cancel_ticket(slot, generation) {
                            cancelled.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            drop(sender);
            for t in 3..=4 {
                let (core, receiver) = (&core, &receiver);
                scope.spawn(move || {
                    let isolate = Isolate::attach(core, t);
                    loop {
                        let Ok(letter) = receiver.lock().unwrap().recv() else { break };
                        match core.adopt(letter.slot, letter.generation, isolate.cached()) {
                            Ok(length) => {
                                assert_eq!(length, 8);
                                verify(core, letter.slot, letter.token);
                                core.push(letter.slot, isolate.cached(), Dirty::All).unwrap();
                            }
                            Err(error) => assert_eq!(error.code(), Code::StaleTicket, "{error}"),
                        }
                        let again = core.adopt(letter.slot, letter.generation, isolate.cached());
                        assert_eq!(again.unwrap_err().code(), Code::StaleTicket);
                    }
                });
            }
            for t in 5..=6_u64 {
                let core = &core;
                scope.spawn(move || {
                    let isolate = Isolate::attach(core, t as u32);
                    for round in 0..ROUNDS {
                        let slot = isolate.acquire().unwrap();
                        stamp(core, slot, t << 32 | (round + 1));
                        verify(core, slot, t << 32 | (round + 1));
                        core.push(slot, isolate.cached(), Dirty::All).unwrap();
                    }
                });
            }
            for t in 7..=8_u8 {
                let buffers = &buffers;
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let mut buffer = buffers.acquire();
                        assert_eq!(*buffer, [0; SIZE], "a buffer came dirty");
                        buffer.fill(t);
                        assert_eq!(*buffer, [t; SIZE], "a buffer had two holders");
                    }
                });
            }
        });
        let audit = core.audit();
        assert!(audit.is_ok() && audit.free == capacity, "{audit:?}");
        assert_eq!(core.limit_word().unwrap().get(), 0, "no isolate is left");
        let counted = core.snapshot();
        assert_eq!(counted.transferred, (2 * ROUNDS) as f64);
        assert_eq!(counted.cancelled, cancelled.into_inner() as f64);
        assert_eq!(counted.adopted + counted.cancelled, counted.transferred);
    }
}

/// Isolates die at any point: before, in and after a wait, with slots and with tickets on their way.
#[test]
fn isolates_that_come_and_go_lose_no_slot() {
    let core = shared(3, None);
    let (sender, receiver) = mpsc::channel::<Letter>();
    thread::scope(|scope| {
        for t in 1..=6_u32 {
            let (core, sender) = (&core, sender.clone());
            scope.spawn(move || {
                for round in 0..ROUNDS / 2 {
                    let isolate = Isolate::attach(core, t);
                    match (u64::from(t) + round) % 4 {
                        // Leaves while it waits, or with a delivery that it has not seen, or with a slot.
                        0 => _ = isolate.attachment.wait().unwrap(),
                        1 => {
                            if let Waited::Waiting(id) = isolate.attachment.wait().unwrap() {
                                isolate.attachment.cancel(id);
                            }
                        }
                        2 => {
                            let slot = isolate.acquire().unwrap();
                            stamp(core, slot, round + 1);
                        }
                        _ => {
                            let slot = isolate.acquire().unwrap();
                            stamp(core, slot, round + 1);
                            let generation = core.transfer(slot, isolate.cached(), 0).unwrap();
                            sender.send(Letter { slot, generation, token: round + 1 }).unwrap();
                        }
                    }
                    let owner = isolate.attachment.owner();
                    drop(isolate);
                    core.reclaim(owner);
                }
            });
        }
        drop(sender);
        for letter in receiver {
            let to = (State::Cached, Owner::new(7).unwrap());
            core.adopt(letter.slot, letter.generation, to).unwrap();
            verify(&core, letter.slot, letter.token);
            core.push(letter.slot, to, Dirty::All).unwrap();
        }
    });
    let audit = core.audit();
    assert!(audit.is_ok() && audit.free == 3, "{audit:?}");
}

#[test]
fn a_close_under_load_sends_everybody_away_and_says_when_all_is_home() {
    for _ in 0..50 {
        let core = shared(2, None);
        let watcher = Isolate::attach(&core, 100);
        let buffers = BufferPool::from_core(&core, Exhausted::Wait).unwrap();
        thread::scope(|scope| {
            for t in 1..=4 {
                let (core, isolate) = (&core, Isolate::attach(&core, t));
                scope.spawn(move || {
                    while let Some(slot) = isolate.acquire() {
                        if t == 1 {
                            // Nobody adopts it; the close ends it, or it comes back.
                            match core.transfer(slot, isolate.cached(), 0) {
                                Ok(generation) => _ = core.cancel_ticket(slot, generation),
                                Err(error) => {
                                    assert_eq!(error.code(), Code::PoolClosed);
                                    core.push(slot, isolate.cached(), Dirty::All).unwrap();
                                }
                            }
                        } else {
                            core.push(slot, isolate.cached(), Dirty::Nothing).unwrap();
                        }
                    }
                });
            }
            let buffers = &buffers;
            scope.spawn(move || while buffers.try_acquire().is_ok() {});
            while core.snapshot().transferred < 20.0 {
                thread::yield_now();
            }
            assert!(core.close());
            while !watcher.turn(&mut Vec::new()).home {}
        });
        let audit = core.audit();
        assert!(audit.is_ok() && audit.free == 2, "{audit:?}");
    }
}

#[test]
fn a_thread_that_waits_gets_the_slot_of_a_forgotten_ticket() {
    let core = shared(1, Some(Duration::from_millis(20)));
    let buffers = BufferPool::from_core(&core, Exhausted::Wait).unwrap();
    let rust = (State::Lent, Owner::RUST);
    // Made before the wait.
    let slot = core.pop(rust).unwrap();
    let forgotten = core.transfer(slot, rust, 0).unwrap();
    drop(buffers.acquire());
    assert_eq!(core.adopt(slot, forgotten, rust).unwrap_err().code(), Code::StaleTicket);
    // Made while the thread sleeps already.
    let slot = core.pop(rust).unwrap();
    let before = core.snapshot().waits;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| buffers.acquire());
        while core.snapshot().waits == before {
            thread::yield_now();
        }
        core.transfer(slot, rust, 0).unwrap();
        assert_eq!(waiting.join().unwrap().slot(), Some(slot));
    });
    assert_eq!(core.snapshot().expired, 2.0);
    assert!(core.audit().is_ok());
}
