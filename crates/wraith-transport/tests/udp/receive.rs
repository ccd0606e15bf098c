//! What is received is what was sent.

use std::time::{SystemTime, UNIX_EPOCH};

use wraith_transport::Code;
use wraith_transport::udp::{Received, ReceiverOptions, UdpOptions, row_flags};

use crate::support::{BACKENDS, Rig, loopback, pattern, sender, with};

#[test]
fn every_batch_size_arrives_complete_and_in_order() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        let from = sender("127.0.0.1:0");
        for count in 1..=64 {
            let sent: Vec<_> = (0..count).map(|index| pattern(count * 100 + index, 20 + index)).collect();
            for bytes in &sent {
                from.send_to(bytes, rig.address()).unwrap();
            }
            let got = rig.collect(count);
            assert_eq!(got.iter().map(|packet| packet.bytes.clone()).collect::<Vec<_>>(), sent);
            assert!(got.iter().all(|packet| packet.from == from.local_addr().unwrap()));
        }
        let counters = rig.counters();
        assert_eq!(counters.packets, (1..=64).sum::<u64>());
        assert_eq!(counters.bytes, (1..=64_u64).map(|n| (0..n).map(|i| 20 + i).sum::<u64>()).sum::<u64>());
    }
}

#[test]
fn every_length_up_to_the_slot_arrives_and_leaves_zeros_behind_it() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        let from = sender("127.0.0.1:0");
        // Downwards as well, so that a short packet follows a long one in the same slot.
        for length in (0..=2048).chain((0..=2048).rev()) {
            let bytes = pattern(length, length);
            assert_eq!(from.send_to(&bytes, rig.address()).unwrap(), length);
            rig.next_batch();
            let packets = rig.packets();
            assert_eq!(packets.len(), 1);
            assert_eq!((&packets[0].bytes, packets[0].wire_length), (&bytes, length as u32));
            assert_eq!(packets[0].flags, 0);
            let slot = rig.receiver().rows()[0].slot;
            let whole = crate::support::slot_bytes(&rig.pool, slot);
            assert!(whole[length..].iter().all(|&byte| byte == 0), "old bytes after {length}");
            rig.receiver().finish();
            let whole = crate::support::slot_bytes(&rig.pool, slot);
            assert!(whole.iter().all(|&byte| byte == 0), "bytes of a finished batch");
        }
    }
}

#[test]
fn a_packet_larger_than_a_slot_is_flagged_with_its_real_length() {
    for backend in BACKENDS {
        let mut rig = Rig::new(&loopback(), 100, 64, &with(backend));
        let from = sender("127.0.0.1:0");
        for length in [99, 100, 101, 5000] {
            from.send_to(&pattern(1, length), rig.address()).unwrap();
        }
        let got = rig.collect(4);
        let seen: Vec<_> =
            got.iter().map(|packet| (packet.bytes.len(), packet.wire_length, packet.flags)).collect();
        let cut = row_flags::TRUNCATED;
        assert_eq!(seen, [(99, 99, 0), (100, 100, 0), (100, 101, cut), (100, 5000, cut)]);
        assert!(got.iter().all(|packet| packet.bytes == pattern(1, packet.bytes.len())));
        let counters = rig.counters();
        assert_eq!((counters.truncated, counters.dropped_truncated), (2, 0));
    }
}

#[test]
fn truncated_packets_can_be_left_out_and_cost_no_row() {
    for backend in BACKENDS {
        let options = ReceiverOptions { batch_size: 4, drop_truncated: true, ..with(backend) };
        let mut rig = Rig::new(&loopback(), 100, 64, &options);
        let from = sender("127.0.0.1:0");
        // Two vectors of nothing but large packets, then small ones among large ones.
        let lengths = [200, 201, 202, 203, 204, 205, 206, 207, 10, 300, 11, 301, 12];
        for length in lengths {
            from.send_to(&pattern(length, length), rig.address()).unwrap();
        }
        let got = rig.collect(3);
        assert_eq!(
            got.iter().map(|packet| packet.bytes.clone()).collect::<Vec<_>>(),
            [pattern(10, 10), pattern(11, 11), pattern(12, 12)]
        );
        let counters = rig.counters();
        assert_eq!((counters.packets, counters.truncated, counters.dropped_truncated), (3, 10, 10));
    }
}

#[test]
fn a_full_vector_says_that_there_may_be_more() {
    for backend in BACKENDS {
        let options = ReceiverOptions { batch_size: 8, ..with(backend) };
        let mut rig = Rig::new(&loopback(), 256, 64, &options);
        let from = sender("127.0.0.1:0");
        for index in 0..11 {
            from.send_to(&pattern(index, 9), rig.address()).unwrap();
        }
        let mut seen = Vec::new();
        while seen.iter().map(|&(rows, _)| rows).sum::<usize>() < 11 {
            match rig.receiver().receive() {
                Received::Rows { rows, more } => seen.push((rows, more)),
                Received::Empty => rig.wait(),
                other => panic!("{other:?}"),
            }
            rig.receiver().finish();
        }
        assert!(seen.iter().all(|&(rows, more)| more == (rows == 8)), "{seen:?}");
        assert!(matches!(rig.receiver().receive(), Received::Empty));
        assert!(rig.counters().empty_polls >= 1);
    }
}

#[test]
fn one_batch_at_a_time() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        let from = sender("127.0.0.1:0");
        from.send_to(b"one", rig.address()).unwrap();
        from.send_to(b"two", rig.address()).unwrap();
        rig.next_batch();
        match rig.receiver().receive() {
            Received::Failed(error) => assert_eq!(error.code(), Code::Internal),
            other => panic!("{other:?}"),
        }
        assert_eq!(rig.packets()[0].bytes, b"one");
        rig.receiver().finish();
        rig.receiver().finish();
        assert!(rig.receiver().rows().is_empty());
    }
}

