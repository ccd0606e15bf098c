//! One frame, checked once and then read without a chance to fail.

use super::error::FrameError;
use super::header::{
    FIRST_STREAM, FLAGS, HEADER_LENGTH, KIND, MAX_OFFSET, MAX_PAYLOAD, NONCE, OFFSET, PAYLOAD_LENGTH,
    RESERVED, SEQUENCE, STREAM,
};
use super::kind::{Flags, FrameType};
use crate::sizes::MAX_FRAME;

/// A view of bytes that are a frame. It borrows them, so nobody can change them while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    header: &'a [u8; HEADER_LENGTH],
    kind: FrameType,
    payload: &'a [u8],
    trailer: &'a [u8],
}

/// The bytes of a field; `N` is its width.
const fn field<const N: usize>(header: &[u8; HEADER_LENGTH], start: usize) -> [u8; N] {
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = header[start + at];
        at += 1;
    }
    bytes
}

impl<'a> Frame<'a> {
    /// Checks that the bytes are one frame, in the order of [`FrameStatus`](super::FrameStatus).
    ///
    /// # Errors
    ///
    /// [`FrameError`] says which field is wrong, where, what is needed and what is there.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let Some((header, rest)) = bytes.split_first_chunk() else {
            return Err(FrameError::truncated(bytes.len()));
        };
        if bytes.len() > MAX_FRAME {
            return Err(FrameError::too_long(bytes.len()));
        }
        let Some(kind) = FrameType::from_number(header[KIND]) else {
            return Err(FrameError::kind(header[KIND]));
        };
        let stream = u16::from_be_bytes(field(header, STREAM.start));
        if stream != 0 && stream < FIRST_STREAM {
            return Err(FrameError::stream(stream));
        }
        let offset = u64::from_be_bytes(field(header, OFFSET.start));
        if offset > MAX_OFFSET {
            return Err(FrameError::offset(offset));
        }
        let length = u16::from_be_bytes(field(header, PAYLOAD_LENGTH.start));
        if length > MAX_PAYLOAD {
            return Err(FrameError::payload_too_long(usize::from(length)));
        }
        let Some((payload, trailer)) = rest.split_at_checked(usize::from(length)) else {
            return Err(FrameError::payload_truncated(length, bytes.len()));
        };
        Ok(Self { header, kind, payload, trailer })
    }

    /// The nonce, as it is on the wire.
    #[must_use]
    pub const fn nonce(&self) -> [u8; 8] {
        field(self.header, NONCE.start)
    }

    /// What the frame is for.
    #[must_use]
    pub const fn kind(&self) -> FrameType {
        self.kind
    }

    /// Its flags.
    #[must_use]
    pub const fn flags(&self) -> Flags {
        Flags::from_bits(self.header[FLAGS])
    }

    /// Its stream id; 0 is the connection.
    #[must_use]
    pub const fn stream(&self) -> u16 {
        u16::from_be_bytes(field(self.header, STREAM.start))
    }

    /// Its sequence number.
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        u32::from_be_bytes(field(self.header, SEQUENCE.start))
    }

    /// Its offset within the stream, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        u64::from_be_bytes(field(self.header, OFFSET.start))
    }

    /// The two reserved bytes, as they are on the wire.
    #[must_use]
    pub const fn reserved(&self) -> [u8; 2] {
        field(self.header, RESERVED.start)
    }

    /// Its payload.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// What lies behind its payload.
    #[must_use]
    pub const fn trailer(&self) -> &'a [u8] {
        self.trailer
    }
}
