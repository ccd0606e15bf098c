//! Channels step by step, and between threads: what goes in comes out, in order, once, and nothing is lost on the way.
#![expect(unsafe_code, reason = "looks at and writes the bytes of slots that the test holds")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use wraith_transport::Code;
use wraith_transport::memory::{Dirty, MemoryOptions, Owner, State};
use wraith_transport::pool::{Channel, Entry, Notify, PoolCore, Received, SharingOptions};

const SIZE: usize = 64;

#[derive(Default)]
struct Bell {
    rings: AtomicU32,
    rung: Mutex<bool>,
    ready: Condvar,
}

impl Notify for Bell {
    fn notify(&self) {
        self.rings.fetch_add(1, Ordering::Relaxed);
        *self.rung.lock().unwrap() = true;
        self.ready.notify_one();
    }
}

impl Bell {
    fn rings(&self) -> u32 {
        self.rings.load(Ordering::Relaxed)
    }

    fn sleep(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.ready.wait(rung).unwrap();
        }
        *rung = false;
    }
}

fn pool(capacity: u32) -> Arc<PoolCore> {
    PoolCore::shared(SIZE, capacity, &MemoryOptions::default(), SharingOptions::default()).unwrap()
}

fn owner(number: u32) -> Owner {
    Owner::new(number).unwrap()
}

fn cached(number: u32) -> (State, Owner) {
    (State::Cached, owner(number))
}

fn lent(number: u32) -> (State, Owner) {
    (State::Lent, owner(number))
}

const CHANNEL: u32 = 9;
const NONE: Entry = Entry { slot: 0, length: 0, dirty: 0 };

fn write(core: &PoolCore, slot: u32, byte: u8) {
    // SAFETY: the slot is held by the calling thread.
    unsafe { core.slab().slot(slot).write_bytes(byte, SIZE) };
}

fn read(core: &PoolCore, slot: u32) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    // SAFETY: as in `write`.
    unsafe { core.slab().slot(slot).copy_to_nonoverlapping(bytes.as_mut_ptr(), SIZE) };
    bytes
}

/// Takes slots, fills each with its place in the sequence, and sends them.
fn send(channel: &Channel, from: (State, Owner), bytes: &[u8]) -> Vec<u32> {
    let core = channel.core();
    let slots: Vec<u32> = bytes.iter().map(|_| core.pop(from).unwrap()).collect();
    for (&slot, &byte) in slots.iter().zip(bytes) {
        write(core, slot, byte);
    }
    let mut entries = slots.iter().map(|&slot| Entry { slot, length: 5, dirty: u32::MAX });
    assert_eq!(channel.send(from, || entries.next()), Ok(bytes.len() as u64));
    slots
}

fn assert_home(core: &PoolCore) {
    let audit = core.audit();
    assert!(audit.is_ok() && audit.free == core.capacity(), "{audit:?}");
    for slot in 0..core.capacity() {
        assert_eq!(read(core, slot), [0; SIZE], "slot {slot} came home dirty");
    }
}

#[test]
fn slots_come_out_in_their_order_and_are_the_channels_meanwhile() {
    let core = pool(8);
    let channel = core.channel(owner(CHANNEL)).unwrap();
    let slots = send(&channel, cached(1), &[1, 2, 3]);
    assert_eq!(channel.depth().get(), 3);
    let audit = core.audit();
    assert!(audit.is_ok() && audit.transit == 3, "{audit:?}");
    let held = core.holdings();
    assert!(held.iter().any(|it| it.owner == owner(CHANNEL) && it.in_state(State::Transit) == 3));
    // A ticket's sweep is not for them.
    assert_eq!(core.sweep(std::time::Instant::now() + std::time::Duration::from_secs(3600)), 0);

    let receiver = channel.receiver(Arc::new(Bell::default())).unwrap();
    let mut out = [NONE; 2];
    assert_eq!(receiver.receive(lent(2), &mut out), Ok(Received::Some(2)));
    assert_eq!(out.map(|it| (it.slot, it.length)), [(slots[0], 5), (slots[1], 5)]);
    assert_eq!(read(&core, slots[1]), [2; SIZE]);
    assert_eq!(receiver.receive(lent(2), &mut out), Ok(Received::Some(1)));
    assert_eq!(receiver.receive(lent(2), &mut out), Ok(Received::Asleep));
    for slot in slots {
        core.push(slot, lent(2), Dirty::All).unwrap();
    }
    let counts = channel.counts();
    assert_eq!((counts.sent, counts.received, counts.dropped, channel.depth().get()), (3, 3, 0, 0));
    assert_home(&core);
}

