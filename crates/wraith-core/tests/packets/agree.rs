//! Every backend writes what the plain reading of the specifications writes, byte for byte.

use proptest::prelude::*;
use wraith_core::frames::packet::{PacketColumns, naive};
use wraith_core::frames::{Backend, Batch, Descriptor, Slab};

use crate::support::{
    C_TAG, MIX, Random, S_TAG, ethernet, extension, fragment, icmp, ipv4, ipv6, mix, packed, shaped, tcp, udp,
};

/// Parses with each backend, and compares each with `naive`; rows of the columns beyond the batch's must keep what they hold.
fn check(slab: &[u8], descriptors: &[Descriptor], what: &str) {
    let batch = Batch::new(Slab::new(slab), descriptors).expect("the slab is small");
    let mut expected = used(descriptors.len() + 3);
    let read = naive::packets(&batch, &mut expected.as_mut()).expect("the columns are long enough");
    for backend in Backend::available() {
        let mut columns = used(descriptors.len() + 3);
        let count = batch.packets(backend, &mut columns.as_mut()).expect("the columns are long enough");
        if columns != expected || count != read {
            let row = (0..descriptors.len()).find(|&row| one(&columns, row) != one(&expected, row));
            let bytes = row.and_then(|row| Slab::new(slab).bytes(descriptors[row]));
            panic!(
                "{what}: {} differs in row {row:?}, {:?} {bytes:02x?}:\n{:?}\nexpected\n{:?}",
                backend.backend(),
                row.map(|row| descriptors[row]),
                row.map(|row| one(&columns, row)),
                row.map(|row| one(&expected, row)),
            );
        }
    }
}

/// Columns that hold something from before.
fn used(rows: usize) -> PacketColumns {
    let (slab, _) = packed(&[vec![0xFF; 64]], 0);
    let descriptors = vec![Descriptor::new(0, 40); rows];
    let mut columns = PacketColumns::with_capacity(rows);
    let batch = Batch::new(Slab::new(&slab), &descriptors).expect("the slab is small");
    naive::packets(&batch, &mut columns.as_mut()).expect("the columns are long enough");
    columns
}

fn one(columns: &PacketColumns, row: usize) -> [u32; 15] {
    [
        columns.status()[row].into(),
        columns.flags()[row].into(),
        columns.protocol()[row].into(),
        columns.ethertype()[row].into(),
        columns.vlan()[row].into(),
        columns.vlan_inner()[row].into(),
        columns.l3_offset()[row].into(),
        columns.l4_offset()[row].into(),
        columns.source_port()[row].into(),
        columns.destination_port()[row].into(),
        columns.source()[row],
        columns.destination()[row],
        columns.payload_offset()[row],
        columns.payload_length()[row],
        columns.hash()[row],
    ]
}

/// One packet of each shape: those of the mix, and all combinations of tags, options, fragments and extension headers.
fn every_shape(random: &mut Random) -> Vec<Vec<u8>> {
    let mut packets: Vec<_> = MIX.iter().map(|&(shape, _)| shaped(random, shape)).collect();
    let tags: [&[(u16, u16)]; 7] = [
        &[],
        &[(C_TAG, 0xEFFF)],
        &[(C_TAG, 0)],
        &[(S_TAG, 5)],
        &[(0x9100, 6), (C_TAG, 7)],
        &[(C_TAG, 8), (C_TAG, 9)],
        &[(C_TAG, 1), (C_TAG, 2), (C_TAG, 3)],
    ];
    for tags in tags {
        for (protocol, carried) in [
            (17, udp(random, 24)),
            (6, tcp(random, 12, 4)),
            (1, icmp(random, 16)),
            (58, icmp(random, 16)),
            (47, random.bytes(24)),
        ] {
            for options in [0, 4, 40] {
                for field in [0, 0x4000, 0x8000, 0x2000, 0x2001, 0x0001, 0x1FFF, 0x3FFF] {
                    packets.push(ethernet(tags, 0x0800, &ipv4(random, options, field, protocol, &carried)));
                }
            }
            for chain in [&[][..], &[0], &[60], &[43, 51], &[44], &[0, 60, 44, 60]] {
                for field in [0, 1, 8, 9, 0xFFF8] {
                    packets.push(ethernet(tags, 0x86DD, &chained(random, chain, field, protocol, &carried)));
                }
            }
        }
        packets.push(ethernet(tags, 0x0806, &random.bytes(28)));
        packets.push(ethernet(tags, 30, &random.bytes(40)));
    }
    packets
}

