//! Devices that forward in one UMEM while others wait for its slots: neither starves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::pool::{Attachment, Notify, PoolCore, SharingOptions, Waited};
use wraith_transport::xdp::{Filter, Received, UmemPlan, XdpDevice, XdpOptions, XdpSocket};

use crate::forward::{MAC_C, MAC_D, bridged, ends};
use crate::support::{close_all, give_back, near, pattern, privileged, row_bytes, until};
use crate::traffic::Flood;
use crate::waiting::{PORT, Quiet, delivered, number};

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
