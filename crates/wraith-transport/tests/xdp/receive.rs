//! What normal senders send is what comes, and the rest of the network does not notice.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::FromRawFd;
use std::time::Duration;

use wraith_transport::Code;
use wraith_transport::memory::{Owner, State};
use wraith_transport::xdp::{
    Attach, BusyPoll, Filter, Mode, Received, Select, Verdict, XdpDevice, XdpOptions, test_filter,
};

use crate::frames::{MAC_A, MAC_B, checksum};
use crate::support::{
    FAR, FAR6, NEAR, NEAR6, also_over_xsk_rs, assert_all_home, bytes, close, collect, drain, far, give_back,
    ip, linked, near, numbers, open, options, pattern, payload, privileged, send_patterns, wait,
};

const PORT: u16 = 6343;

#[test]
fn every_packet_of_a_normal_sender_comes_once_and_whole() {
    privileged("every_packet_of_a_normal_sender_comes_once_and_whole", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        for mode in [Mode::Auto, Mode::Copy, Mode::Generic] {
            let mut device =
                XdpDevice::open(&XdpOptions { mode, ..options(Filter::udp_ports([PORT])) }).unwrap();
            let attach = if mode == Mode::Generic { Attach::Generic } else { Attach::Native };
            assert_eq!((device.info().attach, device.info().zero_copy), (attach, false));
            for (round, len) in [(0, 4), (1, 18), (2, 64), (3, 1000), (4, 1472)] {
                // Fewer than there are frames, so that none may be lost; often enough to go round all rings.
                for part in 0..5 {
                    let from = (round * 5 + part) * 300;
                    send_patterns(&sender, near(PORT), from..from + 300, len);
                    let frames = collect(device.sockets_mut(), 300);
                    assert_eq!(numbers(&frames, len), (from..from + 300).collect());
                    for frame in &frames {
                        assert_eq!(
                            (frame[..6].to_vec(), frame[6..12].to_vec()),
                            (MAC_A.to_vec(), MAC_B.to_vec())
                        );
                    }
                }
            }
            let socket = &device.sockets()[0];
            let counters = socket.metrics().snapshot();
            assert_eq!((counters.packets, counters.starved), (7500, 0));
            assert_eq!(socket.statistics().unwrap().dropped(), 0);
            close(device);
        }
    });
}

#[test]
fn epoll_wakes_for_frames_and_busy_polling_works() {
    privileged("epoll_wakes_for_frames_and_busy_polling_works", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        for busy_poll in [None, Some(BusyPoll { usecs: 20, budget: 64 })] {
            let options = XdpOptions { busy_poll, ..options(Filter::udp_ports([PORT])) };
            let mut device = XdpDevice::open(&options).unwrap();
            for round in 0..20 {
                send_patterns(&sender, near(PORT), round..round + 1, 100);
                let socket = &mut device.sockets_mut()[0];
                assert_eq!(wait(socket.fd(), libc::POLLIN), libc::POLLIN);
                assert_eq!(numbers(&drain(socket), 100), BTreeSet::from([round]));
            }
            let kicks = device.sockets()[0].metrics().snapshot().receive_kicks;
            assert_eq!(kicks > 0, busy_poll.is_some(), "{kicks}");
            close(device);
        }
    });
}

#[test]
fn larger_frames_and_headroom_are_where_they_should_be() {
    privileged("larger_frames_and_headroom_are_where_they_should_be", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        for (frame_size, headroom) in [(2048, 0), (2048, 256), (4096, 0), (4096, 1000)] {
            let options = XdpOptions { frame_size, headroom, ..options(Filter::udp_ports([PORT])) };
            let mut device = XdpDevice::open(&options).unwrap();
            send_patterns(&sender, near(PORT), 0..100, 1400);
            wait(device.sockets()[0].fd(), libc::POLLIN);
            let socket = &mut device.sockets_mut()[0];
            assert!(matches!(socket.receive(), Received::Rows { .. }));
            for row in socket.rows() {
                assert_eq!(row.offset - row.slot * frame_size, 256 + headroom);
            }
            socket.finish();
            close(device);
        }
    });
}

