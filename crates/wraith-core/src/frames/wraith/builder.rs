//! Writes frames.

use super::error::FrameError;
use super::header::{
    FIRST_STREAM, FLAGS, HEADER_LENGTH, KIND, MAX_OFFSET, MAX_PAYLOAD, NONCE, OFFSET, PAYLOAD_LENGTH,
    SEQUENCE, STREAM,
};
use super::kind::{Flags, FrameType};

/// The header of a frame to be written: every field but the payload's length is 0 until it is set.
///
/// What it writes is what [`Frame::new`](super::Frame::new) takes: a value that would be refused there is refused here.
///
/// ```
/// use wraith_core::frames::wraith::{Flags, Frame, FrameBuilder, FrameType};
///
/// let mut memory = [0; 64];
/// let builder = FrameBuilder::new(FrameType::Data).flags(Flags::FIN).stream(16).sequence(7).offset(1500);
/// let length = builder.build(b"hello", &mut memory)?;
///
/// let frame = Frame::new(&memory[..length])?;
/// assert_eq!((frame.stream(), frame.payload()), (16, &b"hello"[..]));
/// # Ok::<(), wraith_core::frames::wraith::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder writes nothing until `build` is called"]
pub struct FrameBuilder {
    nonce: [u8; 8],
    kind: FrameType,
    flags: Flags,
    stream: u16,
    sequence: u32,
    offset: u64,
}

impl FrameBuilder {
    /// A frame of this type.
    pub const fn new(kind: FrameType) -> Self {
        Self { nonce: [0; 8], kind, flags: Flags::NONE, stream: 0, sequence: 0, offset: 0 }
    }

    /// Sets the nonce.
    pub const fn nonce(self, nonce: [u8; 8]) -> Self {
        Self { nonce, ..self }
    }

    /// Sets the flags.
    pub const fn flags(self, flags: Flags) -> Self {
        Self { flags, ..self }
    }

    /// Sets the stream id: 0, or 16 upwards.
    pub const fn stream(self, stream: u16) -> Self {
        Self { stream, ..self }
    }

    /// Sets the sequence number.
    pub const fn sequence(self, sequence: u32) -> Self {
        Self { sequence, ..self }
    }

    /// Sets the offset within the stream: up to 2^48.
    pub const fn offset(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// The header of a frame whose payload has `payload_length` bytes.
    ///
    /// # Errors
    ///
    /// The stream id is reserved, the offset is above 2^48, or the payload is longer than one may be.
    pub fn header(&self, payload_length: usize) -> Result<[u8; HEADER_LENGTH], FrameError> {
        if self.stream != 0 && self.stream < FIRST_STREAM {
            return Err(FrameError::stream(self.stream));
        }
        if self.offset > MAX_OFFSET {
            return Err(FrameError::offset(self.offset));
        }
        let Some(length) = u16::try_from(payload_length).ok().filter(|&length| length <= MAX_PAYLOAD) else {
            return Err(FrameError::payload_too_long(payload_length));
        };
        let mut header = [0; HEADER_LENGTH];
        header[NONCE].copy_from_slice(&self.nonce);
        header[KIND] = self.kind.number();
        header[FLAGS] = self.flags.bits();
        header[STREAM].copy_from_slice(&self.stream.to_be_bytes());
        header[SEQUENCE].copy_from_slice(&self.sequence.to_be_bytes());
        header[OFFSET].copy_from_slice(&self.offset.to_be_bytes());
        header[PAYLOAD_LENGTH].copy_from_slice(&length.to_be_bytes());
        Ok(header)
    }

    /// Writes the frame to the start of `destination` and says how many bytes it has; the others are left alone.
    ///
    /// # Errors
    ///
    /// As [`FrameBuilder::header`], or `destination` is too short. Nothing is written then.
    pub fn build(&self, payload: &[u8], destination: &mut [u8]) -> Result<usize, FrameError> {
        let header = self.header(payload.len())?;
        let (length, present) = (HEADER_LENGTH + payload.len(), destination.len());
        let Some(frame) = destination.get_mut(..length) else {
            return Err(FrameError::no_room(length, present));
        };
        frame[..HEADER_LENGTH].copy_from_slice(&header);
        frame[HEADER_LENGTH..].copy_from_slice(payload);
        Ok(length)
    }
}
