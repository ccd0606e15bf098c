//! Socket addresses in the kernel's own layout, and their text forms.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::sys;
use crate::error::{Code, Error};

/// The address family of a socket. A V6 socket that is not `ipv6_only` also talks to IPv4 hosts, whose addresses
/// then read `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2), as in Node's dgram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// AF_INET.
    V4,
    /// AF_INET6.
    V6,
}

impl Family {
    pub(crate) fn raw(self) -> libc::c_int {
        match self {
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        }
    }

    /// The family that an address belongs to.
    pub fn of(address: &SocketAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// 0.0.0.0 or ::, port 0.
    pub fn unspecified(self) -> SocketAddr {
        match self {
            Family::V4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            Family::V6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// Room for a `sockaddr_in6`, the larger of the two.
pub(crate) const NAME_BYTES: usize = 28;
const V4_BYTES: u32 = 16;
const V6_BYTES: u32 = 28;

/// A `sockaddr_in` or `sockaddr_in6` exactly as the kernel reads and writes it, so that sending to a peer again
/// converts nothing. 32 bytes, plain data.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct SockAddr {
    raw: [u8; NAME_BYTES],
    len: u32,
}

/// Where the family lies: BSD systems have a length byte before a one-byte family.
const BSD: bool = cfg!(any(
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
));

impl SockAddr {
    pub(crate) fn from_raw(raw: [u8; NAME_BYTES], len: u32) -> SockAddr {
        SockAddr { raw, len: len.min(NAME_BYTES as u32) }
    }

    pub(crate) fn raw(&self) -> &[u8; NAME_BYTES] {
        &self.raw
    }

    /// Length of the kernel's form in bytes: 16 for IPv4, 28 for IPv6.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        self.raw.as_ptr().cast()
    }

    fn raw_family(&self) -> libc::c_int {
        if BSD {
            libc::c_int::from(self.raw[1])
        } else {
            libc::c_int::from(u16::from_ne_bytes([self.raw[0], self.raw[1]]))
        }
    }

    /// The family, or `None` for a name that the kernel left empty.
    pub fn family(&self) -> Option<Family> {
        match self.raw_family() {
            libc::AF_INET if self.len >= V4_BYTES => Some(Family::V4),
            libc::AF_INET6 if self.len >= V6_BYTES => Some(Family::V6),
            _ => None,
        }
    }

    /// The port, in host order.
    pub fn port(&self) -> u16 {
        u16::from_be_bytes([self.raw[2], self.raw[3]])
    }

    /// The scope id of an IPv6 address (the interface index of a link-local one), 0 for IPv4.
    pub fn scope_id(&self) -> u32 {
        match self.family() {
            Some(Family::V6) => u32::from_ne_bytes([self.raw[24], self.raw[25], self.raw[26], self.raw[27]]),
            _ => 0,
        }
    }

    /// The address in std's form, or `None` for a name that the kernel left empty.
    pub fn to_socket_addr(&self) -> Option<SocketAddr> {
        let raw = &self.raw;
        match self.family()? {
            Family::V4 => {
                let ip = Ipv4Addr::new(raw[4], raw[5], raw[6], raw[7]);
                Some(SocketAddrV4::new(ip, self.port()).into())
            }
            Family::V6 => {
                let mut ip = [0; 16];
                ip.copy_from_slice(&raw[8..24]);
                Some(SocketAddrV6::new(Ipv6Addr::from(ip), self.port(), 0, self.scope_id()).into())
            }
        }
    }

    /// The address as a socket of `family` needs it: IPv4 becomes IPv4-mapped on a V6 socket. `None` for an IPv6
    /// address on a V4 socket.
    pub fn for_family(address: SocketAddr, family: Family) -> Option<SockAddr> {
        match (family, address) {
            (Family::V4, SocketAddr::V6(_)) => None,
            (Family::V6, SocketAddr::V4(v4)) => {
                let mapped = SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0);
                Some(SockAddr::from(SocketAddr::V6(mapped)))
            }
            _ => Some(SockAddr::from(address)),
        }
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(address: SocketAddr) -> SockAddr {
        let mut raw = [0; NAME_BYTES];
        let (family, len) = match address {
            SocketAddr::V4(v4) => {
                raw[4..8].copy_from_slice(&v4.ip().octets());
                (libc::AF_INET, V4_BYTES)
            }
            SocketAddr::V6(v6) => {
                raw[8..24].copy_from_slice(&v6.ip().octets());
                raw[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                (libc::AF_INET6, V6_BYTES)
            }
        };
        if BSD {
            raw[0] = len as u8;
            raw[1] = family as u8;
        } else {
            raw[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        }
        raw[2..4].copy_from_slice(&address.port().to_be_bytes());
        SockAddr { raw, len }
    }
}

impl fmt::Debug for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_socket_addr() {
            Some(address) => write!(f, "SockAddr({address})"),
            None => f.write_str("SockAddr(none)"),
        }
    }
}

/// Reads an IP address of `family` as users write it, with an optional `%zone` (a name or an index) on an IPv6
/// address. Resolves no host names.
///
/// # Errors
/// [`Code::InvalidAddress`] when the text is no address, is of the other family, or names an unknown zone.
pub fn parse_address(text: &str, port: u16, family: Family) -> Result<SocketAddr, Error> {
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone)),
        None => (text, None),
    };
    let wrong = || Error::new(Code::InvalidAddress, format!("`{text}` is not an {family} address"));
    match (ip.parse::<IpAddr>().map_err(|_| wrong())?, family) {
        (IpAddr::V4(ip), Family::V4) if zone.is_none() => Ok(SocketAddrV4::new(ip, port).into()),
        (IpAddr::V6(ip), Family::V6) => {
            let scope = zone.map(zone_index).transpose()?.unwrap_or(0);
            Ok(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => Err(wrong()),
    }
}

fn zone_index(zone: &str) -> Result<u32, Error> {
    if let Ok(index) = zone.parse::<u32>() {
        return Ok(index);
    }
    sys::interface_index(zone).ok_or_else(|| {
        Error::with_remedy(
            Code::InvalidAddress,
            format!("`%{zone}` names no interface of this machine"),
            "Use a name or an index that `ip link` shows.",
        )
    })
}

/// Which interface a multicast option is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interface {
    /// The kernel chooses by its routing table.
    Default,
    /// The interface that has this IPv4 address (V4 sockets).
    Address(Ipv4Addr),
    /// The interface with this index, as `ip link` shows it (V6 sockets, and V4 on Linux).
    Index(u32),
}

