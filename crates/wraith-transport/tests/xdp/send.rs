//! What is sent arrives at normal sockets, and the slots come back.

use std::sync::Arc;

use wraith_transport::Code;
use wraith_transport::memory::{Owner, State};
use wraith_transport::pool::PoolCore;
use wraith_transport::xdp::{Filter, Received, SendFrame, XdpDevice, XdpOptions, XdpSocket};

use crate::frames::{MAC_A, V4, checksum, ethernet, udp};
use crate::support::{
    FAR, NEAR, also_over_xsk_rs, close, collect, expect, far, ip, linked, near, options, pattern, payload,
    privileged, row_bytes, send_patterns, until, wait,
};

const PORT: u16 = 6343;

fn user() -> (State, Owner) {
    (State::Lent, Owner::new(5).unwrap())
}

/// A frame from the near to the far end, with a UDP checksum.
pub(crate) fn frame(port: u16, data: &[u8]) -> Vec<u8> {
    let (src, dst) = (NEAR.parse().unwrap(), FAR.parse().unwrap());
    let mut segment = udp(4000, port, data);
    let length = (segment.len() as u32).to_be_bytes();
    let v4 = V4 { src, dst, ..V4::default() };
    let pseudo = [&src.octets()[..], &dst.octets()[..], &[0, 17, length[2], length[3]]].concat();
    let check = checksum(&[&pseudo, &segment]).to_be_bytes();
    segment[6..8].copy_from_slice(&check);
    ethernet(0x0800, &v4.packet(&segment))
}

