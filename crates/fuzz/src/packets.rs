//! What must hold of a batch of packets, whatever its bytes are.

use wraith_core::frames::packet::{Claim, Packet, PacketError, PacketStatus, flags, naive, parse};
use wraith_core::frames::{Backend, Batch, BatchError, Descriptor, Slab};

use crate::columns::Packets;

fn number(bytes: &[u8], at: usize, width: usize) -> u32 {
    bytes[at..at + width].iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}

fn has(packet: &Packet, flag: u8) -> bool {
    packet.flags & flag != 0
}

/// What a packet's columns must be when it was read as this.
fn row_of(packet: &Packet, at: u32) -> Packets {
    let &Packet { flags, protocol, ethertype, vlan, vlan_inner, l3_offset, l4_offset, .. } = packet;
    let &Packet { source_port, destination_port, source, destination, payload_length, hash, .. } = packet;
    Packets {
        status: vec![packet.status as u8],
        flags: vec![flags],
        protocol: vec![protocol],
        ethertype: vec![ethertype],
        vlan: vec![vlan],
        vlan_inner: vec![vlan_inner],
        l3_offset: vec![l3_offset],
        l4_offset: vec![l4_offset],
        source_port: vec![source_port],
        destination_port: vec![destination_port],
        source: vec![source],
        destination: vec![destination],
        payload_offset: vec![at.wrapping_add(packet.payload_offset)],
        payload_length: vec![payload_length],
        hash: vec![hash],
    }
}

/// What was read is what lies in the packet at the offsets that were read.
fn check_fields(packet: &Packet, bytes: &[u8]) {
    let (l3, l4) = (usize::from(packet.l3_offset), usize::from(packet.l4_offset));
    let tags = usize::from(has(packet, flags::VLAN)) + usize::from(has(packet, flags::VLAN_INNER));
    assert_eq!(l3, 14 + 4 * tags);
    assert_eq!(u32::from(packet.ethertype), number(bytes, l3 - 2, 2));
    let tag = |there, at| if there { number(bytes, at, 2) } else { 0 };
    assert_eq!(u32::from(packet.vlan), tag(tags > 0, 14));
    assert_eq!(u32::from(packet.vlan_inner), tag(tags > 1, 18));
    let payload = packet.payload_offset as usize;
    assert!(payload + packet.payload_length as usize <= bytes.len(), "{packet:?}");
    if packet.status == PacketStatus::NotIp {
        assert_eq!((l4, payload, packet.hash, packet.protocol), (0, l3, 0, 0));
        return;
    }
    assert_eq!(packet.status, PacketStatus::Ok);
    assert!(l3 < l4 && l4 <= payload, "{packet:?}");
    let four = has(packet, flags::IPV4);
    assert_eq!(has(packet, flags::IPV6), !four);
    assert_eq!(bytes[l3] >> 4, if four { 4 } else { 6 });
    let addresses = if four { (number(bytes, l3 + 12, 4), number(bytes, l3 + 16, 4)) } else { (0, 0) };
    assert_eq!((packet.source, packet.destination), addresses);
    let header = if four { usize::from(bytes[l3] & 15) * 4 } else { 40 };
    assert!(if four { l4 == l3 + header } else { l4 >= l3 + header }, "{packet:?}");
    assert_eq!(has(packet, flags::OPTIONS), l4 > l3 + if four { 20 } else { 40 });
    assert!(!has(packet, flags::LATER_FRAGMENT) || has(packet, flags::FRAGMENT));
    let headed = !has(packet, flags::LATER_FRAGMENT);
    let ports = headed && matches!(packet.protocol, 6 | 17);
    let wanted = if ports { (number(bytes, l4, 2), number(bytes, l4 + 2, 2)) } else { (0, 0) };
    assert_eq!((packet.source_port.into(), packet.destination_port.into()), wanted);
    let carried = match packet.protocol {
        17 if headed => 8,
        6 if headed => usize::from(bytes[l4 + 12] >> 4) * 4,
        1 if headed && four => 8,
        58 if headed && !four => 8,
        _ => 0,
    };
    assert_eq!(payload, l4 + carried, "{packet:?}");
}