impl Interface {
    /// Reads dgram's interface text: an IPv4 address for V4; for V6 anything that ends in `%zone`
    /// (`::%eth0`, `::%2`), or `::` for the default.
    ///
    /// # Errors
    /// [`Code::InvalidAddress`] when it is neither, or names an unknown zone.
    pub fn parse(text: &str, family: Family) -> Result<Interface, Error> {
        match parse_address(text, 0, family)? {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => Ok(Interface::Default),
            SocketAddr::V4(v4) => Ok(Interface::Address(*v4.ip())),
            SocketAddr::V6(v6) if v6.scope_id() == 0 && v6.ip().is_unspecified() => Ok(Interface::Default),
            SocketAddr::V6(v6) if v6.scope_id() == 0 => Err(Error::with_remedy(
                Code::InvalidAddress,
                format!("`{text}` does not say which interface is meant"),
                "Append %name or %index, for example ::%eth0.",
            )),
            SocketAddr::V6(v6) => Ok(Interface::Index(v6.scope_id())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_survive_the_way_to_the_kernel_and_back() {
        for text in ["127.0.0.1:1", "255.1.2.3:65535", "[::1]:53", "[fe80::1%7]:9", "[::ffff:1.2.3.4]:5"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SockAddr::from(address).to_socket_addr(), Some(address));
            assert_eq!(SockAddr::from(address).port(), address.port());
        }
    }

    #[test]
    fn an_empty_name_is_no_address() {
        assert_eq!(SockAddr::from_raw([0; NAME_BYTES], 0).to_socket_addr(), None);
    }

    #[test]
    fn an_ipv4_address_is_mapped_for_a_v6_socket_and_never_the_other_way() {
        let v4: SocketAddr = "10.1.2.3:9".parse().unwrap();
        let mapped = SockAddr::for_family(v4, Family::V6).unwrap().to_socket_addr().unwrap();
        assert_eq!(mapped.to_string(), "[::ffff:10.1.2.3]:9");
        assert!(SockAddr::for_family("[::1]:9".parse().unwrap(), Family::V4).is_none());
    }

    #[test]
    fn text_that_is_no_address_of_the_family_is_refused() {
        for (text, family) in [
            ("", Family::V4),
            ("localhost", Family::V4),
            ("::1", Family::V4),
            ("1.2.3.4", Family::V6),
            ("1.2.3.4%lo", Family::V4),
            ("1.2.3.4.5", Family::V4),
            ("::1%no-such-if", Family::V6),
        ] {
            let error = parse_address(text, 0, family).unwrap_err();
            assert_eq!(error.code(), Code::InvalidAddress, "{text}");
        }
        assert_eq!(parse_address("fe80::1%3", 7, Family::V6).unwrap().to_string(), "[fe80::1%3]:7");
    }

    #[test]
    fn interfaces_are_read_as_dgram_reads_them() {
        assert_eq!(Interface::parse("0.0.0.0", Family::V4).unwrap(), Interface::Default);
        assert_eq!(
            Interface::parse("127.0.0.1", Family::V4).unwrap(),
            Interface::Address(Ipv4Addr::LOCALHOST)
        );
        assert_eq!(Interface::parse("::%4", Family::V6).unwrap(), Interface::Index(4));
        assert_eq!(Interface::parse("::", Family::V6).unwrap(), Interface::Default);
        assert!(Interface::parse("fe80::1", Family::V6).is_err());
    }
}