#[test]
fn a_receiver_that_sleeps_is_woken_once_for_all_that_comes() {
    let core = pool(8);
    let channel = core.channel(owner(CHANNEL)).unwrap();
    let bell = Arc::new(Bell::default());
    let receiver = channel.receiver(Arc::clone(&bell) as _).unwrap();
    send(&channel, cached(1), &[1]);
    assert_eq!(bell.rings(), 0, "it has not looked yet");
    let mut out = [NONE; 8];
    assert_eq!(receiver.receive(cached(2), &mut out), Ok(Received::Some(1)));
    assert_eq!(receiver.receive(cached(2), &mut out), Ok(Received::Asleep));
    send(&channel, cached(1), &[2, 3]);
    send(&channel, cached(1), &[4]);
    assert_eq!(bell.rings(), 1);
    assert_eq!(receiver.receive(cached(2), &mut out), Ok(Received::Some(3)));
    assert_eq!(receiver.receive(cached(2), &mut out), Ok(Received::Asleep));
    drop(receiver);
    send(&channel, cached(1), &[5]);
    assert_eq!(bell.rings(), 1, "one that has left is not woken");
    core.reclaim(owner(2));
    drop(channel);
    assert_home(&core);
}

#[test]
fn one_receives_at_a_time_and_a_successor_gets_what_waits() {
    let core = pool(4);
    let channel = core.channel(owner(CHANNEL)).unwrap();
    let first = channel.receiver(Arc::new(Bell::default())).unwrap();
    assert_eq!(channel.receiver(Arc::new(Bell::default())).unwrap_err().code(), Code::Busy);
    let slots = send(&channel, cached(1), &[1, 2]);
    let mut out = [NONE; 1];
    assert_eq!(first.receive(lent(2), &mut out), Ok(Received::Some(1)));
    drop(first);
    // What the first had is brought home by whoever ends it; the other is the second's.
    assert_eq!(core.reclaim(owner(2)), 1);
    let second = channel.receiver(Arc::new(Bell::default())).unwrap();
    assert_eq!(second.receive(lent(3), &mut out), Ok(Received::Some(1)));
    assert_eq!((out[0].slot, read(&core, out[0].slot)), (slots[1], [2; SIZE]));
    core.push(slots[1], lent(3), Dirty::All).unwrap();
    assert_home(&core);
}

#[test]
fn closing_brings_home_what_is_in_it_and_refuses_the_rest() {
    for by_pool in [false, true] {
        let core = pool(4);
        let channel = core.channel(owner(CHANNEL)).unwrap();
        let bell = Arc::new(Bell::default());
        let receiver = channel.receiver(Arc::clone(&bell) as _).unwrap();
        assert_eq!(receiver.receive(lent(2), &mut [NONE]), Ok(Received::Asleep));
        let held = core.pop(cached(1)).unwrap();
        write(&core, held, 7);
        let early = channel.receiver(Arc::new(Bell::default()));
        assert_eq!(early.unwrap_err().code(), Code::Busy);
        if by_pool {
            assert!(core.close());
        } else {
            send(&channel, cached(1), &[1, 2]);
            assert!(channel.close());
            assert!(!channel.close());
            assert_eq!(channel.counts().dropped, 2);
        }
        assert!(channel.is_closed());
        assert_eq!((bell.rings(), receiver.receive(lent(2), &mut [NONE])), (1, Ok(Received::Closed)));
        let mut entries = std::iter::once(Entry { slot: held, length: 1, dirty: 1 });
        let refused = channel.send(cached(1), || entries.next()).unwrap_err();
        assert_eq!(refused.code(), Code::ChannelClosed);
        drop(receiver);
        let late = channel.receiver(Arc::new(Bell::default()));
        assert_eq!(late.unwrap_err().code(), Code::ChannelClosed);
        core.push(held, cached(1), Dirty::All).unwrap();
        assert_home(&core);
    }
}

#[test]
fn the_last_user_takes_what_is_in_it_along() {
    let core = pool(4);
    let channel = core.channel(owner(CHANNEL)).unwrap();
    send(&channel, cached(1), &[1, 2, 3]);
    drop(channel);
    assert_home(&core);
}

