//! What a filter says: which frames go to the socket.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::management;
use crate::{Code, Error};

/// Which frames of an interface go to the AF_XDP sockets; all others go on to the kernel's stack as if there were no
/// program. There is no default: it must be said.
///
/// Port and address rules see untagged IPv4 without options and IPv6 without extension headers. Fragments, packets with
/// options or extension headers, and packets in VLANs stay with the kernel, unless the filter selects them as a whole
/// ([`Select::All`], or their EtherType is listed) and nothing about their ports has to be known
/// (`keep_management` is off and `except` names no ports).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What goes to the sockets.
    pub select: Select,
    /// What stays with the kernel though selected.
    pub except: Match,
    /// Keep for the kernel what a machine needs to stay reachable, also under [`Select::All`]: ARP, LLDP, LACP (EtherTypes
    /// 0x0806, 0x88cc, 0x8809), ICMPv6, DHCP (UDP to 67, 68, 546, 547), DNS replies (from 53), TCP and UDP 22, and the port
    /// in `SSH_CONNECTION`. On by default.
    pub keep_management: bool,
}

/// What a [`Filter`] selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// Every frame.
    All,
    /// No frame: for sending only. No program is attached.
    None,
    /// The frames that match.
    Matching(Match),
}

/// A set of frames: those whose EtherType is listed, and the IP packets that match the ports and the addresses. Ports or
/// addresses that are empty match every packet if the other is not; a match that is empty altogether matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// UDP ports.
    pub udp_ports: Ports,
    /// TCP ports. A packet matches the ports if it matches those of its protocol.
    pub tcp_ports: Ports,
    /// Addresses.
    pub addresses: Addresses,
    /// EtherTypes, from 0x0600 on. 0x0800 is all of IPv4, 0x86dd all of IPv6, 0x8100 every frame with a VLAN tag.
    pub ether_types: Vec<u16>,
}

/// Ports of one protocol: a packet matches if its destination is in `dst` or its source in `src`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Destination ports.
    pub dst: Vec<u16>,
    /// Source ports.
    pub src: Vec<u16>,
}

/// Addresses: a packet matches if its source is in one of `src` and its destination in one of `dst`; an empty list
/// matches every address. At most [`Addresses::MAX`] prefixes a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Prefixes of the source.
    pub src: Vec<Prefix>,
    /// Prefixes of the destination.
    pub dst: Vec<Prefix>,
}

impl Addresses {
    /// Most prefixes in one list: they become instructions, gone through one by one for each packet.
    pub const MAX: usize = 64;

    pub(super) fn is_empty(&self) -> bool {
        self.src.is_empty() && self.dst.is_empty()
    }
}

/// An address prefix, `192.0.2.0/24` or `2001:db8::/32`. Without a length it is the one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// A prefix of `length` bits.
    ///
    /// # Errors
    /// [`Code::OutOfRange`]: longer than the address. [`Code::InvalidAddress`]: bits beyond the prefix are set.
    pub fn new(address: IpAddr, length: u8) -> Result<Prefix, Error> {
        let (bits, beyond) = match address {
            IpAddr::V4(v4) => (32, v4.to_bits().checked_shl(length.into()).unwrap_or(0) != 0),
            IpAddr::V6(v6) => (128, v6.to_bits().checked_shl(length.into()).unwrap_or(0) != 0),
        };
        if length > bits {
            let what = format!("The prefix {address}/{length} is too long; allowed are 0 to {bits} bits");
            return Err(Error::new(Code::OutOfRange, what));
        }
        if beyond {
            let what = format!("The prefix {address}/{length} has bits set beyond its length");
            return Err(Error::with_remedy(
                Code::InvalidAddress,
                what,
                "Clear them, or make the prefix longer.",
            ));
        }
        Ok(Prefix { address, length })
    }

    /// The address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many of its bits count.
    pub fn length(&self) -> u8 {
        self.length
    }
}

