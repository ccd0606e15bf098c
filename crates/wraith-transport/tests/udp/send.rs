//! Sending single datagrams.

use wraith_transport::Code;
use wraith_transport::udp::{Sent, SockAddr, UdpSocket};

use crate::support::{BACKENDS, Rig, bind, loopback, pattern, with};

#[test]
fn what_is_sent_arrives_also_when_it_is_nothing() {
    for backend in BACKENDS {
        let mut rig = Rig::new(&loopback(), 65_535, 8, &with(backend));
        let from = bind("127.0.0.1:0");
        let to = from.destination(rig.address()).unwrap();
        for length in [0, 1, 1472, 9000, 65_507] {
            assert_eq!(from.send(&pattern(length, length), Some(&to)).unwrap(), Sent::Done);
            assert_eq!(rig.collect(1)[0].bytes, pattern(length, length));
        }
        let counters = from.metrics().snapshot();
        assert_eq!((counters.sent, counters.sent_bytes), (5, 1 + 1472 + 9000 + 65_507));
    }
}

#[test]
fn an_answer_goes_to_the_row_s_own_source() {
    for backend in BACKENDS {
        let mut rig = Rig::on_loopback(backend);
        let peer = crate::support::sender("127.0.0.1:0");
        peer.send_to(b"ping", rig.address()).unwrap();
        rig.next_batch();
        let source: SockAddr = rig.receiver().source(0);
        let number = rig.receiver().rows()[0].peer;
        let (cached, _) = rig.receiver().peer(number).unwrap();
        assert_eq!(cached, source);
        rig.socket.send(b"pong", Some(&cached)).unwrap();
        rig.receiver().finish();
        let mut bytes = [0; 8];
        assert_eq!(peer.recv_from(&mut bytes).unwrap(), (4, rig.address()));
        assert_eq!(&bytes[..4], b"pong");
    }
}

#[test]
fn refusals_have_their_codes() {
    let socket = bind("127.0.0.1:0");
    let six = bind("[::1]:0");
    let port = socket.local_addr().unwrap().port();
    let to = |text: &str| text.parse().unwrap();
    let big = vec![0; 65_508];
    let send = |socket: &UdpSocket, bytes: &[u8], text: &str| socket.send_to(bytes, to(text)).unwrap_err();
    let cases = [
        (send(&socket, &big, &format!("127.0.0.1:{port}")), Code::MessageTooLarge, Some(libc::EMSGSIZE)),
        (send(&socket, b"", "127.0.0.1:0"), Code::InvalidAddress, None),
        (send(&socket, b"", "[::1]:9"), Code::InvalidAddress, None),
        (send(&socket, b"", "255.255.255.255:9"), Code::Permission, Some(libc::EACCES)),
        (socket.send(b"", None).unwrap_err(), Code::NotConnected, None),
        (send(&six, &vec![0; 65_528], "[::1]:9"), Code::MessageTooLarge, Some(libc::EMSGSIZE)),
    ];
    for (error, code, errno) in &cases {
        assert_eq!((error.code(), error.errno()), (*code, *errno), "{error}");
    }
    let failed = cases.iter().filter(|(_, _, errno)| errno.is_some()).count() as u64;
    let errors = socket.metrics().snapshot().send_errors + six.metrics().snapshot().send_errors;
    assert_eq!(errors, failed);
    assert_eq!(socket.metrics().snapshot().icmp_errors, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn segments_arrive_as_datagrams_of_their_own() {
    let to = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = UdpSocket::bind(&loopback()).unwrap();
    let target = from.destination(to.local_addr().unwrap()).unwrap();
    let stream = pattern(3, 63 * 100 + 7);
    // SAFETY: pointer and length of a vector that lives through the call.
    let sent = unsafe { from.send_segments_raw(stream.as_ptr(), stream.len(), 100, Some(&target)) };
    assert_eq!(sent, Ok(Sent::Done));
    let mut buffer = [0; 200];
    for expected in stream.chunks(100) {
        let got = to.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..got], expected);
    }
    assert_eq!(from.metrics().snapshot().sent, 64);
    for segment in [0, 1] {
        // SAFETY: as above.
        let refused =
            unsafe { from.send_segments_raw(stream.as_ptr(), stream.len(), segment, Some(&target)) };
        assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);
    }
}
