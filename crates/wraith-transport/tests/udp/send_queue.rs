//! Sending slots: at once, later, never.

use std::net::UdpSocket as StdSocket;
use std::sync::Arc;

use wraith_transport::Code;
use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::pool::PoolCore;
use wraith_transport::udp::{SendQueue, SlotSend, SlotSent, SockAddr, UdpOptions, UdpSocket};

use crate::support::{
    Far, assert_all_home, bind, in_namespace, linked, owner, pattern, pool, run, sender, wait,
};

/// A slot with a packet in it, lent to `owner`.
fn filled(pool: &Arc<PoolCore>, bytes: &[u8], to: Option<SockAddr>) -> SlotSend {
    let from = (State::Lent, owner());
    let slot = pool.pop(from).unwrap();
    // SAFETY: the slot was just lent to this test and is larger than the packet.
    unsafe { pool.slab().slot(slot).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    SlotSend { slot, from, len: bytes.len() as u32, dirty: Dirty::All, to }
}

#[test]
fn a_slot_is_sent_and_comes_home_cleared() {
    let pool = pool(2048, 4);
    let socket = bind("127.0.0.1:0");
    let peer = sender("127.0.0.1:0");
    let to = socket.destination(peer.local_addr().unwrap()).unwrap();
    let mut queue = SendQueue::new(Arc::clone(&socket), 16);
    for length in [0, 1, 1472, 2048] {
        let send = filled(&pool, &pattern(length, length), Some(to));
        assert_eq!(queue.send(&pool, send).unwrap(), SlotSent::Done);
        assert_all_home(&pool);
        let mut bytes = vec![0; 4096];
        let got = peer.recv(&mut bytes).unwrap();
        assert_eq!(bytes[..got], pattern(length, length));
    }
    assert!(queue.is_empty());
}

#[test]
fn a_refused_slot_stays_with_its_holder() {
    let pool = pool(2048, 4);
    let socket = bind("127.0.0.1:0");
    let mut queue = SendQueue::new(Arc::clone(&socket), 16);
    let send = filled(&pool, b"no destination", None);
    assert_eq!(queue.send(&pool, send).unwrap_err().code(), Code::NotConnected);
    let six = SockAddr::from("[::1]:9".parse::<std::net::SocketAddr>().unwrap());
    let wrong = SlotSend { to: Some(six), ..send };
    assert_eq!(queue.send(&pool, wrong).unwrap_err().code(), Code::InvalidAddress);
    let long = SlotSend { len: 2049, ..send };
    assert_eq!(queue.send(&pool, long).unwrap_err().code(), Code::OutOfRange);
    let stale = SlotSend { from: (State::Lent, Owner::new(99).unwrap()), ..send };
    assert_eq!(queue.send(&pool, stale).unwrap_err().code(), Code::StaleBuffer);
    let nowhere = SlotSend { slot: 77, ..send };
    assert_eq!(queue.send(&pool, nowhere).unwrap_err().code(), Code::Internal);
    let holding = pool.holding(send.slot).unwrap();
    assert_eq!((holding.state, holding.owner), send.from);
    pool.push(send.slot, send.from, Dirty::All).unwrap();
    assert_all_home(&pool);
}

/// A link whose near end is slow, and the socket at its far end.
fn slow_link() -> (StdSocket, Far) {
    let (socket, far) = linked(|| StdSocket::bind("198.51.100.2:9000").unwrap());
    run("tc", "qdisc add dev wraith0 root tbf rate 20mbit burst 4kb limit 10mb");
    (socket, far)
}

fn next(socket: &StdSocket) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let got = socket.recv(&mut bytes).unwrap();
    bytes.truncate(got);
    bytes
}

/// Connected over the slow link, with the smallest of send buffers.
fn slow_socket() -> Arc<UdpSocket> {
    let udp = UdpOptions { send_buffer: Some(4096), ..UdpOptions::at("198.51.100.1:0".parse().unwrap()) };
    let socket = UdpSocket::bind(&udp).unwrap();
    socket.connect("198.51.100.2:9000".parse().unwrap()).unwrap();
    socket
}

