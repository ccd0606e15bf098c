//! Packets to order, for the tests and the benchmarks: builders of each layer, the realistic mix, and slabs to lay them in.
#![allow(dead_code, reason = "the benchmarks include this file and use a part of it")]

use wraith_core::frames::{Descriptor, MAX_OVER_READ};

/// SplitMix64: reproducible, good enough to vary packets.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `below`, itself excluded.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        (self.next() % below as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

pub(crate) const C_TAG: u16 = 0x8100;
pub(crate) const S_TAG: u16 = 0x88A8;

/// An Ethernet header with tags (TPID, TCI) before `payload`.
pub(crate) fn ethernet(tags: &[(u16, u16)], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    for (tpid, tci) in tags {
        packet.extend(tpid.to_be_bytes());
        packet.extend(tci.to_be_bytes());
    }
    packet.extend(ethertype.to_be_bytes());
    packet.extend(payload);
    packet
}

/// IPv4 with `options` bytes of options (a multiple of 4), and flags and offset as the field has them.
pub(crate) fn ipv4(
    random: &mut Random,
    options: usize,
    fragment: u16,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut header = vec![0x45 + (options / 4) as u8, 0];
    header.extend(((20 + options + payload.len()) as u16).to_be_bytes());
    header.extend(random.bytes(2));
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol]);
    header.extend(random.bytes(2));
    header.extend([10, random.next() as u8, random.next() as u8, random.next() as u8]);
    header.extend([192, 168, random.next() as u8, random.next() as u8]);
    header.extend(vec![1; options]);
    header.extend(payload);
    header
}

/// IPv6; `payload` begins with whatever `next` announces.
pub(crate) fn ipv6(random: &mut Random, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, random.next() as u8 & 15, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next, 64]);
    for _ in 0..2 {
        header.extend([0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, random.next() as u8]);
        header.extend(random.bytes(8));
    }
    header.extend(payload);
    header
}

pub(crate) fn udp(random: &mut Random, payload: usize) -> Vec<u8> {
    let mut header = random.bytes(4);
    header.extend((8 + payload as u16).to_be_bytes());
    header.extend(random.bytes(2 + payload));
    header
}

/// TCP with `options` bytes of options, a multiple of 4.
pub(crate) fn tcp(random: &mut Random, options: usize, payload: usize) -> Vec<u8> {
    let mut header = random.bytes(12);
    header.push((((20 + options) / 4) << 4) as u8);
    header.extend(random.bytes(7 + options + payload));
    header
}

pub(crate) fn icmp(random: &mut Random, payload: usize) -> Vec<u8> {
    let mut header = vec![8, 0];
    header.extend(random.bytes(6 + payload));
    header
}

/// An IPv6 extension header of `units` times 8 bytes beyond the first 8.
pub(crate) fn extension(random: &mut Random, next: u8, units: u8) -> Vec<u8> {
    let mut header = vec![next, units];
    header.extend(random.bytes(6 + usize::from(units) * 8));
    header
}

/// An IPv6 fragment header; `field` is offset and flag.
pub(crate) fn fragment(next: u8, field: u16) -> Vec<u8> {
    let [high, low] = field.to_be_bytes();
    vec![next, 0, high, low, 1, 2, 3, 4]
}

/// The packets of the realistic mix by share in a thousand. The last five shapes are those that the vector code leaves to the scalar code.
pub(crate) const MIX: [(&str, usize); 14] = [
    ("ipv4-udp", 380),
    ("ipv4-tcp", 300),
    ("vlan-ipv4-udp", 60),
    ("vlan-ipv4-tcp", 60),
    ("ipv6-udp", 60),
    ("ipv6-tcp", 80),
    ("vlan-ipv6-tcp", 20),
    ("icmp", 10),
    ("icmpv6", 10),
    ("arp", 8),
    ("ipv4-fragment", 4),
    ("qinq", 4),
    ("ipv4-options", 2),
    ("ipv6-extension", 2),
];

