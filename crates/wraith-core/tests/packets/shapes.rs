//! What each shape of packet gives, field by field.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wraith_core::frames::packet::{Packet, PacketStatus, flags, flow_hash, fold_ipv6, ipv6_addresses, parse};

use crate::support::{C_TAG, Random, S_TAG, ethernet, extension, fragment, icmp, ipv4, ipv6, tcp, udp};

const LINK: Packet = Packet {
    status: PacketStatus::Ok,
    flags: 0,
    ethertype: 0x0800,
    vlan: 0,
    vlan_inner: 0,
    l3_offset: 14,
    l4_offset: 34,
    protocol: 17,
    source: 0x0A01_0203,
    destination: 0xC0A8_0405,
    source_port: 0x1234,
    destination_port: 53,
    payload_offset: 42,
    payload_length: 9,
    hash: 0,
};

/// IPv4 with known addresses.
fn known_ipv4(options: usize, field: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = ipv4(&mut Random(1), options, field, protocol, payload);
    header[12..20].copy_from_slice(&[10, 1, 2, 3, 192, 168, 4, 5]);
    header
}

/// UDP from port 0x1234 to 53.
fn known_udp(payload: usize) -> Vec<u8> {
    let mut header = udp(&mut Random(2), payload);
    header[..4].copy_from_slice(&[0x12, 0x34, 0, 53]);
    header
}

#[test]
fn udp_over_ipv4() {
    let packet = ethernet(&[], 0x0800, &known_ipv4(0, 0x4000, 17, &known_udp(9)));
    let hash = flow_hash(0x0A01_0203, 0xC0A8_0405, 0x1234, 53, 17);
    assert_eq!(parse(&packet), Ok(Packet { flags: flags::IPV4, hash, ..LINK }));
    let addresses = (IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)), IpAddr::V4(Ipv4Addr::new(192, 168, 4, 5)));
    assert_eq!(parse(&packet).unwrap().addresses(&packet), Some(addresses));
}

#[test]
fn padding_behind_the_ip_packet_is_no_payload() {
    let mut packet = ethernet(&[], 0x0800, &known_ipv4(0, 0, 17, &known_udp(9)));
    packet.resize(60, 0);
    assert_eq!(parse(&packet).unwrap().payload_length, 9);
}

#[test]
fn a_udp_length_below_what_ip_carries_ends_the_payload() {
    let mut carried = known_udp(9);
    carried.extend([0; 7]);
    let packet = ethernet(&[], 0x0800, &known_ipv4(0, 0, 17, &carried));
    assert_eq!(parse(&packet).unwrap().payload_length, 9);
}

#[test]
fn tcp_over_ipv4_with_options_in_both_under_one_tag() {
    let mut segment = tcp(&mut Random(3), 12, 100);
    segment[..4].copy_from_slice(&[0x12, 0x34, 0, 53]);
    let packet = ethernet(&[(C_TAG, 0xE123)], 0x0800, &known_ipv4(8, 0x4000, 6, &segment));
    let expected = Packet {
        flags: flags::IPV4 | flags::VLAN | flags::OPTIONS,
        vlan: 0xE123,
        l3_offset: 18,
        l4_offset: 46,
        protocol: 6,
        payload_offset: 78,
        payload_length: 100,
        hash: flow_hash(0x0A01_0203, 0xC0A8_0405, 0x1234, 53, 6),
        ..LINK
    };
    assert_eq!(parse(&packet), Ok(expected));
}

#[test]
fn two_tags_of_any_kind() {
    for outer in [S_TAG, C_TAG, 0x9100] {
        let packet =
            ethernet(&[(outer, 0x0064), (C_TAG, 0x20C8)], 0x0800, &known_ipv4(0, 0, 17, &known_udp(9)));
        let packet = parse(&packet).unwrap();
        assert_eq!(packet.flags, flags::IPV4 | flags::VLAN | flags::VLAN_INNER);
        assert_eq!((packet.vlan, packet.vlan_inner, packet.l3_offset), (0x0064, 0x20C8, 22));
    }
}

#[test]
fn icmp_has_no_ports_and_its_payload_is_behind_eight_bytes() {
    let packet = parse(&ethernet(&[], 0x0800, &known_ipv4(0, 0, 1, &icmp(&mut Random(4), 56)))).unwrap();
    assert_eq!((packet.source_port, packet.destination_port), (0, 0));
    assert_eq!((packet.payload_offset, packet.payload_length), (42, 56));
    assert_eq!(packet.hash, flow_hash(0x0A01_0203, 0xC0A8_0405, 0, 0, 1));
}

#[test]
fn other_protocols_are_all_payload() {
    for (protocol, version) in [(47, 4), (50, 4), (58, 4), (51, 4), (50, 6), (1, 6), (59, 6), (89, 6)] {
        let carried = [7; 24];
        let packet = match version {
            4 => ethernet(&[], 0x0800, &known_ipv4(0, 0, protocol, &carried)),
            _ => ethernet(&[], 0x86DD, &ipv6(&mut Random(5), protocol, &carried)),
        };
        let packet = parse(&packet).unwrap();
        assert_eq!((packet.status, packet.protocol), (PacketStatus::Ok, protocol));
        assert_eq!((packet.payload_offset, packet.payload_length), (u32::from(packet.l4_offset), 24));
        assert_eq!((packet.source_port, packet.destination_port), (0, 0));
    }
}

