//! What can be wrong with a frame: one byte for a column, and the same in full.

use std::fmt;

use super::header::{
    FIRST_STREAM, HEADER_LENGTH, KIND, MAX_OFFSET, MAX_PAYLOAD, OFFSET, PAYLOAD_LENGTH, STREAM,
};
use crate::frames::Descriptor;
use crate::sizes::MAX_FRAME;

/// What the status column holds. When more than one thing is wrong, the first of this list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameStatus {
    /// The row is good.
    Ok = 0,
    /// The descriptor names bytes that are not in the slab.
    OutOfBounds = 1,
    /// Shorter than a header.
    Truncated = 2,
    /// Longer than a frame may be.
    TooLong = 3,
    /// The type is 0 or 0x10 to 0x1F.
    ReservedType = 4,
    /// The type is above 0x1F.
    InvalidType = 5,
    /// The stream id is 1 to 15.
    ReservedStream = 6,
    /// The offset is above 2^48.
    OffsetTooLarge = 7,
    /// The payload is said to be longer than one may be.
    PayloadTooLong = 8,
    /// The payload is said to be longer than what is there.
    PayloadTruncated = 9,
}

impl FrameStatus {
    /// Every status, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::OutOfBounds,
        Self::Truncated,
        Self::TooLong,
        Self::ReservedType,
        Self::InvalidType,
        Self::ReservedStream,
        Self::OffsetTooLarge,
        Self::PayloadTooLong,
        Self::PayloadTruncated,
    ];

    /// The status with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number in the column.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// A short name, in the words of the column's users: `"ok"`, `"payload-truncated"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::OutOfBounds => "out-of-bounds",
            Self::Truncated => "truncated",
            Self::TooLong => "too-long",
            Self::ReservedType => "reserved-type",
            Self::InvalidType => "invalid-type",
            Self::ReservedStream => "reserved-stream",
            Self::OffsetTooLarge => "offset-too-large",
            Self::PayloadTooLong => "payload-too-long",
            Self::PayloadTruncated => "payload-truncated",
        }
    }
}

/// The field that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// The descriptor of the row.
    Descriptor,
    /// The frame as a whole.
    Frame,
    /// The type.
    Type,
    /// The stream id.
    Stream,
    /// The offset within the stream.
    Offset,
    /// The payload's length.
    PayloadLength,
    /// The memory that a frame is built in.
    Destination,
}

impl Field {
    /// Its name in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Descriptor => "descriptor",
            Self::Frame => "frame",
            Self::Type => "type",
            Self::Stream => "stream id",
            Self::Offset => "offset",
            Self::PayloadLength => "payload length",
            Self::Destination => "destination",
        }
    }
}

/// Why bytes are not a frame, or why a frame cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// The same in one byte.
    pub status: FrameStatus,
    /// Which field it is about.
    pub field: Field,
    /// Where the field begins, in bytes from the start of the frame; for [`Field::Descriptor`] from the start of the slab.
    pub offset: u64,
    /// For lengths the bytes that are needed; for everything else, and for what is too long, the limit that was not kept.
    pub needed: u64,
    /// What is there instead: bytes, or the field's value.
    pub present: u64,
}

impl FrameError {
    const fn new(status: FrameStatus, field: Field, offset: usize, needed: u64, present: u64) -> Self {
        Self { status, field, offset: offset as u64, needed, present }
    }

    pub(crate) const fn out_of_bounds(descriptor: Descriptor, slab: usize) -> Self {
        let end = descriptor.offset as u64 + descriptor.length as u64;
        Self::new(FrameStatus::OutOfBounds, Field::Descriptor, descriptor.offset as usize, end, slab as u64)
    }

    pub(super) const fn truncated(present: usize) -> Self {
        Self::new(FrameStatus::Truncated, Field::Frame, 0, HEADER_LENGTH as u64, present as u64)
    }

    pub(super) const fn too_long(present: usize) -> Self {
        Self::new(FrameStatus::TooLong, Field::Frame, 0, MAX_FRAME as u64, present as u64)
    }

    pub(super) const fn kind(number: u8) -> Self {
        let (status, limit) =
            if number > 0x1f { (FrameStatus::InvalidType, 0x1f) } else { (FrameStatus::ReservedType, 15) };
        Self::new(status, Field::Type, KIND, limit, number as u64)
    }

    pub(super) const fn stream(id: u16) -> Self {
        Self::new(FrameStatus::ReservedStream, Field::Stream, STREAM.start, FIRST_STREAM as u64, id as u64)
    }

    pub(super) const fn offset(offset: u64) -> Self {
        Self::new(FrameStatus::OffsetTooLarge, Field::Offset, OFFSET.start, MAX_OFFSET, offset)
    }

    pub(super) const fn payload_too_long(length: usize) -> Self {
        let (field, at) = (Field::PayloadLength, PAYLOAD_LENGTH.start);
        Self::new(FrameStatus::PayloadTooLong, field, at, MAX_PAYLOAD as u64, length as u64)
    }

    pub(super) const fn payload_truncated(length: u16, frame: usize) -> Self {
        let needed = HEADER_LENGTH as u64 + length as u64;
        Self::new(
            FrameStatus::PayloadTruncated,
            Field::PayloadLength,
            PAYLOAD_LENGTH.start,
            needed,
            frame as u64,
        )
    }

    pub(super) const fn no_room(needed: usize, present: usize) -> Self {
        Self::new(FrameStatus::Truncated, Field::Destination, 0, needed as u64, present as u64)
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, field, offset, needed, present } = *self;
        let field = field.as_str();
        match status {
            FrameStatus::Ok => f.write_str("nothing is wrong"),
            FrameStatus::OutOfBounds => write!(
                f,
                "the {field} names bytes {offset} to {needed} of a slab of {present} bytes; name bytes inside the slab"
            ),
            FrameStatus::Truncated => {
                write!(f, "the {field} has {present} bytes, {needed} are needed; give all of it")
            }
            FrameStatus::TooLong => {
                write!(f, "the {field} has {present} bytes, {needed} are allowed; split what it carries")
            }
            FrameStatus::ReservedType => {
                write!(f, "the {field} at byte {offset} is {present}, which is reserved; use 1 to {needed}")
            }
            FrameStatus::InvalidType => {
                write!(f, "the {field} at byte {offset} is {present}, beyond {needed}, the last; use 1 to 15")
            }
            FrameStatus::ReservedStream => write!(
                f,
                "the {field} at byte {offset} is {present}, which is reserved; use 0 for the connection or {needed} upwards"
            ),
            FrameStatus::OffsetTooLarge => {
                write!(f, "the {field} at byte {offset} is {present}; use at most {needed} (2^48)")
            }
            FrameStatus::PayloadTooLong => {
                write!(f, "the {field} at byte {offset} is {present}; use at most {needed}")
            }
            FrameStatus::PayloadTruncated => write!(
                f,
                "the {field} at byte {offset} makes it a frame of {needed} bytes, {present} are there; give all of it"
            ),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_number_and_a_name_of_its_own() {
        let mut names = Vec::new();
        for (number, status) in (0_u8..).zip(FrameStatus::ALL) {
            assert_eq!((status.number(), FrameStatus::from_number(number)), (number, Some(status)));
            assert!(!names.contains(&status.as_str()));
            names.push(status.as_str());
        }
        assert_eq!(FrameStatus::from_number(10), None);
    }
}
