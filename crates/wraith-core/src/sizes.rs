//! Buffer sizes as named constants (guide, "Buffer Size Selection" and "Wrong Buffer Size"). All are bytes.

/// A standard Ethernet MTU: the guide's buffer size for UDP packets.
pub const MTU: usize = 1500;

/// A jumbo Ethernet frame's payload; the network card must support it.
pub const JUMBO: usize = 9000;

/// A frame of an `AF_XDP` UMEM.
pub const UMEM_FRAME: usize = 2048;

/// The default chunk of a file: 256 KiB.
pub const FILE_CHUNK: usize = 256 * 1024;

/// The largest WRAITH protocol frame.
pub const MAX_FRAME: usize = 9000;

/// An IPv4 header without options.
pub const IPV4_HEADER: usize = 20;

/// A UDP header.
pub const UDP_HEADER: usize = 8;

/// The largest UDP payload that fits into one Ethernet MTU over IPv4: 1472.
pub const UDP_PAYLOAD: usize = MTU - IPV4_HEADER - UDP_HEADER;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_are_the_guides() {
        assert_eq!([MTU, JUMBO, UMEM_FRAME, FILE_CHUNK, MAX_FRAME], [1500, 9000, 2048, 262_144, 9000]);
        assert_eq!(UDP_PAYLOAD, 1472);
    }
}
