//! What a filter must do with a frame, written from its documentation and as slowly as one likes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wraith_transport::xdp::{Addresses, Filter, Match, Ports, Prefix, Select, Verdict};

fn half(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]))
}

/// An IP packet as far as a filter may look.
struct Packet {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    /// Fragment, options, extension header.
    odd: bool,
    /// `Err`: too short for the header of its protocol.
    ports: Result<Option<(u16, u16)>, ()>,
}

fn v4(bytes: &[u8]) -> Option<Packet> {
    let header = bytes.get(..20)?;
    let address = |at: usize| IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&header[at..at + 4]).unwrap()));
    let odd = header[0] != 0x45 || half(header, 6)? & 0x3fff != 0;
    Some(Packet {
        src: address(12),
        dst: address(16),
        protocol: header[9],
        odd,
        ports: l4(header[9], &bytes[20..]),
    })
}

fn v6(bytes: &[u8]) -> Option<Packet> {
    let header = bytes.get(..40)?;
    let address = |at: usize| IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&header[at..at + 16]).unwrap()));
    let odd = [0, 43, 44, 51, 60, 135, 139, 140].contains(&header[6]);
    Some(Packet {
        src: address(8),
        dst: address(24),
        protocol: header[6],
        odd,
        ports: l4(header[6], &bytes[40..]),
    })
}

fn l4(protocol: u8, bytes: &[u8]) -> Result<Option<(u16, u16)>, ()> {
    let least = match protocol {
        17 => 8,
        6 => 20,
        _ => return Ok(None),
    };
    if bytes.len() < least { Err(()) } else { Ok(Some((half(bytes, 0).unwrap(), half(bytes, 2).unwrap()))) }
}

fn in_prefix(address: IpAddr, prefix: &Prefix) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (32_u32, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (128, v6.to_bits()),
    };
    let ((family, address), (wanted, net)) = (bits(address), bits(prefix.address()));
    let keep = family - u32::from(prefix.length()).min(family);
    family == wanted && (address.checked_shr(keep) == net.checked_shr(keep))
}

fn addresses_match(addresses: &Addresses, packet: &Packet) -> bool {
    let one =
        |list: &[Prefix], address| list.is_empty() || list.iter().any(|prefix| in_prefix(address, prefix));
    one(&addresses.src, packet.src) && one(&addresses.dst, packet.dst)
}

fn in_ports(ports: &Ports, (src, dst): (u16, u16)) -> bool {
    ports.dst.contains(&dst) || ports.src.contains(&src)
}

fn has_ports(set: &Match) -> bool {
    set.udp_ports != Ports::default() || set.tcp_ports != Ports::default()
}

fn ip_matches(set: &Match, packet: &Packet) -> bool {
    let (ports, addresses) = (has_ports(set), set.addresses != Addresses::default());
    let ports_match = match (packet.protocol, packet.ports) {
        (17, Ok(Some(pair))) => in_ports(&set.udp_ports, pair),
        (6, Ok(Some(pair))) => in_ports(&set.tcp_ports, pair),
        _ => false,
    };
    (ports || addresses) && (!ports || ports_match) && (!addresses || addresses_match(&set.addresses, packet))
}

fn management(packet: &Packet) -> bool {
    match (packet.protocol, packet.ports) {
        (17, Ok(Some((src, dst)))) => [53, 22].contains(&src) || [22, 67, 68, 546, 547].contains(&dst),
        (6, Ok(Some((src, dst)))) => [53, 22].contains(&src) || dst == 22,
        (58, _) => matches!(packet.src, IpAddr::V6(_)),
        _ => false,
    }
}

/// `inner`: behind a tag.
fn judge(filter: &Filter, kind: u16, bytes: &[u8], whole: bool, inner: bool) -> Verdict {
    let keep = filter.keep_management;
    let kept_type = keep && [0x0806, 0x88cc, 0x8809].contains(&kind);
    if kept_type || filter.except.ether_types.contains(&kind) {
        return Verdict::Kernel;
    }
    let except_ip = has_ports(&filter.except) || filter.except.addresses != Addresses::default();
    let looks = keep || except_ip || !filter.except.ether_types.is_empty();
    if [0x8100, 0x88a8].contains(&kind) {
        return match (whole, looks) {
            (false, _) => Verdict::Kernel,
            (true, false) => Verdict::Socket,
            (true, true) if inner => Verdict::Kernel,
            (true, true) => match half(bytes, 2) {
                Some(next) => judge(filter, next, &bytes[4..], true, true),
                None => Verdict::Kernel,
            },
        };
    }
    let select = match &filter.select {
        Select::Matching(select) if !whole => Some(select),
        _ => None,
    };
    if kind != 0x0800 && kind != 0x86dd {
        return if whole { Verdict::Socket } else { Verdict::Kernel };
    }
    if select.is_some_and(|select| !has_ports(select) && select.addresses == Addresses::default()) {
        return Verdict::Kernel;
    }
    if select.is_none() && !whole {
        return Verdict::Kernel;
    }
    let ports_matter = keep || has_ports(&filter.except) || select.is_some_and(has_ports);
    if whole && !ports_matter && !except_ip {
        return Verdict::Socket;
    }
    let Some(packet) = (if kind == 0x0800 { v4(bytes) } else { v6(bytes) }) else { return Verdict::Kernel };
    let unclear = packet.odd || packet.ports.is_err();
    if ports_matter && (unclear || keep && management(&packet)) || ip_matches(&filter.except, &packet) {
        return Verdict::Kernel;
    }
    match select {
        None => Verdict::Socket,
        Some(select) if ip_matches(select, &packet) => Verdict::Socket,
        Some(_) => Verdict::Kernel,
    }
}

/// The verdict on a frame of at least 14 bytes. No `SSH_CONNECTION`.
pub(crate) fn verdict(filter: &Filter, frame: &[u8]) -> Verdict {
    let kind = half(frame, 12).unwrap();
    let whole = match &filter.select {
        Select::None => return Verdict::Kernel,
        Select::All => true,
        Select::Matching(select) => select.ether_types.contains(&kind),
    };
    judge(filter, kind, &frame[14..], whole, false)
}
