//! A shared pool step by step: who may do what, what is refused and how, and who is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use wraith_transport::memory::{Dirty, MemoryOptions, Owner, State};
use wraith_transport::pool::{
    Attachment, Delivery, Events, Exhausted, LimitWord, Notify, PoolCore, SharingOptions, WaitId, Waited,
};
use wraith_transport::{BufferPool, Code};

#[derive(Default)]
struct Calls(AtomicU32);

impl Notify for Calls {
    fn notify(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Calls {
    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

fn pool(capacity: u32) -> Arc<PoolCore> {
    PoolCore::shared(64, capacity, &MemoryOptions::default(), SharingOptions::default()).unwrap()
}

fn owner(number: u32) -> Owner {
    Owner::new(number).unwrap()
}

fn attach(core: &Arc<PoolCore>, number: u32) -> (Attachment, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    let notify: Arc<dyn Notify> = Arc::clone(&calls) as _;
    (core.attach(owner(number), notify).unwrap(), calls)
}

fn must_wait(attachment: &Attachment) -> WaitId {
    match attachment.wait().unwrap() {
        Waited::Waiting(id) => id,
        Waited::Granted(slot) => panic!("slot {slot} is free"),
    }
}

fn events(attachment: &Attachment) -> (Events, Vec<Delivery>) {
    let mut deliveries = Vec::new();
    (attachment.events(&mut deliveries), deliveries)
}

const RUST: (State, Owner) = (State::Lent, Owner::RUST);

#[test]
fn a_private_pool_can_do_none_of_it() {
    let core = PoolCore::new(64, 1, &MemoryOptions::default()).unwrap();
    let slot = core.pop(RUST).unwrap();
    assert!(!core.is_shared() && core.limit_word().is_none());
    let codes = [
        core.attach(owner(1), Arc::new(Calls::default())).unwrap_err().code(),
        core.transfer(slot, RUST, 0).unwrap_err().code(),
        core.adopt(slot, 0, RUST).unwrap_err().code(),
        BufferPool::from_core(&core, Exhausted::Fail).unwrap_err().code(),
    ];
    assert_eq!(codes, [Code::NotShared; 4]);
    assert!(!core.cancel_ticket(slot, 0));
    assert_eq!((core.sweep(Instant::now()), core.next_deadline()), (0, None));
    assert_eq!(core.holding(slot).map(|word| (word.state, word.owner)), Some(RUST));
}

#[test]
fn the_limit_follows_capacity_isolates_waiters_and_close() {
    let limit = |core: &PoolCore| core.limit_word().unwrap().get();
    for (capacity, one, two) in
        [(4096, LimitWord::MOST, LimitWord::MOST), (256, 32, 16), (63, 7, 3), (7, 0, 0)]
    {
        let core = pool(capacity);
        assert_eq!(limit(&core), 0, "nobody has a magazine");
        let (first, _) = attach(&core, 1);
        assert_eq!(limit(&core), one);
        let (second, _) = attach(&core, 2);
        assert_eq!(limit(&core), two);
        // A source has no magazine.
        let _source = core.attach_source(owner(3), Arc::new(Calls::default())).unwrap();
        assert_eq!(limit(&core), two);
        let mut all = vec![0; capacity as usize];
        assert_eq!(core.pop_into(RUST, &mut all), all.len());
        let id = must_wait(&first);
        assert_eq!(limit(&core), 0);
        assert!(first.cancel(id));
        assert_eq!(limit(&core), two);
        drop(second);
        assert_eq!(limit(&core), one);
        core.close();
        assert_eq!(limit(&core), 0);
    }
}

#[test]
fn isolates_are_asked_to_flush_when_the_first_begins_to_wait() {
    let core = pool(1);
    let (waiter, waiter_calls) = attach(&core, 1);
    let (other, other_calls) = attach(&core, 2);
    let source_calls = Arc::new(Calls::default());
    let notify: Arc<dyn Notify> = Arc::clone(&source_calls) as _;
    let source = core.attach_source(owner(3), notify).unwrap();
    let slot = core.pop(RUST).unwrap();
    let flush = Events { flush: true, ..Events::default() };
    let first = must_wait(&waiter);
    let second = must_wait(&source);
    assert_eq!((waiter_calls.count(), other_calls.count(), source_calls.count()), (1, 1, 0));
    assert_eq!(events(&other), (flush, vec![]));
    assert_eq!(events(&other), (Events::default(), vec![]));
    // Not fetched yet: told of the flush and of the delivery at once.
    core.push(slot, RUST, Dirty::Nothing).unwrap();
    assert_eq!(waiter_calls.count(), 1);
    assert_eq!(events(&waiter), (flush, vec![Delivery { wait: first, slot }]));
    core.push(slot, (State::Cached, owner(1)), Dirty::Nothing).unwrap();
    assert_eq!(source_calls.count(), 1);
    assert_eq!(events(&source), (Events::default(), vec![Delivery { wait: second, slot }]));
    assert!(!source.cancel(second), "it was fetched");
    core.push(slot, (State::Cached, owner(3)), Dirty::Nothing).unwrap();
    assert_eq!(core.available(), 1);
    assert_eq!(source.wait().unwrap(), Waited::Granted(slot));
}

#[test]
fn nobody_is_told_after_leaving() {
    let core = pool(1);
    let (leaver, calls) = attach(&core, 1);
    let slot = core.pop(RUST).unwrap();
    let id = must_wait(&leaver);
    assert_eq!(calls.count(), 1);
    events(&leaver);
    leaver.leave();
    leaver.leave();
    core.push(slot, RUST, Dirty::Nothing).unwrap();
    core.close();
    assert_eq!(calls.count(), 1);
    assert!(!leaver.cancel(id));
    assert_eq!(leaver.wait().unwrap_err().code(), Code::PoolClosed);
    assert_eq!(events(&leaver), (Events::default(), vec![]));
    assert_eq!(core.audit().free, 1);
}

#[test]
fn owners_of_the_librarys_own_cannot_attach() {
    let core = pool(1);
    for owner in [Owner::NONE, Owner::RUST] {
        let error = core.attach(owner, Arc::new(Calls::default())).unwrap_err();
        assert_eq!(error.code(), Code::Internal);
    }
    core.close();
    let error = core.attach(owner(1), Arc::new(Calls::default())).unwrap_err();
    assert_eq!(error.code(), Code::PoolClosed);
}

#[test]
fn a_ticket_that_cannot_be_made_leaves_the_slot_where_it_is() {
    let core = pool(1);
    let slot = core.pop(RUST).unwrap();
    let other = (State::Lent, owner(1));
    assert_eq!(core.transfer(slot, other, 0).unwrap_err().code(), Code::StaleBuffer);
    assert_eq!(core.transfer(slot, RUST, 65).unwrap_err().code(), Code::Internal);
    assert_eq!(core.transfer(1, RUST, 0).unwrap_err().code(), Code::Internal);
    assert_eq!(core.transfer(slot, (State::Free, Owner::NONE), 0).unwrap_err().code(), Code::StaleBuffer);
    assert_eq!(core.holding(slot).map(|word| (word.state, word.owner)), Some(RUST));
    let generation = core.transfer(slot, RUST, 64).unwrap();
    assert_eq!(core.adopt(1, generation, RUST).unwrap_err().code(), Code::OutOfRange);
    assert_eq!(core.adopt(slot, generation + 1, RUST).unwrap_err().code(), Code::StaleTicket);
    let home = (State::Free, Owner::NONE);
    assert_eq!(core.adopt(slot, generation, home).unwrap_err().code(), Code::Internal);
    assert_eq!(core.adopt(slot, generation, other), Ok(64));
}

#[test]
fn a_buffer_cannot_be_made_a_ticket_of() {
    let core = pool(1);
    let buffers = BufferPool::from_core(&core, Exhausted::Fail).unwrap();
    let buffer = buffers.acquire();
    let word = core.holding(0).unwrap();
    let named = (word.state, word.owner);
    assert_eq!(core.transfer(0, named, 0).unwrap_err().code(), Code::Internal);
    drop(buffer);
    let slot = core.pop(RUST).unwrap();
    let generation = core.transfer(slot, RUST, 0).unwrap();
    assert_eq!(core.adopt(slot, generation, named).unwrap_err().code(), Code::Internal);
    assert!(core.cancel_ticket(slot, generation));
}

#[test]
fn one_who_finds_the_pool_empty_gets_the_slot_of_an_expired_ticket() {
    let sharing = SharingOptions { ticket_timeout: Some(Duration::ZERO) };
    let core = PoolCore::shared(64, 1, &MemoryOptions::default(), sharing).unwrap();
    let buffers = BufferPool::from_core(&core, Exhausted::Fail).unwrap();
    for round in 0..3 {
        let slot = core.pop(RUST).unwrap();
        core.transfer(slot, RUST, 0).unwrap();
        let deadline = core.next_deadline().unwrap();
        while Instant::now() < deadline {
            std::thread::yield_now();
        }
        match round {
            0 => core.push(core.pop(RUST).unwrap(), RUST, Dirty::Nothing).unwrap(),
            1 => drop(buffers.try_acquire().unwrap()),
            _ => assert_eq!(core.audit().free, 1),
        }
        assert_eq!(core.snapshot().expired, f64::from(round + 1));
    }
}

#[test]
fn a_ticket_without_time_out_stays_good_until_the_close() {
    let sharing = SharingOptions { ticket_timeout: None };
    let core = PoolCore::shared(64, 2, &MemoryOptions::default(), sharing).unwrap();
    let tickets = [0, 1].map(|_| {
        let slot = core.pop(RUST).unwrap();
        (slot, core.transfer(slot, RUST, 1).unwrap())
    });
    assert_eq!((core.next_deadline(), core.patience(Instant::now())), (None, None));
    assert_eq!(core.sweep(Instant::now() + Duration::from_secs(1 << 33)), 0);
    let [(slot, generation), (late, gone)] = tickets;
    assert_eq!(core.adopt(slot, generation, RUST), Ok(1));
    core.close();
    assert_eq!(core.adopt(late, gone, RUST).unwrap_err().code(), Code::PoolClosed);
    assert_eq!(core.audit().free, 1);
    assert_eq!(core.transfer(slot, RUST, 1).unwrap_err().code(), Code::PoolClosed);
    core.push(slot, RUST, Dirty::All).unwrap();
    assert_eq!(core.snapshot().expired, 1.0);
}

#[test]
fn a_dead_owners_lost_slots_come_home_but_not_those_whose_view_got_away() {
    let core = pool(3);
    let lent = (State::Lent, owner(1));
    let slots = [0, 1, 2].map(|_| core.pop(lent).unwrap());
    core.exchange(slots[0], lent, (State::Quarantined, owner(1))).unwrap();
    core.quarantine_for_good(slots[1], lent).unwrap();
    assert_eq!(core.quarantine_for_good(slots[1], lent).unwrap_err().code(), Code::StaleBuffer);
    assert_eq!((core.reclaim(owner(1)), core.reclaim(Owner::NONE)), (2, 0));
    let audit = core.audit();
    assert!(audit.is_ok() && (audit.free, audit.quarantined) == (2, 1), "{audit:?}");
}

#[test]
fn holdings_name_everybody_who_holds_a_slot() {
    let core = pool(8);
    let mut slots = [0; 5];
    core.pop_into((State::Cached, owner(1)), &mut slots);
    core.exchange(slots[0], (State::Cached, owner(1)), (State::Lent, owner(1))).unwrap();
    core.exchange(slots[1], (State::Cached, owner(1)), (State::Posted, owner(2))).unwrap();
    core.transfer(slots[2], (State::Cached, owner(1)), 0).unwrap();
    let holdings = core.holdings();
    let seen: Vec<_> = holdings.iter().map(|held| (held.owner, held.total())).collect();
    assert_eq!(seen, [(Owner::NONE, 1), (owner(1), 3), (owner(2), 1)]);
    assert_eq!(holdings[0].in_state(State::Transit), 1);
    assert_eq!((holdings[1].in_state(State::Cached), holdings[1].in_state(State::Lent)), (2, 1));
}