#[test]
fn batches_are_as_large_as_asked_and_end_once() {
    privileged("batches_are_as_large_as_asked_and_end_once", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let options = XdpOptions { batch_size: Some(8), ..options(Filter::udp_ports([PORT])) };
        let mut device = XdpDevice::open(&options).unwrap();
        send_patterns(&sender, near(PORT), 0..20, 64);
        let socket = &mut device.sockets_mut()[0];
        let mut got = Vec::new();
        while got.len() < 20 {
            match socket.receive() {
                Received::Rows { rows, more } => {
                    assert_eq!(more, rows == 8);
                    assert!(rows <= 8);
                    assert!(matches!(socket.receive(), Received::Failed(e) if e.code() == Code::Internal));
                    got.extend((0..rows).map(|row| bytes(socket, row)));
                    let audit = socket.pool().audit();
                    assert_eq!(audit.lent as usize, rows);
                    socket.finish();
                    socket.finish();
                    assert_eq!(socket.pool().audit().lent, 0);
                }
                Received::Empty => drop(wait(socket.fd(), libc::POLLIN)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(numbers(&got, 64), (0..20).collect());
        close(device);
    });
}

#[test]
fn a_taken_slot_outlives_its_batch_and_the_device() {
    privileged("a_taken_slot_outlives_its_batch_and_the_device", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let mut device = open(Filter::udp_ports([PORT]));
        let keeper = (State::Lent, Owner::new(9).unwrap());
        send_patterns(&sender, near(PORT), 7..8, 200);
        let socket = &mut device.sockets_mut()[0];
        wait(socket.fd(), libc::POLLIN);
        assert!(matches!(socket.receive(), Received::Rows { rows: 1, .. }));
        let row = socket.rows()[0];
        socket.take(0, keeper).unwrap();
        assert_eq!(socket.take(0, keeper).unwrap_err().code(), Code::StaleBuffer);
        assert_eq!(socket.take(1, keeper).unwrap_err().code(), Code::OutOfRange);
        socket.finish();
        let pool = std::sync::Arc::clone(socket.pool());
        // Many more packets never go where it lies.
        for round in 0..4 {
            send_patterns(&sender, near(PORT), round * 300..round * 300 + 300, 200);
            collect(device.sockets_mut(), 300);
        }
        let read = |pool: &wraith_transport::pool::PoolCore| {
            let mut bytes = vec![0; row.length as usize];
            let at = pool.slab().base();
            // SAFETY: the slot is this test's.
            unsafe { at.add(row.offset as usize).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
            bytes
        };
        assert_eq!(payload(&read(&pool)), pattern(7, 200));
        device.close();
        assert_eq!(payload(&read(&pool)), pattern(7, 200));
        give_back(&pool, row.slot, keeper);
        assert_all_home(&pool);
    });
}

#[test]
fn the_rest_of_the_network_does_not_notice() {
    privileged("the_rest_of_the_network_does_not_notice", || {
        let remote = linked(2);
        for filter in [Filter::udp_ports([PORT]), Filter::all()] {
            let all = filter.select == Select::All;
            let mut device = open(filter);
            // ARP and neighbour discovery start anew.
            ip("neigh flush all");
            remote.run(|| ip("neigh flush all"));
            // SSH's port, over TCP, both ways.
            let server = TcpListener::bind((NEAR, 22)).unwrap();
            remote.run(|| drop(TcpStream::connect_timeout(&near(22), Duration::from_secs(5)).unwrap()));
            drop(server.accept().unwrap());
            let server = remote.run(|| TcpListener::bind((FAR, 22)).unwrap());
            drop(TcpStream::connect_timeout(&far(22), Duration::from_secs(5)).unwrap());
            drop(server);
            // A DNS reply: from port 53 to any port.
            let resolver = remote.udp(&format!("{FAR}:53"));
            let client = UdpSocket::bind((NEAR, 0)).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            client.send_to(b"query", (FAR, 53)).unwrap();
            let (_, from) = resolver.recv_from(&mut [0; 16]).unwrap();
            resolver.send_to(b"reply", from).unwrap();
            assert_eq!(client.recv(&mut [0; 16]).unwrap(), 5);
            if !all {
                for (address, six) in [(FAR, false), (FAR6, true)] {
                    assert!(ping(address, six), "ping {address}");
                }
                // Another port.
                let server = UdpSocket::bind((NEAR, PORT + 1)).unwrap();
                server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let sender = remote.udp(&format!("{FAR}:0"));
                send_patterns(&sender, near(PORT + 1), 0..100, 64);
                for number in 0..100 {
                    let mut data = [0; 64];
                    assert_eq!(server.recv(&mut data).unwrap(), 64);
                    assert_eq!(data[..], pattern(number, 64));
                }
                let sender = remote.udp(&format!("[{FAR6}]:0"));
                let six = UdpSocket::bind((NEAR6, PORT + 1)).unwrap();
                six.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                sender.send_to(b"six", (NEAR6, PORT + 1)).unwrap();
                assert_eq!(six.recv(&mut [0; 16]).unwrap(), 3);
                assert!(device.sockets_mut().iter_mut().all(|socket| drain(socket).is_empty()));
            } else {
                let frames: Vec<_> = device.sockets_mut().iter_mut().flat_map(drain).collect();
                for frame in frames {
                    // Only what the filter takes by its own word.
                    assert_eq!(test_filter(&Filter::all(), &frame).unwrap(), Verdict::Socket);
                }
            }
            close(device);
        }
    });
}

/// One echo request from a raw socket, and its answer.
fn ping(to: &str, six: bool) -> bool {
    let (family, protocol) =
        if six { (libc::AF_INET6, libc::IPPROTO_ICMPV6) } else { (libc::AF_INET, libc::IPPROTO_ICMP) };
    // SAFETY: takes numbers; the descriptor is new and given to the one owner.
    let socket = unsafe {
        let fd = libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        UdpSocket::from_raw_fd(fd)
    };
    socket.connect((to, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut echo = vec![if six { 128 } else { 8 }, 0, 0, 0, 0, 1, 0, 1];
    if !six {
        let check = checksum(&[&echo]).to_be_bytes();
        echo[2..4].copy_from_slice(&check);
    }
    socket.send(&echo).unwrap();
    let mut answer = [0; 128];
    // ICMPv6 sockets also see neighbour discovery; IPv4 ones begin with the IP header.
    let (start, reply) = if six { (0, 129) } else { (20, 0) };
    (0..8).any(|_| socket.recv(&mut answer).is_ok_and(|got| got > start && answer[start] == reply))
}

also_over_xsk_rs!(
    every_packet_of_a_normal_sender_comes_once_and_whole,
    epoll_wakes_for_frames_and_busy_polling_works,
    larger_frames_and_headroom_are_where_they_should_be,
    batches_are_as_large_as_asked_and_end_once,
    a_taken_slot_outlives_its_batch_and_the_device,
    the_rest_of_the_network_does_not_notice,
);