/// One packet of a shape that [`MIX`] names.
pub(crate) fn shaped(random: &mut Random, shape: &str) -> Vec<u8> {
    let tci = random.next() as u16 & 0xEFFF;
    let payload = [18, 32, 64, 120, 512, 700, 900][random.below(7)];
    let tcp_options = [0, 12, 12, 20][random.below(4)];
    let udp = udp(random, payload);
    let tcp = tcp(random, tcp_options, payload);
    let icmp = icmp(random, 56);
    match shape {
        "ipv4-udp" => ethernet(&[], 0x0800, &ipv4(random, 0, 0x4000, 17, &udp)),
        "ipv4-tcp" => ethernet(&[], 0x0800, &ipv4(random, 0, 0x4000, 6, &tcp)),
        "vlan-ipv4-udp" => ethernet(&[(C_TAG, tci)], 0x0800, &ipv4(random, 0, 0, 17, &udp)),
        "vlan-ipv4-tcp" => ethernet(&[(C_TAG, tci)], 0x0800, &ipv4(random, 0, 0x4000, 6, &tcp)),
        "ipv6-udp" => ethernet(&[], 0x86DD, &ipv6(random, 17, &udp)),
        "ipv6-tcp" => ethernet(&[], 0x86DD, &ipv6(random, 6, &tcp)),
        "vlan-ipv6-tcp" => ethernet(&[(C_TAG, tci)], 0x86DD, &ipv6(random, 6, &tcp)),
        "icmp" => ethernet(&[], 0x0800, &ipv4(random, 0, 0, 1, &icmp)),
        "icmpv6" => ethernet(&[], 0x86DD, &ipv6(random, 58, &icmp)),
        "arp" => ethernet(&[], 0x0806, &random.bytes(46)),
        "ipv4-fragment" => ethernet(&[], 0x0800, &ipv4(random, 0, 0x00B9, 17, &udp)),
        "qinq" => ethernet(&[(S_TAG, tci), (C_TAG, 7)], 0x0800, &ipv4(random, 0, 0, 17, &udp)),
        "ipv4-options" => ethernet(&[], 0x0800, &ipv4(random, 4, 0, 17, &udp)),
        "ipv6-extension" => {
            let mut chain = extension(random, 17, 0);
            chain.extend(udp);
            ethernet(&[], 0x86DD, &ipv6(random, 60, &chain))
        }
        other => panic!("no shape is named {other}"),
    }
}

/// `count` packets of the realistic mix, shuffled.
pub(crate) fn mix(random: &mut Random, count: usize) -> Vec<Vec<u8>> {
    let shapes: Vec<&str> =
        MIX.iter().flat_map(|&(shape, share)| std::iter::repeat_n(shape, share)).collect();
    let mut packets: Vec<_> =
        (0..count).map(|at| shaped(random, shapes[at * shapes.len() / count])).collect();
    random.shuffle(&mut packets);
    packets
}

/// Lays packets into slots of 2048 bytes, as a pool does: headroom staggered by 64 bytes a slot, so that headers do not all fall into the same sets of the cache.
pub(crate) fn slots(packets: &[Vec<u8>]) -> (Vec<u8>, Vec<Descriptor>) {
    const SLOT: usize = 2048;
    let mut slab = vec![0; packets.len() * SLOT + SLOT];
    let descriptors = packets.iter().enumerate().map(|(slot, packet)| {
        let offset = slot * SLOT + (slot % 16) * 64;
        assert!(packet.len() + 15 * 64 <= SLOT, "a packet of the mix fits into a slot");
        slab[offset..offset + packet.len()].copy_from_slice(packet);
        Descriptor::new(offset as u32, packet.len() as u32)
    });
    let descriptors = descriptors.collect();
    (slab, descriptors)
}

/// Lays packets one behind the other, each `gap` bytes after the one before, with room behind the last for whole rows to be loaded.
pub(crate) fn packed(packets: &[Vec<u8>], gap: usize) -> (Vec<u8>, Vec<Descriptor>) {
    let (mut slab, mut descriptors) = (Vec::new(), Vec::new());
    for packet in packets {
        slab.extend(std::iter::repeat_n(0xA5, gap));
        descriptors.push(Descriptor::new(slab.len() as u32, packet.len() as u32));
        slab.extend(packet);
    }
    slab.extend([0x5A; MAX_OVER_READ]);
    (slab, descriptors)
}
