//! What poll(2) says: readable when frames wait, writable when there is room to send.

use std::sync::Arc;

use wraith_transport::xdp::{Filter, XdpDevice, XdpOptions};

use crate::send::{filled, frame};
use crate::support::{
    FAR, also_over_xsk_rs, close, collect, expect, ip, linked, near, open, options, pattern, privileged,
    send_patterns, until, wait,
};

const PORT: u16 = 6343;

/// What is ready at this moment.
fn ready(fd: i32, events: i16) -> i16 {
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one pollfd that lives through the call.
    assert!(unsafe { libc::poll(&raw mut poll, 1, 0) } >= 0);
    poll.revents
}

#[test]
fn a_socket_is_readable_while_frames_wait() {
    privileged("a_socket_is_readable_while_frames_wait", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let mut device = open(Filter::udp_ports([PORT]));
        let fd = device.sockets()[0].fd();
        for round in 0..10 {
            assert_eq!(ready(fd, libc::POLLIN), 0);
            send_patterns(&sender, near(PORT), round * 5..round * 5 + 5, 64);
            assert_eq!(wait(fd, libc::POLLIN), libc::POLLIN);
            collect(device.sockets_mut(), 5);
        }
        close(device);
    });
}

#[test]
fn a_socket_is_writable_while_there_is_room_to_send() {
    privileged("a_socket_is_writable_while_there_is_room_to_send", || {
        let remote = linked(1);
        let server = remote.udp(&format!("{FAR}:{PORT}"));
        let mut device =
            XdpDevice::open(&XdpOptions { tx_ring: Some(16), ..options(Filter::none()) }).unwrap();
        let socket = &mut device.sockets_mut()[0];
        let fd = socket.fd();
        assert_eq!(ready(fd, libc::POLLIN | libc::POLLOUT), libc::POLLOUT);
        let pool = Arc::clone(socket.pool());
        let frames: Vec<_> =
            (0..20).map(|number| filled(&pool, &frame(PORT, &pattern(number, 64))).unwrap()).collect();
        ip("link set wraith0 down");
        assert_eq!(socket.send(&frames).unwrap(), 16);
        assert_eq!(ready(fd, libc::POLLOUT), 0);
        ip("link set wraith0 up");
        // In copy mode poll(2) itself has the kernel send.
        assert_eq!(wait(fd, libc::POLLOUT), libc::POLLOUT);
        let mut sent = 16;
        until("the rest is accepted", || {
            sent += socket.send(&frames[sent..]).unwrap();
            sent == 20
        });
        until("all is sent", || socket.flush().unwrap() == 0);
        expect(&server, 0..20, 64);
        close(device);
    });
}

also_over_xsk_rs!(a_socket_is_readable_while_frames_wait, a_socket_is_writable_while_there_is_room_to_send,);