#[test]
fn timestamps_lie_between_before_and_after_and_in_order() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    for backend in BACKENDS {
        let udp = UdpOptions { timestamps: true, ..loopback() };
        let mut rig = Rig::new(&udp, 2048, 256, &with(backend));
        let from = sender("127.0.0.1:0");
        // The kernel begins to stamp arrivals a moment after it was asked, and until then stamps what is read.
        loop {
            from.send_to(b"stamped on arrival?", rig.address()).unwrap();
            rig.wait();
            let arrived = now();
            if rig.collect(1)[0].timestamp_ns <= arrived {
                break;
            }
        }
        let before = now();
        for index in 0..50 {
            from.send_to(&pattern(index, 30), rig.address()).unwrap();
        }
        let mut last = before;
        let mut seen = 0;
        while seen < 50 {
            seen += rig.next_batch();
            let columns = rig.receiver().columns().clone();
            let (public, at) = (columns.public_block().0, *columns.layout());
            for (index, packet) in rig.packets().iter().enumerate() {
                let ns = packet.timestamp_ns;
                assert!((last..=now()).contains(&ns), "{ns} after {last}");
                last = ns;
                // SAFETY: inside the block, which `columns` keeps alive, by its own layout.
                let (column_ns, column_ms) = unsafe {
                    (
                        public.add(at.timestamps + index * 8).cast::<u64>().read(),
                        public.add(at.timestamps_ms + index * 8).cast::<f64>().read(),
                    )
                };
                assert_eq!(column_ns, ns);
                assert!((column_ms - ns as f64 / 1e6).abs() < 0.001, "{column_ms} ms for {ns} ns");
            }
            rig.receiver().finish();
        }
    }
}

#[test]
fn without_timestamps_rows_have_none() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        sender("127.0.0.1:0").send_to(b"x", rig.address()).unwrap();
        assert_eq!(rig.collect(1)[0].timestamp_ns, 0);
        assert!(!rig.socket.has_timestamps());
    }
}

#[test]
fn columns_say_what_the_rows_say() {
    for backend in BACKENDS {
        let mut rig = Rig::new(&loopback(), 1000, 64, &with(backend));
        let from = sender("127.0.0.1:0");
        for length in [5, 900, 1500] {
            from.send_to(&pattern(length, length), rig.address()).unwrap();
        }
        let mut seen = 0;
        while seen < 3 {
            let rows = rig.next_batch();
            seen += rows;
            let columns = rig.receiver().columns().clone();
            let at = *columns.layout();
            let (public, private) = (columns.public_block(), columns.private_block());
            assert_eq!((public.1, private.1), (at.public_bytes, at.private_bytes));
            let word = |block: (*mut u8, usize), start: usize, index: usize| {
                // SAFETY: inside the block, which `columns` keeps alive, by its own layout.
                unsafe { block.0.add(start + index * 4).cast::<u32>().read() }
            };
            for (index, row) in rig.receiver().rows().iter().enumerate() {
                assert_eq!(word(public, at.offsets, index), row.offset);
                assert_eq!(word(public, at.lengths, index), row.length);
                // SAFETY: as above.
                assert_eq!(unsafe { public.0.add(at.flags + index).read() }, row.flags);
                assert_eq!(word(private, at.slots, index), row.slot);
                assert_eq!(word(private, at.private_offsets, index), row.offset);
                assert_eq!(word(private, at.private_lengths, index), row.length);
                assert_eq!(word(private, at.wire_lengths, index), row.wire_length);
                assert_eq!(word(private, at.peers, index), row.peer);
            }
            rig.receiver().finish();
        }
    }
}

#[test]
fn options_outside_of_their_range_are_refused() {
    use std::sync::Arc;
    use wraith_transport::udp::{Receiver, UdpSocket};
    let pool = crate::support::pool(2048, 4);
    let socket = UdpSocket::bind(&loopback()).unwrap();
    for options in [
        ReceiverOptions { batch_size: 0, ..ReceiverOptions::default() },
        ReceiverOptions { batch_size: 1025, ..ReceiverOptions::default() },
        ReceiverOptions { gro: true, ..ReceiverOptions::default() },
    ] {
        let made =
            Receiver::new(Arc::clone(&socket), Arc::clone(&pool), crate::support::owner(), options.clone());
        assert_eq!(made.unwrap_err().code(), Code::OutOfRange, "{options:?}");
    }
    crate::support::assert_all_home(&pool);
}

#[test]
fn a_random_stream_arrives_as_it_was_sent() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    for backend in BACKENDS {
        let mut runner =
            TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
        let bursts = prop::collection::vec(prop::collection::vec(0_usize..600, 0..20), 1..12);
        runner
            .run(&(bursts, 1_usize..40, 1_u32..40), |(bursts, batch_size, capacity)| {
                let options = ReceiverOptions { batch_size, ..with(backend) };
                let mut rig = Rig::new(&loopback(), 512, capacity, &options);
                let from = sender("127.0.0.1:0");
                for burst in bursts {
                    for &length in &burst {
                        from.send_to(&pattern(length, length), rig.address()).unwrap();
                    }
                    for (packet, length) in rig.collect(burst.len()).iter().zip(burst) {
                        prop_assert_eq!(packet.wire_length as usize, length);
                        prop_assert_eq!(&packet.bytes, &pattern(length, length)[..length.min(512)]);
                    }
                }
                rig.close();
                Ok(())
            })
            .unwrap();
    }
}