#[test]
fn what_would_block_waits_in_order_and_is_sent_when_the_socket_is_writable() {
    in_namespace("what_would_block_waits_in_order_and_is_sent_when_the_socket_is_writable", || {
        let (received, _far) = slow_link();
        let pool = pool(2048, 64);
        let socket = slow_socket();
        let mut queue = SendQueue::new(Arc::clone(&socket), 40);
        let (mut done, mut queued, mut full) = (0, 0, 0);
        let total = 50;
        for index in 0..total {
            let send = filled(&pool, &pattern(index, 1000), None);
            match queue.send(&pool, send).unwrap() {
                SlotSent::Done => done += 1,
                SlotSent::Queued => queued += 1,
                SlotSent::Full => {
                    full += 1;
                    assert_eq!(pool.holding(send.slot).unwrap().state, State::Lent);
                    pool.push(send.slot, send.from, Dirty::All).unwrap();
                }
            }
        }
        assert_eq!((queued, done + queued + full), (40, total), "done {done}, full {full}");
        assert!(done > 0 && full > 0, "done {done}, full {full}");
        assert_eq!((queue.len(), pool.audit().op), (40, 40));
        // An isolate that dies now does not take its packets with it.
        assert_eq!(pool.reclaim(owner()), 0);
        let mut flushes = 0;
        while !queue.is_empty() {
            wait(socket.fd(), libc::POLLOUT);
            let flushed = queue.flush();
            assert!(flushed.error.is_none(), "{flushed:?}");
            flushes += 1;
        }
        assert!(flushes > 1, "everything went at once");
        assert_all_home(&pool);
        for index in 0..done + queued {
            assert_eq!(next(&received), pattern(index, 1000), "packet {index}");
        }
        let counters = socket.metrics().snapshot();
        assert_eq!(counters.sent, (done + queued) as u64);
        assert!(counters.send_would_block >= 1);
    });
}

#[test]
fn closing_brings_home_what_was_never_sent() {
    in_namespace("closing_brings_home_what_was_never_sent", || {
        let (_received, _far) = slow_link();
        let pool = pool(2048, 64);
        let socket = slow_socket();
        let mut queue = SendQueue::new(Arc::clone(&socket), 8);
        let mut waiting = 0;
        while waiting < 8 {
            let send = filled(&pool, &pattern(1, 1400), None);
            waiting += usize::from(queue.send(&pool, send).unwrap() == SlotSent::Queued);
        }
        assert_eq!(queue.close(), 8);
        assert_all_home(&pool);
        assert_eq!(queue.flush().sent, 0);
        let send = filled(&pool, &pattern(1, 1400), None);
        if queue.send(&pool, send).unwrap() == SlotSent::Queued {
            assert_eq!(pool.audit().op, 1);
        }
        drop(queue);
        assert_all_home(&pool);
    });
}

#[test]
fn a_failure_while_flushing_is_told_and_stops_nothing() {
    in_namespace("a_failure_while_flushing_is_told_and_stops_nothing", || {
        let (received, _far) = slow_link();
        let pool = pool(2048, 64);
        let socket = slow_socket();
        let mut queue = SendQueue::new(Arc::clone(&socket), 16);
        let mut sent = 0;
        while queue.is_empty() {
            queue.send(&pool, filled(&pool, &pattern(sent, 1400), None)).unwrap();
            sent += 1;
        }
        // A destination on a connected socket is an error, but it is found only when its turn comes.
        let to = SockAddr::from("198.51.100.2:9000".parse::<std::net::SocketAddr>().unwrap());
        queue.send(&pool, filled(&pool, b"wrong", Some(to))).unwrap();
        queue.send(&pool, filled(&pool, b"right", None)).unwrap();
        let (mut failed, mut flushed_ok, mut error) = (0, 0, None);
        while !queue.is_empty() {
            wait(socket.fd(), libc::POLLOUT);
            let flushed = queue.flush();
            failed += flushed.failed;
            flushed_ok += flushed.sent;
            error = error.or(flushed.error);
        }
        assert_eq!((failed, flushed_ok), (1, 2));
        assert_eq!(error.unwrap().code(), Code::AlreadyConnected);
        for index in 0..sent {
            assert_eq!(next(&received), pattern(index, 1400));
        }
        assert_eq!(next(&received), b"right");
        assert_all_home(&pool);
    });
}
