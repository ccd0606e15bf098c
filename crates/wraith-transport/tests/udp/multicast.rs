//! Multicast and broadcast, each with packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wraith_transport::Code;
use wraith_transport::udp::{Family, Interface, ReceiverOptions, Sent, UdpOptions, UdpSocket};

use crate::support::{BACKENDS, Rig, any, bind, in_namespace, ip, wait_for_path, with};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

fn on_lo() -> Interface {
    Interface::Address(Ipv4Addr::LOCALHOST)
}

/// A socket that sends multicast out of loopback.
fn lo_sender(address: &str) -> std::sync::Arc<UdpSocket> {
    let socket = bind(address);
    socket.set_multicast_interface(on_lo()).unwrap();
    socket.set_multicast_loopback(true).unwrap();
    socket.set_multicast_ttl(1).unwrap();
    socket
}

fn bytes(rig: &mut Rig, count: usize) -> Vec<Vec<u8>> {
    rig.collect(count).into_iter().map(|packet| packet.bytes).collect()
}

#[test]
fn a_member_hears_its_group_until_it_leaves() {
    in_namespace("a_member_hears_its_group_until_it_leaves", || {
        for backend in BACKENDS {
            let mut rig = Rig::new(&any(Family::V4), 512, 64, &with(backend));
            let port = rig.address().port();
            let from = lo_sender("127.0.0.1:0");
            let group = SocketAddr::from((GROUP, port));
            let direct = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            // A direct packet after each group packet shows that the group packet had its chance.
            from.send_to(b"early", group).unwrap();
            from.send_to(b"direct", direct).unwrap();
            assert_eq!(bytes(&mut rig, 1), [b"direct"]);
            rig.socket.join(GROUP.into(), on_lo()).unwrap();
            let twice = rig.socket.join(GROUP.into(), on_lo()).unwrap_err();
            assert_eq!(twice.code(), Code::AddressInUse);
            assert!(twice.message().ends_with("Go on: the group is joined already."), "{twice}");
            from.send_to(b"member", group).unwrap();
            from.send_to(b"direct", direct).unwrap();
            assert_eq!(bytes(&mut rig, 2), [&b"member"[..], b"direct"]);
            rig.socket.leave(GROUP.into(), on_lo()).unwrap();
            let again = rig.socket.leave(GROUP.into(), on_lo()).unwrap_err();
            assert_eq!(again.code(), Code::AddressNotAvailable);
            rig.socket.join(GROUP.into(), Interface::Index(1)).unwrap();
            from.send_to(b"by index", group).unwrap();
            assert_eq!(bytes(&mut rig, 1), [b"by index"]);
            rig.socket.leave(GROUP.into(), Interface::Index(1)).unwrap();
            // Linux gives what any socket of this machine joined, unless IP_MULTICAST_ALL says otherwise; here
            // nobody is left.
            from.send_to(b"late", group).unwrap();
            from.send_to(b"direct", direct).unwrap();
            assert_eq!(bytes(&mut rig, 1), [b"direct"]);
            assert!(rig.drain().is_empty());
        }
    });
}

#[test]
fn a_member_of_a_source_hears_that_source_only() {
    in_namespace("a_member_of_a_source_hears_that_source_only", || {
        for backend in BACKENDS {
            let mut rig = Rig::new(&any(Family::V4), 512, 64, &with(backend));
            let group = SocketAddr::from((GROUP, rig.address().port()));
            let (wanted, other) = (lo_sender("127.0.0.2:0"), lo_sender("127.0.0.3:0"));
            let source: IpAddr = [127, 0, 0, 2].into();
            rig.socket.join_source(source, GROUP.into(), on_lo()).unwrap();
            other.send_to(b"other", group).unwrap();
            wanted.send_to(b"wanted", group).unwrap();
            assert_eq!(bytes(&mut rig, 1), [b"wanted"]);
            rig.socket.leave_source(source, GROUP.into(), on_lo()).unwrap();
            assert!(rig.socket.leave_source(source, GROUP.into(), on_lo()).is_err());
            wanted.send_to(b"late", group).unwrap();
            wanted.send_to(b"direct", (Ipv4Addr::LOCALHOST, group.port()).into()).unwrap();
            assert_eq!(bytes(&mut rig, 1), [b"direct"]);
        }
    });
}

