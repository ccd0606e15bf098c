//! Each error: its status, and what it says about where and why.

use wraith_core::frames::packet::{Claim, Layer, PacketColumns, PacketError, PacketStatus, parse};
use wraith_core::frames::{Backend, Batch, Descriptor, Slab};

use crate::support::{
    C_TAG, Random, S_TAG, ethernet, extension, fragment, icmp, ipv4, ipv6, packed, tcp, udp,
};

/// Status, layer, field, offset, needed, present, who claims, who limits.
type Expected = (PacketStatus, Layer, &'static str, usize, usize, usize, Claim, Claim);

fn told(error: PacketError) -> Expected {
    let PacketError { status, layer, field, offset, needed, present, claimed_by, limited_by } = error;
    (status, layer, field, offset, needed, present, claimed_by, limited_by)
}

/// IPv4 or IPv6 in Ethernet with bytes changed: (position in the packet, value).
fn changed(mut packet: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for &(at, value) in changes {
        packet[at] = value;
    }
    packet
}

fn v4(options: usize, field: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(&[], 0x0800, &ipv4(&mut Random(1), options, field, protocol, payload))
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(&[], 0x86DD, &ipv6(&mut Random(1), next, payload))
}

fn cut(mut packet: Vec<u8>, length: usize) -> Vec<u8> {
    packet.truncate(length);
    packet
}

/// A packet for each way to fail, and what is said of it. Each status but OutOfBounds, which takes a descriptor, comes at least once.
fn failures() -> Vec<(Vec<u8>, Expected)> {
    use Claim::{
        Descriptor, EthernetLength, Ipv4HeaderLength, Ipv4TotalLength, Ipv6ExtensionLength,
        Ipv6PayloadLength, Protocol, TcpDataOffset, UdpLength,
    };
    use PacketStatus as S;
    let random = &mut Random(2);
    let datagram = udp(random, 16);
    let segment = tcp(random, 0, 16);
    let tags = [(S_TAG, 1), (C_TAG, 2), (C_TAG, 3)];
    let chain: Vec<u8> = (0..9).flat_map(|_| [60, 0, 0, 0, 0, 0, 0, 0]).collect();
    let hop_by_hop_second = [extension(random, 0, 0), extension(random, 17, 0), datagram.clone()].concat();
    let two_fragment_headers = [fragment(44, 0), fragment(17, 0), datagram.clone()].concat();
    let authentication = [vec![17, 0, 0, 0, 0, 0, 0, 0], datagram.clone()].concat();
    vec![
        (vec![1; 13], (S::TruncatedEthernet, Layer::Ethernet, "header", 0, 14, 13, Protocol, Descriptor)),
        (
            cut(ethernet(&tags[..1], 0x0800, &[]), 17),
            (S::TruncatedVlan, Layer::Vlan, "tag control information", 14, 4, 3, Protocol, Descriptor),
        ),
        (
            cut(ethernet(&tags[..2], 0x0800, &[]), 18),
            (S::TruncatedVlan, Layer::Vlan, "tag control information", 18, 4, 0, Protocol, Descriptor),
        ),
        (
            ethernet(&tags, 0x0800, &[0; 40]),
            (S::TooManyVlanTags, Layer::Vlan, "TPID", 20, 2, 3, Protocol, Descriptor),
        ),
        (
            ethernet(&[], 47, &[0; 46]),
            (S::BadEtherType, Layer::Ethernet, "length", 12, 47, 46, EthernetLength, Descriptor),
        ),
        (
            ethernet(&[], 1501, &[0; 46]),
            (S::BadEtherType, Layer::Ethernet, "EtherType", 12, 1536, 1501, Protocol, Descriptor),
        ),
        (
            cut(v4(0, 0, 17, &datagram), 33),
            (S::TruncatedIpv4, Layer::Ipv4, "header", 14, 20, 19, Protocol, Descriptor),
        ),
        (
            changed(v4(0, 0, 17, &datagram), &[(14, 0x65)]),
            (S::BadIpv4Version, Layer::Ipv4, "version", 14, 4, 6, Protocol, Descriptor),
        ),
        (
            changed(v4(0, 0, 17, &datagram), &[(14, 0x44)]),
            (S::BadIpv4HeaderLength, Layer::Ipv4, "IHL", 14, 20, 16, Protocol, Ipv4HeaderLength),
        ),
        (
            cut(v4(40, 0, 17, &datagram), 73),
            (S::TruncatedIpv4Options, Layer::Ipv4, "options", 34, 60, 59, Ipv4HeaderLength, Descriptor),
        ),
        (
            changed(v4(4, 0, 17, &datagram), &[(16, 0), (17, 23)]),
            (
                S::BadIpv4TotalLength,
                Layer::Ipv4,
                "total length",
                16,
                24,
                23,
                Ipv4HeaderLength,
                Ipv4TotalLength,
            ),
        ),
        (
            cut(v4(0, 0, 17, &datagram), 57),
            (S::TruncatedIpv4Payload, Layer::Ipv4, "total length", 16, 44, 43, Ipv4TotalLength, Descriptor),
        ),
        (
            v4(0, 1, 17, &[]),
            (S::BadIpv4Fragment, Layer::Ipv4, "fragment offset", 20, 1, 0, Protocol, Descriptor),
        ),
        (
            v4(0, 0x2001, 17, &[0; 12]),
            (S::BadIpv4Fragment, Layer::Ipv4, "fragment offset", 20, 16, 12, Protocol, Descriptor),
        ),
        (
            v4(0, 0x1FFF, 17, &[0; 8]),
            (
                S::BadIpv4Fragment,
                Layer::Ipv4,
                "fragment offset",
                20,
                20 + 65528 + 8,
                65535,
                Ipv4TotalLength,
                Protocol,
            ),
        ),
        (
            cut(v6(17, &datagram), 53),
            (S::TruncatedIpv6, Layer::Ipv6, "header", 14, 40, 39, Protocol, Descriptor),
        ),
        (
            changed(v6(17, &datagram), &[(14, 0x45)]),
            (S::BadIpv6Version, Layer::Ipv6, "version", 14, 6, 4, Protocol, Descriptor),
        ),
        (
            cut(v6(17, &datagram), 77),
            (
                S::TruncatedIpv6Payload,
                Layer::Ipv6,
                "payload length",
                18,
                64,
                63,
                Ipv6PayloadLength,
                Descriptor,
            ),
        ),
        (
            v6(0, &[17; 7]),
            (
                S::TruncatedIpv6Extension,
                Layer::Ipv6Extension,
                "hop-by-hop options",
                54,
                8,
                7,
                Protocol,
                Ipv6PayloadLength,
            ),
        ),
        (
            v6(43, &[17, 2, 0, 0, 0, 0, 0, 0]),
            (
                S::TruncatedIpv6Extension,
                Layer::Ipv6Extension,
                "routing header",
                54,
                24,
                8,
                Ipv6ExtensionLength,
                Ipv6PayloadLength,
            ),
        ),
        (
            v6(60, &hop_by_hop_second),
            (
                S::BadIpv6Extension,
                Layer::Ipv6Extension,
                "hop-by-hop options",
                62,
                1,
                2,
                Protocol,
                Ipv6PayloadLength,
            ),
        ),
        (
            v6(44, &two_fragment_headers),
            (
                S::BadIpv6Extension,
                Layer::Ipv6Extension,
                "fragment header",
                62,
                1,
                2,
                Protocol,
                Ipv6PayloadLength,
            ),
        ),
        (
            v6(51, &authentication),
            (
                S::BadIpv6Extension,
                Layer::Ipv6Extension,
                "authentication header",
                54,
                12,
                8,
                Protocol,
                Ipv6ExtensionLength,
            ),
        ),
        (
            v6(60, &chain),
            (
                S::TooManyIpv6Extensions,
                Layer::Ipv6Extension,
                "destination options",
                118,
                8,
                9,
                Protocol,
                Ipv6PayloadLength,
            ),
        ),
        (
            v6(44, &fragment(17, 8)),
            (
                S::BadIpv6Fragment,
                Layer::Ipv6Extension,
                "fragment offset",
                56,
                1,
                0,
                Protocol,
                Ipv6PayloadLength,
            ),
        ),
        (
            v6(44, &[fragment(17, 1), vec![0; 12]].concat()),
            (
                S::BadIpv6Fragment,
                Layer::Ipv6Extension,
                "fragment offset",
                56,
                16,
                12,
                Protocol,
                Ipv6PayloadLength,
            ),
        ),
        (
            v6(44, &[fragment(17, 0xFFF8), vec![0; 8]].concat()),
            (
                S::BadIpv6Fragment,
                Layer::Ipv6Extension,
                "fragment offset",
                56,
                65536,
                65535,
                Ipv6PayloadLength,
                Protocol,
            ),
        ),
        (v4(0, 0, 17, &[0; 7]), (S::TruncatedUdp, Layer::Udp, "header", 34, 8, 7, Protocol, Ipv4TotalLength)),
        (
            changed(v6(17, &datagram), &[(58, 0), (59, 7)]),
            (S::BadUdpLength, Layer::Udp, "length", 58, 8, 7, Protocol, UdpLength),
        ),
        (
            changed(v4(0, 0, 17, &datagram), &[(38, 0), (39, 25)]),
            (S::TruncatedUdpPayload, Layer::Udp, "length", 38, 25, 24, UdpLength, Ipv4TotalLength),
        ),
        (v6(6, &[0; 19]), (S::TruncatedTcp, Layer::Tcp, "header", 54, 20, 19, Protocol, Ipv6PayloadLength)),
        (
            changed(v4(0, 0, 6, &segment), &[(46, 0x4F)]),
            (S::BadTcpDataOffset, Layer::Tcp, "data offset", 46, 20, 16, Protocol, TcpDataOffset),
        ),
        (
            changed(v4(0, 0, 6, &segment), &[(46, 0xA0)]),
            (S::TruncatedTcpOptions, Layer::Tcp, "data offset", 46, 40, 36, TcpDataOffset, Ipv4TotalLength),
        ),
        (
            v4(0, 0, 1, &icmp(random, 0)[..7]),
            (S::TruncatedIcmp, Layer::Icmp, "header", 34, 8, 7, Protocol, Ipv4TotalLength),
        ),
        (
            v6(58, &icmp(random, 0)[..7]),
            (S::TruncatedIcmp, Layer::Icmpv6, "header", 54, 8, 7, Protocol, Ipv6PayloadLength),
        ),
    ]
}

#[test]
fn every_failure_says_where_and_why() {
    for (packet, expected) in failures() {
        assert_eq!(parse(&packet).map_err(told), Err(expected));
    }
}

#[test]
fn every_status_comes_from_some_packet() {
    let mut seen: Vec<PacketStatus> = failures().iter().map(|(_, expected)| expected.0).collect();
    seen.extend([PacketStatus::Ok, PacketStatus::NotIp, PacketStatus::OutOfBounds]);
    for (number, status) in PacketStatus::ALL.into_iter().enumerate() {
        assert_eq!(status as usize, number);
        assert_eq!(PacketStatus::from_u8(number as u8), Some(status));
        assert!(seen.contains(&status), "{} is never shown", status.as_str());
    }
    assert_eq!(PacketStatus::from_u8(PacketStatus::ALL.len() as u8), None);
}

#[test]
fn a_batch_explains_its_rows_and_leaves_their_other_columns_at_zero() {
    let failures = failures();
    let packets: Vec<_> = failures.iter().map(|(packet, _)| packet.clone()).collect();
    let (slab, mut descriptors) = packed(&packets, 3);
    descriptors.push(Descriptor::new(slab.len() as u32 - 3, 4));
    descriptors.push(Descriptor::new(0, 0));
    let batch = Batch::new(Slab::new(&slab), &descriptors).unwrap();
    for backend in Backend::available() {
        let mut columns = PacketColumns::with_capacity(descriptors.len());
        assert_eq!(batch.packets(backend, &mut columns.as_mut()), Ok(0));
        for row in 0..descriptors.len() {
            let error = batch.explain_packet(row).expect("no row was read");
            assert_eq!(columns.status()[row], error.status as u8);
            assert_eq!(
                (
                    columns.flags()[row],
                    columns.ethertype()[row],
                    columns.l3_offset()[row],
                    columns.hash()[row]
                ),
                (0, 0, 0, 0),
            );
            assert_eq!((columns.payload_offset()[row], columns.payload_length()[row]), (0, 0));
        }
    }
    for (row, (_, expected)) in failures.into_iter().enumerate() {
        assert_eq!(batch.explain_packet(row).map(told), Some(expected));
    }
    let outside = batch.explain_packet(descriptors.len() - 2).unwrap();
    let expected = (PacketStatus::OutOfBounds, Layer::Descriptor, slab.len() + 1, slab.len());
    assert_eq!((outside.status, outside.layer, outside.needed, outside.present), expected);
    assert_eq!(batch.explain_packet(descriptors.len()), None);
}

#[test]
fn an_error_reads_as_a_sentence() {
    let error = parse(&cut(v4(0, 0, 17, &udp(&mut Random(3), 16)), 57)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "truncated-ipv4-payload: IPv4, total length at byte 16: the IPv4 total length asks for 44, the descriptor gives 43",
    );
}

#[test]
fn rows_that_were_read_need_no_explanation() {
    let packets = [v4(0, 0, 17, &udp(&mut Random(4), 1)), ethernet(&[], 0x0806, &[0; 28])];
    let (slab, descriptors) = packed(&packets, 0);
    let batch = Batch::new(Slab::new(&slab), &descriptors).unwrap();
    assert_eq!((batch.explain_packet(0), batch.explain_packet(1)), (None, None));
}
