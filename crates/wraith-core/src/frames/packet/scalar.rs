//! The best plain Rust we can write: the oracle that the other backends equal and are measured against.
//!
//! The shapes that nearly all traffic has are at most one 802.1Q tag, IPv4 without options or IPv6 without extension headers, whole, and UDP,
//! TCP or ICMP. A pass over each chunk tells the classes apart without a branch, then a loop for each class reads from fixed places: traffic mixes the
//! classes, and branching between them packet by packet costs half as much again in mispredictions. Every other packet, and each of those in which anything
//! does not hold, goes to [`parse`](super::parse()).

use std::hint::select_unpredictable as select;

use super::columns::PacketColumnsMut;
use super::hash::{flow_hash, fold_ipv6};
use super::layout::{ethernet, icmp, ipv4, ipv6, protocol, tcp, udp, vlan};
use super::naive::write_row;
use super::record::Packet;
use super::status::{PacketStatus, flags};
use crate::frames::{Descriptor, MAX_OVER_READ, Slab};

/// Rows that are parsed before those among them that are not common are looked at again: one bit each.
const CHUNK: usize = 64;

/// Parses each descriptor's packet into its row; how many were read. The columns have a row for each.
pub(super) fn packets(
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut PacketColumnsMut<'_>,
) -> usize {
    let mut read = 0;
    for (chunk, descriptors) in descriptors.chunks(CHUNK).enumerate() {
        let first = chunk * CHUNK;
        let left = common_rows(slab, descriptors, columns.rows(first, descriptors.len()));
        read += descriptors.len() - left.count_ones() as usize;
        read += rare_rows(slab, descriptors, left, columns, first);
    }
    read
}

/// Parses the rows of `descriptors` whose bit is set in `left`, by the plain reading of the specifications; how many were read. Row 0 of them is `first` in the
/// columns.
pub(super) fn rare_rows(
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    mut left: u64,
    columns: &mut PacketColumnsMut<'_>,
    first: usize,
) -> usize {
    let mut read = 0;
    while left != 0 {
        let row = left.trailing_zeros() as usize;
        left &= left - 1;
        read += usize::from(write_row(slab, descriptors[row], first + row, columns));
    }
    read
}

/// Writes the rows of at most [`CHUNK`] packets that are common, and returns a bit for each of the others.
///
/// A first pass tells by EtherType and tag which rows are of which class, a loop for each class reads its fields from fixed places.
#[inline(always)]
fn common_rows(slab: Slab<'_>, descriptors: &[Descriptor], mut columns: PacketColumnsMut<'_>) -> u64 {
    let (mut v4, mut v6, mut tagged) = (0_u64, 0_u64, 0_u64);
    for (row, &descriptor) in descriptors.iter().enumerate() {
        let Some(window) = window(slab, descriptor) else { continue };
        let tag = be16(window, ethernet::ETHERTYPE.start) == vlan::CUSTOMER;
        let ethertype = be16(window, ethernet::ETHERTYPE.start + usize::from(tag) * vlan::TAG);
        v4 |= u64::from(ethertype == ethernet::IPV4) << row;
        v6 |= u64::from(ethertype == ethernet::IPV6) << row;
        tagged |= u64::from(tag) << row;
    }
    let good = class::<false, false>(slab, descriptors, v4 & !tagged, &mut columns)
        | class::<false, true>(slab, descriptors, v6 & !tagged, &mut columns)
        | class::<true, false>(slab, descriptors, v4 & tagged, &mut columns)
        | class::<true, true>(slab, descriptors, v6 & tagged, &mut columns);
    !good & (u64::MAX >> (CHUNK - descriptors.len()))
}

/// Writes those of `rows` that hold; their bits.
#[inline(always)]
fn class<const TAGGED: bool, const V6: bool>(
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    mut rows: u64,
    columns: &mut PacketColumnsMut<'_>,
) -> u64 {
    let mut good = rows;
    while rows != 0 {
        let row = rows.trailing_zeros() as usize;
        rows &= rows - 1;
        let descriptor = descriptors[row];
        match common::<TAGGED, V6>(slab, descriptor) {
            Some(packet) => columns.put(row, descriptor.offset, &packet),
            None => good &= !(1 << row),
        }
    }
    good
}

