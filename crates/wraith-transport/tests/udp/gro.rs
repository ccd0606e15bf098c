//! Many packets in one slot.

use std::os::fd::AsRawFd;

use wraith_transport::Code;
use wraith_transport::udp::{ReceiverOptions, row_flags};

use crate::support::{BACKENDS, Rig, TAKEN, loopback, owner, pattern, sender, with};

/// linux/udp.h.
const UDP_SEGMENT: i32 = 103;

fn segmenting(size: i32) -> std::net::UdpSocket {
    let socket = sender("127.0.0.1:0");
    // SAFETY: reads one int that lives through the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            UDP_SEGMENT,
            (&raw const size).cast(),
            size_of::<i32>() as u32,
        )
    };
    assert_eq!(set, 0, "this kernel has no UDP_SEGMENT (Linux 4.18)");
    socket
}

#[test]
fn a_coalesced_run_becomes_rows_with_the_packets_that_were_sent() {
    for backend in BACKENDS {
        let options = ReceiverOptions { gro: true, batch_size: 4, ..with(backend) };
        let mut rig = Rig::new(&loopback(), 65_535, 8, &options);
        let from = segmenting(1000);
        // 60 whole segments and a shorter last one.
        let stream = pattern(5, 60 * 1000 + 123);
        from.send_to(&stream, rig.address()).unwrap();
        sender("127.0.0.1:0").send_to(b"alone", rig.address()).unwrap();
        let mut shared = 0;
        let mut got: Vec<Vec<u8>> = Vec::new();
        while got.len() < 62 {
            rig.next_batch();
            for packet in rig.packets() {
                shared += usize::from(packet.flags & row_flags::SHARED != 0);
                assert_eq!(packet.wire_length as usize, packet.bytes.len());
                got.push(packet.bytes);
            }
            if rig.receiver().rows()[0].flags & row_flags::SHARED != 0 {
                let refused = rig.receiver().take(0, (TAKEN, owner())).unwrap_err();
                assert_eq!(refused.code(), Code::Unsupported);
            }
            rig.receiver().finish();
        }
        let expected: Vec<&[u8]> = stream.chunks(1000).chain([&b"alone"[..]]).collect();
        assert_eq!(got, expected);
        assert_eq!(shared, 61, "the kernel did not coalesce on loopback");
        assert_eq!(rig.counters().packets, 62);
        rig.close();
    }
}

#[test]
fn a_row_alone_in_its_slot_can_be_taken_with_gro_as_well() {
    let options = ReceiverOptions { gro: true, batch_size: 4, ..ReceiverOptions::default() };
    let mut rig = Rig::new(&loopback(), 65_535, 8, &options);
    sender("127.0.0.1:0").send_to(b"alone", rig.address()).unwrap();
    rig.next_batch();
    let slot = rig.receiver().rows()[0].slot;
    rig.receiver().take(0, (TAKEN, owner())).unwrap();
    rig.receiver().finish();
    rig.pool.push(slot, (TAKEN, owner()), wraith_transport::memory::Dirty::All).unwrap();
    rig.close();
}

#[test]
fn without_gro_the_same_run_arrives_as_single_packets() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        let stream = pattern(5, 10 * 1000 + 5);
        segmenting(1000).send_to(&stream, rig.address()).unwrap();
        let got = rig.collect(11);
        assert!(got.iter().zip(stream.chunks(1000)).all(|(packet, sent)| packet.bytes == sent));
    }
}
