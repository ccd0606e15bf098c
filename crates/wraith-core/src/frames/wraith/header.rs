//! Where each field of the header lies, as byte ranges, and the limits of their values.

use std::ops::Range;

/// The length of a header in bytes.
pub const HEADER_LENGTH: usize = 28;

/// Random bytes, for the layer that encrypts.
pub const NONCE: Range<usize> = 0..8;

/// The type: one byte.
pub const KIND: usize = 8;

/// The flags: one byte.
pub const FLAGS: usize = 9;

/// The stream id.
pub const STREAM: Range<usize> = 10..12;

/// The sequence number.
pub const SEQUENCE: Range<usize> = 12..16;

/// The offset within the stream.
pub const OFFSET: Range<usize> = 16..24;

/// The payload's length.
pub const PAYLOAD_LENGTH: Range<usize> = 24..26;

/// Two bytes without a meaning yet.
pub const RESERVED: Range<usize> = 26..28;

/// The smallest stream id that is neither the connection's nor reserved.
pub const FIRST_STREAM: u16 = 16;

/// The largest offset within a stream: 2^48.
pub const MAX_OFFSET: u64 = 1 << 48;

/// The longest payload in bytes.
pub const MAX_PAYLOAD: u16 = 8944;
