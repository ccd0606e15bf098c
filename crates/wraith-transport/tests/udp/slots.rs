//! Who holds the slots: starving, taking, shedding, closing.

use wraith_transport::Code;
use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::udp::{Received, ReceiverOptions};

use crate::support::{
    BACKENDS, Rig, TAKEN, assert_all_home, loopback, owner, pattern, sender, slot_bytes, with,
};

fn keeper() -> Owner {
    Owner::new(9).unwrap()
}

fn small(backend: wraith_transport::udp::Backend, capacity: u32) -> Rig {
    let options = ReceiverOptions { batch_size: 4, ..with(backend) };
    Rig::new(&loopback(), 256, capacity, &options)
}

#[test]
fn a_taken_slot_outlives_the_batch_and_is_replaced() {
    for backend in BACKENDS {
        let mut rig = small(backend, 6);
        let from = sender("127.0.0.1:0");
        for index in 0..4 {
            from.send_to(&pattern(index, 40), rig.address()).unwrap();
        }
        // The four may come as one batch or as several: the second and the third are taken.
        let mut slots = Vec::new();
        while slots.len() < 4 {
            let rows = rig.next_batch();
            for row in 0..rows {
                let place = slots.len();
                slots.push(rig.receiver().rows()[row].slot);
                if place == 1 || place == 2 {
                    rig.receiver().take(row, (TAKEN, keeper())).unwrap();
                    let again = rig.receiver().take(row, (TAKEN, keeper()));
                    assert_eq!(again.unwrap_err().code(), Code::StaleBuffer);
                }
            }
            let beyond = rig.receiver().take(rows, (TAKEN, keeper()));
            assert_eq!(beyond.unwrap_err().code(), Code::OutOfRange);
            // What was taken is not held any more, from that moment on.
            let audit = rig.pool.audit();
            let taken = slots.len().saturating_sub(1).min(2);
            let held = (audit.posted + audit.lent) as usize - taken;
            assert_eq!(rig.receiver().held(), held);
            rig.receiver().finish();
        }
        assert_eq!(rig.receiver().take(0, (TAKEN, keeper())).unwrap_err().code(), Code::OutOfRange);
        for (place, slot) in [(1, slots[1]), (2, slots[2])] {
            let holding = rig.pool.holding(slot).unwrap();
            assert_eq!((holding.state, holding.owner), (State::Lent, keeper()));
            let bytes = slot_bytes(&rig.pool, slot);
            assert_eq!(bytes[..40], pattern(place, 40));
            assert!(bytes[40..].iter().all(|&byte| byte == 0));
        }
        // More packets never go where the taken ones lie.
        for index in 10..30 {
            from.send_to(&pattern(index, 200), rig.address()).unwrap();
        }
        assert_eq!(rig.collect(20).last().unwrap().bytes, pattern(29, 200));
        assert_eq!(rig.receiver().held(), 4);
        assert_eq!(slot_bytes(&rig.pool, slots[1])[..40], pattern(1, 40));
        for slot in [slots[1], slots[2]] {
            rig.pool.push(slot, (State::Lent, keeper()), Dirty::All).unwrap();
        }
        rig.close();
    }
}

#[test]
fn an_empty_pool_starves_the_receiver_and_a_slot_revives_it() {
    for backend in BACKENDS {
        let mut rig = small(backend, 2);
        let from = sender("127.0.0.1:0");
        let mut taken = Vec::new();
        for index in 0..2 {
            from.send_to(&pattern(index, 10), rig.address()).unwrap();
            rig.next_batch();
            taken.push(rig.receiver().rows()[0].slot);
            rig.receiver().take(0, (TAKEN, keeper())).unwrap();
            rig.receiver().finish();
        }
        from.send_to(&pattern(5, 10), rig.address()).unwrap();
        rig.wait();
        assert!(matches!(rig.receiver().receive(), Received::Starved));
        assert!(matches!(rig.receiver().receive(), Received::Starved));
        assert_eq!(rig.counters().starved, 2);
        assert_eq!(rig.pool.audit().lent, 2);
        rig.pool.push(taken[0], (State::Lent, keeper()), Dirty::All).unwrap();
        assert_eq!(rig.collect(1)[0].bytes, pattern(5, 10));
        rig.pool.push(taken[1], (State::Lent, keeper()), Dirty::All).unwrap();
        rig.close();
    }
}

#[test]
fn a_closed_pool_starves_the_receiver_once_its_slots_are_gone() {
    for backend in BACKENDS {
        let mut rig = small(backend, 8);
        assert!(matches!(rig.receiver().receive(), Received::Empty));
        rig.pool.close();
        sender("127.0.0.1:0").send_to(b"still posted", rig.address()).unwrap();
        assert_eq!(rig.collect(1)[0].bytes, b"still posted");
        assert_eq!(rig.receiver().shed(0), 4);
        assert!(matches!(rig.receiver().receive(), Received::Starved));
        rig.close();
    }
}

#[test]
fn an_idle_receiver_gives_slots_back_and_takes_new_ones_when_it_needs_them() {
    for backend in BACKENDS {
        let mut rig = small(backend, 16);
        assert_eq!(rig.receiver().held(), 0);
        assert_eq!(rig.pool.available(), 16);
        assert!(matches!(rig.receiver().receive(), Received::Empty));
        assert_eq!((rig.receiver().held(), rig.pool.available()), (4, 12));
        assert_eq!(rig.pool.audit().posted, 4);
        assert_eq!(rig.receiver().shed(1), 3);
        assert_eq!((rig.receiver().held(), rig.pool.available()), (1, 15));
        assert_eq!(rig.receiver().shed(1), 0);
        sender("127.0.0.1:0").send_to(b"again", rig.address()).unwrap();
        assert_eq!(rig.collect(1)[0].bytes, b"again");
        assert_eq!(rig.receiver().held(), 4);
    }
}

