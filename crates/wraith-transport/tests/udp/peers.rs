//! The peer cache: bounded, never wrong.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use wraith_transport::udp::{NO_PEER, PEER_ENTRY_BYTES, PEERS, Receiver, ReceiverOptions};

use crate::support::{BACKENDS, Rig, distinct, loopback, sender, with};

/// What JavaScript would read from the exported table: address and version.
fn exported(receiver: &Receiver, id: u32) -> (SocketAddr, u32) {
    let columns = receiver.columns();
    let start = columns.layout().peer_table + id as usize * PEER_ENTRY_BYTES;
    assert!(start + PEER_ENTRY_BYTES <= columns.private_block().1);
    // SAFETY: inside the block, as was just checked; the receiver keeps it alive.
    let raw = unsafe { columns.private_block().0.add(start).cast::<[u8; PEER_ENTRY_BYTES]>().read() };
    let u16_at = |at: usize| u16::from_ne_bytes([raw[at], raw[at + 1]]);
    let ip: IpAddr = match u16_at(0) {
        4 => Ipv4Addr::new(raw[8], raw[9], raw[10], raw[11]).into(),
        6 => <[u8; 16]>::try_from(&raw[8..24]).unwrap().into(),
        other => panic!("family {other}"),
    };
    let version = u32::from_ne_bytes([raw[24], raw[25], raw[26], raw[27]]);
    ((ip, u16_at(2)).into(), version)
}

#[test]
fn ten_thousand_peers_are_told_apart() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        // As JavaScript does: an address is kept per number and version.
        let mut kept: HashMap<(u32, u32), SocketAddr> = HashMap::new();
        let mut seen = Vec::new();
        for round in 0..10_000_u32 {
            let source = Ipv4Addr::from(0x7f01_0000 + round);
            let from = sender(&format!("{source}:0"));
            from.send_to(&round.to_le_bytes(), rig.address()).unwrap();
            rig.next_batch();
            for (index, packet) in rig.packets().iter().enumerate() {
                assert_eq!(packet.from, from.local_addr().unwrap());
                let id = rig.receiver().rows()[index].peer;
                assert_ne!(id, NO_PEER);
                assert!((id as usize) < PEERS);
                let (address, version) = exported(rig.receiver(), id);
                assert_eq!(address, packet.from);
                let (known, same) = rig.receiver().peer(id).unwrap();
                assert_eq!((known.to_socket_addr(), same), (Some(packet.from), version));
                assert_eq!(*kept.entry((id, version)).or_insert(address), packet.from);
                seen.push(packet.from);
            }
            rig.receiver().finish();
        }
        assert_eq!(distinct(seen), 10_000);
        assert_eq!(rig.counters().peer_misses, 10_000);
    }
}

#[test]
fn the_same_peer_keeps_its_number() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        let senders: Vec<_> = (0..20).map(|_| sender("127.0.0.1:0")).collect();
        let mut numbers = HashMap::new();
        for _ in 0..10 {
            for from in &senders {
                from.send_to(b"again", rig.address()).unwrap();
            }
            let mut left = senders.len();
            while left > 0 {
                left -= rig.next_batch();
                for index in 0..rig.receiver().rows().len() {
                    let from = rig.receiver().source(index);
                    let id = rig.receiver().rows()[index].peer;
                    assert_eq!(*numbers.entry(from).or_insert(id), id);
                }
                rig.receiver().finish();
            }
        }
        assert_eq!(numbers.len(), 20);
        assert_eq!(distinct(numbers.values().copied()), 20);
        assert_eq!(rig.counters().peer_misses, 20);
    }
}

#[test]
fn ports_tell_peers_of_one_host_apart() {
    let mut rig = Rig::new(&loopback(), 256, 64, &with(ReceiverOptions::default().backend));
    let (one, two) = (sender("127.0.0.1:0"), sender("127.0.0.1:0"));
    for from in [&one, &two, &one, &two] {
        from.send_to(b"x", rig.address()).unwrap();
    }
    let mut ids = Vec::new();
    while ids.len() < 4 {
        rig.next_batch();
        ids.extend(rig.receiver().rows().iter().map(|row| row.peer));
        rig.receiver().finish();
    }
    assert_eq!((ids[0], ids[1]), (ids[2], ids[3]));
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_number_that_was_never_given_has_no_address() {
    let mut rig = Rig::new(&loopback(), 256, 8, &ReceiverOptions::default());
    assert!(rig.receiver().peer(0).is_none());
    assert!(rig.receiver().peer(NO_PEER).is_none());
}
