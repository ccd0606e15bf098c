//! One byte per packet that says what became of it, and the flags of a packet that was read.

/// What became of a packet: one byte, stored in the `status` column.
///
/// Rows whose status is [`Ok`](Self::Ok) have every column filled, rows that are [`NotIp`](Self::NotIp) those of the link layer and the
/// payload; in all other rows every column but the status is 0. [`Batch::explain_packet`](crate::frames::Batch::explain_packet)
/// says more about a row that is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum PacketStatus {
    /// An IPv4 or IPv6 packet, all of whose lengths hold.
    Ok = 0,
    /// The link layer holds, what it carries is not IP: ARP, LLDP, an IEEE 802.3 frame with a length in place of the EtherType.
    NotIp = 1,
    /// The descriptor does not lie within the slab.
    OutOfBounds = 2,
    /// Fewer than 14 bytes.
    TruncatedEthernet = 3,
    /// The packet ends within a VLAN tag.
    TruncatedVlan = 4,
    /// More than two VLAN tags.
    TooManyVlanTags = 5,
    /// An IEEE 802.3 length is more than what is present, or the EtherType lies in the undefined range 1501–1535.
    BadEtherType = 6,
    /// Fewer than 20 bytes of IPv4.
    TruncatedIpv4 = 7,
    /// The EtherType says IPv4, the version field does not.
    BadIpv4Version = 8,
    /// The IPv4 header length is below 20 bytes.
    BadIpv4HeaderLength = 9,
    /// The IPv4 header length is more than what is present.
    TruncatedIpv4Options = 10,
    /// The IPv4 total length is less than the header length.
    BadIpv4TotalLength = 11,
    /// The IPv4 total length is more than what is present.
    TruncatedIpv4Payload = 12,
    /// An IPv4 fragment that is empty, reaches past 65535, or is not the last and no multiple of 8 bytes long.
    BadIpv4Fragment = 13,
    /// Fewer than 40 bytes of IPv6.
    TruncatedIpv6 = 14,
    /// The EtherType says IPv6, the version field does not.
    BadIpv6Version = 15,
    /// The IPv6 payload length is more than what is present.
    TruncatedIpv6Payload = 16,
    /// The packet ends within an IPv6 extension header.
    TruncatedIpv6Extension = 17,
    /// A hop-by-hop header that is not the first, a second fragment header, or an authentication header below 12 bytes.
    BadIpv6Extension = 18,
    /// More than [`MAX_EXTENSIONS`](super::layout::ipv6::MAX_EXTENSIONS) IPv6 extension headers.
    TooManyIpv6Extensions = 19,
    /// An IPv6 fragment that is empty, reaches past 65535, or is not the last and no multiple of 8 bytes long.
    BadIpv6Fragment = 20,
    /// Fewer than 8 bytes of UDP.
    TruncatedUdp = 21,
    /// The UDP length is below 8 bytes.
    BadUdpLength = 22,
    /// The UDP length is more than the IP packet carries.
    TruncatedUdpPayload = 23,
    /// Fewer than 20 bytes of TCP.
    TruncatedTcp = 24,
    /// The TCP data offset is below 20 bytes.
    BadTcpDataOffset = 25,
    /// The TCP data offset is more than the IP packet carries.
    TruncatedTcpOptions = 26,
    /// Fewer than 8 bytes of ICMP or ICMPv6.
    TruncatedIcmp = 27,
}