impl FromStr for Prefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Prefix, Error> {
        let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let parsed: Option<IpAddr> = address.parse().ok();
        let length = match (parsed, length) {
            (Some(IpAddr::V4(_)), None) => Some(32),
            (Some(IpAddr::V6(_)), None) => Some(128),
            (_, Some(digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            _ => None,
        };
        match (parsed, length) {
            (Some(address), Some(length)) => Prefix::new(address, length),
            _ => Err(Error::with_remedy(
                Code::InvalidAddress,
                format!("\"{text}\" is no address prefix"),
                "Write it as 192.0.2.0/24 or 2001:db8::/32.",
            )),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl Match {
    pub(super) fn has_ports(&self) -> bool {
        [&self.udp_ports, &self.tcp_ports].iter().any(|ports| !ports.dst.is_empty() || !ports.src.is_empty())
    }

    /// Whether it says anything about IP packets beyond their EtherType.
    pub(super) fn has_ip(&self) -> bool {
        self.has_ports() || !self.addresses.is_empty()
    }

    fn is_empty(&self) -> bool {
        !self.has_ip() && self.ether_types.is_empty()
    }

    fn check(&self, option: &str) -> Result<(), Error> {
        if let Some(low) = self.ether_types.iter().find(|&&kind| kind < 0x0600) {
            let what = format!(
                "{option} has the EtherType {low:#06x}; allowed are 0x0600 to 0xffff (below are lengths)"
            );
            return Err(Error::new(Code::OutOfRange, what));
        }
        for (list, prefixes) in [("src", &self.addresses.src), ("dst", &self.addresses.dst)] {
            if prefixes.len() > Addresses::MAX {
                let what = format!(
                    "{option}.addresses.{list} has {} prefixes; allowed are {}",
                    prefixes.len(),
                    Addresses::MAX
                );
                return Err(Error::new(Code::OutOfRange, what));
            }
        }
        Ok(())
    }
}

impl Filter {
    /// Every frame but what management needs.
    pub fn all() -> Filter {
        Filter { select: Select::All, except: Match::default(), keep_management: true }
    }

    /// Nothing: for sending only.
    pub fn none() -> Filter {
        Filter { select: Select::None, ..Filter::all() }
    }

    /// What matches, but for what management needs.
    pub fn matching(select: Match) -> Filter {
        Filter { select: Select::Matching(select), ..Filter::all() }
    }

    /// UDP to one of these ports.
    pub fn udp_ports(ports: impl IntoIterator<Item = u16>) -> Filter {
        let udp_ports = Ports { dst: ports.into_iter().collect(), src: Vec::new() };
        Filter::matching(Match { udp_ports, ..Match::default() })
    }

    /// # Errors
    /// [`Code::OutOfRange`]: it selects nothing without saying so, selects what it keeps for the kernel, or has
    /// EtherTypes or lists of addresses that cannot be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.except.check("except")?;
        let Select::Matching(select) = &self.select else { return Ok(()) };
        if select.is_empty() {
            return Err(Error::with_remedy(
                Code::OutOfRange,
                "The filter selects nothing",
                "Name ports, addresses or EtherTypes, or say All or None.",
            ));
        }
        select.check("filter")?;
        if !self.keep_management {
            return Ok(());
        }
        match management::conflict(select) {
            None => Ok(()),
            Some(conflict) => Err(Error::with_remedy(
                Code::OutOfRange,
                format!("The filter selects {conflict}, which keep_management leaves to the kernel"),
                "Set keep_management to false, or leave it out of the filter.",
            )),
        }
    }
}

impl fmt::Display for Filter {
    /// For people: `udp/6343,2055`, `all`, `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.select {
            Select::All => f.write_str("all")?,
            Select::None => f.write_str("none")?,
            Select::Matching(select) => write!(f, "{select}")?,
        }
        if self.except != Match::default() {
            write!(f, " except {}", self.except)?;
        }
        if !self.keep_management { f.write_str(" with management") } else { Ok(()) }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut list = |name: &str, items: Vec<String>| {
            if !items.is_empty() {
                let more = if items.len() > 8 { format!(",… ({})", items.len()) } else { String::new() };
                parts.push(format!("{name}/{}{more}", items[..items.len().min(8)].join(",")));
            }
        };
        let numbers = |ports: &[u16]| ports.iter().map(u16::to_string).collect();
        list("udp", numbers(&self.udp_ports.dst));
        list("udp-from", numbers(&self.udp_ports.src));
        list("tcp", numbers(&self.tcp_ports.dst));
        list("tcp-from", numbers(&self.tcp_ports.src));
        list("from", self.addresses.src.iter().map(Prefix::to_string).collect());
        list("to", self.addresses.dst.iter().map(Prefix::to_string).collect());
        list("ether", self.ether_types.iter().map(|kind| format!("{kind:#06x}")).collect());
        f.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_and_written() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "10.1.2.3/32", "::1/128"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        assert_eq!("10.1.2.3".parse::<Prefix>().unwrap().length(), 32);
        assert_eq!("::1".parse::<Prefix>().unwrap().length(), 128);
        for (text, code) in [
            ("10.0.0.0/33", Code::OutOfRange),
            ("::/129", Code::OutOfRange),
            ("10.0.0.1/24", Code::InvalidAddress),
            ("2001:db8::1/64", Code::InvalidAddress),
            ("1.0.0.0/0", Code::InvalidAddress),
            ("10.0.0.0/", Code::InvalidAddress),
            ("10.0.0.0/+8", Code::InvalidAddress),
            ("example.net", Code::InvalidAddress),
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap_err().code(), code, "{text}");
        }
    }

    #[test]
    fn filters_that_cannot_be_meant_are_refused() {
        let ether = |kind| Filter::matching(Match { ether_types: vec![kind], ..Match::default() });
        let many = vec!["10.0.0.0/8".parse().unwrap(); Addresses::MAX + 1];
        let addresses = Addresses { src: many, dst: vec![] };
        let many = Filter::matching(Match { addresses, ..Match::default() });
        for (filter, word) in [
            (Filter::matching(Match::default()), "selects nothing"),
            (Filter::udp_ports([5, 67]), "UDP to 67"),
            (Filter::udp_ports([22]), "UDP to 22"),
            (ether(0x0806), "0x0806"),
            (ether(0x05ff), "0x05ff"),
            (many, "has 65 prefixes"),
        ] {
            let error = filter.check().unwrap_err();
            assert_eq!(error.code(), Code::OutOfRange);
            assert!(error.message().contains(word), "{error}");
        }
        for filter in [Filter::all(), Filter::none(), Filter::udp_ports([6343, 53]), ether(0x88b5)] {
            filter.check().unwrap();
        }
        Filter { keep_management: false, ..Filter::udp_ports([67]) }.check().unwrap();
    }

    #[test]
    fn filters_are_printed_as_people_write_them() {
        assert_eq!(Filter::udp_ports([6343, 2055]).to_string(), "udp/6343,2055");
        let except = Match { ether_types: vec![0x88b5], ..Match::default() };
        let filter = Filter { except, keep_management: false, ..Filter::all() };
        assert_eq!(filter.to_string(), "all except ether/0x88b5 with management");
        assert_eq!(
            Filter::udp_ports(1000..1010).to_string(),
            "udp/1000,1001,1002,1003,1004,1005,1006,1007,… (10)"
        );
    }
}
