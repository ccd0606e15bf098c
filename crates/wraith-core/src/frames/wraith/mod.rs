//! Frames of the WRAITH protocol: a header of 28 bytes, big-endian, then the payload.
//!
//! | Bytes | Field | Allowed |
//! |---|---|---|
//! | 0..8 | nonce | anything |
//! | 8 | type | 1 to 15 ([`FrameType`]); 0 and 0x10 to 0x1F are reserved, what is above is invalid |
//! | 9 | [`Flags`] | anything; bits without a name are kept |
//! | 10..12 | stream id | 0 (the connection) and 16 upwards; 1 to 15 are reserved |
//! | 12..16 | sequence | anything |
//! | 16..24 | offset | up to 2^48 |
//! | 24..26 | payload length | up to 8944, and inside the frame |
//! | 26..28 | reserved | anything |
//!
//! A frame has 28 to 9000 bytes ([`crate::sizes::MAX_FRAME`]). Bytes behind its payload are allowed and left alone.

mod builder;
mod error;
mod frame;
mod header;
mod kind;

pub use builder::FrameBuilder;
pub use error::{Field, FrameError, FrameStatus};
pub use frame::Frame;
pub use header::{
    FIRST_STREAM, FLAGS, HEADER_LENGTH, KIND, MAX_OFFSET, MAX_PAYLOAD, NONCE, OFFSET, PAYLOAD_LENGTH,
    RESERVED, SEQUENCE, STREAM,
};
pub use kind::{Flags, FrameType};