/// The packet of a descriptor whose EtherType and tag are known, when it has a common shape and everything in it holds.
#[inline(always)]
fn common<const TAGGED: bool, const V6: bool>(slab: Slab<'_>, descriptor: Descriptor) -> Option<Packet> {
    let window = window(slab, descriptor)?;
    let l3 = ethernet::HEADER + if TAGGED { vlan::TAG } else { 0 };
    let l4 = l3 + if V6 { ipv6::HEADER } else { ipv4::HEADER };
    let (carried, number, addresses, endpoints);
    if V6 {
        if window[l3] >> 4 != 6 {
            return None;
        }
        carried = u32::from(be16(window, l3 + ipv6::PAYLOAD_LENGTH.start));
        number = window[l3 + ipv6::NEXT_HEADER];
        addresses = (0, 0);
        endpoints = (
            fold_ipv6(&bytes(window, l3 + ipv6::SOURCE.start)),
            fold_ipv6(&bytes(window, l3 + ipv6::DESTINATION.start)),
        );
    } else {
        let fragment = be16(window, l3 + ipv4::FRAGMENT.start) & (ipv4::MORE_FRAGMENTS | ipv4::OFFSET_MASK);
        if window[l3] != 0x45 || fragment != 0 {
            return None;
        }
        carried = u32::from(be16(window, l3 + ipv4::TOTAL_LENGTH.start)).checked_sub(ipv4::HEADER as u32)?;
        number = window[l3 + ipv4::PROTOCOL];
        addresses = (be32(window, l3 + ipv4::SOURCE.start), be32(window, l3 + ipv4::DESTINATION.start));
        endpoints = addresses;
    }
    if l4 as u32 + carried > descriptor.length {
        return None;
    }
    let is_udp = number == protocol::UDP;
    let is_tcp = number == protocol::TCP;
    let is_icmp = number == if V6 { protocol::ICMPV6 } else { protocol::ICMP };
    let data_offset = u32::from(window[l4 + tcp::DATA_OFFSET] >> 4) * 4;
    let header = select(is_tcp, data_offset, udp::HEADER as u32);
    let shortest = select(is_tcp, tcp::HEADER as u32, icmp::HEADER as u32);
    let end = select(is_udp, u32::from(be16(window, l4 + udp::LENGTH.start)), carried);
    let known = is_udp | is_tcp | is_icmp;
    if !known || header < shortest || end < header || end > carried {
        return None;
    }
    let ports = select(is_icmp, 0, be32(window, l4));
    let (source_port, destination_port) = ((ports >> 16) as u16, ports as u16);
    Some(Packet {
        status: PacketStatus::Ok,
        flags: if V6 { flags::IPV6 } else { flags::IPV4 } | if TAGGED { flags::VLAN } else { 0 },
        ethertype: if V6 { ethernet::IPV6 } else { ethernet::IPV4 },
        vlan: if TAGGED { be16(window, ethernet::HEADER) } else { 0 },
        vlan_inner: 0,
        l3_offset: l3 as u16,
        l4_offset: l4 as u16,
        protocol: number,
        source: addresses.0,
        destination: addresses.1,
        source_port,
        destination_port,
        payload_offset: l4 as u32 + header,
        payload_length: end - header,
        hash: flow_hash(endpoints.0, endpoints.1, source_port, destination_port, number),
    })
}

/// The bytes over all headers of the common shapes, when the slab and the descriptor have them.
#[inline(always)]
fn window(slab: Slab<'_>, descriptor: Descriptor) -> Option<&[u8; MAX_OVER_READ]> {
    slab.bytes(descriptor)?;
    slab.bytes(Descriptor::new(descriptor.offset, MAX_OVER_READ as u32))?.first_chunk()
}

type Window = [u8; MAX_OVER_READ];

#[inline(always)]
fn bytes<const N: usize>(window: &Window, at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&window[at..at + N]);
    bytes
}

#[inline(always)]
fn be16(window: &Window, at: usize) -> u16 {
    u16::from_be_bytes(bytes(window, at))
}

#[inline(always)]
fn be32(window: &Window, at: usize) -> u32 {
    u32::from_be_bytes(bytes(window, at))
}
