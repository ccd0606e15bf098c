//! The flow hash: which packets share it, and how evenly it spreads.

use wraith_core::frames::packet::{flow_hash, fold_ipv6, parse};

use crate::support::{Random, ethernet, extension, fragment, ipv4, ipv6, udp};

#[test]
fn both_directions_have_the_same_hash() {
    let mut random = Random(1);
    for _ in 0..1000 {
        let (a, b) = (random.next() as u32, random.next() as u32);
        let (p, q) = (random.next() as u16, random.next() as u16);
        assert_eq!(flow_hash(a, b, p, q, 6), flow_hash(b, a, q, p, 6));
        assert_ne!(flow_hash(a, b, p, q, 6), flow_hash(a, b, q, p, 17));
    }
}

#[test]
fn flows_spread_evenly_by_remainder_and_by_upper_bits() {
    const FLOWS: u32 = 64_000;
    for shards in [2, 3, 7, 16, 64_u32] {
        let mut by_remainder = vec![0_u32; shards as usize];
        let mut by_upper_bits = vec![0_u32; shards as usize];
        for flow in 0..FLOWS {
            // Clients of one network with ports in order, to one server: the least varied flows there are.
            let hash = flow_hash(0x0A00_0001 + flow / 500, 0xC0A8_0001, 40_000 + (flow % 500) as u16, 443, 6);
            by_remainder[(hash % shards) as usize] += 1;
            by_upper_bits[((u64::from(hash) * u64::from(shards)) >> 32) as usize] += 1;
        }
        for counts in [by_remainder, by_upper_bits] {
            let mean = f64::from(FLOWS / shards);
            // Six standard deviations of a fair draw.
            let most = mean + 6.0 * mean.sqrt();
            assert!(counts.iter().all(|&count| f64::from(count) < most), "{shards} shards: {counts:?}");
        }
    }
}

#[test]
fn ipv6_addresses_that_differ_in_subnet_and_host_alike_do_not_cancel_out() {
    let mut seen: Vec<u32> = (0..=255_u8)
        .flat_map(|subnet| (0..=15).map(move |host| (subnet, host)))
        .map(|(subnet, host)| {
            let mut address = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, subnet, 0, 0, 0, 0, 0, 0, 0, host];
            address[15] ^= subnet;
            fold_ipv6(&address)
        })
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 256 * 16);
}

#[test]
fn all_fragments_of_an_ipv4_datagram_have_the_hash_of_its_addresses_and_protocol() {
    let mut random = Random(2);
    let payload = udp(&mut random, 16);
    let first = ipv4(&mut random, 0, 0x2000, 17, &payload);
    let mut later = first.clone();
    later[6..8].copy_from_slice(&3_u16.to_be_bytes());
    let [first, later] = [first, later].map(|packet| parse(&ethernet(&[], 0x0800, &packet)).unwrap());
    assert_eq!(first.hash, later.hash);
    assert_eq!(first.hash, flow_hash(first.source, first.destination, 0, 0, 17));
    assert_ne!(first.source_port, 0);
    assert_eq!((later.source_port, later.destination_port), (0, 0));
}

#[test]
fn all_fragments_of_an_ipv6_datagram_have_one_hash_whatever_follows_in_the_first() {
    let mut random = Random(3);
    let mut options = extension(&mut random, 17, 0);
    options.extend(udp(&mut random, 16));
    let base = ipv6(&mut random, 44, &[]);
    let [first, later] = [1, 33].map(|field| {
        let mut packet = base.clone();
        packet.extend(fragment(60, field));
        packet.extend(&options);
        let length = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        parse(&ethernet(&[], 0x86DD, &packet)).unwrap()
    });
    assert_eq!((first.protocol, later.protocol), (17, 60));
    assert_eq!(first.hash, later.hash);
}
