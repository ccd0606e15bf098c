//! Where the fields lie, as byte ranges from the start of each header, and the numbers they may hold.

/// Ethernet II, IEEE 802.3 clause 3.2.
pub mod ethernet {
    use core::ops::Range;

    /// Bytes of the header without VLAN tags.
    pub const HEADER: usize = 14;
    /// EtherType, or a length up to 1500.
    pub const ETHERTYPE: Range<usize> = 12..14;
    /// The largest value of the EtherType field that is a length.
    pub const MAX_LENGTH: u16 = 1500;
    /// The smallest value of the EtherType field that is an EtherType.
    pub const MIN_ETHERTYPE: u16 = 0x0600;
    /// EtherType of IPv4.
    pub const IPV4: u16 = 0x0800;
    /// EtherType of ARP.
    pub const ARP: u16 = 0x0806;
    /// EtherType of IPv6.
    pub const IPV6: u16 = 0x86DD;
}

/// VLAN tags, IEEE 802.1Q clause 9: TPID in place of the EtherType, then the tag control information.
pub mod vlan {
    /// Bytes that a tag adds.
    pub const TAG: usize = 4;
    /// Most tags that are read.
    pub const MAX_TAGS: usize = 2;
    /// TPID of a customer tag (802.1Q).
    pub const CUSTOMER: u16 = 0x8100;
    /// TPID of a service tag (802.1ad).
    pub const SERVICE: u16 = 0x88A8;
    /// TPID of stacked tags before 802.1ad, still seen.
    pub const STACKED: u16 = 0x9100;
    /// Bits of the tag control information that are the VLAN identifier.
    pub const ID_MASK: u16 = 0x0FFF;

    /// Whether an EtherType announces a tag.
    #[must_use]
    pub const fn is_tag(ethertype: u16) -> bool {
        matches!(ethertype, CUSTOMER | SERVICE | STACKED)
    }
}

/// IPv4, RFC 791 section 3.1.
pub mod ipv4 {
    use core::ops::Range;

    /// Bytes of the header without options.
    pub const HEADER: usize = 20;
    /// Length of header and payload.
    pub const TOTAL_LENGTH: Range<usize> = 2..4;
    /// Flags, and the fragment's offset in units of 8 bytes.
    pub const FRAGMENT: Range<usize> = 6..8;
    /// More fragments follow.
    pub const MORE_FRAGMENTS: u16 = 0x2000;
    /// Bits of [`FRAGMENT`] that are the offset.
    pub const OFFSET_MASK: u16 = 0x1FFF;
    /// Protocol.
    pub const PROTOCOL: usize = 9;
    /// Source address.
    pub const SOURCE: Range<usize> = 12..16;
    /// Destination address.
    pub const DESTINATION: Range<usize> = 16..20;
    /// The most that a reassembled datagram can hold, header included.
    pub const MAX_DATAGRAM: usize = 65535;
}

/// IPv6, RFC 8200 sections 3 and 4.
pub mod ipv6 {
    use core::ops::Range;

    /// Bytes of the fixed header.
    pub const HEADER: usize = 40;
    /// Length of everything behind the fixed header.
    pub const PAYLOAD_LENGTH: Range<usize> = 4..6;
    /// Next header.
    pub const NEXT_HEADER: usize = 6;
    /// Source address.
    pub const SOURCE: Range<usize> = 8..24;
    /// Destination address.
    pub const DESTINATION: Range<usize> = 24..40;
    /// The most that a reassembled datagram can hold behind the fixed header.
    pub const MAX_PAYLOAD: usize = 65535;
    /// Most extension headers that are walked.
    pub const MAX_EXTENSIONS: usize = 8;
    /// Bytes of the shortest extension header, and of the fragment header.
    pub const EXTENSION: usize = 8;
    /// Offset and flag of a fragment header: the offset in bytes in the upper 13 bits, "more fragments" in the lowest.
    pub const FRAGMENT: Range<usize> = 2..4;
    /// Bits of [`FRAGMENT`] that are the offset in bytes.
    pub const OFFSET_MASK: u16 = 0xFFF8;
    /// More fragments follow.
    pub const MORE_FRAGMENTS: u16 = 1;
}

/// UDP, RFC 768.
pub mod udp {
    use core::ops::Range;

    /// Bytes of the header.
    pub const HEADER: usize = 8;
    /// Length of header and payload.
    pub const LENGTH: Range<usize> = 4..6;
}

/// TCP, RFC 9293 section 3.1.
pub mod tcp {
    /// Bytes of the header without options.
    pub const HEADER: usize = 20;
    /// The byte whose upper half is the header's length in units of 4 bytes.
    pub const DATA_OFFSET: usize = 12;
}

/// ICMP, RFC 792, and ICMPv6, RFC 4443: type, code, checksum and four bytes that depend on the type.
pub mod icmp {
    /// Bytes before the body.
    pub const HEADER: usize = 8;
}

/// Protocol and next-header numbers, as IANA assigns them.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header, RFC 4302. Walked in IPv6; in IPv4 it is the protocol.
    pub const AUTHENTICATION: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// Nothing follows.
    pub const NO_NEXT_HEADER: u8 = 59;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// IPv6 mobility header.
    pub const MOBILITY: u8 = 135;
    /// Host identity protocol.
    pub const HIP: u8 = 139;
    /// Shim6.
    pub const SHIM6: u8 = 140;
}

/// Two bytes at `at`, most significant first. Panics past the end: callers have checked.
#[inline]
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Four bytes at `at`, most significant first. Panics past the end: callers have checked.
#[inline]
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
