//! What does not come is counted, by reason, once.

use wraith_transport::memory::{Owner, State};
use wraith_transport::xdp::{DropReason, Filter, Received, XdpDevice, XdpOptions, XdpSocket};

use crate::support::{
    FAR, also_over_xsk_rs, close, collect, drain, give_back, ip, linked, near, numbers, options, privileged,
    send_patterns, until,
};

const PORT: u16 = 6343;

#[test]
fn an_empty_fill_ring_drops_counts_and_recovers() {
    privileged("an_empty_fill_ring_drops_counts_and_recovers", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let tight = XdpOptions { frames: Some(16), tx_ring: Some(0), ..options(Filter::udp_ports([PORT])) };
        let mut device = XdpDevice::open(&tight).unwrap();
        let keeper = (State::Lent, Owner::new(9).unwrap());
        send_patterns(&sender, near(PORT), 0..16, 64);
        let socket = &mut device.sockets_mut()[0];
        let mut taken = Vec::new();
        until("all frames are taken", || {
            if let Received::Rows { rows, .. } = socket.receive() {
                for row in 0..rows {
                    taken.push(socket.rows()[row].slot);
                    socket.take(row, keeper).unwrap();
                }
                socket.finish();
            }
            taken.len() == 16
        });
        assert!(matches!(socket.receive(), Received::Starved));
        assert_eq!(socket.with_kernel(), (0, 0));
        send_patterns(&sender, near(PORT), 100..140, 64);
        until("the drops are counted", || {
            let drops = socket.statistics().unwrap().drops();
            drops.first().is_some_and(|drops| drops.frames == 40)
        });
        let drops = socket.statistics().unwrap().drops();
        assert_eq!(drops.len(), 1, "{drops:?}");
        assert_eq!(drops[0].reason, wraith_transport::xdp::DropReason::FillEmpty);
        for slot in taken {
            give_back(socket.pool(), slot, keeper);
        }
        assert!(matches!(socket.receive(), Received::Empty));
        send_patterns(&sender, near(PORT), 200..210, 64);
        let frames = collect(device.sockets_mut(), 10);
        assert_eq!(numbers(&frames, 64), (200..210).collect());
        assert!(device.sockets()[0].metrics().snapshot().starved >= 1);
        close(device);
    });
}

#[test]
fn a_full_rx_ring_drops_counts_and_recovers() {
    privileged("a_full_rx_ring_drops_counts_and_recovers", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let shallow = XdpOptions { rx_ring: Some(16), ..options(Filter::udp_ports([PORT])) };
        let mut device = XdpDevice::open(&shallow).unwrap();
        send_patterns(&sender, near(PORT), 0..50, 64);
        until("the drops are counted", || {
            let kernel = device.sockets()[0].statistics().unwrap();
            assert!(kernel.dropped() <= 34);
            kernel.rx_ring_full == 34 && kernel.dropped() == 34
        });
        assert_eq!(numbers(&collect(device.sockets_mut(), 16), 64), (0..16).collect());
        send_patterns(&sender, near(PORT), 60..70, 64);
        assert_eq!(numbers(&collect(device.sockets_mut(), 10), 64), (60..70).collect());
        close(device);
    });
}

#[test]
fn frames_too_long_for_the_headroom_are_counted() {
    privileged("frames_too_long_for_the_headroom_are_counted", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        // The MTU is looked at when the device is opened; somebody raises it later.
        ip("link set wraith0 mtu 700");
        let roomy = XdpOptions { headroom: 1000, ..options(Filter::udp_ports([PORT])) };
        let mut device = XdpDevice::open(&roomy).unwrap();
        ip("link set wraith0 mtu 1500");
        // 2048 - 256 - 1000 bytes are left: 750 of data fit, 751 do not.
        send_patterns(&sender, near(PORT), 0..3, 751);
        send_patterns(&sender, near(PORT), 3..5, 750);
        assert_eq!(numbers(&collect(device.sockets_mut(), 2), 750), (3..5).collect());
        let drops = device.sockets()[0].statistics().unwrap().drops();
        assert_eq!(drops.len(), 1, "{drops:?}");
        assert_eq!((drops[0].reason, drops[0].frames), (wraith_transport::xdp::DropReason::TooLong, 3));
        close(device);
    });
}

