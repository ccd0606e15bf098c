//! The hash that shards packets by flow.
//!
//! It is symmetric: both directions of a connection get the same value, so one worker sees all of it. Fragments leave the
//! ports out, so all fragments of a datagram go the same way. It spreads flows evenly over any number of shards, taken as `hash % n` or as the upper bits; it is not
//! keyed, so whoever chooses addresses and ports can choose the shard.

/// Odd constants with well-spread bits: of MurmurHash3's finaliser, and of the golden ratio.
pub(super) const ENDPOINT: u32 = 0x85EB_CA6B;
pub(super) const FINAL: u32 = 0xC2B2_AE35;
const FOLD: u64 = 0x9E37_79B9_7F4A_7C15;

/// The flow hash of two endpoints and a protocol.
///
/// IPv4 addresses in host order, IPv6 addresses as [`fold_ipv6`] gives them, ports 0 for fragments and for protocols without ports. Exchanging
/// source and destination does not change the result.
#[must_use]
#[inline]
pub const fn flow_hash(
    source: u32,
    destination: u32,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
) -> u32 {
    let sum = endpoint(source, source_port).wrapping_add(endpoint(destination, destination_port));
    let mixed = (sum ^ protocol as u32).wrapping_mul(FINAL);
    mixed ^ (mixed >> 16)
}

#[inline]
const fn endpoint(address: u32, port: u16) -> u32 {
    let mixed = (address ^ ((port as u32) << 16)).wrapping_mul(ENDPOINT);
    mixed ^ (mixed >> 15)
}

/// An IPv6 address (16 bytes in network order) as one word for [`flow_hash`].
#[must_use]
#[inline]
pub const fn fold_ipv6(address: &[u8; 16]) -> u32 {
    let both = u128::from_le_bytes(*address);
    let (prefix, interface) = (both as u64, (both >> 64) as u64);
    ((prefix ^ interface.rotate_left(32)).wrapping_mul(FOLD) >> 32) as u32
}
