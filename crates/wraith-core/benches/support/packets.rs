//! Packets for the benchmarks: the realistic mix, whether all parsers read it, and the parsers by other people.

use std::hint::black_box;
use std::net::IpAddr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6ExtHeader, Ipv6FragmentHeader, Ipv6Packet,
    TcpPacket, UdpPacket,
};
use wraith_core::frames::packet::{PacketColumns, naive};
use wraith_core::frames::{Backend, Batch};

#[path = "../../tests/packets/support.rs"]
mod build;

/// Packets of the realistic mix, as many as `count` different ones, in slots.
pub(crate) fn realistic_mix(count: usize) -> impl FnMut(usize, &mut [u8]) -> usize {
    write_all(build::mix(&mut build::Random(5), count))
}

/// Packets of one shape of the mix, as many as `count` different ones, in slots.
pub(crate) fn one_shape(shape: &'static str, count: usize) -> impl FnMut(usize, &mut [u8]) -> usize {
    let mut random = build::Random(6);
    write_all((0..count).map(|_| build::shaped(&mut random, shape)).collect())
}

fn write_all(packets: Vec<Vec<u8>>) -> impl FnMut(usize, &mut [u8]) -> usize {
    move |slot, memory| {
        let packet = &packets[slot % packets.len()];
        memory[..packet.len()].copy_from_slice(packet);
        packet.len()
    }
}

/// Holds each backend against the plain parser over all batches; panics where one differs or a packet is not read.
pub(crate) fn check_packets(batches: &[Batch<'_>]) {
    for batch in batches {
        let mut expected = PacketColumns::with_capacity(batch.len());
        assert_eq!(naive::packets(batch, &mut expected.as_mut()), Ok(batch.len()));
        for backend in Backend::available() {
            let mut columns = PacketColumns::with_capacity(batch.len());
            assert_eq!(batch.packets(backend, &mut columns.as_mut()), Ok(batch.len()));
            assert!(columns == expected, "{} gives other columns", backend.backend());
        }
        let understood = |parse: fn(&[u8]) -> bool| each(batch, parse) * 100 >= batch.len() * 95;
        assert!(understood(etherparse) && understood(smoltcp), "the others read nearly all of it");
    }
}

/// Runs a parser over each packet of a batch; how many it read.
pub(crate) fn each(batch: &Batch<'_>, parse: fn(&[u8]) -> bool) -> usize {
    let bytes = |&descriptor| batch.slab().bytes(descriptor).expect("a descriptor inside the slab");
    batch.descriptors().iter().map(bytes).filter(|bytes| parse(bytes)).count()
}

/// What the columns have of a packet, for a parser that stores none: it is used, so that it is read, and forgotten.
fn used(addresses: (IpAddr, IpAddr), ports: (u16, u16), protocol: u8, payload: &[u8]) -> bool {
    black_box((addresses, ports, protocol, payload.as_ptr(), payload.len()));
    true
}

/// `etherparse::SlicedPacket`.
pub(crate) fn etherparse(bytes: &[u8]) -> bool {
    let Ok(packet) = SlicedPacket::from_ethernet(bytes) else { return false };
    let (addresses, ip) = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            ((IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr())), ip.payload())
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            ((IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr())), ip.payload())
        }
        _ => return true,
    };
    let (ports, payload) = match &packet.transport {
        Some(TransportSlice::Udp(udp)) => ((udp.source_port(), udp.destination_port()), udp.payload()),
        Some(TransportSlice::Tcp(tcp)) => ((tcp.source_port(), tcp.destination_port()), tcp.payload()),
        _ => ((0, 0), ip.payload),
    };
    used(addresses, ports, ip.ip_number.0, payload)
}

/// `smoltcp::wire`, whose views begin behind Ethernet; VLAN tags are left out for it.
pub(crate) fn smoltcp(bytes: &[u8]) -> bool {
    read_by_smoltcp(bytes).unwrap_or(false)
}

fn read_by_smoltcp(bytes: &[u8]) -> Option<bool> {
    let frame = EthernetFrame::new_checked(bytes).ok()?;
    let (mut kind, mut payload) = (frame.ethertype(), frame.payload());
    while matches!(kind, EthernetProtocol::Unknown(0x8100 | 0x88A8)) {
        let (tag, rest) = payload.split_first_chunk::<4>()?;
        kind = EthernetProtocol::from(u16::from_be_bytes([tag[2], tag[3]]));
        payload = rest;
    }
    let (addresses, mut protocol, mut carried, is_later) = match kind {
        EthernetProtocol::Ipv4 => {
            let ip = Ipv4Packet::new_checked(payload).ok()?;
            let addresses = (IpAddr::V4(ip.src_addr()), IpAddr::V4(ip.dst_addr()));
            (addresses, ip.next_header(), ip.payload(), ip.frag_offset() > 0)
        }
        EthernetProtocol::Ipv6 => {
            let ip = Ipv6Packet::new_checked(payload).ok()?;
            ((IpAddr::V6(ip.src_addr()), IpAddr::V6(ip.dst_addr())), ip.next_header(), ip.payload(), false)
        }
        _ => return Some(true),
    };
    while let IpProtocol::Ipv6Opts | IpProtocol::HopByHop = protocol {
        let header = Ipv6ExtHeader::new_checked(carried).ok()?;
        let length = 2 + header.payload().len();
        (protocol, carried) = (header.next_header(), carried.get(length..)?);
    }
    if protocol == IpProtocol::Ipv6Frag {
        Ipv6FragmentHeader::new_checked(carried).ok()?;
        return Some(true);
    }
    let (ports, payload) = match protocol {
        IpProtocol::Udp if !is_later => {
            let udp = UdpPacket::new_checked(carried).ok()?;
            ((udp.src_port(), udp.dst_port()), udp.payload())
        }
        IpProtocol::Tcp if !is_later => {
            let tcp = TcpPacket::new_checked(carried).ok()?;
            ((tcp.src_port(), tcp.dst_port()), tcp.payload())
        }
        _ => ((0, 0), carried),
    };
    Some(used(addresses, ports, protocol.into(), payload))
}