#[test]
fn closing_in_the_middle_of_a_batch_brings_every_slot_home_cleared() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        let from = sender("127.0.0.1:0");
        for index in 0..10 {
            from.send_to(&pattern(index, 1400), rig.address()).unwrap();
        }
        let rows = rig.next_batch();
        let audit = rig.pool.audit();
        assert_eq!((audit.lent as usize, audit.posted as usize), (rows, 64 - rows));
        rig.close();
    }
}

#[test]
fn a_slot_that_was_taken_away_is_reported_and_never_touched() {
    for backend in BACKENDS {
        let pool = crate::support::pool(256, 8);
        let socket = wraith_transport::udp::UdpSocket::bind(&loopback()).unwrap();
        let options = ReceiverOptions { batch_size: 4, ..with(backend) };
        let mut receiver = wraith_transport::udp::Receiver::new(
            std::sync::Arc::clone(&socket),
            std::sync::Arc::clone(&pool),
            owner(),
            options,
        )
        .unwrap();
        sender("127.0.0.1:0").send_to(&pattern(3, 60), socket.local_addr().unwrap()).unwrap();
        crate::support::wait(socket.fd(), libc::POLLIN);
        assert!(matches!(receiver.receive(), Received::Rows { rows: 1, .. }));
        let slot = receiver.rows()[0].slot;
        pool.exchange(slot, (State::Lent, owner()), (State::Op, keeper())).unwrap();
        receiver.finish();
        assert_eq!(slot_bytes(&pool, slot)[..60], pattern(3, 60));
        assert_eq!(socket.metrics().snapshot().ownership_faults, 1);
        assert!(matches!(receiver.receive(), Received::Failed(error) if error.code() == Code::StaleBuffer));
        assert!(matches!(receiver.receive(), Received::Empty));
        receiver.close();
        pool.push(slot, (State::Op, keeper()), Dirty::All).unwrap();
        assert_all_home(&pool);
    }
}

#[test]
fn a_receiver_moves_to_another_thread() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        let to = rig.address();
        sender("127.0.0.1:0").send_to(b"moved", to).unwrap();
        let rig = std::thread::spawn(move || {
            assert_eq!(rig.collect(1)[0].bytes, b"moved");
            rig
        });
        rig.join().unwrap().close();
    }
}

#[test]
fn a_slot_asks_before_it_leaves_and_stays_out_of_use_when_it_may_not() {
    use std::sync::{Arc, Mutex};
    for backend in BACKENDS {
        let mut rig = small(backend, 6);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        rig.receiver().set_before_leave(Some(Box::new(move |slot| {
            log.lock().unwrap().push(slot);
            slot != 3
        })));
        sender("127.0.0.1:0").send_to(&pattern(1, 10), rig.address()).unwrap();
        rig.next_batch();
        let taken = rig.receiver().rows()[0].slot;
        rig.receiver().take(0, (TAKEN, keeper())).unwrap();
        // Posting a slot again is no leaving, nor is taking it.
        rig.receiver().finish();
        assert!(asked.lock().unwrap().is_empty());
        let held = rig.receiver().held();
        let given = rig.receiver().shed(1);
        let mut all = asked.lock().unwrap().clone();
        assert_eq!(all.len(), held - 1);
        assert_eq!(given, all.iter().filter(|&&slot| slot != 3).count());
        // The rest is asked when the receiver goes.
        rig.drop_receiver();
        all.clone_from(&asked.lock().unwrap());
        all.sort_unstable();
        assert_eq!((all.len(), all.contains(&taken)), (held, false));
        let audit = rig.pool.audit();
        assert!(audit.is_ok() && audit.quarantined == 1, "{audit:?}");
        assert_eq!(rig.pool.holding(3).map(|word| word.owner), Some(Owner::NONE));
        rig.pool.push(taken, (State::Lent, keeper()), Dirty::All).unwrap();
    }
}

#[test]
fn a_starving_receiver_is_fed_with_a_slot_that_was_delivered() {
    for backend in BACKENDS {
        let mut rig = small(backend, 2);
        let lent = (State::Cached, keeper());
        let slots = [0, 1].map(|_| rig.pool.pop(lent).unwrap());
        sender("127.0.0.1:0").send_to(&pattern(5, 30), rig.address()).unwrap();
        assert!(matches!(rig.receiver().receive(), Received::Starved));
        assert!(rig.receiver().feed(slots[0], lent).unwrap());
        assert_eq!(rig.receiver().feed(slots[0], lent).unwrap_err().code(), Code::StaleBuffer);
        rig.next_batch();
        assert_eq!(rig.receiver().rows()[0].slot, slots[0]);
        assert_eq!(slot_bytes(&rig.pool, slots[0])[..30], pattern(5, 30));
        assert!(!rig.receiver().feed(slots[1], lent).unwrap(), "a batch is out");
        rig.receiver().finish();
        rig.pool.push(slots[1], lent, Dirty::Nothing).unwrap();
        rig.close();
    }
}
