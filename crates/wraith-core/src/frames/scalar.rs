//! The best plain Rust for a batch of frames, and the oracle that every other backend agrees with.

use super::columns::FrameColumnsMut;
use super::slab::{Descriptor, Slab};
use super::wraith::{
    FIRST_STREAM, FLAGS, FrameStatus, FrameType, HEADER_LENGTH, KIND, MAX_OFFSET, MAX_PAYLOAD, OFFSET,
    PAYLOAD_LENGTH, SEQUENCE, STREAM,
};
use crate::sizes::MAX_FRAME;

/// The values of one row.
struct Row {
    kind: u8,
    flags: u8,
    stream: u16,
    sequence: u32,
    offset: u64,
    payload_offset: u32,
    payload_length: u16,
}

/// Parses each descriptor into the row of its place; how many are good. Columns have as many rows at least.
pub(super) fn frames(slab: Slab<'_>, descriptors: &[Descriptor], columns: &mut FrameColumnsMut<'_>) -> usize {
    // One length for all: then no column's bounds are checked in the loop.
    let rows = descriptors.len().min(columns.len());
    let (kind, flags) = (&mut columns.kind[..rows], &mut columns.flags[..rows]);
    let (stream, sequence) = (&mut columns.stream[..rows], &mut columns.sequence[..rows]);
    let (offset, payload_offset) = (&mut columns.offset[..rows], &mut columns.payload_offset[..rows]);
    let (payload_length, status) = (&mut columns.payload_length[..rows], &mut columns.status[..rows]);
    let mut good = 0;
    for at in 0..rows {
        let row = row(slab, descriptors[at]);
        let (row, code) = match row {
            Ok(row) => (row, FrameStatus::Ok),
            Err(status) => (NOTHING, status),
        };
        kind[at] = row.kind;
        flags[at] = row.flags;
        stream[at] = row.stream;
        sequence[at] = row.sequence;
        offset[at] = row.offset;
        payload_offset[at] = row.payload_offset;
        payload_length[at] = row.payload_length;
        status[at] = code.number();
        good += usize::from(code == FrameStatus::Ok);
    }
    good
}

const NOTHING: Row =
    Row { kind: 0, flags: 0, stream: 0, sequence: 0, offset: 0, payload_offset: 0, payload_length: 0 };

/// The bytes of a field of a header.
#[inline(always)]
fn field<const N: usize>(header: &[u8; HEADER_LENGTH], start: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[start..start + N]);
    bytes
}

#[inline(always)]
fn row(slab: Slab<'_>, descriptor: Descriptor) -> Result<Row, FrameStatus> {
    let Some(bytes) = slab.bytes(descriptor) else { return Err(FrameStatus::OutOfBounds) };
    let Some(header) = bytes.first_chunk() else { return Err(FrameStatus::Truncated) };
    let row = Row {
        kind: header[KIND],
        flags: header[FLAGS],
        stream: u16::from_be_bytes(field(header, STREAM.start)),
        sequence: u32::from_be_bytes(field(header, SEQUENCE.start)),
        offset: u64::from_be_bytes(field(header, OFFSET.start)),
        payload_offset: descriptor.offset.wrapping_add(HEADER_LENGTH as u32),
        payload_length: u16::from_be_bytes(field(header, PAYLOAD_LENGTH.start)),
    };
    // One branch, which is not taken: the terms are joined without any of their own.
    let wrong = (bytes.len() > MAX_FRAME)
        | (row.kind.wrapping_sub(1) >= FrameType::ALL.len() as u8)
        | (row.stream.wrapping_sub(1) < FIRST_STREAM - 1)
        | (row.offset > MAX_OFFSET)
        | (row.payload_length > MAX_PAYLOAD)
        | (HEADER_LENGTH + usize::from(row.payload_length) > bytes.len());
    if wrong { Err(reason(&row, bytes.len())) } else { Ok(row) }
}

/// What is wrong with a row, in the order of [`FrameStatus`].
#[cold]
fn reason(row: &Row, length: usize) -> FrameStatus {
    if length > MAX_FRAME {
        FrameStatus::TooLong
    } else if FrameType::from_number(row.kind).is_none() {
        if row.kind > 0x1f { FrameStatus::InvalidType } else { FrameStatus::ReservedType }
    } else if row.stream != 0 && row.stream < FIRST_STREAM {
        FrameStatus::ReservedStream
    } else if row.offset > MAX_OFFSET {
        FrameStatus::OffsetTooLarge
    } else if row.payload_length > MAX_PAYLOAD {
        FrameStatus::PayloadTooLong
    } else {
        FrameStatus::PayloadTruncated
    }
}