#[test]
fn what_is_not_the_senders_does_not_go_in() {
    let core = pool(4);
    let channel = core.channel(owner(CHANNEL)).unwrap();
    let slot = core.pop(cached(1)).unwrap();
    for (entry, from, code) in [
        (Entry { slot, length: 1, dirty: 1 }, cached(2), Code::StaleBuffer),
        (Entry { slot: 4, length: 1, dirty: 1 }, cached(1), Code::Internal),
        (Entry { slot, length: SIZE as u32 + 1, dirty: 1 }, cached(1), Code::Internal),
        (Entry { slot, length: 1, dirty: 1 }, (State::Free, Owner::NONE), Code::StaleBuffer),
    ] {
        let mut entries = std::iter::once(entry);
        let refused = channel.send(from, || entries.next()).unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        // SAFETY: nobody writes.
        let copied = unsafe { channel.copy_of(entry.slot, entry.length, from) };
        assert!(copied.is_err(), "{entry:?} of {from:?}");
    }
    let receiver = channel.receiver(Arc::new(Bell::default())).unwrap();
    let refused = receiver.receive((State::Free, Owner::NONE), &mut [NONE]).unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    core.push(slot, cached(1), Dirty::All).unwrap();
    assert_home(&core);
    let private = PoolCore::new(SIZE, 1, &MemoryOptions::default()).unwrap();
    assert_eq!(private.channel(owner(CHANNEL)).unwrap_err().code(), Code::NotShared);
    core.close();
    assert_eq!(core.channel(owner(CHANNEL)).unwrap_err().code(), Code::PoolClosed);
}

#[test]
fn a_copy_is_a_slot_of_its_own_and_needs_a_free_one() {
    let core = pool(2);
    let channel = core.channel(owner(CHANNEL)).unwrap();
    let slot = core.pop(cached(1)).unwrap();
    write(&core, slot, 7);
    // SAFETY: nobody writes.
    let copy = unsafe { channel.copy_of(slot, 5, cached(1)) }.unwrap().unwrap();
    assert_eq!((copy.length, copy.dirty), (5, 5));
    assert_eq!(read(&core, copy.slot)[..6], [7, 7, 7, 7, 7, 0]);
    // SAFETY: as above.
    assert_eq!(unsafe { channel.copy_of(slot, 5, cached(1)) }, Ok(None));
    core.push(copy.slot, cached(1), Dirty::Range { start: 0, len: copy.dirty }).unwrap();
    core.push(slot, cached(1), Dirty::All).unwrap();
    assert_home(&core);
}

#[test]
fn several_threads_send_and_each_ones_slots_arrive_once_in_order() {
    const SENDERS: u32 = 3;
    const EACH: u32 = if cfg!(miri) { 20 } else { 5000 };
    let core = pool(16);
    let channel = core.channel(owner(CHANNEL)).unwrap();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (core, channel) = (&core, &channel);
            scope.spawn(move || {
                let from = cached(sender + 1);
                for number in 0..EACH {
                    let slot = loop {
                        match core.pop(from) {
                            Some(slot) => break slot,
                            None => thread::yield_now(),
                        }
                    };
                    // SAFETY: the slot is this thread's.
                    unsafe { core.slab().slot(slot).cast::<[u32; 2]>().write([sender, number]) };
                    let mut entry = std::iter::once(Entry { slot, length: 8, dirty: 8 });
                    channel.send(from, || entry.next()).unwrap();
                }
            });
        }
        let bell = Arc::new(Bell::default());
        let receiver = channel.receiver(Arc::clone(&bell) as _).unwrap();
        let mut next = [0; SENDERS as usize];
        let mut out = [NONE; 4];
        while next.iter().sum::<u32>() < SENDERS * EACH {
            match receiver.receive(lent(8), &mut out).unwrap() {
                Received::Some(count) => {
                    for entry in &out[..count] {
                        // SAFETY: the slot is this thread's.
                        let [sender, number] =
                            unsafe { core.slab().slot(entry.slot).cast::<[u32; 2]>().read() };
                        assert_eq!(number, next[sender as usize], "of sender {sender}");
                        next[sender as usize] += 1;
                        core.push(entry.slot, lent(8), Dirty::Range { start: 0, len: entry.dirty }).unwrap();
                    }
                }
                Received::Asleep => bell.sleep(),
                Received::Closed => panic!("nobody closes"),
            }
        }
    });
    assert_home(&core);
}

#[test]
fn a_close_among_senders_leaves_no_slot_behind() {
    for _ in 0..if cfg!(miri) { 2 } else { 200 } {
        let core = pool(16);
        let channel = core.channel(owner(CHANNEL)).unwrap();
        thread::scope(|scope| {
            for sender in 1..=2 {
                let (core, channel) = (&core, &channel);
                scope.spawn(move || {
                    while let Some(slot) = core.pop(cached(sender)) {
                        let mut entry = std::iter::once(Entry { slot, length: 1, dirty: 1 });
                        if channel.send(cached(sender), || entry.next()).is_err() {
                            core.push(slot, cached(sender), Dirty::All).unwrap();
                            break;
                        }
                    }
                });
            }
            scope.spawn(|| channel.close());
        });
        assert_home(&core);
    }
}
