//! Connected sockets, and what ICMP says about their peers.

use wraith_transport::Code;
use wraith_transport::udp::{Sent, UdpOptions};

use crate::support::{BACKENDS, Rig, bind, in_namespace, ip, linked, run, sender, wait, with};

#[test]
fn a_refused_peer_is_counted_and_its_later_packets_still_arrive() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        // Not a port that the kernel would give to another test.
        let address: std::net::SocketAddr = "127.77.0.2:2077".parse().unwrap();
        rig.socket.connect(address).unwrap();
        // The port is closed: the kernel answers with ICMP, and reports it on the next call, send or receive.
        for _ in 0..20 {
            assert_eq!(rig.socket.send(b"anybody there?", None).unwrap(), Sent::Done);
        }
        assert!(rig.drain().is_empty());
        let counted = rig.counters();
        assert!(counted.icmp_errors >= 19, "{counted:?}");
        assert_eq!((counted.sent, counted.send_errors), (20, 0));
        assert_eq!(rig.socket.take_error(), None);
        // A child process of another test may hold the last round's socket until it calls exec.
        let peer = (0..100_000).find_map(|_| std::net::UdpSocket::bind(address).ok()).unwrap();
        peer.send_to(b"now I am", rig.address()).unwrap();
        assert_eq!(rig.collect(1)[0].bytes, b"now I am");
        assert_eq!(rig.socket.send(b"good", None).unwrap(), Sent::Done);
        let mut bytes = [0; 8];
        assert_eq!(peer.recv(&mut bytes).unwrap(), 4);
    }
}

#[test]
fn the_pending_error_can_be_taken_instead() {
    let socket = bind("127.0.0.1:0");
    let closed = "127.77.0.3:2077".parse().unwrap();
    socket.connect(closed).unwrap();
    socket.send(b"anybody there?", None).unwrap();
    wait(socket.fd(), libc::POLLERR);
    assert_eq!(socket.take_error(), Some(libc::ECONNREFUSED));
    assert_eq!(socket.take_error(), None);
    assert_eq!(socket.metrics().snapshot().icmp_errors, 1);
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        let peer = sender("127.0.0.1:0");
        let stranger = sender("127.0.0.1:0");
        let here = rig.address();
        rig.socket.connect(peer.local_addr().unwrap()).unwrap();
        assert_eq!(rig.socket.peer_addr().unwrap(), peer.local_addr().unwrap());
        stranger.send_to(b"stranger", here).unwrap();
        peer.send_to(b"peer", here).unwrap();
        assert_eq!(rig.collect(1)[0].bytes, b"peer");
        rig.socket.disconnect().unwrap();
        stranger.send_to(b"stranger", here).unwrap();
        assert_eq!(rig.collect(1)[0].bytes, b"stranger");
    }
}

#[test]
fn connecting_and_disconnecting_keep_to_their_order() {
    let socket = bind("127.0.0.1:0");
    let peer = bind("127.0.0.1:0").local_addr().unwrap();
    assert_eq!(socket.disconnect().unwrap_err().code(), Code::NotConnected);
    assert_eq!(socket.peer_addr().unwrap_err().code(), Code::NotConnected);
    assert_eq!(socket.send(b"x", None).unwrap_err().code(), Code::NotConnected);
    socket.connect(peer).unwrap();
    assert_eq!(socket.connect(peer).unwrap_err().code(), Code::AlreadyConnected);
    assert_eq!(socket.send_to(b"x", peer).unwrap_err().code(), Code::AlreadyConnected);
    socket.disconnect().unwrap();
    assert!(!socket.is_connected());
    socket.connect(peer).unwrap();
    socket.disconnect().unwrap();
    assert_eq!(socket.send_to(b"x", peer).unwrap(), Sent::Done);
}

#[test]
fn a_socket_keeps_its_address_over_connect_and_disconnect() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
        let socket = bind(address);
        let before = socket.local_addr().unwrap();
        let peer = bind(if before.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        socket.connect(peer.local_addr().unwrap()).unwrap();
        assert_eq!(socket.local_addr().unwrap().port(), before.port());
        socket.disconnect().unwrap();
        assert_eq!(socket.local_addr().unwrap(), before, "{address}");
    }
}

#[test]
fn no_route_is_the_sends_own_error_and_the_socket_lives_on() {
    in_namespace("no_route_is_the_sends_own_error_and_the_socket_lives_on", || {
        for backend in BACKENDS {
            let mut rig = Rig::new(&UdpOptions::at("0.0.0.0:0".parse().unwrap()), 512, 16, &with(backend));
            let far = "192.0.2.1:9".parse().unwrap();
            for error in [rig.socket.send_to(b"x", far).unwrap_err(), rig.socket.connect(far).unwrap_err()] {
                assert_eq!((error.code(), error.errno()), (Code::System, Some(libc::ENETUNREACH)));
            }
            let counters = rig.counters();
            assert_eq!((counters.send_errors, counters.icmp_errors, counters.sent), (1, 0, 0));
            assert!(!rig.socket.is_connected());
            let to = format!("127.0.0.1:{}", rig.address().port()).parse().unwrap();
            assert_eq!(rig.socket.send_to(b"to myself", to).unwrap(), Sent::Done);
            assert_eq!(rig.collect(1)[0].bytes, b"to myself");
        }
    });
}

#[test]
fn a_router_that_forbids_is_counted_and_not_fatal() {
    for backend in BACKENDS {
        // A namespace each: a router sends one peer only a few ICMP errors a second.
        in_namespace("a_router_that_forbids_is_counted_and_not_fatal", move || {
            let ((), _far) = linked(|| {
                run("sysctl", "-q -w net.ipv4.ip_forward=1");
                // The router answers with ICMP 3/13, which the kernel reports as EHOSTUNREACH.
                ip("route add prohibit 203.0.113.0/24");
            });
            ip("route add 203.0.113.0/24 via 198.51.100.2");
            let here = UdpOptions::at("198.51.100.1:0".parse().unwrap());
            let mut rig = Rig::new(&here, 512, 16, &with(backend));
            rig.socket.connect("203.0.113.9:9".parse().unwrap()).unwrap();
            assert_eq!(rig.socket.send(b"may I?", None).unwrap(), Sent::Done);
            wait(rig.socket.fd(), libc::POLLERR);
            // Reported by the next send, which is sent all the same.
            assert_eq!(rig.socket.send(b"may I now?", None).unwrap(), Sent::Done);
            assert_eq!(rig.counters().icmp_errors, 1);
            wait(rig.socket.fd(), libc::POLLERR);
            // Or by the next receive.
            assert!(rig.drain().is_empty());
            assert_eq!((rig.counters().icmp_errors, rig.counters().send_errors), (2, 0));
        });
    }
}
