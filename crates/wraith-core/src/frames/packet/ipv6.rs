//! IPv6 of one packet, with its extension headers.

use super::error::{Claim, Layer, PacketError};
use super::hash::fold_ipv6;
use super::layout::{be16, ipv6, protocol};
use super::record::Packet;
use super::status::{PacketStatus, flags};
use super::transport::{self, Carried, Fragment};

/// Reads IPv6 at `link.l3_offset`, and what it carries.
#[inline]
pub(super) fn parse(packet: &[u8], link: Packet) -> Result<Packet, PacketError> {
    let start = usize::from(link.l3_offset);
    let present = packet.len() - start;
    let short = PacketError {
        status: PacketStatus::TruncatedIpv6,
        layer: Layer::Ipv6,
        field: "header",
        offset: start,
        needed: ipv6::HEADER,
        present,
        claimed_by: Claim::Protocol,
        limited_by: Claim::Descriptor,
    };
    let Some(header) = packet[start..].first_chunk::<{ ipv6::HEADER }>() else {
        return Err(short);
    };
    let version = usize::from(header[0] >> 4);
    if version != 6 {
        return Err(PacketError {
            status: PacketStatus::BadIpv6Version,
            field: "version",
            needed: 6,
            present: version,
            ..short
        });
    }
    let payload = usize::from(be16(header, ipv6::PAYLOAD_LENGTH.start));
    if payload > present - ipv6::HEADER {
        return Err(PacketError {
            status: PacketStatus::TruncatedIpv6Payload,
            field: "payload length",
            offset: start + ipv6::PAYLOAD_LENGTH.start,
            needed: ipv6::HEADER + payload,
            claimed_by: Claim::Ipv6PayloadLength,
            ..short
        });
    }
    let first = start + ipv6::HEADER;
    let walk = walk(&packet[..first + payload], first, header[ipv6::NEXT_HEADER])?;
    let [source, destination] = [ipv6::SOURCE, ipv6::DESTINATION].map(|range| {
        let mut address = [0; 16];
        address.copy_from_slice(&header[range]);
        fold_ipv6(&address)
    });
    let options = if walk.end > first { flags::OPTIONS } else { 0 };
    let row = Packet {
        status: PacketStatus::Ok,
        flags: link.flags | flags::IPV6 | options,
        l4_offset: walk.end as u16,
        ..link
    };
    transport::parse(
        packet,
        row,
        Carried {
            protocol: walk.next,
            hash_protocol: walk.fragment_next.unwrap_or(walk.next),
            length: first + payload - walk.end,
            fragment: walk.fragment,
            endpoints: (source, destination),
            limited_by: Claim::Ipv6PayloadLength,
        },
    )
}

/// What the chain of extension headers leads to.
struct Walk {
    /// The protocol behind the last one.
    next: u8,
    /// Where the last one ends.
    end: usize,
    fragment: Fragment,
    /// What the fragment header announces, the same in each fragment of a datagram: the hash takes it instead of `next`.
    fragment_next: Option<u8>,
}

