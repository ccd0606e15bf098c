//! A UMEM whose pool others wait for: nobody starves.

use std::sync::Arc;

use wraith_transport::Code;
use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::pool::{Attachment, Notify, PoolCore, SharingOptions, Waited};
use wraith_transport::xdp::{Filter, Received, SendFrame, UmemPlan, XdpDevice, XdpOptions};

use crate::frames::udp4;
use crate::support::{
    FAR, close, drain, give_back, linked, near, options, pattern, payload, privileged, send_patterns, until,
    wait,
};

pub(crate) const PORT: u16 = 6343;

pub(crate) fn number(n: u32) -> Owner {
    Owner::new(n).unwrap()
}

pub(crate) struct Quiet;

impl Notify for Quiet {
    fn notify(&self) {}
}

fn shared(frames: u32, tx_frames: u32) -> XdpDevice {
    let sharing = Some(SharingOptions::default());
    let (frames, tx_frames) = (Some(frames), Some(tx_frames));
    XdpDevice::open(&XdpOptions {
        sharing,
        frames,
        tx_frames,
        owners: vec![number(1)],
        umem: UmemPlan::PerDevice,
        ..options(Filter::udp_ports([PORT]))
    })
    .unwrap()
}

pub(crate) fn delivered(attachment: &Attachment) -> Vec<u32> {
    let mut deliveries = Vec::new();
    attachment.events(&mut deliveries);
    deliveries.iter().map(|delivery| delivery.slot).collect()
}

