//! One packet at a time, strictly, with every error in full: the plain reading of the specifications that the batch
//! parsers are held against.

use super::error::{Claim, Layer, PacketError};
use super::layout::{be16, ethernet, vlan};
use super::record::Packet;
use super::status::{PacketStatus, flags};
use super::{ipv4, ipv6};

/// Reads one packet that begins with an Ethernet header.
///
/// Strict: every length field is held against the bytes that are there. Bytes behind the length that IP or IEEE 802.3 states are padding.
/// Checksums are not verified (a packet from this machine may not have them yet). Nothing is allocated, any bytes are safe.
///
/// # Errors
///
/// The first thing that does not hold, from the outside inwards.
///
/// # Examples
///
/// ```
/// use wraith_core::frames::packet::{Layer, PacketStatus, parse};
///
/// let error = parse(&[0; 13]).unwrap_err();
/// assert_eq!((error.status, error.layer), (PacketStatus::TruncatedEthernet, Layer::Ethernet));
/// assert_eq!((error.needed, error.present), (14, 13));
/// ```
#[inline]
pub fn parse(packet: &[u8]) -> Result<Packet, PacketError> {
    let link = link(packet)?;
    match link.ethertype {
        ethernet::IPV4 => ipv4::parse(packet, link),
        ethernet::IPV6 => ipv6::parse(packet, link),
        _ => not_ip(packet, link),
    }
}

/// Ethernet header and VLAN tags; everything else is 0.
#[inline(always)]
fn link(packet: &[u8]) -> Result<Packet, PacketError> {
    if packet.len() < ethernet::HEADER {
        return Err(PacketError {
            status: PacketStatus::TruncatedEthernet,
            layer: Layer::Ethernet,
            field: "header",
            offset: 0,
            needed: ethernet::HEADER,
            present: packet.len(),
            claimed_by: Claim::Protocol,
            limited_by: Claim::Descriptor,
        });
    }
    let mut tags = [0_u16; vlan::MAX_TAGS];
    let mut count = 0;
    let mut end = ethernet::HEADER;
    let mut ethertype = be16(packet, ethernet::ETHERTYPE.start);
    while vlan::is_tag(ethertype) {
        let tag = PacketError {
            status: PacketStatus::TooManyVlanTags,
            layer: Layer::Vlan,
            field: "TPID",
            offset: end - 2,
            needed: vlan::MAX_TAGS,
            present: count + 1,
            claimed_by: Claim::Protocol,
            limited_by: Claim::Descriptor,
        };
        if count == vlan::MAX_TAGS {
            return Err(tag);
        }
        if packet.len() - end < vlan::TAG {
            return Err(PacketError {
                status: PacketStatus::TruncatedVlan,
                field: "tag control information",
                offset: end,
                needed: vlan::TAG,
                present: packet.len() - end,
                ..tag
            });
        }
        tags[count] = be16(packet, end);
        ethertype = be16(packet, end + 2);
        count += 1;
        end += vlan::TAG;
    }
    Ok(Packet {
        status: PacketStatus::NotIp,
        flags: [0, flags::VLAN, flags::VLAN | flags::VLAN_INNER][count],
        ethertype,
        vlan: tags[0],
        vlan_inner: tags[1],
        l3_offset: end as u16,
        l4_offset: 0,
        protocol: 0,
        source: 0,
        destination: 0,
        source_port: 0,
        destination_port: 0,
        payload_offset: end as u32,
        payload_length: 0,
        hash: 0,
    })
}

fn not_ip(packet: &[u8], link: Packet) -> Result<Packet, PacketError> {
    let start = usize::from(link.l3_offset);
    let present = packet.len() - start;
    let value = usize::from(link.ethertype);
    if link.ethertype >= ethernet::MIN_ETHERTYPE {
        return Ok(Packet { payload_length: present as u32, ..link });
    }
    let bad = PacketError {
        status: PacketStatus::BadEtherType,
        layer: Layer::Ethernet,
        field: "length",
        offset: start - 2,
        needed: value,
        present,
        claimed_by: Claim::EthernetLength,
        limited_by: Claim::Descriptor,
    };
    if link.ethertype > ethernet::MAX_LENGTH {
        let needed = usize::from(ethernet::MIN_ETHERTYPE);
        return Err(PacketError {
            field: "EtherType",
            needed,
            present: value,
            claimed_by: Claim::Protocol,
            ..bad
        });
    }
    if value > present {
        return Err(bad);
    }
    Ok(Packet { payload_length: u32::from(link.ethertype), ..link })
}
