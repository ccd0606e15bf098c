//! Broadcast, time to live and multicast, as dgram has them.

#[cfg(any(target_os = "linux", target_os = "android"))]
use std::net::SocketAddr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

// RFC 3493 calls them JOIN and LEAVE, libc knows Linux's older names for Linux.
#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::{IPV6_ADD_MEMBERSHIP as JOIN_V6, IPV6_DROP_MEMBERSHIP as LEAVE_V6};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use libc::{IPV6_JOIN_GROUP as JOIN_V6, IPV6_LEAVE_GROUP as LEAVE_V6};

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::address::SockAddr;
use super::address::{Family, Interface};
use super::socket::{UdpSocket, failed};
use super::sys;
use crate::error::{Code, Error};

const ANY: Interface = Interface::Default;

impl UdpSocket {
    /// Receives what is sent to a multicast group on an interface.
    ///
    /// # Errors
    /// [`Code::InvalidAddress`] (not a group, or of the other family), [`Code::AddressInUse`] (joined already),
    /// [`Code::AddressNotAvailable`] (no such interface), [`Code::System`] (ENOBUFS: more groups than
    /// net.ipv4.igmp_max_memberships).
    pub fn join(&self, group: IpAddr, interface: Interface) -> Result<(), Error> {
        self.membership(group, interface, true)
    }

    /// Leaves a group that was joined on the same interface.
    ///
    /// # Errors
    /// [`Code::InvalidAddress`], [`Code::AddressNotAvailable`] (was not joined).
    pub fn leave(&self, group: IpAddr, interface: Interface) -> Result<(), Error> {
        self.membership(group, interface, false)
    }

    fn membership(&self, group: IpAddr, interface: Interface, join: bool) -> Result<(), Error> {
        self.check_group(group)?;
        let result = match group {
            IpAddr::V4(group) => {
                let option = if join { libc::IP_ADD_MEMBERSHIP } else { libc::IP_DROP_MEMBERSHIP };
                sys::set(self.fd(), libc::IPPROTO_IP, option, &request_v4(group, interface)?)
            }
            IpAddr::V6(group) => {
                let option = if join { JOIN_V6 } else { LEAVE_V6 };
                let request = libc::ipv6_mreq {
                    ipv6mr_multiaddr: libc::in6_addr { s6_addr: group.octets() },
                    ipv6mr_interface: index_of(interface)? as _,
                };
                sys::set(self.fd(), libc::IPPROTO_IPV6, option, &request)
            }
        };
        result.map_err(|errno| refused(errno, join, &format!("{group} on {interface:?}")))
    }

    /// Receives what `source` sends to a group (RFC 4607).
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_source(&self, source: IpAddr, group: IpAddr, interface: Interface) -> Result<(), Error> {
        self.source_membership(source, group, interface, true)
    }

    /// Leaves a source of a group.
    ///
    /// # Errors
    /// As [`leave`](Self::leave).
    pub fn leave_source(&self, source: IpAddr, group: IpAddr, interface: Interface) -> Result<(), Error> {
        self.source_membership(source, group, interface, false)
    }

    fn source_membership(
        &self,
        source: IpAddr,
        group: IpAddr,
        interface: Interface,
        join: bool,
    ) -> Result<(), Error> {
        self.check_group(group)?;
        let result = match (source, group) {
            (IpAddr::V4(source), IpAddr::V4(group)) => {
                let option =
                    if join { libc::IP_ADD_SOURCE_MEMBERSHIP } else { libc::IP_DROP_SOURCE_MEMBERSHIP };
                let request = libc::ip_mreq_source {
                    imr_multiaddr: in_addr(group),
                    imr_interface: in_addr(address_of(interface)?),
                    imr_sourceaddr: in_addr(source),
                };
                sys::set(self.fd(), libc::IPPROTO_IP, option, &request)
            }
            (IpAddr::V6(source), IpAddr::V6(group)) => {
                v6_source(self.fd(), source, group, index_of(interface)?, join)
            }
            _ => {
                return Err(Error::with_remedy(
                    Code::InvalidAddress,
                    format!("source {source} and group {group} are of different families"),
                    "Use two addresses of the socket's family.",
                ));
            }
        };
        result.map_err(|errno| refused(errno, join, &format!("{group} from {source} on {interface:?}")))
    }

    fn check_group(&self, group: IpAddr) -> Result<(), Error> {
        let family = if group.is_ipv4() { Family::V4 } else { Family::V6 };
        if family == self.family() && group.is_multicast() {
            return Ok(());
        }
        Err(Error::with_remedy(
            Code::InvalidAddress,
            format!("{group} is not an {} multicast group", self.family()),
            "Use 224.0.0.0 to 239.255.255.255 on an IPv4 socket, ff00::/8 on an IPv6 socket.",
        ))
    }

    /// Allows sending to broadcast addresses (SO_BROADCAST).
    ///
    /// # Errors
    /// [`Code::System`].
    pub fn set_broadcast(&self, on: bool) -> Result<(), Error> {
        self.set_int(libc::SOL_SOCKET, libc::SO_BROADCAST, i32::from(on), "SO_BROADCAST")
    }

    /// Hops that a unicast packet may take, 1 to 255.
    ///
    /// # Errors
    /// [`Code::OutOfRange`].
    pub fn set_ttl(&self, ttl: u32) -> Result<(), Error> {
        let ttl = hops("ttl", ttl, 1)?;
        match self.family() {
            Family::V4 => self.set_int(libc::IPPROTO_IP, libc::IP_TTL, ttl, "IP_TTL"),
            Family::V6 => self.set_int(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, ttl, "IPV6_UNICAST_HOPS"),
        }
    }

