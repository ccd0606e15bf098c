//! Each error: what it says of the field, the place, what is needed and what is there.

use wraith_core::frames::wraith::{Field, Frame, FrameError, FrameStatus, FrameType};
use wraith_core::frames::{Batch, Descriptor, Slab};

use crate::support::good_frame;

fn error_of(edit: impl FnOnce(&mut Vec<u8>)) -> FrameError {
    let mut bytes = good_frame(10);
    edit(&mut bytes);
    Frame::new(&bytes).unwrap_err()
}

#[track_caller]
fn says(
    error: FrameError,
    status: FrameStatus,
    field: Field,
    (offset, needed, present): (u64, u64, u64),
    text: &str,
) {
    assert_eq!(error, FrameError { status, field, offset, needed, present });
    assert_eq!(error.to_string(), text);
}

#[test]
fn shorter_than_a_header() {
    says(
        error_of(|bytes| bytes.truncate(27)),
        FrameStatus::Truncated,
        Field::Frame,
        (0, 28, 27),
        "the frame has 27 bytes, 28 are needed; give all of it",
    );
}

#[test]
fn longer_than_a_frame() {
    says(
        error_of(|bytes| bytes.resize(9001, 0)),
        FrameStatus::TooLong,
        Field::Frame,
        (0, 9000, 9001),
        "the frame has 9001 bytes, 9000 are allowed; split what it carries",
    );
}

#[test]
fn types_that_are_reserved_or_invalid() {
    says(
        error_of(|bytes| bytes[8] = 0),
        FrameStatus::ReservedType,
        Field::Type,
        (8, 15, 0),
        "the type at byte 8 is 0, which is reserved; use 1 to 15",
    );
    assert_eq!(error_of(|bytes| bytes[8] = 0x1f).status, FrameStatus::ReservedType);
    says(
        error_of(|bytes| bytes[8] = 0x20),
        FrameStatus::InvalidType,
        Field::Type,
        (8, 31, 32),
        "the type at byte 8 is 32, beyond 31, the last; use 1 to 15",
    );
}

#[test]
fn a_reserved_stream_id() {
    says(
        error_of(|bytes| bytes[10..12].copy_from_slice(&[0, 7])),
        FrameStatus::ReservedStream,
        Field::Stream,
        (10, 16, 7),
        "the stream id at byte 10 is 7, which is reserved; use 0 for the connection or 16 upwards",
    );
}

#[test]
fn an_offset_above_2_to_the_48() {
    says(
        error_of(|bytes| bytes[16..24].copy_from_slice(&((1_u64 << 48) + 1).to_be_bytes())),
        FrameStatus::OffsetTooLarge,
        Field::Offset,
        (16, 1 << 48, (1 << 48) + 1),
        "the offset at byte 16 is 281474976710657; use at most 281474976710656 (2^48)",
    );
}

#[test]
fn payloads_that_are_too_long_or_not_all_there() {
    says(
        error_of(|bytes| bytes[24..26].copy_from_slice(&8945_u16.to_be_bytes())),
        FrameStatus::PayloadTooLong,
        Field::PayloadLength,
        (24, 8944, 8945),
        "the payload length at byte 24 is 8945; use at most 8944",
    );
    says(
        error_of(|bytes| bytes[25] = 11),
        FrameStatus::PayloadTruncated,
        Field::PayloadLength,
        (24, 39, 38),
        "the payload length at byte 24 makes it a frame of 39 bytes, 38 are there; give all of it",
    );
}

#[test]
fn a_descriptor_outside_the_slab() {
    let bytes = good_frame(0);
    let descriptors = [Descriptor::new(1, 28), Descriptor::new(0, 28)];
    let batch = Batch::new(Slab::new(&bytes), &descriptors).expect("a small slab");
    says(
        batch.explain_frame(0).expect("an error"),
        FrameStatus::OutOfBounds,
        Field::Descriptor,
        (1, 29, 28),
        "the descriptor names bytes 1 to 29 of a slab of 28 bytes; name bytes inside the slab",
    );
    assert_eq!(batch.explain_frame(1), None, "a good row");
    assert_eq!(batch.explain_frame(2), None, "no such row");
}

#[test]
fn the_first_of_several_errors_counts() {
    // Everything is wrong; mended one by one, the next shows.
    let mut bytes = vec![0xff; 9001];
    bytes[10..12].copy_from_slice(&[0, 1]);
    let mut statuses = Vec::new();
    let mends: [fn(&mut Vec<u8>); 7] = [
        |bytes| bytes.truncate(28),
        |bytes| bytes[8] = 0x10,
        |bytes| bytes[8] = FrameType::Data.number(),
        |bytes| bytes[10] = 1,
        |bytes| bytes[16..24].fill(0),
        |bytes| bytes[24..26].copy_from_slice(&1_u16.to_be_bytes()),
        |bytes| bytes.push(0),
    ];
    for mend in mends {
        statuses.push(Frame::new(&bytes).unwrap_err().status.number());
        mend(&mut bytes);
    }
    assert_eq!(statuses, [3, 5, 4, 6, 7, 8, 9]);
    assert!(Frame::new(&bytes).is_ok());
}