#[test]
fn a_first_fragment_has_ports_and_what_is_there_of_the_payload() {
    let mut carried = known_udp(8);
    carried[4..6].copy_from_slice(&1400_u16.to_be_bytes());
    let packet = parse(&ethernet(&[], 0x0800, &known_ipv4(0, 0x2000, 17, &carried))).unwrap();
    assert_eq!(packet.flags, flags::IPV4 | flags::FRAGMENT);
    assert_eq!((packet.source_port, packet.destination_port, packet.payload_length), (0x1234, 53, 8));
}

#[test]
fn a_later_fragment_is_all_payload() {
    let packet = parse(&ethernet(&[], 0x0800, &known_ipv4(0, 0x0001, 6, &[9; 5]))).unwrap();
    assert_eq!(packet.flags, flags::IPV4 | flags::FRAGMENT | flags::LATER_FRAGMENT);
    assert_eq!(
        (packet.source_port, packet.l4_offset, packet.payload_offset, packet.payload_length),
        (0, 34, 34, 5)
    );
}

#[test]
fn udp_over_ipv6_keeps_its_addresses_in_the_packet() {
    let bytes = ethernet(&[], 0x86DD, &ipv6(&mut Random(6), 17, &known_udp(9)));
    let (source, destination): (Ipv6Addr, Ipv6Addr) = ipv6_addresses(&bytes, 14).unwrap();
    assert_eq!(source.octets(), bytes[22..38]);
    assert_eq!(destination.octets(), bytes[38..54]);
    let expected = Packet {
        flags: flags::IPV6,
        ethertype: 0x86DD,
        l4_offset: 54,
        source: 0,
        destination: 0,
        payload_offset: 62,
        hash: flow_hash(fold_ipv6(&source.octets()), fold_ipv6(&destination.octets()), 0x1234, 53, 17),
        ..LINK
    };
    assert_eq!(parse(&bytes), Ok(expected));
    assert_eq!(expected.addresses(&bytes), Some((source.into(), destination.into())));
    assert_eq!(ipv6_addresses(&bytes[..53], 14), None);
}

#[test]
fn extension_headers_are_walked() {
    let mut random = Random(7);
    let mut chain = extension(&mut random, 43, 1);
    chain.extend(extension(&mut random, 51, 0));
    chain.extend(&extension(&mut random, 60, 1)[..12]);
    chain.extend(extension(&mut random, 17, 2));
    let before = chain.len() as u16;
    chain.extend(known_udp(9));
    let packet = parse(&ethernet(&[], 0x86DD, &ipv6(&mut random, 0, &chain))).unwrap();
    assert_eq!(packet.flags, flags::IPV6 | flags::OPTIONS);
    assert_eq!((packet.l4_offset, packet.protocol, packet.destination_port), (54 + before, 17, 53));
}

#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    let mut payload = fragment(17, 0);
    payload.extend(known_udp(9));
    let packet = parse(&ethernet(&[], 0x86DD, &ipv6(&mut Random(8), 44, &payload))).unwrap();
    assert_eq!(packet.flags, flags::IPV6 | flags::OPTIONS);
    assert_eq!((packet.destination_port, packet.payload_length), (53, 9));
}

#[test]
fn ipv6_fragments() {
    let mut first = fragment(17, 1);
    first.extend(known_udp(8));
    let first = parse(&ethernet(&[], 0x86DD, &ipv6(&mut Random(9), 44, &first))).unwrap();
    assert_eq!(first.flags, flags::IPV6 | flags::OPTIONS | flags::FRAGMENT);
    assert_eq!(first.destination_port, 53);
    let mut later = fragment(17, 16);
    later.extend([1; 5]);
    let later = parse(&ethernet(&[], 0x86DD, &ipv6(&mut Random(9), 44, &later))).unwrap();
    assert_eq!(later.flags, flags::IPV6 | flags::OPTIONS | flags::FRAGMENT | flags::LATER_FRAGMENT);
    assert_eq!((later.l4_offset, later.destination_port, later.payload_length), (62, 0, 5));
    assert_eq!(first.hash, later.hash);
}

#[test]
fn what_is_not_ip_has_its_link_layer_and_payload() {
    let arp = parse(&ethernet(&[(C_TAG, 5)], 0x0806, &[0; 46])).unwrap();
    let nothing = Packet { source: 0, destination: 0, source_port: 0, destination_port: 0, ..LINK };
    let expected = Packet {
        status: PacketStatus::NotIp,
        flags: flags::VLAN,
        ethertype: 0x0806,
        vlan: 5,
        l3_offset: 18,
        l4_offset: 0,
        protocol: 0,
        payload_offset: 18,
        payload_length: 46,
        ..nothing
    };
    assert_eq!(arp, expected);
    assert_eq!(arp.addresses(&[]), None);
    // An IEEE 802.3 length leaves the padding out.
    let stp = parse(&ethernet(&[], 38, &[0; 46])).unwrap();
    assert_eq!((stp.status, stp.ethertype, stp.payload_length), (PacketStatus::NotIp, 38, 38));
}