/// Walks the extension headers (RFC 8200 section 4) from `first` on; `packet` ends where the payload does.
fn walk(packet: &[u8], first: usize, first_next: u8) -> Result<Walk, PacketError> {
    let mut walk = Walk { next: first_next, end: first, fragment: Fragment::Whole, fragment_next: None };
    let mut count = 0;
    let mut fragment_seen = false;
    while is_extension(walk.next) {
        let rest = &packet[walk.end..];
        let error = PacketError {
            status: PacketStatus::TruncatedIpv6Extension,
            layer: Layer::Ipv6Extension,
            field: name(walk.next),
            offset: walk.end,
            needed: ipv6::EXTENSION,
            present: rest.len(),
            claimed_by: Claim::Protocol,
            limited_by: Claim::Ipv6PayloadLength,
        };
        if count == ipv6::MAX_EXTENSIONS {
            return Err(PacketError {
                status: PacketStatus::TooManyIpv6Extensions,
                needed: ipv6::MAX_EXTENSIONS,
                present: count + 1,
                ..error
            });
        }
        let misplaced = (walk.next == protocol::HOP_BY_HOP && count > 0)
            || (walk.next == protocol::FRAGMENT && fragment_seen);
        if misplaced {
            return Err(PacketError {
                status: PacketStatus::BadIpv6Extension,
                needed: 1,
                present: count + 1,
                ..error
            });
        }
        if rest.len() < ipv6::EXTENSION {
            return Err(error);
        }
        count += 1;
        if walk.next == protocol::FRAGMENT {
            fragment_seen = true;
            walk.end += ipv6::EXTENSION;
            walk.next = rest[0];
            walk.fragment = fragment(packet, first, walk.end, be16(rest, ipv6::FRAGMENT.start), error)?;
            if walk.fragment != Fragment::Whole {
                walk.fragment_next = Some(walk.next);
            }
            if walk.fragment == Fragment::Later {
                break;
            }
            continue;
        }
        let length = extension_length(walk.next, rest[1]);
        if walk.next == protocol::AUTHENTICATION && length < 12 {
            return Err(PacketError {
                status: PacketStatus::BadIpv6Extension,
                needed: 12,
                present: length,
                limited_by: Claim::Ipv6ExtensionLength,
                ..error
            });
        }
        if rest.len() < length {
            return Err(PacketError { needed: length, claimed_by: Claim::Ipv6ExtensionLength, ..error });
        }
        walk.next = rest[0];
        walk.end += length;
    }
    Ok(walk)
}

/// Checks the fragment header that ends at `end`. Offset 0 and nothing more to come is an atomic fragment, a whole datagram (RFC 6946).
fn fragment(
    packet: &[u8],
    first: usize,
    end: usize,
    field: u16,
    error: PacketError,
) -> Result<Fragment, PacketError> {
    let more = field & ipv6::MORE_FRAGMENTS != 0;
    let offset = usize::from(field & ipv6::OFFSET_MASK);
    if !more && offset == 0 {
        return Ok(Fragment::Whole);
    }
    let carried = packet.len() - end;
    let bad = PacketError {
        status: PacketStatus::BadIpv6Fragment,
        field: "fragment offset",
        offset: error.offset + ipv6::FRAGMENT.start,
        claimed_by: Claim::Ipv6PayloadLength,
        ..error
    };
    // The fragment header itself is no part of the datagram that comes out.
    let reaches = end - ipv6::EXTENSION - first + offset + carried;
    transport::check_fragment(bad, carried, more, reaches, ipv6::MAX_PAYLOAD)?;
    Ok(if offset == 0 { Fragment::First } else { Fragment::Later })
}

/// The headers that have a next header and a length, except ESP, behind which nothing can be read.
const fn is_extension(next: u8) -> bool {
    use protocol::{
        AUTHENTICATION, DESTINATION_OPTIONS, FRAGMENT, HIP, HOP_BY_HOP, MOBILITY, ROUTING, SHIM6,
    };
    matches!(
        next,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS | MOBILITY | HIP | SHIM6
    )
}

/// Bytes of an extension header whose length byte is `units`: of 8 bytes beyond the first 8, in an authentication header of 4 beyond the first 8.
const fn extension_length(next: u8, units: u8) -> usize {
    if next == protocol::AUTHENTICATION { (units as usize + 2) * 4 } else { (units as usize + 1) * 8 }
}

const fn name(next: u8) -> &'static str {
    match next {
        protocol::HOP_BY_HOP => "hop-by-hop options",
        protocol::ROUTING => "routing header",
        protocol::FRAGMENT => "fragment header",
        protocol::AUTHENTICATION => "authentication header",
        protocol::DESTINATION_OPTIONS => "destination options",
        protocol::MOBILITY => "mobility header",
        protocol::HIP => "host identity header",
        _ => "shim6 header",
    }
}