/// Takes rows until there are so many.
fn take(socket: &mut XdpSocket, taken: &mut Vec<u32>, count: usize, holder: (State, Owner)) {
    until("the frames are taken", || {
        if let Received::Rows { rows, .. } = socket.receive() {
            for row in 0..rows {
                taken.push(socket.rows()[row].slot);
                socket.take(row, holder).unwrap();
            }
            socket.finish();
        }
        taken.len() == count
    });
}

#[test]
fn what_was_sent_is_what_came_and_what_was_dropped() {
    privileged("what_was_sent_is_what_came_and_what_was_dropped", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        // As in the test above: the MTU is raised later.
        ip("link set wraith0 mtu 700");
        let tight = XdpOptions {
            frames: Some(64),
            tx_ring: Some(0),
            rx_ring: Some(32),
            headroom: 1000,
            ..options(Filter::udp_ports([PORT]))
        };
        let mut device = XdpDevice::open(&tight).unwrap();
        ip("link set wraith0 mtu 1500");
        let holder = (State::Lent, Owner::new(9).unwrap());
        let socket = &mut device.sockets_mut()[0];
        let (mut sent, mut came, mut taken) = (0, 0, Vec::new());
        for round in 1..=5 {
            let mut send = |count: usize, len| {
                send_patterns(&sender, near(PORT), sent..sent + count, len);
                sent += count;
            };
            // More than the RX ring holds.
            send(50, 64);
            until("they are dropped", || socket.statistics().unwrap().rx_ring_full == round * 18);
            came += drain(socket).len();
            // All frames are taken, and more come.
            for half in [32, 64] {
                send(32, 64);
                take(socket, &mut taken, half, holder);
            }
            send(20, 64);
            until("they are dropped", || socket.statistics().unwrap().rx_fill_ring_empty_descs == round * 20);
            came += taken.len();
            taken.drain(..).for_each(|slot| give_back(socket.pool(), slot, holder));
            assert!(matches!(socket.receive(), Received::Empty));
            // Some are longer than a frame.
            send(5, 751);
            send(10, 750);
            let mut short = 0;
            until("the short ones have come", || {
                short += drain(socket).len();
                short == 10
            });
            came += short;
            let (kernel, ours) = (socket.statistics().unwrap(), socket.metrics().snapshot());
            assert_eq!(ours.packets, came as u64);
            assert_eq!(kernel.rx_dropped, round * 25, "too long, and once more those that found no frame");
            let drops: Vec<_> = kernel.drops().iter().map(|drops| (drops.reason, drops.frames)).collect();
            let wanted = [
                (DropReason::FillEmpty, round * 20),
                (DropReason::RxFull, round * 18),
                (DropReason::TooLong, round * 5),
            ];
            assert_eq!(drops, wanted);
            assert_eq!(sent as u64, ours.packets + kernel.dropped(), "nothing is unaccounted for");
        }
        close(device);
    });
}

#[test]
fn the_smallest_rings_work() {
    privileged("the_smallest_rings_work", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let smallest = XdpOptions {
            frames: Some(XdpOptions::MIN_FRAMES),
            rx_ring: Some(1),
            tx_ring: Some(1),
            batch_size: Some(1),
            ..options(Filter::udp_ports([PORT]))
        };
        let mut device = XdpDevice::open(&smallest).unwrap();
        for number in 0..100 {
            send_patterns(&sender, near(PORT), number..number + 1, 64);
            let frames = collect(device.sockets_mut(), 1);
            assert_eq!(numbers(&frames, 64).first(), Some(&number));
        }
        close(device);
    });
}

also_over_xsk_rs!(
    an_empty_fill_ring_drops_counts_and_recovers,
    a_full_rx_ring_drops_counts_and_recovers,
    frames_too_long_for_the_headroom_are_counted,
    what_was_sent_is_what_came_and_what_was_dropped,
    the_smallest_rings_work,
);
