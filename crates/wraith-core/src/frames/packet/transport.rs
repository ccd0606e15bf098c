//! UDP, TCP, ICMP and ICMPv6 of one packet.

use super::error::{Claim, Layer, PacketError};
use super::hash::flow_hash;
use super::layout::{be16, icmp, protocol, tcp, udp};
use super::record::Packet;
use super::status::{PacketStatus, flags};

/// Whether a packet is a fragment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fragment {
    Whole,
    First,
    Later,
}

/// What IP says about what it carries.
pub(super) struct Carried {
    pub(super) protocol: u8,
    /// The protocol that goes into the hash: the same for every fragment of a datagram.
    pub(super) hash_protocol: u8,
    /// Bytes from `l4_offset` on.
    pub(super) length: usize,
    pub(super) fragment: Fragment,
    /// Addresses as the hash takes them.
    pub(super) endpoints: (u32, u32),
    /// Whose length field ends the transport layer.
    pub(super) limited_by: Claim,
}

/// Reads the transport layer at `row.l4_offset`, and completes the row.
#[inline(always)]
pub(super) fn parse(packet: &[u8], row: Packet, carried: Carried) -> Result<Packet, PacketError> {
    let start = usize::from(row.l4_offset);
    let bytes = &packet[start..start + carried.length];
    let is_icmpv6 = row.flags & flags::IPV6 != 0;
    let ends = match carried.protocol {
        _ if carried.fragment == Fragment::Later => Ends { header: 0, ports: (0, 0), end: bytes.len() },
        protocol::UDP => read_udp(bytes, start, &carried)?,
        protocol::TCP => read_tcp(bytes, start, &carried)?,
        protocol::ICMPV6 if is_icmpv6 => read_icmp(bytes, start, &carried, Layer::Icmpv6)?,
        protocol::ICMP if !is_icmpv6 => read_icmp(bytes, start, &carried, Layer::Icmp)?,
        _ => Ends { header: 0, ports: (0, 0), end: bytes.len() },
    };
    let (fragment_flags, hash_ports) = match carried.fragment {
        Fragment::Whole => (0, ends.ports),
        Fragment::First => (flags::FRAGMENT, (0, 0)),
        Fragment::Later => (flags::FRAGMENT | flags::LATER_FRAGMENT, (0, 0)),
    };
    let (source, destination) = carried.endpoints;
    Ok(Packet {
        flags: row.flags | fragment_flags,
        protocol: carried.protocol,
        source_port: ends.ports.0,
        destination_port: ends.ports.1,
        payload_offset: (start + ends.header) as u32,
        payload_length: (ends.end - ends.header) as u32,
        hash: flow_hash(source, destination, hash_ports.0, hash_ports.1, carried.hash_protocol),
        ..row
    })
}

/// Where header and payload of a transport layer end, from its start.
struct Ends {
    header: usize,
    end: usize,
    ports: (u16, u16),
}

fn ports(bytes: &[u8]) -> (u16, u16) {
    (be16(bytes, 0), be16(bytes, 2))
}

#[inline(always)]
fn truncated(
    status: PacketStatus,
    layer: Layer,
    start: usize,
    needed: usize,
    carried: &Carried,
) -> PacketError {
    PacketError {
        status,
        layer,
        field: "header",
        offset: start,
        needed,
        present: carried.length,
        claimed_by: Claim::Protocol,
        limited_by: carried.limited_by,
    }
}

#[inline(always)]
fn read_udp(bytes: &[u8], start: usize, carried: &Carried) -> Result<Ends, PacketError> {
    let short = truncated(PacketStatus::TruncatedUdp, Layer::Udp, start, udp::HEADER, carried);
    if bytes.len() < udp::HEADER {
        return Err(short);
    }
    let length = usize::from(be16(bytes, udp::LENGTH.start));
    let at = PacketError { field: "length", offset: start + udp::LENGTH.start, ..short };
    if length < udp::HEADER {
        return Err(PacketError {
            status: PacketStatus::BadUdpLength,
            present: length,
            limited_by: Claim::UdpLength,
            ..at
        });
    }
    // The length is the whole datagram's, of which a first fragment holds only the beginning.
    if length > bytes.len() && carried.fragment == Fragment::Whole {
        return Err(PacketError {
            status: PacketStatus::TruncatedUdpPayload,
            needed: length,
            claimed_by: Claim::UdpLength,
            ..at
        });
    }
    Ok(Ends { header: udp::HEADER, end: length.min(bytes.len()), ports: ports(bytes) })
}

#[inline(always)]
fn read_tcp(bytes: &[u8], start: usize, carried: &Carried) -> Result<Ends, PacketError> {
    let short = truncated(PacketStatus::TruncatedTcp, Layer::Tcp, start, tcp::HEADER, carried);
    if bytes.len() < tcp::HEADER {
        return Err(short);
    }
    let header = usize::from(bytes[tcp::DATA_OFFSET] >> 4) * 4;
    let at = PacketError { field: "data offset", offset: start + tcp::DATA_OFFSET, ..short };
    if header < tcp::HEADER {
        return Err(PacketError {
            status: PacketStatus::BadTcpDataOffset,
            present: header,
            limited_by: Claim::TcpDataOffset,
            ..at
        });
    }
    if header > bytes.len() {
        return Err(PacketError {
            status: PacketStatus::TruncatedTcpOptions,
            needed: header,
            claimed_by: Claim::TcpDataOffset,
            ..at
        });
    }
    Ok(Ends { header, end: bytes.len(), ports: ports(bytes) })
}

#[inline(always)]
fn read_icmp(bytes: &[u8], start: usize, carried: &Carried, layer: Layer) -> Result<Ends, PacketError> {
    if bytes.len() < icmp::HEADER {
        return Err(truncated(PacketStatus::TruncatedIcmp, layer, start, icmp::HEADER, carried));
    }
    Ok(Ends { header: icmp::HEADER, end: bytes.len(), ports: (0, 0) })
}

/// What holds for a fragment of either version: it is not empty, it does not reach past the largest datagram, and all but the last hold a multiple of 8 bytes.
pub(super) fn check_fragment(
    bad: PacketError,
    payload: usize,
    more: bool,
    reaches: usize,
    most: usize,
) -> Result<(), PacketError> {
    if payload == 0 {
        return Err(PacketError { needed: 1, present: 0, claimed_by: Claim::Protocol, ..bad });
    }
    if more && !payload.is_multiple_of(8) {
        let needed = payload.next_multiple_of(8);
        return Err(PacketError { needed, present: payload, claimed_by: Claim::Protocol, ..bad });
    }
    if reaches > most {
        return Err(PacketError { needed: reaches, present: most, limited_by: Claim::Protocol, ..bad });
    }
    Ok(())
}