#[test]
fn ipv6_groups_are_joined_by_interface() {
    in_namespace("ipv6_groups_are_joined_by_interface", || {
        ip("link add wraith0 type veth peer name wraith1");
        ip("link set wraith0 up");
        ip("link set wraith1 up");
        ip("-6 addr add fe80::1:1/64 dev wraith0 nodad");
        let interface = Interface::parse("::%wraith0", Family::V6).unwrap();
        let Interface::Index(index) = interface else { panic!("{interface:?}") };
        wait_for_path(&format!("[fe80::1:1%{index}]:0"), None);
        let group: Ipv6Addr = "ff12::1234".parse().unwrap();
        let mut rig = Rig::new(&any(Family::V6), 512, 64, &ReceiverOptions::default());
        let port = rig.address().port();
        let from = UdpSocket::bind(&UdpOptions::at(
            std::net::SocketAddrV6::new("fe80::1:1".parse().unwrap(), 0, 0, index).into(),
        ))
        .unwrap();
        from.set_multicast_interface(interface).unwrap();
        from.set_multicast_loopback(true).unwrap();
        from.set_multicast_ttl(1).unwrap();
        from.set_ttl(64).unwrap();
        let to = SocketAddr::from((group, port));
        rig.socket.join(group.into(), interface).unwrap();
        assert!(rig.socket.join(group.into(), interface).is_err());
        from.send_to(b"six", to).unwrap();
        assert_eq!(bytes(&mut rig, 1), [b"six"]);
        rig.socket.leave(group.into(), interface).unwrap();
        rig.socket.join_source("fe80::1:1".parse().unwrap(), group.into(), interface).unwrap();
        from.send_to(b"source", to).unwrap();
        assert_eq!(bytes(&mut rig, 1), [b"source"]);
        rig.socket.leave_source("fe80::1:1".parse().unwrap(), group.into(), interface).unwrap();
        let nowhere = Interface::Index(9999);
        let refused = rig.socket.join(group.into(), nowhere).unwrap_err();
        assert_eq!(refused.code(), Code::AddressNotAvailable);
    });
}

#[test]
fn what_is_no_group_of_the_family_is_refused() {
    let socket = bind("127.0.0.1:0");
    let six = bind("[::1]:0");
    let group6: IpAddr = "ff02::1".parse().unwrap();
    let cases = [
        socket.join([10, 0, 0, 1].into(), Interface::Default),
        socket.join(group6, Interface::Default),
        six.join(GROUP.into(), Interface::Index(1)),
        six.join(group6, on_lo()),
        socket.join_source("::1".parse().unwrap(), GROUP.into(), Interface::Default),
        socket.join_source([127, 0, 0, 1].into(), [127, 0, 0, 1].into(), Interface::Default),
        socket.join_source([127, 0, 0, 1].into(), GROUP.into(), Interface::Index(1)),
        six.set_multicast_interface(on_lo()),
    ];
    for (index, case) in cases.into_iter().enumerate() {
        assert_eq!(case.unwrap_err().code(), Code::InvalidAddress, "case {index}");
    }
    let nowhere = Interface::Address([203, 0, 113, 77].into());
    assert_eq!(socket.set_multicast_interface(nowhere).unwrap_err().code(), Code::AddressNotAvailable);
    assert_eq!(socket.join(GROUP.into(), nowhere).unwrap_err().code(), Code::AddressNotAvailable);
}

#[test]
fn hops_outside_of_their_range_are_refused() {
    for socket in [bind("127.0.0.1:0"), bind("[::1]:0")] {
        assert_eq!(socket.set_ttl(0).unwrap_err().code(), Code::OutOfRange);
        assert_eq!(socket.set_ttl(256).unwrap_err().code(), Code::OutOfRange);
        assert_eq!(socket.set_multicast_ttl(256).unwrap_err().code(), Code::OutOfRange);
        for ttl in [1, 255] {
            socket.set_ttl(ttl).unwrap();
            socket.set_multicast_ttl(ttl).unwrap();
        }
        socket.set_multicast_ttl(0).unwrap();
        socket.set_multicast_loopback(false).unwrap();
    }
}

#[test]
fn broadcast_needs_to_be_switched_on() {
    in_namespace("broadcast_needs_to_be_switched_on", || {
        ip("link add wraith0 type veth peer name wraith1");
        ip("addr add 198.51.100.1/24 broadcast 198.51.100.255 dev wraith0");
        ip("link set wraith1 up");
        ip("link set wraith0 up");
        let mut rig = Rig::new(&any(Family::V4), 512, 64, &ReceiverOptions::default());
        let to = SocketAddr::from(([198, 51, 100, 255], rig.address().port()));
        let from = bind("198.51.100.1:0");
        assert_eq!(from.send_to(b"x", to).unwrap_err().code(), Code::Permission);
        from.set_broadcast(true).unwrap();
        assert_eq!(from.send_to(b"all", to).unwrap(), Sent::Done);
        assert_eq!(bytes(&mut rig, 1), [b"all"]);
        from.set_broadcast(false).unwrap();
        assert!(from.send_to(b"x", to).is_err());
    });
}

#[test]
fn too_many_memberships_are_a_system_error() {
    let socket = bind("127.0.0.1:0");
    let refused = (0..=255_u8)
        .flat_map(|high| (0..=255_u8).map(move |low| Ipv4Addr::new(239, 9, high, low)))
        .take(10_000)
        .find_map(|group| socket.join(group.into(), on_lo()).err())
        .unwrap();
    assert_eq!((refused.code(), refused.errno()), (Code::System, Some(libc::ENOBUFS)));
}
