//! The best plain Rust for a batch of frames, and the oracle that every other backend agrees with.

use super::columns::FrameColumnsMut;
use super::slab::{Descriptor, Slab};
use super::wraith::{
    FIRST_STREAM, FrameStatus, FrameType, HEADER_LENGTH, KIND, MAX_OFFSET, MAX_PAYLOAD, OFFSET,
    PAYLOAD_LENGTH,
};
use crate::sizes::MAX_FRAME;

/// What a header says, in as few loads as there can be.
#[derive(Clone, Copy, Default)]
pub(super) struct Header {
    /// Type, flags, stream id and sequence: one word, the type on top.
    word: u64,
    pub(super) offset: u64,
    pub(super) payload_length: u16,
}

impl Header {
    #[inline(always)]
    pub(super) const fn kind(self) -> u8 {
        (self.word >> 56) as u8
    }

    #[inline(always)]
    pub(super) const fn flags(self) -> u8 {
        (self.word >> 48) as u8
    }

    #[inline(always)]
    pub(super) const fn stream(self) -> u16 {
        (self.word >> 32) as u16
    }

    #[inline(always)]
    pub(super) const fn sequence(self) -> u32 {
        self.word as u32
    }
}

/// Parses each descriptor into the row of its place; how many are good. The columns have at least as many rows.
pub(super) fn frames(slab: Slab<'_>, descriptors: &[Descriptor], columns: &mut FrameColumnsMut<'_>) -> usize {
    rows(slab, descriptors, columns, 0)
}

/// The rows from `first` on; how many are good.
pub(super) fn rows(
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut FrameColumnsMut<'_>,
    first: usize,
) -> usize {
    // One length for all: then no column's bounds are checked in the loop.
    let end = descriptors.len();
    let descriptors = &descriptors[first..];
    let rows = descriptors.len();
    let (kind, flags) = (&mut columns.kind[first..end], &mut columns.flags[first..end]);
    let (stream, sequence) = (&mut columns.stream[first..end], &mut columns.sequence[first..end]);
    let (offset, payload_length) = (&mut columns.offset[first..end], &mut columns.payload_length[first..end]);
    // These two need no header, and a loop of their own is quicker than two more stores in the other.
    let status = &mut columns.status[first..end];
    status.fill(FrameStatus::Ok.number());
    let payload_offset = &mut columns.payload_offset[first..end];
    for (payload_offset, descriptor) in payload_offset.iter_mut().zip(descriptors) {
        *payload_offset = descriptor.offset.wrapping_add(HEADER_LENGTH as u32);
    }
    let mut good = rows;
    for at in 0..rows {
        match read(slab, descriptors[at]) {
            Ok(header) => {
                kind[at] = header.kind();
                flags[at] = header.flags();
                stream[at] = header.stream();
                sequence[at] = header.sequence();
                offset[at] = header.offset;
                payload_length[at] = header.payload_length;
            }
            Err(why) => {
                (kind[at], flags[at], stream[at], sequence[at]) = (0, 0, 0, 0);
                (offset[at], payload_offset[at], payload_length[at]) = (0, 0, 0);
                status[at] = why.number();
                good -= 1;
            }
        }
    }
    good
}

/// The bytes of a field of a header.
#[inline(always)]
fn field<const N: usize>(header: &[u8; HEADER_LENGTH], start: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[start..start + N]);
    bytes
}

/// Reads one header and checks it.
#[inline(always)]
pub(super) fn read(slab: Slab<'_>, descriptor: Descriptor) -> Result<Header, FrameStatus> {
    let Some(bytes) = slab.bytes(descriptor) else { return Err(FrameStatus::OutOfBounds) };
    let Some(header) = bytes.first_chunk() else { return Err(FrameStatus::Truncated) };
    let header = Header {
        word: u64::from_be_bytes(field(header, KIND)),
        offset: u64::from_be_bytes(field(header, OFFSET.start)),
        payload_length: u16::from_be_bytes(field(header, PAYLOAD_LENGTH.start)),
    };
    let wrong = (bytes.len() > MAX_FRAME)
        | (header.kind().wrapping_sub(1) >= FrameType::ALL.len() as u8)
        | (header.stream().wrapping_sub(1) < FIRST_STREAM - 1)
        | (header.offset > MAX_OFFSET)
        | (header.payload_length > MAX_PAYLOAD)
        | (HEADER_LENGTH + usize::from(header.payload_length) > bytes.len());
    if wrong {
        Err(reason(header.kind(), header.stream(), header.offset, header.payload_length, bytes.len() as u32))
    } else {
        Ok(header)
    }
}

/// What is wrong with a frame of `length` bytes, in the order of [`FrameStatus`].
#[cold]
#[inline(never)]
fn reason(kind: u8, stream: u16, offset: u64, payload_length: u16, length: u32) -> FrameStatus {
    if length > MAX_FRAME as u32 {
        FrameStatus::TooLong
    } else if FrameType::from_number(kind).is_none() {
        if kind > 0x1f { FrameStatus::InvalidType } else { FrameStatus::ReservedType }
    } else if (1..FIRST_STREAM).contains(&stream) {
        FrameStatus::ReservedStream
    } else if offset > MAX_OFFSET {
        FrameStatus::OffsetTooLarge
    } else if payload_length > MAX_PAYLOAD {
        FrameStatus::PayloadTooLong
    } else {
        FrameStatus::PayloadTruncated
    }
}
