//! How a socket comes to be: made and bound, or adopted.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::address::{Family, SockAddr};
use super::options::UdpOptions;
use super::socket::failed;
use super::sys;
use crate::error::{Code, Error};

/// A descriptor with every option set.
pub(super) struct Bound {
    pub(super) fd: OwnedFd,
    pub(super) connected: bool,
}

pub(super) fn open(options: &UdpOptions) -> Result<Bound, Error> {
    check(options)?;
    match options.fd {
        Some(fd) => adopt(fd, options),
        None => make(options),
    }
}

fn check(options: &UdpOptions) -> Result<(), Error> {
    if let Some(address) = options.address
        && Family::of(&address) != options.family
    {
        return Err(Error::new(
            Code::InvalidAddress,
            format!("an {} socket cannot bind to {address}", options.family),
        ));
    }
    if options.ipv6_only && options.family == Family::V4 {
        return Err(Error::with_remedy(
            Code::OutOfRange,
            "ipv6_only was given for an IPv4 socket",
            "Leave it out, or make an IPv6 socket.",
        ));
    }
    for (name, size) in [("recv_buffer", options.recv_buffer), ("send_buffer", options.send_buffer)] {
        if let Some(bytes) = size {
            buffer_value(name, bytes)?;
        }
    }
    Ok(())
}

/// A buffer size as setsockopt takes it.
pub(super) fn buffer_value(name: &str, bytes: usize) -> Result<libc::c_int, Error> {
    match libc::c_int::try_from(bytes) {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(Error::new(Code::OutOfRange, format!("{name} is {bytes}; allowed are 1 to {}", i32::MAX))),
    }
}

fn make(options: &UdpOptions) -> Result<Bound, Error> {
    let fd = sys::socket(options.family).map_err(|errno| failed("socket", errno, "making a UDP socket"))?;
    let raw = fd.as_raw_fd();
    if options.family == Family::V6 {
        set(raw, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, i32::from(options.ipv6_only), "IPV6_V6ONLY")?;
    }
    if options.reuse_addr {
        set(raw, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1, "SO_REUSEADDR")?;
    }
    if options.reuse_port {
        set(raw, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1, "SO_REUSEPORT")?;
    }
    configure(raw, options)?;
    bind(raw, options.address.unwrap_or(options.family.unspecified()))?;
    Ok(Bound { fd, connected: false })
}

fn bind(fd: RawFd, address: SocketAddr) -> Result<(), Error> {
    sys::bind(fd, &SockAddr::from(address)).map_err(|errno| {
        let what = format!("binding to {address}");
        match errno {
            libc::EACCES => failed(
                "bind",
                errno,
                &format!(
                    "{what} (ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE)"
                ),
            ),
            _ => failed("bind", errno, &what),
        }
    })
}

/// Options that made and adopted sockets share.
fn configure(fd: RawFd, options: &UdpOptions) -> Result<(), Error> {
    if let Some(bytes) = options.recv_buffer {
        set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, buffer_value("recv_buffer", bytes)?, "SO_RCVBUF")?;
    }
    if let Some(bytes) = options.send_buffer {
        set(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, buffer_value("send_buffer", bytes)?, "SO_SNDBUF")?;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        set(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1, "SO_RXQ_OVFL")?;
        if options.timestamps {
            set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1, "SO_TIMESTAMPNS")?;
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    if options.timestamps {
        return Err(Error::new(Code::Unsupported, "timestamps (SO_TIMESTAMPNS) exist on Linux only"));
    }
    Ok(())
}

/// Checks that a descriptor is a UDP socket of the family, and only then touches or owns it.
fn adopt(fd: RawFd, options: &UdpOptions) -> Result<Bound, Error> {
    let refuse = |why: String| {
        let remedy = format!("Pass an open {} UDP socket.", options.family);
        Error::with_remedy(Code::OutOfRange, format!("fd {fd} {why}"), &remedy)
    };
    if !sys::is_open(fd) {
        return Err(refuse("is not an open descriptor".to_owned()));
    }
    let kind = sys::get_int(fd, libc::SOL_SOCKET, libc::SO_TYPE).map_err(|errno| match errno {
        libc::ENOTSOCK => refuse("is not a socket".to_owned()),
        other => failed("getsockopt", other, "adopting a descriptor"),
    })?;
    if kind != libc::SOCK_DGRAM {
        return Err(refuse("is not a datagram socket".to_owned()));
    }
    let name = sys::local_name(fd).map_err(|errno| failed("getsockname", errno, "adopting a descriptor"))?;
    match name.family() {
        None => return Err(refuse("is neither an IPv4 nor an IPv6 socket".to_owned())),
        Some(family) if family != options.family => return Err(refuse(format!("is an {family} socket"))),
        Some(_) => {}
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let protocol = sys::get_int(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)
            .map_err(|errno| failed("getsockopt", errno, "adopting a descriptor"))?;
        if protocol != libc::IPPROTO_UDP {
            return Err(refuse(format!("speaks IP protocol {protocol}, not UDP")));
        }
    }
    configure(fd, options)?;
    sys::set_flags(fd).map_err(|errno| failed("fcntl", errno, "adopting a descriptor"))?;
    let connected = sys::peer_name(fd).is_ok();
    Ok(Bound { fd: sys::own(fd), connected })
}

fn set(
    fd: RawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
    what: &str,
) -> Result<(), Error> {
    sys::set_int(fd, level, name, value)
        .map_err(|errno| failed("setsockopt", errno, &format!("setting {what} to {value}")))
}
