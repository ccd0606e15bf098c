//! Several queues: each is somebody's.

use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;

use wraith_transport::xdp::{Filter, XdpDevice, XdpOptions};

use crate::support::{
    FAR, NEAR, also_over_xsk_rs, assert_all_home, close, collect, drain, linked, near, open, options,
    privileged, send_patterns, until,
};

const PORT: u16 = 6343;
const FLOWS: usize = 64;

#[test]
fn flows_spread_over_the_queues_and_every_packet_comes() {
    privileged("flows_spread_over_the_queues_and_every_packet_comes", || {
        let far = linked(2);
        let mut device = open(Filter::udp_ports([PORT]));
        assert_eq!(device.info().queues, [0, 1]);
        for flow in 0..FLOWS {
            let sender = far.udp(&format!("{FAR}:{}", 30_000 + flow));
            send_patterns(&sender, near(PORT), 0..10, 64);
        }
        collect(device.sockets_mut(), FLOWS * 10);
        let each: Vec<u64> =
            device.sockets().iter().map(|socket| socket.metrics().snapshot().packets).collect();
        assert_eq!(each.iter().sum::<u64>(), FLOWS as u64 * 10);
        assert!(each.iter().all(|&packets| packets > 0), "{each:?}");
        close(device);
    });
}

#[test]
fn two_threads_serve_two_queues() {
    privileged("two_threads_serve_two_queues", || {
        let far = linked(2);
        let mut device = open(Filter::udp_ports([PORT]));
        let sockets = device.take_sockets();
        let pools: Vec<_> = sockets.iter().map(|socket| Arc::clone(socket.pool())).collect();
        let all: Vec<_> = sockets.iter().map(|socket| Arc::clone(socket.metrics())).collect();
        let sum = move || all.iter().map(|metrics| metrics.snapshot().packets).sum::<u64>();
        let total = FLOWS as u64 * 40;
        let workers: Vec<_> = sockets
            .into_iter()
            .map(|mut socket| {
                let sum = sum.clone();
                thread::spawn(move || {
                    until("all packets have come", || {
                        drain(&mut socket);
                        sum() == total
                    });
                    assert_eq!(socket.statistics().unwrap().dropped(), 0);
                })
            })
            .collect();
        for flow in 0..FLOWS {
            let sender = far.udp(&format!("{FAR}:{}", 30_000 + flow));
            for part in 0..4 {
                send_patterns(&sender, near(PORT), part * 10..part * 10 + 10, 64);
                // The rings are shallow in these tests: wait for the workers to keep up.
                let sent = (flow * 40 + part * 10 + 10) as u64;
                until("the workers keep up", || sum() + 100 > sent);
            }
        }
        for worker in workers {
            worker.join().unwrap();
        }
        pools.iter().for_each(|pool| assert_all_home(pool));
        device.close();
    });
}

#[test]
fn a_queue_without_a_socket_goes_to_the_kernel() {
    privileged("a_queue_without_a_socket_goes_to_the_kernel", || {
        let far = linked(2);
        let server = UdpSocket::bind((NEAR, PORT)).unwrap();
        server.set_nonblocking(true).unwrap();
        let one = XdpOptions { queues: Some(vec![1]), ..options(Filter::udp_ports([PORT])) };
        let mut device = XdpDevice::open(&one).unwrap();
        assert!(
            device
                .info()
                .to_string()
                .starts_with("wraith0: 1 of 2 queues, copy, native, 512×2048 B, driver veth")
        );
        for flow in 0..FLOWS {
            let sender = far.udp(&format!("{FAR}:{}", 30_000 + flow));
            send_patterns(&sender, near(PORT), 0..2, 64);
        }
        let (mut ours, mut kernels) = (0, 0);
        until("every packet has come one way or the other", || {
            ours += drain(&mut device.sockets_mut()[0]).len();
            while server.recv(&mut [0; 64]).is_ok() {
                kernels += 1;
            }
            ours + kernels == FLOWS * 2
        });
        assert!(ours > 0 && kernels > 0, "{ours} and {kernels}");
        assert_eq!(device.sockets()[0].queue(), 1);
        close(device);
    });
}

also_over_xsk_rs!(
    flows_spread_over_the_queues_and_every_packet_comes,
    two_threads_serve_two_queues,
    a_queue_without_a_socket_goes_to_the_kernel,
);
