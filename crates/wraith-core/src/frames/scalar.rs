//! The best plain Rust for a batch of frames, and the oracle that every other backend agrees with.

use super::columns::FrameColumnsMut;
use super::slab::{Descriptor, Slab};
use super::wraith::{
    FIRST_STREAM, FrameStatus, FrameType, HEADER_LENGTH, KIND, MAX_OFFSET, MAX_PAYLOAD, OFFSET,
    PAYLOAD_LENGTH,
};
use crate::sizes::MAX_FRAME;

/// What a header says, in as few loads as there can be.
#[derive(Clone, Copy)]
struct Header {
    /// Type, flags, stream id and sequence: one word, the type on top.
    word: u64,
    offset: u64,
    payload_length: u16,
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
                kind[at] = self::kind(header.word);
                flags[at] = (header.word >> 48) as u8;
                stream[at] = self::stream(header.word);
                sequence[at] = header.word as u32;
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

/// Parses the one row `at`; whether it is good. Both slices have it.
pub(super) fn row(
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut FrameColumnsMut<'_>,
    at: usize,
) -> bool {
    let descriptor = descriptors[at];
    let nothing = Header { word: 0, offset: 0, payload_length: 0 };
    let (header, payload_offset, status) = match read(slab, descriptor) {
        Ok(header) => (header, descriptor.offset.wrapping_add(HEADER_LENGTH as u32), FrameStatus::Ok),
        Err(why) => (nothing, 0, why),
    };
    columns.kind[at] = kind(header.word);
    columns.flags[at] = (header.word >> 48) as u8;
    columns.stream[at] = stream(header.word);
    columns.sequence[at] = header.word as u32;
    columns.offset[at] = header.offset;
    columns.payload_offset[at] = payload_offset;
    columns.payload_length[at] = header.payload_length;
    columns.status[at] = status.number();
    status == FrameStatus::Ok
}

/// The bytes of a field of a header.
#[inline(always)]
fn field<const N: usize>(header: &[u8; HEADER_LENGTH], start: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[start..start + N]);
    bytes
}

#[inline(always)]
fn read(slab: Slab<'_>, descriptor: Descriptor) -> Result<Header, FrameStatus> {
    let Some(bytes) = slab.bytes(descriptor) else { return Err(FrameStatus::OutOfBounds) };
    let Some(header) = bytes.first_chunk() else { return Err(FrameStatus::Truncated) };
    let header = Header {
        word: u64::from_be_bytes(field(header, KIND)),
        offset: u64::from_be_bytes(field(header, OFFSET.start)),
        payload_length: u16::from_be_bytes(field(header, PAYLOAD_LENGTH.start)),
    };
    let wrong = (bytes.len() > MAX_FRAME)
        | (kind(header.word).wrapping_sub(1) >= FrameType::ALL.len() as u8)
        | (stream(header.word).wrapping_sub(1) < FIRST_STREAM - 1)
        | (header.offset > MAX_OFFSET)
        | (header.payload_length > MAX_PAYLOAD)
        | (HEADER_LENGTH + usize::from(header.payload_length) > bytes.len());
    if wrong {
        Err(reason(header.word, header.offset, header.payload_length, bytes.len() as u32))
    } else {
        Ok(header)
    }
}

#[inline(always)]
const fn kind(word: u64) -> u8 {
    (word >> 56) as u8
}

#[inline(always)]
const fn stream(word: u64) -> u16 {
    (word >> 32) as u16
}

/// What is wrong with a frame of `length` bytes, in the order of [`FrameStatus`].
#[cold]
#[inline(never)]
fn reason(word: u64, offset: u64, payload_length: u16, length: u32) -> FrameStatus {
    if length > MAX_FRAME as u32 {
        FrameStatus::TooLong
    } else if FrameType::from_number(kind(word)).is_none() {
        if kind(word) > 0x1f { FrameStatus::InvalidType } else { FrameStatus::ReservedType }
    } else if (1..FIRST_STREAM).contains(&stream(word)) {
        FrameStatus::ReservedStream
    } else if offset > MAX_OFFSET {
        FrameStatus::OffsetTooLarge
    } else if payload_length > MAX_PAYLOAD {
        FrameStatus::PayloadTooLong
    } else {
        FrameStatus::PayloadTruncated
    }
}
