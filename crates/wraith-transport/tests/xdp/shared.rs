//! One UMEM for several queues.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;

use wraith_transport::Code;
use wraith_transport::memory::{Owner, State};
use wraith_transport::xdp::{Filter, Received, UmemPlan, XdpDevice, XdpOptions, XdpSocket};

use crate::support::{
    FAR, Far, close, close_all, collect, drain, give_back, linked, near, options, pattern, payload,
    privileged, send_patterns, until,
};

const PORT: u16 = 6343;
const FLOWS: usize = 64;

fn together() -> XdpOptions {
    XdpOptions { umem: UmemPlan::PerDevice, ..options(Filter::udp_ports([PORT])) }
}

fn number(n: u32) -> Owner {
    Owner::new(n).unwrap()
}

/// Sends numbered packets of many flows, ten each, `0..FLOWS * 10`.
fn send_flows(far: &Far) {
    for flow in 0..FLOWS {
        let sender = far.udp(&format!("{FAR}:{}", 30_000 + flow));
        send_patterns(&sender, near(PORT), flow * 10..flow * 10 + 10, 64);
    }
}

fn check_all(frames: &[Vec<u8>]) {
    let numbers: BTreeSet<usize> = frames
        .iter()
        .map(|frame| {
            let data = payload(frame);
            let number = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
            assert_eq!(data, pattern(number, 64));
            number
        })
        .collect();
    assert_eq!(numbers, (0..FLOWS * 10).collect());
}

#[test]
fn queues_that_share_a_umem_get_every_packet_once() {
    privileged("queues_that_share_a_umem_get_every_packet_once", || {
        let far = linked(2);
        let mut device = XdpDevice::open(&together()).unwrap();
        let info = device.info();
        assert_eq!((info.frames, info.fill_frames, info.umem_frames), (512, 448, 1024));
        let core = Arc::clone(device.umem().unwrap().pool());
        let owners: BTreeSet<u32> = device.sockets().iter().map(|socket| socket.owner().get()).collect();
        assert_eq!(owners.len(), 2);
        for socket in device.sockets() {
            assert!(Arc::ptr_eq(&core, socket.pool()));
            assert_eq!(socket.with_kernel(), (448, 0));
        }
        let audit = core.audit();
        assert_eq!((audit.capacity, audit.posted, audit.free), (1024, 896, 128), "{audit:?}");
        send_flows(&far);
        check_all(&collect(device.sockets_mut(), FLOWS * 10));
        for socket in device.sockets() {
            assert!(socket.metrics().snapshot().packets > 0, "both queues have got some");
            assert_eq!(socket.statistics().unwrap().dropped(), 0);
        }
        assert!(core.audit().is_ok());
        close(device);
    });
}

#[test]
fn two_threads_share_a_umem() {
    privileged("two_threads_share_a_umem", || {
        let far = linked(2);
        let mut device = XdpDevice::open(&together()).unwrap();
        let sockets = device.take_sockets();
        let core = Arc::clone(sockets[0].pool());
        let metrics: Vec<_> = sockets.iter().map(|socket| Arc::clone(socket.metrics())).collect();
        let sum = move || metrics.iter().map(|metrics| metrics.snapshot().packets).sum::<u64>();
        let total = FLOWS * 40;
        let workers: Vec<_> = sockets
            .into_iter()
            .map(|mut socket| {
                let sum = sum.clone();
                thread::spawn(move || {
                    let mut count = 0;
                    until("all packets have come", || {
                        // Every second one is taken, so that slots go through the common list.
                        count += take_some(&mut socket);
                        sum() == total as u64
                    });
                    assert_eq!(socket.statistics().unwrap().dropped(), 0);
                    count
                })
            })
            .collect();
        for flow in 0..FLOWS {
            let sender = far.udp(&format!("{FAR}:{}", 30_000 + flow));
            for part in 0..4 {
                send_patterns(&sender, near(PORT), part * 10..part * 10 + 10, 64);
                let sent = (flow * 40 + part * 10 + 10) as u64;
                until("the workers keep up", || sum() + 100 > sent);
            }
        }
        let counts: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        assert_eq!(counts, total);
        crate::support::assert_all_home(&core);
        device.close();
    });
}

