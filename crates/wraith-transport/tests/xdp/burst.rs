//! Bursts that the kernel generates: whatever comes, and however fast, each frame is received or counted as dropped, once.

use std::thread;

use wraith_transport::xdp::{DropReason, Filter, Received, XdpDevice, XdpOptions, XdpSocket};

use crate::generator::{Generator, frame, lost_on_link};
use crate::support::{Far, also_over_xsk_rs, bytes, close, ip, linked, options, privileged, until};

const PORT: u16 = 6343;

/// Takes what is there, each frame looked at; how many it was.
fn take(socket: &mut XdpSocket) -> u64 {
    let mut count = 0;
    while let Received::Rows { rows, .. } = socket.receive() {
        for row in 0..rows {
            assert_eq!(bytes(socket, row), frame(PORT));
        }
        count += rows as u64;
        socket.finish();
    }
    count
}

/// A link whose far end sends nothing by itself: what is lost of that would be counted with the rest.
fn quiet() -> Far {
    let far = linked(1);
    far.run(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/wraith1/disable_ipv6", "1").unwrap();
        ip("link set wraith1 arp off");
    });
    far
}

#[test]
fn sent_is_received_and_dropped_by_reason_while_a_thread_receives() {
    privileged("sent_is_received_and_dropped_by_reason_while_a_thread_receives", || {
        let far = quiet();
        // As much as there is; little of it; a shallow RX ring; batches larger than the link's ring takes.
        let any = || options(Filter::udp_ports([PORT]));
        for (case, options, rate, batch) in [
            ("roomy", XdpOptions { frames: Some(32_768), ..any() }, None, Generator::BATCH),
            ("paced", any(), Some(400_000), Generator::BATCH),
            ("few frames", XdpOptions { frames: Some(64), ..any() }, None, Generator::BATCH),
            ("shallow ring", XdpOptions { rx_ring: Some(64), ..any() }, None, Generator::BATCH),
            ("large batches", any(), None, 256),
        ] {
            let mut device = XdpDevice::open(&options).unwrap();
            let mut socket = device.take_sockets().pop().unwrap();
            let before = far.run(|| lost_on_link("wraith1"));
            let mut received = 0;
            thread::scope(|scope| {
                let sending = scope.spawn(|| {
                    far.run(move || {
                        let mut generator = Generator::at_rate("wraith1", PORT, rate);
                        generator.batch = batch;
                        generator.run(60_000);
                        // A second run on the same count.
                        generator.run(1);
                        generator.sent()
                    })
                });
                // The kernel may still be delivering when the generator has ended.
                until(case, || {
                    received += take(&mut socket);
                    if !sending.is_finished() {
                        return false;
                    }
                    let lost = far.run(|| lost_on_link("wraith1")) - before;
                    let sum = received + socket.statistics().unwrap().dropped() + lost;
                    assert!(sum <= 60_001, "{case}: {received} + {:?} + {lost}", socket.statistics());
                    sum == 60_001
                });
                assert_eq!(sending.join().unwrap(), 60_001);
            });
            assert_eq!(socket.metrics().snapshot().packets, received);
            socket.close();
            drop(device);
        }
    });
}

#[test]
fn what_nobody_receives_is_dropped_for_the_reason_there_is() {
    privileged("what_nobody_receives_is_dropped_for_the_reason_there_is", || {
        let far = quiet();
        let any = || XdpOptions { tx_ring: Some(0), ..options(Filter::udp_ports([PORT])) };
        for (options, reason, room) in [
            (XdpOptions { frames: Some(128), rx_ring: Some(256), ..any() }, DropReason::FillEmpty, 128),
            (XdpOptions { frames: Some(512), rx_ring: Some(64), ..any() }, DropReason::RxFull, 64),
        ] {
            let mut device = XdpDevice::open(&options).unwrap();
            let before = far.run(|| lost_on_link("wraith1"));
            let sent = far.run(|| {
                let generator = Generator::new("wraith1", PORT);
                generator.run(5_000);
                generator.sent()
            });
            assert_eq!(sent, 5_000);
            let socket = &mut device.sockets_mut()[0];
            until("what has not come is counted", || {
                let lost = far.run(|| lost_on_link("wraith1")) - before;
                socket.statistics().unwrap().dropped() == sent - room - lost
            });
            let drops = socket.statistics().unwrap().drops();
            assert_eq!((drops.len(), drops[0].reason), (1, reason), "{drops:?}");
            assert_eq!(take(socket), room);
            close(device);
        }
    });
}

also_over_xsk_rs!(
    sent_is_received_and_dropped_by_reason_while_a_thread_receives,
    what_nobody_receives_is_dropped_for_the_reason_there_is,
);