    /// Hops that a multicast packet may take, 0 to 255; 0 keeps it on this machine.
    ///
    /// # Errors
    /// [`Code::OutOfRange`].
    pub fn set_multicast_ttl(&self, ttl: u32) -> Result<(), Error> {
        let ttl = hops("multicast ttl", ttl, 0)?;
        match self.family() {
            Family::V4 => self.set_int(libc::IPPROTO_IP, libc::IP_MULTICAST_TTL, ttl, "IP_MULTICAST_TTL"),
            Family::V6 => {
                self.set_int(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, ttl, "IPV6_MULTICAST_HOPS")
            }
        }
    }

    /// Whether this machine's members hear what this socket sends to their group. On by default.
    ///
    /// # Errors
    /// [`Code::System`].
    pub fn set_multicast_loopback(&self, on: bool) -> Result<(), Error> {
        let on = i32::from(on);
        match self.family() {
            Family::V4 => self.set_int(libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, on, "IP_MULTICAST_LOOP"),
            Family::V6 => {
                self.set_int(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, on, "IPV6_MULTICAST_LOOP")
            }
        }
    }

    /// The interface that multicast packets leave by.
    ///
    /// # Errors
    /// [`Code::AddressNotAvailable`] (no such interface), [`Code::InvalidAddress`].
    pub fn set_multicast_interface(&self, interface: Interface) -> Result<(), Error> {
        let result = match self.family() {
            Family::V4 => {
                let request = request_v4(Ipv4Addr::UNSPECIFIED, interface)?;
                sys::set(self.fd(), libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &request)
            }
            Family::V6 => sys::set_int(
                self.fd(),
                libc::IPPROTO_IPV6,
                libc::IPV6_MULTICAST_IF,
                index_of(interface)? as libc::c_int,
            ),
        };
        result.map_err(|errno| {
            failed("setsockopt", errno, &format!("multicast interface {interface:?}"))
                .advise("Name an interface of this machine.")
        })
    }
}

fn refused(errno: sys::Errno, join: bool, what: &str) -> Error {
    let verb = if join { "joining" } else { "leaving" };
    let error = failed("setsockopt", errno, &format!("{verb} {what}"));
    match errno {
        libc::EADDRINUSE => error.advise("Go on: the group is joined already."),
        libc::EADDRNOTAVAIL if !join => error.advise("Leave what was joined, on the same interface."),
        libc::ENODEV | libc::EADDRNOTAVAIL => error.advise("Name an interface of this machine."),
        libc::ENOBUFS => {
            error.advise("Join fewer groups, or lift net.ipv4.igmp_max_memberships with sysctl.")
        }
        _ => error,
    }
}

fn hops(name: &str, value: u32, least: u32) -> Result<libc::c_int, Error> {
    if (least..=255).contains(&value) {
        return Ok(value as libc::c_int);
    }
    Err(Error::new(Code::OutOfRange, format!("{name} is {value}; allowed are {least} to 255")))
}

fn in_addr(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn request_v4(group: Ipv4Addr, interface: Interface) -> Result<libc::ip_mreqn, Error> {
    let (address, index) = match interface {
        ANY => (Ipv4Addr::UNSPECIFIED, 0),
        Interface::Address(address) => (address, 0),
        Interface::Index(index) => (Ipv4Addr::UNSPECIFIED, index),
    };
    Ok(libc::ip_mreqn {
        imr_multiaddr: in_addr(group),
        imr_address: in_addr(address),
        imr_ifindex: index as libc::c_int,
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn request_v4(group: Ipv4Addr, interface: Interface) -> Result<libc::ip_mreq, Error> {
    Ok(libc::ip_mreq { imr_multiaddr: in_addr(group), imr_interface: in_addr(address_of(interface)?) })
}

fn address_of(interface: Interface) -> Result<Ipv4Addr, Error> {
    match interface {
        ANY => Ok(Ipv4Addr::UNSPECIFIED),
        Interface::Address(address) => Ok(address),
        Interface::Index(index) => Err(Error::with_remedy(
            Code::InvalidAddress,
            format!("interface index {index} cannot be used here"),
            "Name an IPv4 interface by its address.",
        )),
    }
}

fn index_of(interface: Interface) -> Result<u32, Error> {
    match interface {
        ANY => Ok(0),
        Interface::Index(index) => Ok(index),
        Interface::Address(address) => Err(Error::with_remedy(
            Code::InvalidAddress,
            format!("interface address {address} cannot be used on an IPv6 socket"),
            "Name an IPv6 interface by %name or %index.",
        )),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn v6_source(
    fd: RawFd,
    source: Ipv6Addr,
    group: Ipv6Addr,
    interface: u32,
    join: bool,
) -> Result<(), sys::Errno> {
    /// linux/in.h; libc does not have them for every target.
    const MCAST_JOIN_SOURCE_GROUP: libc::c_int = 46;
    const MCAST_LEAVE_SOURCE_GROUP: libc::c_int = 47;
    let option = if join { MCAST_JOIN_SOURCE_GROUP } else { MCAST_LEAVE_SOURCE_GROUP };
    let name = |ip: Ipv6Addr| SockAddr::from(SocketAddr::from((ip, 0)));
    sys::set_source_group(fd, option, interface, &name(group), &name(source))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn v6_source(
    _fd: RawFd,
    _source: Ipv6Addr,
    _group: Ipv6Addr,
    _interface: u32,
    _join: bool,
) -> Result<(), sys::Errno> {
    Err(libc::EOPNOTSUPP)
}
