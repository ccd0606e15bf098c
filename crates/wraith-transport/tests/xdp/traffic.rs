//! Two of our sockets at the ends of a link, and what happens while traffic flows.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use wraith_transport::xdp::{
    Addresses, Filter, Match, Ports, Received, UmemPlan, XdpDevice, XdpOptions, XdpSocket,
};

use crate::frames::MAC_A;
use crate::send::{filled, frame, send_all};
use crate::support::{
    FAR, Far, NEAR, also_over_xsk_rs, assert_all_home, close, close_all, collect, drain, linked, near, open,
    options, pattern, payload, privileged, row_bytes, until,
};

const PORT: u16 = 6343;

/// A device at each end.
fn both_ends(far: &Far) -> [XdpDevice; 2] {
    let there = far.run(|| {
        let options = XdpOptions { interface: "wraith1".into(), ..options(Filter::udp_ports([PORT])) };
        XdpDevice::open(&options).unwrap()
    });
    [open(Filter::udp_ports([PORT])), there]
}

#[test]
fn both_ends_send_and_receive_at_once() {
    privileged("both_ends_send_and_receive_at_once", || {
        let far = linked(1);
        let [mut here, mut there] = both_ends(&far);
        for round in 0..20 {
            let numbers = [round * 50..round * 50 + 50, 10_000 + round * 50..10_050 + round * 50];
            send_all(&mut here.sockets_mut()[0], numbers[0].clone(), 200);
            send_all(&mut there.sockets_mut()[0], numbers[1].clone(), 1000);
            for (device, numbers, len) in
                [(&mut there, numbers[0].clone(), 200), (&mut here, numbers[1].clone(), 1000)]
            {
                for (number, frame) in numbers.zip(collect(device.sockets_mut(), 50)) {
                    assert_eq!(payload(&frame), pattern(number, len));
                }
            }
        }
        for device in [&here, &there] {
            let socket = &device.sockets()[0];
            let counters = socket.metrics().snapshot();
            assert_eq!((counters.sent, counters.packets), (1000, 1000));
            assert_eq!(socket.statistics().unwrap().dropped(), 0);
        }
        close_all([here, there]);
    });
}

const BALLS: usize = 32;
const HOPS: u32 = 200;

/// Counts a hop in what has come and sends it back; what has made them all is kept. Returns how many are.
fn reflect(socket: &mut XdpSocket) -> usize {
    let Received::Rows { rows, .. } = socket.receive() else { return 0 };
    let mut on = Vec::new();
    for row in 0..rows {
        let frame = row_bytes(socket, row);
        // Behind the ball's number.
        let hops = u32::from_be_bytes(frame[46..50].try_into().unwrap()) + 1;
        frame[46..50].copy_from_slice(&hops.to_be_bytes());
        frame[40..42].fill(0);
        for at in 0..6 {
            frame.swap(at, at + 6);
        }
        if hops < HOPS {
            on.push(row);
        }
    }
    let mut sent = 0;
    until("all are sent back", || {
        sent += socket.send_rows(&on[sent..]).unwrap();
        socket.flush().unwrap();
        sent == on.len()
    });
    socket.finish();
    rows - on.len()
}

#[test]
fn frames_bounce_between_two_threads_sockets() {
    privileged("frames_bounce_between_two_threads_sockets", || {
        let far = linked(1);
        let [mut here, mut there] = both_ends(&far);
        let done = Arc::new(AtomicUsize::new(0));
        let socket = &mut here.sockets_mut()[0];
        for ball in 0..BALLS {
            let data = [(ball as u32).to_be_bytes(), [0; 4]].concat();
            let ball = filled(socket.pool(), &frame(PORT, &data)).unwrap();
            until("there is room", || socket.send(&[ball]).unwrap() == 1);
        }
        let counters = [&here, &there].map(|device| Arc::clone(device.sockets()[0].metrics()));
        let players: Vec<_> = [here.take_sockets(), there.take_sockets()]
            .into_iter()
            .map(|mut sockets| {
                let done = Arc::clone(&done);
                thread::spawn(move || {
                    until("every ball has made its hops", || {
                        done.fetch_add(reflect(&mut sockets[0]), Ordering::Relaxed);
                        done.load(Ordering::Relaxed) == BALLS
                    });
                    assert_eq!(sockets[0].statistics().unwrap().dropped(), 0);
                    let pool = Arc::clone(sockets[0].pool());
                    drop(sockets);
                    assert_all_home(&pool);
                })
            })
            .collect();
        for player in players {
            player.join().unwrap();
        }
        let [here_got, there_got] = counters.map(|metrics| metrics.snapshot());
        assert_eq!(here_got.packets + there_got.packets, BALLS as u64 * u64::from(HOPS));
        assert_eq!(here_got.sent, there_got.packets);
        close_all([here, there]);
    });
}