fn filled(pool: &PoolCore, holder: (State, Owner)) -> SendFrame {
    let slot = pool.pop(holder).unwrap();
    let bytes = udp4(PORT + 1);
    // SAFETY: the slot is this test's and is longer than the frame.
    unsafe { pool.slab().slot(slot).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    SendFrame { slot, offset: 0, length: bytes.len() as u32, from: holder }
}

#[test]
fn who_waits_gets_a_slot_when_one_has_been_sent() {
    privileged("who_waits_gets_a_slot_when_one_has_been_sent", || {
        let _far = linked(1);
        let mut device = shared(64, 4);
        let socket = &mut device.sockets_mut()[0];
        let pool = Arc::clone(socket.pool());
        assert!(pool.is_shared());
        let holder = (State::Lent, number(2));
        let frames: Vec<_> = (0..4).map(|_| filled(&pool, holder)).collect();
        let isolate = pool.attach(number(2), Arc::new(Quiet)).unwrap();
        assert!(matches!(isolate.wait().unwrap(), Waited::Waiting(_)));
        assert!(matches!(isolate.wait().unwrap(), Waited::Waiting(_)));
        assert_eq!(socket.send(&frames[..3]).unwrap(), 3);
        until("they are sent", || {
            socket.reap();
            socket.with_kernel().1 == 0
        });
        let slots = delivered(&isolate);
        assert_eq!(slots.len(), 2, "the third is free");
        assert_eq!(pool.available(), 1);
        for slot in slots {
            // Cleared, like every slot that comes home.
            let mut bytes = vec![1; pool.buffer_size()];
            // SAFETY: the slot is this test's.
            unsafe { pool.slab().slot(slot).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
            assert!(bytes.iter().all(|&byte| byte == 0));
            pool.push(slot, (State::Cached, number(2)), Dirty::Nothing).unwrap();
        }
        give_back(&pool, frames[3].slot, holder);
        drop(isolate);
        close(device);
    });
}

#[test]
fn a_socket_is_short_until_enough_has_come_home_and_is_given_it_when_it_is_asked() {
    privileged("a_socket_is_short_until_enough_has_come_home_and_is_given_it_when_it_is_asked", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        // An eighth is 8.
        let mut device = shared(64, 0);
        let socket = &mut device.sockets_mut()[0];
        let pool = Arc::clone(socket.pool());
        let holder = (State::Lent, number(2));
        assert!(!socket.is_short());
        send_patterns(&sender, near(PORT), 0..64, 64);
        let mut taken = Vec::new();
        until("all frames are taken", || {
            if let Received::Rows { rows, .. } = socket.receive() {
                for row in 0..rows {
                    taken.push(socket.rows()[row].slot);
                    socket.take(row, holder).unwrap();
                }
                assert!(!socket.is_short(), "not while a batch is out, whose slots may come back");
                socket.finish();
            }
            taken.len() == 64
        });
        let before = socket.metrics().snapshot().starved;
        assert!(socket.is_short());
        assert_eq!((socket.with_kernel().0, socket.metrics().snapshot().starved), (0, before + 1));
        // No frame comes, and no receive: what came home is the kernel's all the same.
        for (home, slot) in (1..=10).zip(taken.drain(..10)) {
            give_back(&pool, slot, holder);
            assert_eq!((socket.is_short(), socket.with_kernel().0), (home < 8, home));
        }
        assert_eq!(socket.metrics().snapshot().starved, before + 1);
        taken.into_iter().for_each(|slot| give_back(&pool, slot, holder));
        close(device);
    });
}

#[test]
fn a_starved_socket_gets_its_turn_among_those_who_wait() {
    privileged("a_starved_socket_gets_its_turn_among_those_who_wait", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let mut device = shared(16, 0);
        let socket = &mut device.sockets_mut()[0];
        let pool = Arc::clone(socket.pool());
        let holder = (State::Lent, number(2));
        send_patterns(&sender, near(PORT), 0..16, 64);
        let mut taken = Vec::new();
        until("all frames are taken", || {
            if let Received::Rows { rows, .. } = socket.receive() {
                for row in 0..rows {
                    taken.push(socket.rows()[row].slot);
                    socket.take(row, holder).unwrap();
                }
                socket.finish();
            }
            taken.len() == 16
        });
        assert!(matches!(socket.receive(), Received::Starved));
        assert_eq!(socket.wanted(), 16);
        // An isolate came before, and others come after.
        let isolate = pool.attach(number(3), Arc::new(Quiet)).unwrap();
        let source = pool.attach_source(socket.owner(), Arc::new(Quiet)).unwrap();
        assert!(matches!(isolate.wait().unwrap(), Waited::Waiting(_)));
        assert!(matches!(source.wait().unwrap(), Waited::Waiting(_)));
        assert!(matches!(isolate.wait().unwrap(), Waited::Waiting(_)));
        for slot in taken.drain(..2) {
            give_back(&pool, slot, holder);
        }
        assert!(matches!(socket.receive(), Received::Starved), "those who wait come first");
        let (theirs, ours) = (delivered(&isolate), delivered(&source));
        assert_eq!((theirs.len(), ours.len()), (1, 1));
        let cached = (State::Cached, socket.owner());
        assert_eq!(socket.feed(theirs[0], cached).unwrap_err().code(), Code::StaleBuffer);
        assert!(socket.feed(ours[0], cached).unwrap());
        assert_eq!((socket.wanted(), socket.with_kernel()), (15, (1, 0)));
        send_patterns(&sender, near(PORT), 77..78, 64);
        wait(socket.fd(), libc::POLLIN);
        let frames = drain(socket);
        assert_eq!(frames.iter().map(|frame| payload(frame)).collect::<Vec<_>>(), [pattern(77, 64)]);
        // What is left goes to the other wait, then into the list, and from there to the socket.
        drop(isolate);
        pool.push(theirs[0], (State::Cached, number(3)), Dirty::All).unwrap();
        for slot in taken {
            give_back(&pool, slot, holder);
        }
        assert!(matches!(socket.receive(), Received::Empty));
        assert_eq!((socket.wanted(), socket.with_kernel()), (0, (16, 0)));
        let slot = ours[0];
        assert!(!socket.feed(slot, (State::Posted, socket.owner())).unwrap(), "it has enough");
        socket.close();
        assert_eq!(socket.wanted(), 0);
        drop(source);
        close(device);
    });
}
