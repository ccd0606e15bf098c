//! What must hold of a batch of frames, whatever its bytes are.

use wraith_core::frames::wraith::{Field, FrameError, FrameStatus};
use wraith_core::frames::{Backend, Batch, BatchError, Descriptor, Slab, naive};

use crate::columns::Frames;

/// What a frame's columns must be: the table of the protocol, written down once more and without the library's names.
fn expected(bytes: Option<&[u8]>, at: u32) -> Frames {
    let mut row = Frames::used(1);
    let status = match bytes {
        None => 1,
        Some(bytes) => fields(bytes, &mut row),
    };
    row.payload_offset[0] = at.wrapping_add(28);
    if status != 0 {
        (row.kind[0], row.flags[0], row.stream[0], row.sequence[0]) = (0, 0, 0, 0);
        (row.offset[0], row.payload_offset[0], row.payload_length[0]) = (0, 0, 0);
    }
    row.status[0] = status;
    row
}

/// Reads the fields and says by its number what is wrong with them, the first thing first.
fn fields(bytes: &[u8], row: &mut Frames) -> u8 {
    let Some(header) = bytes.get(..28) else { return 2 };
    let number =
        |from: usize, to: usize| header[from..to].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    row.kind[0] = header[8];
    row.flags[0] = header[9];
    row.stream[0] = number(10, 12) as u16;
    row.sequence[0] = number(12, 16) as u32;
    row.offset[0] = number(16, 24);
    row.payload_length[0] = number(24, 26) as u16;
    let payload = number(24, 26) as usize;
    match header[8] {
        _ if bytes.len() > 9000 => 3,
        0 | 0x10..=0x1f => 4,
        0x20.. => 5,
        _ if (1..16).contains(&number(10, 12)) => 6,
        _ if number(16, 24) > 1 << 48 => 7,
        _ if payload > 8944 => 8,
        _ if 28 + payload > bytes.len() => 9,
        _ => 0,
    }
}

/// An explanation is about the row's status, and its numbers are those that are there.
fn check_explanation(error: FrameError, bytes: Option<&[u8]>, descriptor: Descriptor, slab: usize) {
    let present = match (error.field, bytes) {
        (Field::Descriptor, None) => {
            assert_eq!(error.needed, u64::from(descriptor.offset) + u64::from(descriptor.length));
            assert_eq!(error.offset, u64::from(descriptor.offset));
            slab as u64
        }
        (Field::Frame | Field::PayloadLength, Some(bytes)) if error.status != FrameStatus::PayloadTooLong => {
            bytes.len() as u64
        }
        (field, Some(bytes)) => {
            let width = match field {
                Field::Type => 1,
                Field::Stream | Field::PayloadLength => 2,
                Field::Offset => 8,
                other => panic!("{error:?} is about {other:?}"),
            };
            let at = error.offset as usize;
            bytes[at..at + width].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
        }
        (_, None) => panic!("{error:?} of a row that lies outside of the slab"),
    };
    assert_eq!(error.present, present, "{error:?}");
    let too_little = matches!(
        error.status,
        FrameStatus::OutOfBounds | FrameStatus::Truncated | FrameStatus::PayloadTruncated
    );
    let fits = match error.status {
        FrameStatus::ReservedType => !(1..=error.needed).contains(&present),
        FrameStatus::ReservedStream => present != 0 && present < error.needed,
        _ if too_little => present < error.needed,
        _ => present > error.needed,
    };
    assert!(fits, "{error:?}");
    assert!(error.to_string().contains(&present.to_string()), "{error}");
}

/// Every backend, the naive parser and the protocol's table agree about every row; explanations are about the rows' statuses; nothing but the
/// batch's rows is written.
pub fn check_frames(slab: &[u8], descriptors: &[Descriptor]) {
    let batch = Batch::new(Slab::new(slab), descriptors).expect("a small slab");
    let rows = descriptors.len();
    let mut plain = Frames::used(rows + 2);
    let good = naive::frames(&batch, &mut plain.as_mut()).expect("the columns are long enough");
    assert_eq!(good, plain.status[..rows].iter().filter(|&&status| status == 0).count());
    for (row, &descriptor) in descriptors.iter().enumerate() {
        let start = descriptor.offset as usize;
        let bytes = slab.get(start..).and_then(|rest| rest.get(..descriptor.length as usize));
        assert_eq!(plain.row(row), expected(bytes, descriptor.offset), "row {row}: {bytes:02x?}");
        match batch.explain_frame(row) {
            None => assert_eq!(plain.status[row], 0),
            Some(error) => {
                assert_eq!(plain.status[row], error.status.number());
                check_explanation(error, bytes, descriptor, slab.len());
            }
        }
    }
    assert_eq!(batch.explain_frame(rows), None);
    for backend in Backend::available() {
        let mut columns = Frames::used(rows + 2);
        let count = batch.frames(backend, &mut columns.as_mut()).expect("the columns are long enough");
        let name = backend.backend();
        assert_eq!(count, good, "{name}");
        if columns != plain {
            // Names the row.
            for row in 0..rows + 2 {
                assert_eq!(columns.row(row), plain.row(row), "{name}, row {row}");
            }
        }
        if rows > 0 {
            let mut short = Frames::used(rows - 1);
            let refused = batch.frames(backend, &mut short.as_mut());
            assert_eq!(refused, Err(BatchError::ColumnsTooShort { rows, capacity: rows - 1 }));
            assert_eq!(short, Frames::used(rows - 1));
        }
    }
}