impl PacketStatus {
    /// Every status, in the order of its number: `ALL[n] as u8 == n`.
    pub const ALL: [Self; 28] = [
        Self::Ok,
        Self::NotIp,
        Self::OutOfBounds,
        Self::TruncatedEthernet,
        Self::TruncatedVlan,
        Self::TooManyVlanTags,
        Self::BadEtherType,
        Self::TruncatedIpv4,
        Self::BadIpv4Version,
        Self::BadIpv4HeaderLength,
        Self::TruncatedIpv4Options,
        Self::BadIpv4TotalLength,
        Self::TruncatedIpv4Payload,
        Self::BadIpv4Fragment,
        Self::TruncatedIpv6,
        Self::BadIpv6Version,
        Self::TruncatedIpv6Payload,
        Self::TruncatedIpv6Extension,
        Self::BadIpv6Extension,
        Self::TooManyIpv6Extensions,
        Self::BadIpv6Fragment,
        Self::TruncatedUdp,
        Self::BadUdpLength,
        Self::TruncatedUdpPayload,
        Self::TruncatedTcp,
        Self::BadTcpDataOffset,
        Self::TruncatedTcpOptions,
        Self::TruncatedIcmp,
    ];

    /// The status that a byte of the column stands for, `None` for a byte that no parser writes.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Whether the packet was read: [`Ok`](Self::Ok) or [`NotIp`](Self::NotIp).
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Ok | Self::NotIp)
    }

    /// The name in words joined by hyphens, the same in every release.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotIp => "not-ip",
            Self::OutOfBounds => "out-of-bounds",
            Self::TruncatedEthernet => "truncated-ethernet",
            Self::TruncatedVlan => "truncated-vlan",
            Self::TooManyVlanTags => "too-many-vlan-tags",
            Self::BadEtherType => "bad-ethertype",
            Self::TruncatedIpv4 => "truncated-ipv4",
            Self::BadIpv4Version => "bad-ipv4-version",
            Self::BadIpv4HeaderLength => "bad-ipv4-header-length",
            Self::TruncatedIpv4Options => "truncated-ipv4-options",
            Self::BadIpv4TotalLength => "bad-ipv4-total-length",
            Self::TruncatedIpv4Payload => "truncated-ipv4-payload",
            Self::BadIpv4Fragment => "bad-ipv4-fragment",
            Self::TruncatedIpv6 => "truncated-ipv6",
            Self::BadIpv6Version => "bad-ipv6-version",
            Self::TruncatedIpv6Payload => "truncated-ipv6-payload",
            Self::TruncatedIpv6Extension => "truncated-ipv6-extension",
            Self::BadIpv6Extension => "bad-ipv6-extension",
            Self::TooManyIpv6Extensions => "too-many-ipv6-extensions",
            Self::BadIpv6Fragment => "bad-ipv6-fragment",
            Self::TruncatedUdp => "truncated-udp",
            Self::BadUdpLength => "bad-udp-length",
            Self::TruncatedUdpPayload => "truncated-udp-payload",
            Self::TruncatedTcp => "truncated-tcp",
            Self::BadTcpDataOffset => "bad-tcp-data-offset",
            Self::TruncatedTcpOptions => "truncated-tcp-options",
            Self::TruncatedIcmp => "truncated-icmp",
        }
    }
}

/// Bits of the `flags` column: which of the optional columns mean something.
pub mod flags {
    /// IPv4; the address columns hold its addresses.
    pub const IPV4: u8 = 1;
    /// IPv6; the address columns are 0, the addresses lie at `l3_offset + 8` and `l3_offset + 24`.
    pub const IPV6: u8 = 2;
    /// At least one VLAN tag: the `vlan` column holds the outer one.
    pub const VLAN: u8 = 4;
    /// Two VLAN tags: the `vlan_inner` column holds the inner one.
    pub const VLAN_INNER: u8 = 8;
    /// A fragment of a larger datagram. The first has ports, the others (see [`LATER_FRAGMENT`]) do not; the hash of all of them leaves the ports out.
    pub const FRAGMENT: u8 = 16;
    /// A fragment that is not the first: there is no transport header, the payload begins at `l4_offset`.
    pub const LATER_FRAGMENT: u8 = 32;
    /// IPv4 options or IPv6 extension headers lie between the IP header and `l4_offset`.
    pub const OPTIONS: u8 = 64;
}
