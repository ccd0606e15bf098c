//! The oracle against what the header's table says, field by field, and against the checked view.

use wraith_core::frames::wraith::{Flags, Frame, FrameStatus, FrameType};
use wraith_core::frames::{
    Batch, BatchError, ColumnsError, Descriptor, FrameColumns, FrameColumnsMut, Slab, Supported,
};

use crate::support::{Laid, good_frame, values};

/// A header written down byte by byte, as the table of the fields has it.
#[rustfmt::skip]
const BYTES: [u8; 33] = [
    1, 2, 3, 4, 5, 6, 7, 8, // nonce
    15, 0b1_0011, // type, flags
    0x12, 0x34, // stream id
    0x56, 0x78, 0x9a, 0xbc, // sequence
    0, 0, 0xde, 0xf0, 0x11, 0x22, 0x33, 0x44, // offset
    0, 4, // payload length
    0xaa, 0xbb, // reserved
    b'd', b'a', b't', b'a', b'!', // payload, and one byte behind it
];

#[test]
fn each_field_is_where_the_table_has_it() {
    let mut laid = Laid::default();
    laid.push(&BYTES, 3);
    let columns = laid.agrees(Supported::SCALAR);
    let expected = (15, 0x13, 0x1234, 0x5678_9abc, 0x0000_def0_1122_3344, 3 + 28, 4, 0);
    assert_eq!(values(&columns, 0), expected);
}

#[test]
fn a_view_reads_each_field() {
    let frame = Frame::new(&BYTES).expect("a good frame");
    assert_eq!(frame.nonce(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(frame.kind(), FrameType::PathResponse);
    assert_eq!(frame.flags(), Flags::SYN | Flags::FIN | Flags::CMP);
    assert_eq!((frame.stream(), frame.sequence()), (0x1234, 0x5678_9abc));
    assert_eq!(frame.offset(), 0xdef0_1122_3344);
    assert_eq!(frame.reserved(), [0xaa, 0xbb]);
    assert_eq!((frame.payload(), frame.trailer()), (&b"data"[..], &b"!"[..]));
}

#[test]
fn a_bad_row_is_all_zeros_but_for_its_status() {
    let mut laid = Laid::default();
    let mut bytes = good_frame(4);
    bytes[8] = 0;
    laid.push(&bytes, 0);
    let status = FrameStatus::ReservedType.number();
    assert_eq!(values(&laid.agrees(Supported::SCALAR), 0), (0, 0, 0, 0, 0, 0, 0, status));
}

#[test]
fn columns_that_are_too_short_are_refused_and_left_alone() {
    let bytes = good_frame(0);
    let descriptors = [Descriptor::new(0, 28); 3];
    let batch = Batch::new(Slab::new(&bytes), &descriptors).expect("a small slab");
    let mut columns = FrameColumns::with_capacity(2);
    let refused = batch.frames(Supported::SCALAR, &mut columns.as_mut());
    assert_eq!(refused, Err(BatchError::ColumnsTooShort { rows: 3, capacity: 2 }));
    assert_eq!(columns, FrameColumns::with_capacity(2));
    let message = refused.unwrap_err().to_string();
    assert_eq!(message, "the batch has 3 rows, the columns 2; make the columns at least as long");
}

#[test]
fn columns_of_different_lengths_are_refused_by_name() {
    let (mut kind, mut flags, mut stream, mut sequence) = ([0; 4], [0; 4], [0; 4], [0; 3]);
    let (mut offset, mut payload_offset, mut payload_length, mut status) = ([0; 4], [0; 4], [0; 4], [0; 4]);
    let refused = FrameColumnsMut::new(
        &mut kind,
        &mut flags,
        &mut stream,
        &mut sequence,
        &mut offset,
        &mut payload_offset,
        &mut payload_length,
        &mut status,
    );
    assert_eq!(refused.err(), Some(ColumnsError { column: "sequence", needed: 4, present: 3 }));
}

#[test]
#[expect(unsafe_code, reason = "a slab of 4 GiB that is not there")]
fn a_slab_with_places_that_no_column_can_hold_is_refused() {
    let length = u32::MAX as usize + 1;
    // SAFETY: a batch that is refused reads nothing, and there is no descriptor.
    let slab = unsafe { Slab::from_raw_parts(std::ptr::dangling(), length) };
    assert_eq!(Batch::new(slab, &[]).err(), Some(BatchError::SlabTooLarge { length }));
}
