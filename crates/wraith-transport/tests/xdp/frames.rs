//! Frames built byte by byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const UDP: u8 = 17;
pub(crate) const TCP: u8 = 6;

pub(crate) const MAC_A: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];
pub(crate) const MAC_B: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];

pub(crate) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(MAC_B);
    frame.extend(MAC_A);
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A tag behind the addresses: IEEE 802.1Q.
pub(crate) fn tagged(kind: u16, vlan: u16, frame: &[u8]) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    out.extend(kind.to_be_bytes());
    out.extend(vlan.to_be_bytes());
    out.extend(&frame[12..]);
    out
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

/// The Internet checksum: RFC 1071.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut total: u32 = parts.iter().map(|part| sum(part)).sum();
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

pub(crate) struct V4 {
    pub(crate) protocol: u8,
    pub(crate) src: Ipv4Addr,
    pub(crate) dst: Ipv4Addr,
    /// Flags and offset in units of 8 bytes.
    pub(crate) fragment: u16,
    /// A multiple of 4.
    pub(crate) options: Vec<u8>,
}

impl Default for V4 {
    fn default() -> V4 {
        V4 {
            protocol: UDP,
            src: Ipv4Addr::new(192, 0, 2, 1),
            dst: Ipv4Addr::new(198, 51, 100, 2),
            fragment: 0,
            options: Vec::new(),
        }
    }
}

impl V4 {
    pub(crate) fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut packet = vec![0x40 | (header / 4) as u8, 0];
        packet.extend(((header + payload.len()) as u16).to_be_bytes());
        packet.extend([0x12, 0x34]);
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([64, self.protocol, 0, 0]);
        packet.extend(self.src.octets());
        packet.extend(self.dst.octets());
        packet.extend(&self.options);
        let check = checksum(&[&packet]).to_be_bytes();
        packet[10..12].copy_from_slice(&check);
        packet.extend(payload);
        packet
    }

    pub(crate) fn frame(&self, payload: &[u8]) -> Vec<u8> {
        ethernet(0x0800, &self.packet(payload))
    }
}

pub(crate) fn v6(next: u8, src: Ipv6Addr, dst: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(src.octets());
    packet.extend(dst.octets());
    packet.extend(payload);
    ethernet(0x86dd, &packet)
}

pub(crate) fn ports(src: u16, dst: u16) -> [u8; 4] {
    let (src, dst) = (src.to_be_bytes(), dst.to_be_bytes());
    [src[0], src[1], dst[0], dst[1]]
}

/// A UDP header without a checksum, and data.
pub(crate) fn udp(src: u16, dst: u16, data: &[u8]) -> Vec<u8> {
    let mut out = ports(src, dst).to_vec();
    out.extend(((8 + data.len()) as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(data);
    out
}

/// A TCP header.
pub(crate) fn tcp(src: u16, dst: u16) -> Vec<u8> {
    let mut out = ports(src, dst).to_vec();
    out.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0]);
    out
}

pub(crate) fn transport(protocol: u8, src: u16, dst: u16) -> Vec<u8> {
    if protocol == TCP { tcp(src, dst) } else { udp(src, dst, b"data") }
}

/// A whole frame from and to any addresses of one family.
pub(crate) fn ip(protocol: u8, src: IpAddr, dst: IpAddr, payload: &[u8]) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => V4 { protocol, src, dst, ..V4::default() }.frame(payload),
        (IpAddr::V6(src), IpAddr::V6(dst)) => v6(protocol, src, dst, payload),
        _ => panic!("{src} and {dst} are of two families"),
    }
}

pub(crate) fn udp4(dst: u16) -> Vec<u8> {
    V4::default().frame(&udp(40_000, dst, b"data"))
}

pub(crate) fn udp6(dst: u16) -> Vec<u8> {
    v6(UDP, "2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap(), &udp(40_000, dst, b"data"))
}
