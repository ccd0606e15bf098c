//! Two other parsers, written by other people, read the same: an independent check of the plain parser, and so of all backends.

use etherparse::{LinkExtSlice, NetSlice, SlicedPacket, TransportSlice};
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Packet, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket,
};
use std::net::IpAddr;
use wraith_core::frames::packet::{Packet, PacketStatus, flags, parse};

use crate::support::{MIX, Random, shaped};

/// Packets of every shape of the mix, and the same with a byte or two changed or cut off.
fn packets() -> Vec<Vec<u8>> {
    let mut random = Random(11);
    let mut packets = Vec::new();
    for round in 0..3000 {
        let mut packet = shaped(&mut random, MIX[round % MIX.len()].0);
        for _ in 0..round % 3 {
            let at = 12 + random.below(packet.len().min(90) - 12);
            packet[at] =
                if random.below(2) == 0 { random.next() as u8 } else { packet[at] ^ 1 << random.below(8) };
        }
        if round % 5 == 4 {
            packet.truncate(random.below(packet.len()));
        }
        packets.push(packet);
    }
    packets
}

fn offset_in(packet: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - packet.as_ptr() as usize
}

/// Authentication headers of IPv4, which etherparse walks and we do not, and MACsec, which it reads below VLAN tags.
fn is_read_differently(packet: &Packet) -> bool {
    packet.protocol == 51 || packet.ethertype == 0x88E5
}

#[test]
fn etherparse_reads_what_we_read() {
    let (mut read, mut transports) = (0, 0);
    for bytes in packets() {
        let Ok(packet) = parse(&bytes) else { continue };
        if packet.status != PacketStatus::Ok || is_read_differently(&packet) {
            continue;
        }
        let sliced =
            SlicedPacket::from_ethernet(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
        let tags: Vec<u16> = sliced
            .link_exts
            .iter()
            .map(|tag| match tag {
                LinkExtSlice::Vlan(tag) => u16::from_be_bytes([tag.slice()[0], tag.slice()[1]]),
                LinkExtSlice::Macsec(_) => panic!("no MACsec was built: {bytes:02x?}"),
            })
            .collect();
        let ours: Vec<u16> = [(flags::VLAN, packet.vlan), (flags::VLAN_INNER, packet.vlan_inner)]
            .into_iter()
            .filter_map(|(flag, tci)| (packet.flags & flag != 0).then_some(tci))
            .collect();
        assert_eq!(ours, tags);
        let (addresses, payload) = match sliced.net.as_ref().expect("IP") {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                assert_eq!(usize::from(packet.l3_offset), offset_in(&bytes, header.slice()));
                ((IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr())), ip.payload())
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header();
                assert_eq!(usize::from(packet.l3_offset), offset_in(&bytes, header.slice()));
                ((IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr())), ip.payload())
            }
            NetSlice::Arp(_) => panic!("ARP is not IP"),
        };
        read += 1;
        assert_eq!(packet.addresses(&bytes), Some(addresses), "{bytes:02x?}");
        assert_eq!(packet.flags & flags::FRAGMENT != 0, payload.fragmented, "{bytes:02x?}");
        let header = match &sliced.transport {
            Some(TransportSlice::Udp(udp)) => {
                assert_eq!(
                    (packet.source_port, packet.destination_port),
                    (udp.source_port(), udp.destination_port())
                );
                assert_eq!(packet.payload_length as usize, udp.payload().len());
                8
            }
            Some(TransportSlice::Tcp(tcp)) => {
                assert_eq!(
                    (packet.source_port, packet.destination_port),
                    (tcp.source_port(), tcp.destination_port())
                );
                assert_eq!(packet.payload_length as usize, tcp.payload().len());
                tcp.header_slice().len()
            }
            Some(TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_)) => 8,
            Some(TransportSlice::Igmp(_)) => 0,
            None => {
                if packet.flags & flags::FRAGMENT == 0 {
                    assert_eq!(packet.protocol, payload.ip_number.0, "{bytes:02x?}");
                }
                continue;
            }
        };
        transports += 1;
        assert_eq!(usize::from(packet.l4_offset), offset_in(&bytes, payload.payload), "{bytes:02x?}");
        assert_eq!(packet.payload_offset as usize, usize::from(packet.l4_offset) + header);
    }
    assert!(
        read > 1500 && transports > 1300,
        "{read} packets were compared, {transports} with a transport layer"
    );
}

#[test]
fn smoltcp_reads_what_we_read() {
    let mut read = 0;
    for bytes in packets() {
        let Ok(packet) = parse(&bytes) else { continue };
        // Its wire views of these layers know neither VLAN tags nor what is behind options, fragments and extension headers.
        if packet.status != PacketStatus::Ok || packet.flags & !(flags::IPV4 | flags::IPV6) != 0 {
            continue;
        }
        let frame = EthernetFrame::new_checked(&bytes[..]).expect("Ethernet");
        let (source, destination, protocol, carried) = match frame.ethertype() {
            EthernetProtocol::Ipv4 => {
                let ip = Ipv4Packet::new_checked(frame.payload()).expect("IPv4");
                (IpAddr::V4(ip.src_addr()), IpAddr::V4(ip.dst_addr()), ip.next_header(), ip.payload())
            }
            EthernetProtocol::Ipv6 => {
                let ip = Ipv6Packet::new_checked(frame.payload()).expect("IPv6");
                (IpAddr::V6(ip.src_addr()), IpAddr::V6(ip.dst_addr()), ip.next_header(), ip.payload())
            }
            other => panic!("{other} is not IP"),
        };
        assert_eq!(packet.addresses(&bytes), Some((source, destination)));
        assert_eq!(packet.protocol, u8::from(protocol));
        assert_eq!(usize::from(packet.l4_offset), offset_in(&bytes, carried));
        let (ports, payload) = match protocol {
            IpProtocol::Udp => {
                let udp = UdpPacket::new_checked(carried).expect("UDP");
                ((udp.src_port(), udp.dst_port()), udp.payload().len())
            }
            IpProtocol::Tcp => {
                let tcp = TcpPacket::new_checked(carried).expect("TCP");
                ((tcp.src_port(), tcp.dst_port()), tcp.payload().len())
            }
            IpProtocol::Icmp if packet.flags & flags::IPV4 != 0 => {
                Icmpv4Packet::new_checked(carried).expect("ICMP");
                ((0, 0), carried.len() - 8)
            }
            _ => continue,
        };
        read += 1;
        assert_eq!((packet.source_port, packet.destination_port), ports);
        assert_eq!(packet.payload_length as usize, payload);
    }
    assert!(read > 700, "{read} packets were compared");
}

#[test]
fn what_etherparse_refuses_we_refuse() {
    let mut refused = 0;
    for bytes in packets() {
        if SlicedPacket::from_ethernet(&bytes).is_err() {
            let packet = parse(&bytes);
            let excused = packet.is_ok_and(|packet| {
                // A broken ARP or MACsec body is none of ours, and a wrong authentication header in IPv4 is its payload.
                packet.status == PacketStatus::NotIp || is_read_differently(&packet)
            });
            assert!(excused || packet.is_err(), "{:?}: {bytes:02x?}", SlicedPacket::from_ethernet(&bytes));
            refused += 1;
        }
    }
    assert!(refused > 300, "{refused} packets were refused");
}
