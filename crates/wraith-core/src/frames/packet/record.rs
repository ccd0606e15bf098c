//! One packet's row: what the columns hold, for one packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::layout::ipv6;
use super::status::{PacketStatus, flags};

/// What was read of one packet. Offsets count bytes from the packet's first; numbers are in host order.
///
/// The fields are the columns of [`PacketColumns`](super::PacketColumns), except that `payload_offset` there counts from the start of the slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// [`PacketStatus::Ok`] or [`PacketStatus::NotIp`].
    pub status: PacketStatus,
    /// Bits of [`flags`].
    pub flags: u8,
    /// The EtherType behind the VLAN tags, or an IEEE 802.3 length up to 1500.
    pub ethertype: u16,
    /// Tag control information of the outer VLAN tag, 0 without one.
    pub vlan: u16,
    /// Tag control information of the inner VLAN tag, 0 without one.
    pub vlan_inner: u16,
    /// Where the link layer ends: 14, 18 or 22.
    pub l3_offset: u16,
    /// Where the transport header begins, or for a later fragment its payload; 0 when the packet is not IP.
    pub l4_offset: u16,
    /// The IPv4 protocol, or the next header behind the last IPv6 extension header.
    pub protocol: u8,
    /// IPv4 source address; 0 for IPv6.
    pub source: u32,
    /// IPv4 destination address; 0 for IPv6.
    pub destination: u32,
    /// UDP or TCP source port, else 0.
    pub source_port: u16,
    /// UDP or TCP destination port, else 0.
    pub destination_port: u16,
    /// Where the payload begins: behind UDP, TCP or the first 8 bytes of ICMP, else at `l4_offset` (IP) or `l3_offset`.
    pub payload_offset: u32,
    /// The payload's length in bytes, without Ethernet padding.
    pub payload_length: u32,
    /// [`flow_hash`](super::flow_hash) of the 5-tuple, for fragments of the 3-tuple; 0 when the packet is not IP.
    pub hash: u32,
}

impl Packet {
    /// Source and destination address, `None` when the packet is not IP. `packet` is the bytes that this was read from.
    #[must_use]
    pub fn addresses(&self, packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
        if self.flags & flags::IPV4 != 0 {
            return Some((Ipv4Addr::from(self.source).into(), Ipv4Addr::from(self.destination).into()));
        }
        if self.flags & flags::IPV6 == 0 {
            return None;
        }
        let (source, destination) = ipv6_addresses(packet, self.l3_offset)?;
        Some((source.into(), destination.into()))
    }
}

/// Source and destination address of an IPv6 packet whose fixed header begins at `l3_offset`, as the column of that name says. `None` when
/// `packet` is too short for one.
#[must_use]
pub fn ipv6_addresses(packet: &[u8], l3_offset: u16) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let header = packet.get(usize::from(l3_offset)..)?;
    let source: [u8; 16] = header.get(ipv6::SOURCE)?.try_into().ok()?;
    let destination: [u8; 16] = header.get(ipv6::DESTINATION)?.try_into().ok()?;
    Some((source.into(), destination.into()))
}
