//! Every packet is accounted for: received, or dropped and counted.

use wraith_transport::udp::{ReceiverOptions, UdpOptions};

use crate::support::{BACKENDS, Rig, loopback, pattern, sender, with};

#[test]
fn a_full_receive_buffer_loses_exactly_what_the_kernel_counts() {
    for backend in BACKENDS {
        for length in [0, 64, 1472] {
            let udp = UdpOptions { recv_buffer: Some(32 * 1024), ..loopback() };
            let mut rig = Rig::new(&udp, 2048, 256, &with(backend));
            let from = sender("127.0.0.1:0");
            let sent = 3000_u64;
            let mut before = 0;
            for index in 0..sent {
                from.send_to(&pattern(index as usize, length), rig.address()).unwrap();
                let drops = rig.socket.kernel_drops().unwrap();
                assert!(drops >= before, "the count went back");
                before = drops;
            }
            // Loopback delivers on the sender's time, so what was not dropped is there; a late one would be
            // waited for.
            let mut received = 0;
            while received + rig.socket.kernel_drops().unwrap() < sent {
                received += rig.next_batch() as u64;
                rig.receiver().finish();
            }
            let dropped = rig.socket.kernel_drops().unwrap();
            assert_eq!(received + dropped, sent);
            assert!(dropped > 0, "3000 packets fitted into 32 KiB");
            assert_eq!(rig.counters().packets, received);
            // The other count comes with the next packet that gets through, and says the same.
            from.send_to(b"after", rig.address()).unwrap();
            assert_eq!(rig.collect(1)[0].bytes, b"after");
            assert_eq!(rig.counters().drops_at_batch, dropped);
            assert_eq!(rig.socket.kernel_drops().unwrap(), dropped);
        }
    }
}

#[test]
fn sender_and_receiver_at_once_lose_exactly_what_the_kernel_counts() {
    for backend in BACKENDS {
        let udp = UdpOptions { recv_buffer: Some(16 * 1024), timestamps: true, ..loopback() };
        let mut rig = Rig::new(&udp, 512, 64, &ReceiverOptions { batch_size: 16, ..with(backend) });
        let to = rig.address();
        let sent = 30_000_u64;
        let thread = std::thread::spawn(move || {
            let from = sender("127.0.0.1:0");
            for index in 0..sent {
                from.send_to(&index.to_le_bytes(), to).unwrap();
            }
        });
        let (mut received, mut last) = (0, None);
        while received + rig.socket.kernel_drops().unwrap() < sent {
            rig.next_batch();
            for packet in rig.packets() {
                let number = u64::from_le_bytes(packet.bytes.try_into().unwrap());
                assert!(last < Some(number), "{number} after {last:?}");
                last = Some(number);
                received += 1;
            }
            rig.receiver().finish();
        }
        thread.join().unwrap();
        assert_eq!(received + rig.socket.kernel_drops().unwrap(), sent);
    }
}

#[test]
fn the_receive_queue_shows_what_waits() {
    let mut rig = Rig::new(&loopback(), 2048, 256, &ReceiverOptions::default());
    assert_eq!(rig.socket.recv_queue_bytes().unwrap(), 0);
    sender("127.0.0.1:0").send_to(&pattern(1, 1000), rig.address()).unwrap();
    rig.wait();
    assert!(rig.socket.recv_queue_bytes().unwrap() >= 1000);
    assert_eq!(rig.socket.send_queue_bytes().unwrap(), 0);
    rig.collect(1);
}
