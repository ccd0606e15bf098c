//! Binding: every option, every refusal.

use std::net::SocketAddr;
use std::sync::Arc;

use wraith_transport::Code;
use wraith_transport::udp::{Family, ReceiverOptions, UdpOptions, UdpSocket};

use crate::support::{Rig, any, in_namespace, loopback, sender, with};

fn refused(options: &UdpOptions) -> wraith_transport::Error {
    UdpSocket::bind(options).unwrap_err()
}

#[test]
fn nothing_given_means_any_address_and_a_free_port() {
    for family in [Family::V4, Family::V6] {
        let address = UdpSocket::bind(&any(family)).unwrap().local_addr().unwrap();
        assert_eq!(Family::of(&address), family);
        assert!(address.ip().is_unspecified() && address.port() > 0);
    }
}

#[test]
fn options_that_cannot_be_are_refused_by_name() {
    let six: SocketAddr = "[::1]:0".parse().unwrap();
    let cases = [
        (UdpOptions { address: Some(six), ..any(Family::V4) }, Code::InvalidAddress, "[::1]:0"),
        (UdpOptions { ipv6_only: true, ..any(Family::V4) }, Code::OutOfRange, "ipv6_only"),
        (UdpOptions { recv_buffer: Some(0), ..loopback() }, Code::OutOfRange, "recv_buffer is 0"),
        (UdpOptions { send_buffer: Some(1 << 31), ..loopback() }, Code::OutOfRange, "send_buffer"),
        (
            UdpOptions::at("203.0.113.77:0".parse().unwrap()),
            Code::AddressNotAvailable,
            "binding to 203.0.113.77:0",
        ),
    ];
    for (options, code, part) in cases {
        let error = refused(&options);
        assert_eq!(error.code(), code);
        assert!(error.message().contains(part), "{error}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let first = UdpSocket::bind(&loopback()).unwrap();
    let address = first.local_addr().unwrap();
    let error = refused(&UdpOptions::at(address));
    assert_eq!((error.code(), error.errno()), (Code::AddressInUse, Some(libc::EADDRINUSE)));
    assert_eq!(error.syscall(), Some("bind"));
    assert!(error.message().contains(&address.to_string()));
}

#[test]
fn a_privileged_port_needs_a_right_that_the_message_names() {
    in_namespace("a_privileged_port_needs_a_right_that_the_message_names", || {
        // SAFETY: takes numbers only. The raw call changes this thread alone, which ends with the test.
        let dropped = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
        assert_eq!(dropped, 0);
        let error = refused(&UdpOptions::at("127.0.0.1:80".parse().unwrap()));
        assert_eq!((error.code(), error.errno()), (Code::Permission, Some(libc::EACCES)));
        assert!(error.message().contains("CAP_NET_BIND_SERVICE"), "{error}");
    });
}

#[test]
fn no_descriptors_left_is_a_system_error() {
    const CHILD: &str = "WRAITH_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        let mut held = Vec::new();
        let error = loop {
            match UdpSocket::bind(&loopback()) {
                Ok(socket) => held.push(socket),
                Err(error) => break error,
            }
        };
        assert_eq!((error.code(), error.errno()), (Code::System, Some(libc::EMFILE)));
        assert_eq!(error.syscall(), Some("socket"));
        return;
    }
    // The limit is the process's, so another process has to run into it.
    let status = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --exact options::no_descriptors_left_is_a_system_error"])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn reuse_port_lets_sockets_share_and_the_kernel_spread() {
    let udp = UdpOptions { reuse_port: true, ..loopback() };
    let first = UdpSocket::bind(&udp).unwrap();
    let address = first.local_addr().unwrap();
    let shared = UdpOptions { address: Some(address), ..udp };
    let mut rigs: Vec<Rig> =
        (0..2).map(|_| Rig::new(&shared, 256, 256, &ReceiverOptions::default())).collect();
    drop(first);
    assert_eq!(refused(&UdpOptions::at(address)).code(), Code::AddressInUse);
    let sent = 64;
    let senders: Vec<_> = (0..sent).map(|_| sender("127.0.0.1:0")).collect();
    for from in &senders {
        from.send_to(b"spread", address).unwrap();
    }
    let mut got = vec![0, 0];
    while got.iter().sum::<usize>() < sent {
        for (count, rig) in got.iter_mut().zip(&mut rigs) {
            *count += rig.drain().len();
        }
    }
    assert!(got.iter().all(|&count| count > 0), "{got:?}");
}

#[test]
fn reuse_address_lets_a_second_socket_bind() {
    let udp = UdpOptions { reuse_addr: true, ..loopback() };
    let first = UdpSocket::bind(&udp).unwrap();
    let again = UdpOptions { address: Some(first.local_addr().unwrap()), ..udp };
    assert!(UdpSocket::bind(&again).is_ok());
}

#[test]
fn buffer_sizes_say_what_was_asked_and_got() {
    let udp = UdpOptions { recv_buffer: Some(50_000), send_buffer: Some(40_000), ..loopback() };
    let socket = UdpSocket::bind(&udp).unwrap();
    let (recv, send) = (socket.recv_buffer().unwrap(), socket.send_buffer().unwrap());
    assert_eq!((recv.asked, recv.got, recv.note), (Some(50_000), 100_000, None));
    assert_eq!((send.asked, send.got, send.note), (Some(40_000), 80_000, None));
    socket.set_recv_buffer(60_000).unwrap();
    socket.set_send_buffer(70_000).unwrap();
    assert_eq!(socket.recv_buffer().unwrap().got, 120_000);
    assert_eq!(socket.send_buffer().unwrap().asked, Some(70_000));
    assert_eq!(socket.set_recv_buffer(0).unwrap_err().code(), Code::OutOfRange);
    let plain = UdpSocket::bind(&loopback()).unwrap().recv_buffer().unwrap();
    assert_eq!((plain.asked, plain.note), (None, None));
    assert!(plain.got > 0);
}

#[test]
fn a_clamped_buffer_names_the_sysctl_that_lifts_it() {
    let huge = i32::MAX as usize;
    let udp = UdpOptions { recv_buffer: Some(huge), send_buffer: Some(huge), ..loopback() };
    let socket = UdpSocket::bind(&udp).unwrap();
    for (size, sysctl) in
        [(socket.recv_buffer().unwrap(), "rmem_max"), (socket.send_buffer().unwrap(), "wmem_max")]
    {
        let note = size.note.unwrap();
        assert!(size.got < huge, "{size:?}", size = size.got);
        assert!(note.contains(&format!("sysctl -w net.core.{sysctl}={huge}")), "{note}");
    }
}

#[test]
fn a_socket_closes_with_its_last_holder() {
    let mut rig = Rig::new(&loopback(), 256, 8, &with(ReceiverOptions::default().backend));
    let socket = Arc::clone(&rig.socket);
    let address = rig.address();
    rig.receiver();
    rig.close();
    assert_eq!(refused(&UdpOptions::at(address)).code(), Code::AddressInUse);
    drop(socket);
    // A child process that another test has just forked holds a copy until it calls exec.
    let free = || UdpSocket::bind(&UdpOptions::at(address)).is_ok();
    assert!((0..100_000).any(|_| free() || yielded()), "the port is still taken");
}

fn yielded() -> bool {
    std::thread::yield_now();
    false
}