/// IPv6 with these extension headers before `carried`.
fn chained(random: &mut Random, chain: &[u8], field: u16, protocol: u8, carried: &[u8]) -> Vec<u8> {
    let mut payload = carried.to_vec();
    let mut next = protocol;
    for &kind in chain.iter().rev() {
        let mut header = match kind {
            44 => fragment(next, field),
            51 => extension(random, next, 1)[..12].to_vec(),
            _ => extension(random, next, 1),
        };
        header.extend(payload);
        payload = header;
        next = kind;
    }
    ipv6(random, next, &payload)
}

/// The vector backends that must be here, slowest first.
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
fn vector_backends() -> Vec<&'static str> {
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq");
    let sse41 = is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1");
    let all =
        [("sse2", true), ("sse41", sse41), ("avx2", is_x86_feature_detected!("avx2")), ("avx512", avx512)];
    all.into_iter().filter_map(|(name, is_here)| is_here.then_some(name)).collect()
}

/// The vector backends that must be here.
#[cfg(not(all(feature = "simd", target_arch = "x86_64")))]
fn vector_backends() -> Vec<&'static str> {
    if cfg!(all(feature = "simd", target_arch = "aarch64")) { vec!["neon"] } else { vec![] }
}

#[test]
fn the_backends_of_this_cpu_are_here() {
    let names: Vec<_> = Backend::available().map(|backend| backend.backend().as_str()).collect();
    println!("backends: {}", names.join(" "));
    assert_eq!(names, [vec!["scalar"], vector_backends()].concat());
}

#[test]
fn packets_cut_off_at_every_length() {
    let mut random = Random(2);
    for packet in every_shape(&mut random) {
        let longest = packet.len().max(160) as u32;
        let mut slab = packet;
        slab.resize(longest as usize + 96, 0xEE);
        let descriptors: Vec<_> = (0..=longest).map(|length| Descriptor::new(0, length)).collect();
        check(&slab, &descriptors, "cut off");
    }
}

#[test]
fn packets_at_every_alignment_and_in_every_place_of_a_vector() {
    let mut random = Random(3);
    let packets = mix(&mut random, 80);
    for gap in 0..64 {
        let (slab, descriptors) = packed(&packets, gap);
        for skipped in 0..16 {
            check(&slab, &descriptors[skipped..], "aligned");
        }
    }
    for (place, shape) in every_shape(&mut random).into_iter().enumerate() {
        let mut packets = vec![shaped(&mut random, "ipv4-tcp"); 64];
        packets[place % 64] = shape;
        let (slab, descriptors) = packed(&packets, place % 16);
        check(&slab, &descriptors, "one among others");
    }
}

#[test]
fn batches_of_every_length() {
    let mut random = Random(4);
    let (slab, descriptors) = packed(&mix(&mut random, 200), 2);
    for length in 0..=200 {
        check(&slab, &descriptors[..length], "a batch");
    }
}

#[test]
fn every_byte_of_the_headers_at_its_limits() {
    let mut random = Random(5);
    for shape in MIX.iter().map(|&(shape, _)| shape) {
        let packet = shaped(&mut random, shape);
        for at in 0..packet.len().min(96) {
            let values = [0, 1, 4, 5, 0x0F, 0x1F, 0x20, 0x3F, 0x40, 0x45, 0x46, 0x50, 0x60, 0x7F, 0x80, 0xFF];
            let packets = values.map(|value| {
                let mut changed = packet.clone();
                changed[at] = value;
                changed
            });
            let (slab, descriptors) = packed(&packets, 1);
            check(&slab, &descriptors, shape);
        }
    }
}