/// The same packet in the other direction: everything is swapped, and the hash is the same.
fn check_other_direction(packet: &Packet, bytes: &[u8]) {
    if packet.status != PacketStatus::Ok {
        return;
    }
    let (l3, l4) = (usize::from(packet.l3_offset), usize::from(packet.l4_offset));
    let mut back = bytes.to_vec();
    let (at, width) = if has(packet, flags::IPV4) { (l3 + 12, 4) } else { (l3 + 8, 16) };
    back[at..at + 2 * width].rotate_left(width);
    if matches!(packet.protocol, 6 | 17) && !has(packet, flags::LATER_FRAGMENT) {
        back[l4..l4 + 4].rotate_left(2);
    }
    let swapped = Packet {
        source: packet.destination,
        destination: packet.source,
        source_port: packet.destination_port,
        destination_port: packet.source_port,
        ..*packet
    };
    assert_eq!(parse(&back), Ok(swapped));
}

/// A refusal is explained with its own name and with what is there; what it asks for, when it is given, is not asked for again.
fn check_explanation(error: PacketError, bytes: &[u8]) {
    assert!(error.to_string().starts_with(error.status.as_str()), "{error}");
    assert!(!error.status.is_read());
    // Only here `needed` is about bytes that are missing.
    if error.limited_by != Claim::Descriptor || !error.status.as_str().starts_with("truncated") {
        return;
    }
    assert!(error.needed > error.present, "{error}");
    let mut longer = bytes.to_vec();
    longer.resize(bytes.len() + error.needed - error.present, 0);
    if let Err(again) = parse(&longer) {
        let same = (again.status, again.layer, again.offset) == (error.status, error.layer, error.offset);
        assert!(
            !same || again.needed != error.needed,
            "{error}; {} bytes more: {again}",
            error.needed - error.present
        );
    }
}

/// Every backend and the naive parser agree about every row; what was read lies where it is said to; explanations are about the rows' statuses;
/// nothing but the batch's rows is written.
pub fn check_packets(slab: &[u8], descriptors: &[Descriptor]) {
    let batch = Batch::new(Slab::new(slab), descriptors).expect("a small slab");
    let rows = descriptors.len();
    let mut plain = Packets::used(rows + 2);
    let read = naive::packets(&batch, &mut plain.as_mut()).expect("the columns are long enough");
    let known = |&status: &u8| PacketStatus::from_u8(status).expect("a status");
    assert_eq!(read, plain.status[..rows].iter().map(known).filter(|status| status.is_read()).count());
    for (row, &descriptor) in descriptors.iter().enumerate() {
        let start = descriptor.offset as usize;
        let bytes = slab.get(start..).and_then(|rest| rest.get(..descriptor.length as usize));
        let error = batch.explain_packet(row);
        match (bytes.map(parse), error, bytes) {
            (Some(Ok(packet)), None, Some(bytes)) => {
                assert_eq!(plain.row(row), row_of(&packet, descriptor.offset));
                check_fields(&packet, bytes);
                check_other_direction(&packet, bytes);
                continue;
            }
            (Some(Err(parsed)), Some(error), Some(bytes)) => {
                assert_eq!(error, parsed);
                check_explanation(error, bytes);
            }
            (None, Some(error), None) => {
                let end = descriptor.offset as usize + descriptor.length as usize;
                assert_eq!(error.status, PacketStatus::OutOfBounds);
                assert_eq!((error.needed, error.present), (end, slab.len()));
            }
            disagreement => panic!("row {row}: {disagreement:?}"),
        }
        // A row that was not read is 0 but for its status.
        let mut nothing = Packets::used(1);
        let empty = Batch::new(Slab::new(&[]), &[Descriptor { offset: 1, length: 0 }]).expect("a small slab");
        naive::packets(&empty, &mut nothing.as_mut()).expect("the column is long enough");
        nothing.status = vec![error.map_or(0, |error| error.status as u8)];
        assert_eq!(plain.row(row), nothing, "row {row}");
        assert_eq!((plain.hash[row], plain.payload_offset[row], plain.flags[row]), (0, 0, 0));
    }
    assert_eq!(batch.explain_packet(rows), None);
    for backend in Backend::available() {
        let mut columns = Packets::used(rows + 2);
        let count = batch.packets(backend, &mut columns.as_mut()).expect("the columns are long enough");
        let name = backend.backend();
        assert_eq!(count, read, "{name}");
        if columns != plain {
            // Names the row.
            for row in 0..rows + 2 {
                assert_eq!(columns.row(row), plain.row(row), "{name}, row {row}");
            }
        }
        if rows > 0 {
            let mut short = Packets::used(rows - 1);
            let refused = batch.packets(backend, &mut short.as_mut());
            assert_eq!(refused, Err(BatchError::ColumnsTooShort { rows, capacity: rows - 1 }));
            assert_eq!(short, Packets::used(rows - 1));
        }
    }
}
