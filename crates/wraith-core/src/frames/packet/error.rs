//! Why a packet was not read, in full: what a byte of the status column has no room for.

use std::fmt;

use super::status::PacketStatus;
use crate::frames::Descriptor;

/// The part of a packet that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// The descriptor, before any byte was looked at.
    Descriptor,
    /// The Ethernet header.
    Ethernet,
    /// A VLAN tag.
    Vlan,
    /// The IPv4 header.
    Ipv4,
    /// The IPv6 fixed header.
    Ipv6,
    /// An IPv6 extension header.
    Ipv6Extension,
    /// The UDP header.
    Udp,
    /// The TCP header.
    Tcp,
    /// The ICMP header.
    Icmp,
    /// The ICMPv6 header.
    Icmpv6,
}

impl Layer {
    /// Its name as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Descriptor => "descriptor",
            Self::Ethernet => "Ethernet",
            Self::Vlan => "VLAN tag",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
            Self::Ipv6Extension => "IPv6 extension header",
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Icmp => "ICMP",
            Self::Icmpv6 => "ICMPv6",
        }
    }
}

/// Who says how long something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Claim {
    /// The protocol: a header of this kind is never shorter, a field of this kind has this value.
    Protocol,
    /// The length of the slab.
    Slab,
    /// The length in the descriptor: what was received.
    Descriptor,
    /// The IEEE 802.3 length.
    EthernetLength,
    /// The IPv4 header length.
    Ipv4HeaderLength,
    /// The IPv4 total length.
    Ipv4TotalLength,
    /// The IPv6 payload length.
    Ipv6PayloadLength,
    /// The length in an IPv6 extension header.
    Ipv6ExtensionLength,
    /// The UDP length.
    UdpLength,
    /// The TCP data offset.
    TcpDataOffset,
}

impl Claim {
    /// Its name as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protocol => "the protocol",
            Self::Slab => "the slab's length",
            Self::Descriptor => "the descriptor",
            Self::EthernetLength => "the IEEE 802.3 length",
            Self::Ipv4HeaderLength => "the IPv4 header length",
            Self::Ipv4TotalLength => "the IPv4 total length",
            Self::Ipv6PayloadLength => "the IPv6 payload length",
            Self::Ipv6ExtensionLength => "the extension header's length",
            Self::UdpLength => "the UDP length",
            Self::TcpDataOffset => "the TCP data offset",
        }
    }
}

/// Why a packet was not read.
///
/// Where the status is about a length, `needed` bytes from the start of the layer were claimed by `claimed_by`, and `present` bytes are
/// there because `limited_by` says so. Where it is about another field, `needed` is the value that is allowed (the smallest or largest) and
/// `present` the value that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketError {
    /// The status in the column.
    pub status: PacketStatus,
    /// The header in which it was found.
    pub layer: Layer,
    /// The field of that header, in its specification's words.
    pub field: &'static str,
    /// Where that field begins, in bytes from the start of the packet.
    pub offset: usize,
    /// How many bytes, or which value, it takes.
    pub needed: usize,
    /// How many bytes, or which value, is there.
    pub present: usize,
    /// Who says what is needed.
    pub claimed_by: Claim,
    /// Who says what is present.
    pub limited_by: Claim,
}

impl PacketError {
    /// A descriptor that does not lie within a slab of `slab` bytes.
    pub(crate) const fn out_of_bounds(descriptor: Descriptor, slab: usize) -> Self {
        Self {
            status: PacketStatus::OutOfBounds,
            layer: Layer::Descriptor,
            field: "offset and length",
            offset: 0,
            needed: (descriptor.offset as usize).saturating_add(descriptor.length as usize),
            present: slab,
            claimed_by: Claim::Descriptor,
            limited_by: Claim::Slab,
        }
    }
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, layer, field, offset, needed, present, claimed_by, limited_by } = self;
        write!(
            f,
            "{}: {}, {field} at byte {offset}: {} asks for {needed}, {} gives {present}",
            status.as_str(),
            layer.as_str(),
            claimed_by.as_str(),
            limited_by.as_str(),
        )
    }
}

impl std::error::Error for PacketError {}
