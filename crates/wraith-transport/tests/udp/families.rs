//! IPv4, IPv6, both on one socket, and scopes.

use std::net::{SocketAddr, SocketAddrV6};

use wraith_transport::Code;
use wraith_transport::udp::{Family, Interface, Sent, UdpOptions, UdpSocket, parse_address};

use crate::support::{
    BACKENDS, Rig, any, in_namespace, ip, loopback6, pattern, run, sender, wait_for_path, with,
};

#[test]
fn an_ipv6_socket_sees_ipv6_peers() {
    for backend in BACKENDS {
        let mut rig = Rig::new(&loopback6(), 2048, 128, &with(backend));
        let from = sender("[::1]:0");
        from.send_to(&pattern(1, 700), rig.address()).unwrap();
        let got = &rig.collect(1)[0];
        assert_eq!((got.from, &got.bytes), (from.local_addr().unwrap(), &pattern(1, 700)));
    }
}

#[test]
fn a_dual_stack_socket_sees_ipv4_peers_mapped_and_answers_them() {
    for backend in BACKENDS {
        let mut rig = Rig::new(&any(Family::V6), 2048, 128, &with(backend));
        let port = rig.address().port();
        let (v4, v6) = (sender("127.0.0.1:0"), sender("[::1]:0"));
        v4.send_to(b"four", ("127.0.0.1", port)).unwrap();
        v6.send_to(b"six", ("::1", port)).unwrap();
        let got = rig.collect(2);
        let mapped = format!("[::ffff:127.0.0.1]:{}", v4.local_addr().unwrap().port());
        assert_eq!(got[0].from.to_string(), mapped);
        assert_eq!(got[1].from, v6.local_addr().unwrap());
        // To the mapped address as it came, and to the plain one.
        assert_eq!(rig.socket.send_to(b"back", got[0].from).unwrap(), Sent::Done);
        assert_eq!(rig.socket.send_to(b"again", v4.local_addr().unwrap()).unwrap(), Sent::Done);
        let mut bytes = [0; 8];
        assert_eq!(v4.recv(&mut bytes).unwrap(), 4);
        assert_eq!(v4.recv(&mut bytes).unwrap(), 5);
    }
}

#[test]
fn an_ipv6_only_socket_leaves_the_port_to_ipv4() {
    let udp = UdpOptions { ipv6_only: true, ..any(Family::V6) };
    let six = UdpSocket::bind(&udp).unwrap();
    let port = six.local_addr().unwrap().port();
    let four = UdpSocket::bind(&UdpOptions::at(SocketAddr::from(([0, 0, 0, 0], port)))).unwrap();
    let to = "127.0.0.1:9".parse().unwrap();
    assert_eq!(six.send_to(b"x", to).unwrap_err().code(), Code::InvalidAddress);
    assert_eq!(four.send_to(b"x", "[::1]:9".parse().unwrap()).unwrap_err().code(), Code::InvalidAddress);
    let raw = wraith_transport::udp::SockAddr::from(to);
    assert_eq!(six.send(b"x", Some(&raw)).unwrap_err().code(), Code::InvalidAddress);
}

#[test]
fn link_local_peers_carry_their_scope() {
    in_namespace("link_local_peers_carry_their_scope", || {
        ip("link add wraith0 type veth peer name wraith1");
        run("sysctl", "-q -w net.ipv6.conf.wraith0.accept_dad=0 net.ipv6.conf.wraith1.accept_dad=0");
        ip("link set wraith0 up");
        ip("link set wraith1 up");
        ip("-6 addr add fe80::1:1/64 dev wraith0 nodad");
        let here = parse_address("fe80::1:1%wraith0", 0, Family::V6).unwrap();
        let SocketAddr::V6(v6) = here else { panic!("{here}") };
        assert_ne!(v6.scope_id(), 0);
        wait_for_path(&here.to_string(), None);
        for backend in BACKENDS {
            let mut rig = Rig::new(&UdpOptions::at(here), 2048, 64, &with(backend));
            let from = UdpSocket::bind(&UdpOptions::at(here)).unwrap();
            from.send_to(b"scoped", rig.address()).unwrap();
            let got = &rig.collect(1)[0];
            let SocketAddr::V6(peer) = got.from else { panic!("{}", got.from) };
            let expected = SocketAddrV6::new(*v6.ip(), from.local_addr().unwrap().port(), 0, v6.scope_id());
            assert_eq!(peer, expected);
            // The scope is part of the answer's address: without it there is no route.
            assert_eq!(rig.socket.send_to(b"back", got.from).unwrap(), Sent::Done);
        }
        let lo = Interface::parse("::%lo", Family::V6).unwrap();
        assert_eq!(lo, Interface::Index(1));
    });
}