/// Sends as fast as it can until it is dropped.
pub(crate) struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flood {
    pub(crate) fn new(senders: Vec<UdpSocket>) -> Flood {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for sender in &senders {
                    // Nobody need listen, and the link may be reset.
                    let _ = sender.send_to(&[0x5a; 300], near(PORT));
                }
            }
        });
        Flood { stop, thread: Some(thread) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.thread.take().unwrap().join();
        assert!(thread::panicking() || outcome.is_ok());
    }
}

#[test]
fn closing_while_traffic_flows_loses_nothing_and_writes_nothing_later() {
    privileged("closing_while_traffic_flows_loses_nothing_and_writes_nothing_later", || {
        let far = linked(2);
        let flood = Flood::new((0..8).map(|flow| far.udp(&format!("{FAR}:{}", 30_000 + flow))).collect());
        let mut pools = Vec::new();
        for round in 0..8 {
            let umem = if round % 2 == 0 { UmemPlan::PerQueue } else { UmemPlan::PerDevice };
            let options = XdpOptions { umem, ..options(Filter::udp_ports([PORT])) };
            let mut device = XdpDevice::open(&options).unwrap();
            let mut seen = 0;
            until("traffic flows", || {
                seen += device.sockets_mut().iter_mut().map(echo).sum::<usize>();
                seen > 500
            });
            pools.extend(device.sockets().iter().map(|socket| Arc::clone(socket.pool())));
            close(device);
        }
        // What had come home stays as it was.
        pools.iter().for_each(|pool| assert_all_home(pool));
        drop(flood);
    });
}

/// Sends every second frame back, so that the kernel has some of both kinds.
fn echo(socket: &mut XdpSocket) -> usize {
    let Received::Rows { rows, .. } = socket.receive() else { return 0 };
    let some: Vec<usize> = (0..rows).step_by(2).collect();
    // The ring may be full: then they go back to the kernel.
    socket.send_rows(&some).unwrap();
    socket.finish();
    rows
}

#[test]
fn a_filter_that_changes_under_traffic_loses_and_misroutes_nothing() {
    privileged("a_filter_that_changes_under_traffic_loses_and_misroutes_nothing", || {
        const EACH: usize = 4000;
        let far = linked(1);
        let ports = || Ports { dst: vec![PORT], src: vec![] };
        let host = |text: &str| vec![text.parse().unwrap()];
        let addresses = Addresses { src: host(FAR), dst: host(NEAR) };
        let not_ours = Match { udp_ports: Ports { dst: vec![PORT + 1], src: vec![] }, ..Match::default() };
        // All of them send the one port to us and the other to the kernel.
        let filters = [
            Filter::udp_ports([PORT]),
            Filter::udp_ports((20_000..20_040).chain([PORT])),
            Filter::matching(Match { udp_ports: ports(), addresses, ..Match::default() }),
            Filter { except: not_ours, ..Filter::all() },
        ];
        let mut device = open(filters[0].clone());
        let kernel = UdpSocket::bind(near(PORT + 1)).unwrap();
        let wrong = UdpSocket::bind(near(PORT)).unwrap();
        kernel.set_nonblocking(true).unwrap();
        wrong.set_nonblocking(true).unwrap();
        let got = Arc::new(AtomicUsize::new(0));
        let sender = far.udp(&format!("{FAR}:0"));
        let seen = Arc::clone(&got);
        let traffic = thread::spawn(move || {
            for number in 0..EACH {
                for port in [PORT, PORT + 1] {
                    sender.send_to(&pattern(number, 64), near(port)).unwrap();
                }
                // As many under way as the receivers hold.
                until("the receivers keep up", || seen.load(Ordering::Relaxed) + 200 > number * 2);
            }
        });
        let (mut ours, mut kernels, mut changes) = (BTreeSet::new(), 0, 0);
        until("everything has come", || {
            for frame in drain(&mut device.sockets_mut()[0]) {
                assert_eq!((&frame[..6], &frame[36..38]), (&MAC_A[..], &PORT.to_be_bytes()[..]));
                let number = u32::from_be_bytes(payload(&frame)[..4].try_into().unwrap()) as usize;
                assert_eq!(payload(&frame), pattern(number, 64));
                assert!(ours.insert(number), "{number} came twice");
            }
            let mut data = [0; 65];
            while let Ok(length) = kernel.recv(&mut data) {
                assert_eq!(data[..length], pattern(kernels, 64));
                kernels += 1;
            }
            got.store(ours.len() + kernels, Ordering::Relaxed);
            changes += 1;
            device.set_filter(&filters[changes % filters.len()]).unwrap();
            ours.len() == EACH && kernels == EACH
        });
        traffic.join().unwrap();
        assert!(wrong.recv(&mut [0; 8]).is_err());
        assert!(changes >= 5 * filters.len(), "{changes} changes");
        assert_eq!(device.sockets()[0].statistics().unwrap().dropped(), 0);
        close(device);
    });
}

also_over_xsk_rs!(
    both_ends_send_and_receive_at_once,
    frames_bounce_between_two_threads_sockets,
    a_filter_that_changes_under_traffic_loses_and_misroutes_nothing,
);