/// Puts bytes into a slot of the pool.
pub(crate) fn filled(pool: &PoolCore, bytes: &[u8]) -> Option<SendFrame> {
    let slot = pool.pop(user())?;
    // SAFETY: the slot is this test's and is longer than any frame of it.
    unsafe { pool.slab().slot(slot).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    Some(SendFrame { slot, offset: 0, length: bytes.len() as u32, from: user() })
}

/// Sends numbered patterns, all of them, however often that takes.
pub(crate) fn send_all(socket: &mut XdpSocket, numbers: std::ops::Range<usize>, len: usize) {
    for number in numbers {
        until("there is a slot", || {
            socket.reap();
            let Some(frame) = filled(socket.pool(), &frame(PORT, &pattern(number, len))) else {
                return false;
            };
            until("there is room", || socket.send(&[frame]).unwrap() == 1);
            true
        });
    }
    until("all is sent", || socket.flush().unwrap() == 0);
}

#[test]
fn frames_arrive_at_a_normal_socket_once_and_whole() {
    privileged("frames_arrive_at_a_normal_socket_once_and_whole", || {
        let remote = linked(1);
        let server = remote.udp(&format!("{FAR}:{PORT}"));
        for filter in [Filter::none(), Filter::udp_ports([PORT])] {
            let mut device = XdpDevice::open(&options(filter)).unwrap();
            for (round, len) in [18, 64, 1000, 1472].into_iter().enumerate() {
                // More than there are slots, in parts that fit into the receiver's buffer.
                for part in 0..20 {
                    let from = (round * 20 + part) * 40;
                    send_all(&mut device.sockets_mut()[0], from..from + 40, len);
                    expect(&server, from..from + 40, len);
                }
            }
            let socket = &mut device.sockets_mut()[0];
            until("all slots are back", || {
                socket.reap();
                socket.with_kernel().1 == 0
            });
            let counters = socket.metrics().snapshot();
            assert_eq!((counters.sent, counters.completions), (3200, 3200));
            assert_eq!(socket.statistics().unwrap().tx_invalid_descs, 0);
            close(device);
        }
    });
}

#[test]
fn a_batch_of_frames_goes_with_few_kicks() {
    privileged("a_batch_of_frames_goes_with_few_kicks", || {
        let remote = linked(1);
        let server = remote.udp(&format!("{FAR}:{PORT}"));
        let mut device = XdpDevice::open(&options(Filter::none())).unwrap();
        let socket = &mut device.sockets_mut()[0];
        let pool = Arc::clone(socket.pool());
        let frames: Vec<_> =
            (0..64).map(|number| filled(&pool, &frame(PORT, &pattern(number, 64))).unwrap()).collect();
        assert_eq!(socket.send(&frames).unwrap(), 64);
        assert_eq!(socket.flush().unwrap(), 0);
        expect(&server, 0..64, 64);
        let counters = socket.metrics().snapshot();
        assert!(counters.send_kicks <= 8, "{counters:?}");
        close(device);
    });
}

/// Turns a frame round: addresses and ports swapped, the UDP checksum left out (a veth peer does not finish its own).
fn turn_round(frame: &mut [u8]) {
    for (one, other, len) in [(0, 6, 6), (26, 30, 4), (34, 36, 2)] {
        for at in 0..len {
            frame.swap(one + at, other + at);
        }
    }
    frame[40..42].fill(0);
}

#[test]
fn received_frames_are_changed_where_they_lie_and_sent_back() {
    privileged("received_frames_are_changed_where_they_lie_and_sent_back", || {
        let remote = linked(1);
        let client = remote.udp(&format!("{FAR}:0"));
        let mut device = XdpDevice::open(&options(Filter::udp_ports([PORT]))).unwrap();
        let socket = &mut device.sockets_mut()[0];
        for round in 0..50 {
            let numbers = round * 20..round * 20 + 20;
            send_patterns(&client, near(PORT), numbers.clone(), 200);
            let mut turned = 0;
            while turned < 20 {
                let rows = match socket.receive() {
                    Received::Rows { rows, .. } => rows,
                    Received::Empty => {
                        wait(socket.fd(), libc::POLLIN);
                        continue;
                    }
                    other => panic!("{other:?}"),
                };
                for row in 0..rows {
                    turn_round(row_bytes(socket, row));
                }
                let all: Vec<usize> = (0..rows).collect();
                assert_eq!(socket.send_rows(&all).unwrap(), rows);
                assert_eq!(socket.send_rows(&[0]).unwrap_err().code(), Code::StaleBuffer);
                assert_eq!(socket.take(0, user()).unwrap_err().code(), Code::StaleBuffer);
                assert_eq!(socket.send_rows(&[rows]).unwrap_err().code(), Code::OutOfRange);
                socket.finish();
                turned += rows;
            }
            expect(&client, numbers, 200);
        }
        until("all slots are back", || {
            socket.reap();
            socket.with_kernel().1 == 0
        });
        // The slots that were sent are with the kernel again, to receive into.
        assert_eq!(socket.with_kernel().0, 512 - 64);
        assert_eq!(socket.metrics().snapshot().sent, 1000);
        close(device);
    });
}

#[test]
fn what_cannot_be_sent_is_refused_and_still_the_callers() {
    privileged("what_cannot_be_sent_is_refused_and_still_the_callers", || {
        let _far = linked(1);
        let mut device = XdpDevice::open(&options(Filter::none())).unwrap();
        let socket = &mut device.sockets_mut()[0];
        let pool = Arc::clone(socket.pool());
        let good = filled(&pool, &frame(PORT, b"good")).unwrap();
        for (bad, code) in [
            (SendFrame { length: 13, ..good }, Code::OutOfRange),
            (SendFrame { offset: 2010, ..good }, Code::OutOfRange),
            (SendFrame { offset: u32::MAX, length: u32::MAX, ..good }, Code::OutOfRange),
            (SendFrame { slot: 512, ..good }, Code::Internal),
            (SendFrame { from: (State::Lent, Owner::new(6).unwrap()), ..good }, Code::StaleBuffer),
            (SendFrame { from: (State::Free, Owner::NONE), ..good }, Code::StaleBuffer),
        ] {
            assert_eq!(socket.send(&[bad]).unwrap_err().code(), code, "{bad:?}");
        }
        // The first one goes, the second is reported by the next call.
        assert_eq!(socket.send(&[good, good]).unwrap(), 1);
        assert_eq!(socket.send(&[good]).unwrap_err().code(), Code::StaleBuffer);
        assert_eq!(socket.send(&[]).unwrap(), 0);
        socket.close();
        assert_eq!(socket.send(&[good]).unwrap_err().code(), Code::SocketClosed);
        assert_eq!(socket.flush().unwrap_err().code(), Code::SocketClosed);
        close(device);

        let receives = XdpOptions { tx_ring: Some(0), ..options(Filter::udp_ports([PORT])) };
        let mut device = XdpDevice::open(&receives).unwrap();
        assert_eq!(device.sockets_mut()[0].send(&[good]).unwrap_err().code(), Code::Unsupported);
        close(device);
    });
}

#[test]
fn a_full_tx_ring_takes_what_fits_and_goes_on_when_the_link_is_back() {
    privileged("a_full_tx_ring_takes_what_fits_and_goes_on_when_the_link_is_back", || {
        let remote = linked(1);
        let server = remote.udp(&format!("{FAR}:{PORT}"));
        let small = XdpOptions { tx_ring: Some(16), ..options(Filter::none()) };
        let mut device = XdpDevice::open(&small).unwrap();
        let socket = &mut device.sockets_mut()[0];
        let pool = Arc::clone(socket.pool());
        let frames: Vec<_> =
            (0..40).map(|number| filled(&pool, &frame(PORT, &pattern(number, 64))).unwrap()).collect();
        ip("link set wraith0 down");
        assert_eq!(socket.send(&frames).unwrap(), 16);
        let error = socket.send(&frames[16..]).unwrap_err();
        assert_eq!((error.code(), error.errno()), (Code::System, Some(libc::ENETDOWN)));
        assert!(error.message().contains("ip link set dev"), "{error}");
        assert_eq!(socket.flush().unwrap_err().errno(), Some(libc::ENETDOWN));
        assert_eq!(pool.audit().op, 16);
        ip("link set wraith0 up");
        // Its address is known again once the link is; the frames carry theirs already.
        until("the ring is empty", || socket.flush().unwrap() == 0);
        let mut next = 16;
        until("the rest is accepted", || {
            next += socket.send(&frames[next..]).unwrap();
            next == 40
        });
        expect(&server, 0..40, 64);
        assert!(socket.metrics().snapshot().send_would_block > 0);
        close(device);
    });
}

#[test]
fn two_devices_talk_to_each_other() {
    privileged("two_devices_talk_to_each_other", || {
        let remote = linked(1);
        let mut there = remote.run(|| {
            let options = XdpOptions { interface: "wraith1".into(), ..options(Filter::udp_ports([PORT])) };
            XdpDevice::open(&options).unwrap()
        });
        let mut here = XdpDevice::open(&options(Filter::udp_ports([PORT]))).unwrap();
        for round in 0..10 {
            send_all(&mut here.sockets_mut()[0], round * 100..round * 100 + 100, 300);
            let frames = collect(there.sockets_mut(), 100);
            for (at, frame) in frames.iter().enumerate() {
                assert_eq!(payload(frame), pattern(round * 100 + at, 300));
                assert_eq!(frame[6..12], MAC_A);
            }
        }
        // The far end's own stack has seen none of them.
        let server = remote.udp(&format!("{FAR}:{PORT}"));
        server.set_nonblocking(true).unwrap();
        assert!(server.recv(&mut [0; 8]).is_err());
        assert_eq!(far(PORT).port(), PORT);
        close(here);
        close(there);
    });
}

also_over_xsk_rs!(
    frames_arrive_at_a_normal_socket_once_and_whole,
    a_batch_of_frames_goes_with_few_kicks,
    received_frames_are_changed_where_they_lie_and_sent_back,
    what_cannot_be_sent_is_refused_and_still_the_callers,
    a_full_tx_ring_takes_what_fits_and_goes_on_when_the_link_is_back,
    two_devices_talk_to_each_other,
);
