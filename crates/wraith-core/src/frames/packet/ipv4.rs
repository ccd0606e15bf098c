//! IPv4 of one packet.

use super::error::{Claim, Layer, PacketError};
use super::layout::{be16, be32, ipv4};
use super::record::Packet;
use super::status::{PacketStatus, flags};
use super::transport::{self, Carried, Fragment};

/// Reads IPv4 at `link.l3_offset`, and what it carries.
#[inline(always)]
pub(super) fn parse(packet: &[u8], link: Packet) -> Result<Packet, PacketError> {
    let start = usize::from(link.l3_offset);
    let header = &packet[start..];
    let short = PacketError {
        status: PacketStatus::TruncatedIpv4,
        layer: Layer::Ipv4,
        field: "header",
        offset: start,
        needed: ipv4::HEADER,
        present: header.len(),
        claimed_by: Claim::Protocol,
        limited_by: Claim::Descriptor,
    };
    if header.len() < ipv4::HEADER {
        return Err(short);
    }
    let version = usize::from(header[0] >> 4);
    if version != 4 {
        return Err(PacketError {
            status: PacketStatus::BadIpv4Version,
            field: "version",
            needed: 4,
            present: version,
            ..short
        });
    }
    let header_length = usize::from(header[0] & 15) * 4;
    if header_length < ipv4::HEADER {
        return Err(PacketError {
            status: PacketStatus::BadIpv4HeaderLength,
            field: "IHL",
            present: header_length,
            limited_by: Claim::Ipv4HeaderLength,
            ..short
        });
    }
    if header_length > header.len() {
        return Err(PacketError {
            status: PacketStatus::TruncatedIpv4Options,
            field: "options",
            offset: start + ipv4::HEADER,
            needed: header_length,
            claimed_by: Claim::Ipv4HeaderLength,
            ..short
        });
    }
    let total = usize::from(be16(header, ipv4::TOTAL_LENGTH.start));
    let length = PacketError {
        status: PacketStatus::TruncatedIpv4Payload,
        field: "total length",
        offset: start + ipv4::TOTAL_LENGTH.start,
        needed: total,
        claimed_by: Claim::Ipv4TotalLength,
        ..short
    };
    if total < header_length {
        return Err(PacketError {
            status: PacketStatus::BadIpv4TotalLength,
            needed: header_length,
            present: total,
            claimed_by: Claim::Ipv4HeaderLength,
            limited_by: Claim::Ipv4TotalLength,
            ..length
        });
    }
    if total > header.len() {
        return Err(length);
    }
    let fragment = fragment(header, header_length, total, length)?;
    let protocol = header[ipv4::PROTOCOL];
    let source = be32(header, ipv4::SOURCE.start);
    let destination = be32(header, ipv4::DESTINATION.start);
    let options = if header_length > ipv4::HEADER { flags::OPTIONS } else { 0 };
    let row = Packet {
        status: PacketStatus::Ok,
        flags: link.flags | flags::IPV4 | options,
        source,
        destination,
        l4_offset: (start + header_length) as u16,
        ..link
    };
    transport::parse(
        packet,
        row,
        Carried {
            protocol,
            hash_protocol: protocol,
            length: total - header_length,
            fragment,
            endpoints: (source, destination),
            limited_by: Claim::Ipv4TotalLength,
        },
    )
}

#[inline(always)]
fn fragment(
    header: &[u8],
    header_length: usize,
    total: usize,
    length: PacketError,
) -> Result<Fragment, PacketError> {
    let field = be16(header, ipv4::FRAGMENT.start);
    let more = field & ipv4::MORE_FRAGMENTS != 0;
    let offset = usize::from(field & ipv4::OFFSET_MASK) * 8;
    if !more && offset == 0 {
        return Ok(Fragment::Whole);
    }
    let payload = total - header_length;
    let at = length.offset - ipv4::TOTAL_LENGTH.start + ipv4::FRAGMENT.start;
    let bad =
        PacketError { status: PacketStatus::BadIpv4Fragment, field: "fragment offset", offset: at, ..length };
    transport::check_fragment(bad, payload, more, header_length + offset + payload, ipv4::MAX_DATAGRAM)?;
    Ok(if offset == 0 { Fragment::First } else { Fragment::Later })
}
