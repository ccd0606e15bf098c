//! A UMEM whose pool others wait for: nobody starves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use wraith_transport::Code;
use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::pool::{Attachment, Notify, PoolCore, SharingOptions, Waited};
use wraith_transport::xdp::{Filter, Received, SendFrame, UmemPlan, XdpDevice, XdpOptions, XdpSocket};

use crate::forward::{MAC_C, MAC_D, bridged, ends};
use crate::frames::udp4;
use crate::support::{
    FAR, close, close_all, drain, give_back, linked, near, options, pattern, payload, privileged, row_bytes,
    send_patterns, until, wait,
};
use crate::traffic::Flood;

const PORT: u16 = 6343;

fn number(n: u32) -> Owner {
    Owner::new(n).unwrap()
}

struct Quiet;

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

fn delivered(attachment: &Attachment) -> Vec<u32> {
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

struct Bell(mpsc::Sender<()>);

impl Notify for Bell {
    fn notify(&self) {
        // Nobody listens any more at the end.
        let _ = self.0.send(());
    }
}

/// Takes slots, together more than are free, and gives them back, until it is told to stop; returns how many it waited for.
fn wait_and_return(pool: &Arc<PoolCore>, owner: Owner, stop: &AtomicBool, served: &AtomicUsize) {
    let (bell, rung) = mpsc::channel();
    let isolate = pool.attach(owner, Arc::new(Bell(bell))).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let (mut held, mut waiting) = (Vec::new(), 0);
        for _ in 0..24 {
            match isolate.wait().unwrap() {
                Waited::Granted(slot) => held.push(slot),
                Waited::Waiting(_) => waiting += 1,
            }
        }
        while waiting > 0 {
            // Each time something has come it gives back what it has, so that others get theirs.
            for slot in held.drain(..) {
                pool.push(slot, (State::Cached, owner), Dirty::All).unwrap();
            }
            if delivered_to(&isolate, &mut held) == 0 {
                rung.recv_timeout(std::time::Duration::from_secs(20)).expect("one who waits starves");
            }
            waiting -= held.len();
            served.fetch_add(held.len(), Ordering::Relaxed);
        }
        for slot in held {
            pool.push(slot, (State::Cached, owner), Dirty::All).unwrap();
        }
    }
}

/// How many have been delivered.
fn delivered_to(attachment: &Attachment, held: &mut Vec<u32>) -> usize {
    let before = held.len();
    held.extend(delivered(attachment));
    held.len() - before
}

/// A socket that waits in its turn when it is starved.
struct Side<'a> {
    socket: &'a mut XdpSocket,
    source: Attachment,
    waits: bool,
    starved: usize,
}

impl Side<'_> {
    fn new(socket: &mut XdpSocket) -> Side<'_> {
        let source = socket.pool().attach_source(socket.owner(), Arc::new(Quiet)).unwrap();
        Side { socket, source, waits: false, starved: 0 }
    }

    fn receive(&mut self) -> usize {
        let cached = (State::Cached, self.socket.owner());
        for slot in delivered(&self.source) {
            self.waits = false;
            if !self.socket.feed(slot, cached).unwrap() {
                self.socket.pool().push(slot, cached, Dirty::All).unwrap();
            }
        }
        match self.socket.receive() {
            Received::Rows { rows, .. } => rows,
            Received::Empty => 0,
            Received::Starved => {
                self.starved += 1;
                if !self.waits {
                    match self.source.wait().unwrap() {
                        Waited::Granted(slot) => assert!(self.socket.feed(slot, cached).unwrap()),
                        Waited::Waiting(_) => self.waits = true,
                    }
                }
                0
            }
            Received::Failed(error) => panic!("{error}"),
        }
    }
}

/// Two devices in one UMEM of 64 frames that others may wait for: 32 to receive into and 8, and 24 free.
fn pair() -> [XdpDevice; 2] {
    let open = |name: &str, umem, owner, frames, tx_frames| {
        XdpDevice::open(&XdpOptions {
            umem,
            frames: Some(frames),
            tx_frames: Some(tx_frames),
            owners: vec![number(owner)],
            sharing: Some(SharingOptions::default()),
            ..XdpOptions::new(name, Filter::udp_ports([PORT]))
        })
        .unwrap()
    };
    let one = open("wraith0", UmemPlan::PerDevice, 1, 64, 32);
    let two = open("wraith2", UmemPlan::Of(one.umem().unwrap()), 2, 16, 8);
    [one, two]
}

