//! Adopting descriptors that somebody else made.

use std::fs::File;
use std::net::{TcpListener, UdpSocket as StdSocket};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use wraith_transport::Code;
use wraith_transport::udp::{Family, ReceiverOptions, UdpOptions, UdpSocket};

use crate::support::{BACKENDS, Rig, pattern, sender, with};

fn raw_socket(family: i32, kind: i32, protocol: i32) -> Option<OwnedFd> {
    // SAFETY: takes numbers only; a descriptor that was made belongs to nobody else.
    unsafe {
        let fd = libc::socket(family, kind, protocol);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
    }
}

fn is_open(fd: i32) -> bool {
    // SAFETY: takes and returns numbers only.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

fn adopting(fd: i32, family: Family) -> UdpOptions {
    UdpOptions { fd: Some(fd), ..UdpOptions::new(family) }
}

#[test]
fn an_adopted_socket_receives_and_belongs_to_us() {
    for backend in BACKENDS {
        let theirs = StdSocket::bind("127.0.0.1:0").unwrap();
        let address = theirs.local_addr().unwrap();
        let fd = theirs.into_raw_fd();
        let mut rig = Rig::new(&adopting(fd, Family::V4), 2048, 128, &with(backend));
        assert_eq!((rig.socket.fd(), rig.address()), (fd, address));
        // SAFETY: take and return numbers only.
        let (status, flags) = unsafe { (libc::fcntl(fd, libc::F_GETFL), libc::fcntl(fd, libc::F_GETFD)) };
        assert_ne!(status & libc::O_NONBLOCK, 0);
        assert_ne!(flags & libc::FD_CLOEXEC, 0);
        sender("127.0.0.1:0").send_to(&pattern(1, 99), address).unwrap();
        assert_eq!(rig.collect(1)[0].bytes, pattern(1, 99));
        rig.close();
    }
}

#[test]
fn an_adopted_connected_socket_knows_its_peer() {
    let peer = StdSocket::bind("127.0.0.1:0").unwrap();
    let theirs = StdSocket::bind("127.0.0.1:0").unwrap();
    theirs.connect(peer.local_addr().unwrap()).unwrap();
    let socket = UdpSocket::bind(&adopting(theirs.into_raw_fd(), Family::V4)).unwrap();
    assert!(socket.is_connected());
    assert_eq!(socket.peer_addr().unwrap(), peer.local_addr().unwrap());
    socket.send(b"hello", None).unwrap();
    let mut bytes = [0; 16];
    assert_eq!(peer.recv(&mut bytes).unwrap(), 5);
}

#[test]
fn what_is_no_udp_socket_of_the_family_is_refused_and_stays_open() {
    let file = File::open("/dev/null").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (unix, _other) = UnixDatagram::pair().unwrap();
    let v6 = StdSocket::bind("[::1]:0").unwrap();
    let lite = raw_socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE);
    let ping = raw_socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP);
    let mut cases = vec![
        (file.as_raw_fd(), "is not a socket"),
        (tcp.as_raw_fd(), "is not a datagram socket"),
        (unix.as_raw_fd(), "is neither an IPv4 nor an IPv6 socket"),
        (v6.as_raw_fd(), "is an IPv6 socket"),
    ];
    // Kernels without UDP-Lite and users without the right to ping have none of these to offer.
    cases.extend(lite.iter().map(|fd| (fd.as_raw_fd(), "IP protocol 136")));
    cases.extend(ping.iter().map(|fd| (fd.as_raw_fd(), "IP protocol 1,")));
    for (fd, why) in cases {
        let error = UdpSocket::bind(&adopting(fd, Family::V4)).unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange, "{error}");
        assert!(error.message().contains(why), "{error}");
        assert!(is_open(fd), "{error}");
    }
}

#[test]
fn a_descriptor_that_is_not_open_is_refused() {
    for fd in [-1, 1_000_000] {
        let error = UdpSocket::bind(&adopting(fd, Family::V4)).unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange);
        assert!(error.message().contains("is not an open descriptor"), "{error}");
    }
}

#[test]
fn the_error_queue_of_an_adopted_socket_is_drained() {
    let theirs = StdSocket::bind("127.0.0.1:0").unwrap();
    let on = 1_i32;
    // SAFETY: reads one int that lives through the call.
    let set = unsafe {
        libc::setsockopt(
            theirs.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_RECVERR,
            (&raw const on).cast(),
            size_of::<i32>() as u32,
        )
    };
    assert_eq!(set, 0);
    // Not a port that the kernel would give to another test.
    let closed = "127.77.0.1:2077".parse().unwrap();
    let udp = adopting(theirs.into_raw_fd(), Family::V4);
    let mut rig = Rig::new(&udp, 256, 16, &ReceiverOptions::default());
    for _ in 0..3 {
        rig.socket.send_to(b"nobody listens", closed).unwrap();
    }
    crate::support::wait(rig.socket.fd(), libc::POLLERR);
    assert!(rig.drain().is_empty());
    assert!(rig.socket.drain_error_queue() >= 3);
    assert_eq!(rig.socket.drain_error_queue(), 0);
    assert!(rig.counters().error_queue_entries >= 3);
    assert!(rig.counters().icmp_errors >= 1);
    sender("127.0.0.1:0").send_to(b"still alive", rig.address()).unwrap();
    assert_eq!(rig.collect(1)[0].bytes, b"still alive");
}
