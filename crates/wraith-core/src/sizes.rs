//! Buffer sizes as named constants (guide, "Buffer Size Selection" and "Wrong Buffer Size").

/// A standard Ethernet MTU in bytes: the guide's buffer size for UDP packets.
pub const MTU: usize = 1500;