#[test]
fn every_pair_of_bytes_around_the_lengths() {
    let mut random = Random(6);
    for shape in MIX.iter().map(|&(shape, _)| shape) {
        let packet = shaped(&mut random, shape);
        let near: Vec<u16> = [0, 7, 8, 19, 20, 21, 27, 28, 39, 40, 41]
            .into_iter()
            .chain((14..=70).step_by(4).map(|headers| (packet.len() as u16).saturating_sub(headers)))
            .chain([packet.len() as u16, 0x7FFF, 0x8000, 0xFFFF])
            .flat_map(|length| [length.saturating_sub(1), length, length.saturating_add(1)])
            .collect();
        for at in 12..packet.len().min(96) - 1 {
            let changed = near.iter().map(|length| {
                let mut changed = packet.clone();
                changed[at..at + 2].copy_from_slice(&length.to_be_bytes());
                changed
            });
            let (slab, descriptors) = packed(&changed.collect::<Vec<_>>(), 0);
            check(&slab, &descriptors, shape);
        }
    }
}

#[test]
fn mutated_packets() {
    let mut random = Random(7);
    for _ in 0..200 {
        let mut packets = mix(&mut random, 150);
        for packet in &mut packets {
            for _ in 0..random.below(4) {
                let at = random.below(packet.len().min(80));
                packet[at] = if random.below(2) == 0 {
                    random.next() as u8
                } else {
                    packet[at] ^ 1 << random.below(8)
                };
            }
            packet.truncate(packet.len() - random.below(2) * random.below(packet.len().min(60)));
        }
        let gap = random.below(5);
        let (slab, descriptors) = packed(&packets, gap);
        check(&slab, &descriptors, "mutated");
    }
}

#[test]
fn descriptors_around_the_end_of_the_slab_and_outside() {
    let mut random = Random(8);
    let (mut slab, _) = packed(&mix(&mut random, 4), 3);
    slab.truncate(slab.len().min(700));
    let end = slab.len() as u32;
    for shift in 0..8 {
        let mut descriptors = Vec::new();
        for offset in (0..140).map(|back| end - back + shift).chain([u32::MAX, u32::MAX - 95, 1 << 31]) {
            for length in [0, 1, 13, 14, 42, 60, 96, 140, 1 << 31, u32::MAX, u32::MAX - offset] {
                descriptors.push(Descriptor::new(offset, length));
            }
        }
        check(&slab, &descriptors, "around the end");
    }
    for packet in [shaped(&mut random, "ipv4-udp"), shaped(&mut random, "vlan-ipv6-tcp")] {
        // The packet holds, the descriptor says that more follows than the slab has.
        let (slab, descriptors) = packed(&[packet], 5);
        let room = slab.len() as u32 - descriptors[0].offset;
        let lengths = [room - 1, room, room + 1, room + 100, 1 << 31, u32::MAX - 5, u32::MAX];
        let reaching = lengths.map(|length| Descriptor { length, ..descriptors[0] });
        check(&slab, &[reaching; 3].concat(), "reaching outside");
    }
    for short in 0..100 {
        check(&slab[..short], &[Descriptor::new(0, short as u32); 33], "a short slab");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_and_descriptors(
        slab in prop::collection::vec(any::<u8>(), 0..600),
        places in prop::collection::vec((0_u32..700, 0_u32..200), 0..100),
    ) {
        let descriptors: Vec<_> = places.iter().map(|&(offset, length)| Descriptor::new(offset, length)).collect();
        check(&slab, &descriptors, "arbitrary");
    }

    #[test]
    fn arbitrary_bytes_behind_a_likely_beginning(
        rest in prop::collection::vec(any::<u8>(), 0..120),
        beginning in prop::sample::select(vec![
            &[0x08, 0x00, 0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6][..],
            &[0x08, 0x00, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17],
            &[0x81, 0x00, 0x0F, 0xFF, 0x08, 0x00, 0x45, 0, 0, 70, 0, 0, 0x40, 0, 64, 17],
            &[0x86, 0xDD, 0x60, 0, 0, 0, 0, 40, 6, 64],
            &[0x86, 0xDD, 0x6F, 0, 0, 0, 0, 24, 17, 64],
            &[0x81, 0x00, 0, 0, 0x86, 0xDD, 0x60, 0, 0, 0, 0, 30, 58, 64],
            &[0x86, 0xDD, 0x60, 0, 0, 0, 0, 60, 0, 64],
        ]),
    ) {
        let mut packet = vec![0x02; 12];
        packet.extend(beginning);
        packet.extend(rest);
        let (slab, descriptors) = packed(&vec![packet; 20], 1);
        check(&slab, &descriptors, "a likely beginning");
    }
}