fn take_some(socket: &mut XdpSocket) -> usize {
    let Received::Rows { rows, .. } = socket.receive() else { return 0 };
    let holder = (State::Lent, number(1 + socket.queue()));
    for row in (0..rows).step_by(2) {
        let slot = socket.rows()[row].slot;
        socket.take(row, holder).unwrap();
        give_back(socket.pool(), slot, holder);
    }
    socket.finish();
    rows
}

#[test]
fn one_of_two_closes_and_the_other_goes_on() {
    privileged("one_of_two_closes_and_the_other_goes_on", || {
        let far = linked(2);
        for close_first in [true, false] {
            let mut device = XdpDevice::open(&together()).unwrap();
            let umem = device.umem().unwrap();
            let mut sockets = device.take_sockets();
            let mut closed = sockets.remove(usize::from(!close_first));
            closed.close();
            closed.close();
            let mut kept = sockets.pop().unwrap();
            let audit = umem.pool().audit();
            assert_eq!((audit.posted, audit.free, umem.sockets()), (448, 576, 1), "{audit:?}");
            let server = UdpSocket::bind(near(PORT)).unwrap();
            server.set_nonblocking(true).unwrap();
            let (mut ours, mut kernels) = (0, 0);
            for flow in 0..FLOWS {
                let sender = far.udp(&format!("{FAR}:{}", 30_000 + flow));
                send_patterns(&sender, near(PORT), 0..10, 64);
                until("every packet has come one way or the other", || {
                    ours += drain(&mut kept).len();
                    while server.recv(&mut [0; 64]).is_ok() {
                        kernels += 1;
                    }
                    ours + kernels == (flow + 1) * 10
                });
            }
            assert!(ours > 0 && kernels > 0, "{ours} and {kernels}");
            assert!(umem.pool().audit().is_ok());
            drop(kept);
            device.close();
            crate::support::assert_all_home(umem.pool());
        }
    });
}

#[test]
fn a_shared_umem_is_reopened_twenty_times() {
    privileged("a_shared_umem_is_reopened_twenty_times", || {
        let far = linked(2);
        for round in 0..20 {
            let mut device = XdpDevice::open(&together()).unwrap();
            let sender = far.udp(&format!("{FAR}:0"));
            send_patterns(&sender, near(PORT), round..round + 5, 64);
            collect(device.sockets_mut(), 5);
            close(device);
        }
    });
}

#[test]
fn owners_are_as_asked_or_refused() {
    privileged("owners_are_as_asked_or_refused", || {
        let _far = linked(2);
        let with =
            |owners: &[u32]| XdpOptions { owners: owners.iter().map(|&n| number(n)).collect(), ..together() };
        let device = XdpDevice::open(&with(&[7, 9])).unwrap();
        assert_eq!(device.sockets().iter().map(|s| s.owner().get()).collect::<Vec<_>>(), [7, 9]);
        close(device);
        for (owners, word) in [(vec![7], "owners has 1; 2 queues"), (vec![7, 7], "need distinct ones")] {
            let error = XdpDevice::open(&with(&owners)).unwrap_err();
            assert_eq!(error.code(), Code::OutOfRange);
            assert!(error.message().contains(word), "{error}");
        }
        // Queues of one interface can be two devices with one UMEM, if the second needs no program.
        let first = XdpOptions { queues: Some(vec![0]), ..with(&[7]) };
        let first = XdpDevice::open(&first).unwrap();
        let sends = |owners: Vec<Owner>| XdpOptions {
            filter: Filter::none(),
            queues: Some(vec![1]),
            umem: UmemPlan::Of(first.umem().unwrap()),
            frames: Some(16),
            owners,
            ..options(Filter::none())
        };
        let error = XdpDevice::open(&sends(vec![number(7)])).unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange);
        assert!(error.message().contains("which another socket of the UMEM has"), "{error}");
        let second = XdpDevice::open(&sends(vec![])).unwrap();
        assert_ne!(second.sockets()[0].owner().get(), 7);
        close_all([first, second]);
    });
}