/// Forwards what has come; returns how many.
fn forward(from: &mut Side<'_>, to: &mut Side<'_>) -> usize {
    let rows = from.receive();
    for row in 0..rows {
        let frame = row_bytes(from.socket, row);
        frame[..6].copy_from_slice(&MAC_D);
        frame[6..12].copy_from_slice(&MAC_C);
    }
    let all: Vec<usize> = (0..rows).collect();
    if rows == 0 {
        return 0;
    }
    let sent = from.socket.forward_rows(&all, to.socket).unwrap();
    from.socket.finish();
    sent
}

#[test]
fn a_socket_that_others_would_starve_goes_on_in_its_turn() {
    privileged("a_socket_that_others_would_starve_goes_on_in_its_turn", || {
        let far = bridged(1);
        let [left, _right] = ends(&far);
        let [mut one, mut two] = pair();
        let pool = Arc::clone(one.sockets()[0].pool());
        let (mut from, mut to) = (Side::new(&mut one.sockets_mut()[0]), Side::new(&mut two.sockets_mut()[0]));
        let isolate = pool.attach(number(10), Arc::new(Quiet)).unwrap();
        let cached = (State::Cached, number(10));
        let mut held = Vec::new();
        while let Waited::Granted(slot) = isolate.wait().unwrap() {
            held.push(slot);
        }
        assert_eq!(held.len(), 24);
        let (mut waiting, mut served, mut forwarded) = (1, 0, 0);
        for sent in 1..=500 {
            // Somebody else always waits.
            while waiting < 4 {
                assert!(matches!(isolate.wait().unwrap(), Waited::Waiting(_)));
                waiting += 1;
            }
            assert_eq!(from.receive(), 0, "everything has been taken");
            left.send_to(&pattern(sent, 64), near(PORT)).unwrap();
            until("it has come or is dropped", || {
                forwarded += forward(&mut from, &mut to);
                forwarded as u64 + from.socket.statistics().unwrap().dropped() == sent as u64
            });
            until("it is sent", || {
                to.socket.reap();
                to.socket.with_kernel().1 == 0
            });
            // Three come home, and go to the first three.
            for slot in held.drain(..3) {
                pool.push(slot, cached, Dirty::All).unwrap();
            }
            let got = delivered_to(&isolate, &mut held);
            waiting -= got;
            served += got;
        }
        assert!(from.starved > 100, "{}", from.starved);
        // Not before the 33rd packet; then it has every fourth slot that comes home or more.
        assert!((32 + 100..500).contains(&forwarded), "{forwarded}");
        assert!(served > 500, "{served}");
        held.drain(..).for_each(|slot| give_back(&pool, slot, cached));
        drop(isolate);
        for side in [from, to] {
            let cached = (State::Cached, side.socket.owner());
            delivered(&side.source).into_iter().for_each(|slot| give_back(&pool, slot, cached));
        }
        close_all([one, two]);
    });
}

#[test]
fn forwarding_and_waiting_at_once_starves_neither() {
    privileged("forwarding_and_waiting_at_once_starves_neither", || {
        let far = bridged(1);
        let [left, _right] = ends(&far);
        let [mut one, mut two] = pair();
        let umem = one.umem().unwrap();
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let waiters: Vec<_> = (10..13)
            .map(|owner| {
                let (pool, stop, served) = (Arc::clone(umem.pool()), Arc::clone(&stop), Arc::clone(&served));
                thread::spawn(move || wait_and_return(&pool, number(owner), &stop, &served))
            })
            .collect();
        let flood = Flood::new(vec![left]);
        let (mut from, mut to) = (Side::new(&mut one.sockets_mut()[0]), Side::new(&mut two.sockets_mut()[0]));
        let mut forwarded = 0;
        until("both have had their share", || {
            forwarded += forward(&mut from, &mut to);
            assert_eq!(to.receive(), 0, "nobody sends from there");
            forwarded >= 1_000 && served.load(Ordering::Relaxed) >= 1_000
        });
        drop(flood);
        stop.store(true, Ordering::Relaxed);
        // The sockets go on while the last of those who wait get theirs.
        until("those who wait have left", || {
            to.socket.reap();
            waiters.iter().all(thread::JoinHandle::is_finished)
        });
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        for side in [from, to] {
            let cached = (State::Cached, side.socket.owner());
            delivered(&side.source).into_iter().for_each(|slot| give_back(umem.pool(), slot, cached));
        }
        let audit = umem.pool().audit();
        assert!(audit.is_ok(), "{audit:?}");
        close_all([one, two]);
    });
}
