//! A [`Frame`] or an error for each row, then its fields: how one writes it who parses frame by frame.
//!
//! It is here to be measured against and to be a second opinion beside [`Backend::Scalar`](super::Backend::Scalar).

use super::batch::{Batch, BatchError};
use super::columns::FrameColumnsMut;
use super::wraith::{Frame, FrameError, FrameStatus, HEADER_LENGTH};

/// The same as [`Batch::frames`], row by row.
///
/// # Errors
///
/// As [`Batch::frames`].
pub fn frames(batch: &Batch<'_>, columns: &mut FrameColumnsMut<'_>) -> Result<usize, BatchError> {
    batch.fits(columns.len())?;
    let mut good = 0;
    for (row, &descriptor) in batch.descriptors().iter().enumerate() {
        let bytes = batch.slab().bytes(descriptor);
        let bytes = bytes.ok_or_else(|| FrameError::out_of_bounds(descriptor, batch.slab().len()));
        match bytes.and_then(Frame::new) {
            Ok(frame) => {
                columns.kind[row] = frame.kind().number();
                columns.flags[row] = frame.flags().bits();
                columns.stream[row] = frame.stream();
                columns.sequence[row] = frame.sequence();
                columns.offset[row] = frame.offset();
                columns.payload_offset[row] = descriptor.offset + HEADER_LENGTH as u32;
                columns.payload_length[row] = frame.payload().len() as u16;
                columns.status[row] = FrameStatus::Ok.number();
                good += 1;
            }
            Err(error) => {
                columns.kind[row] = 0;
                columns.flags[row] = 0;
                columns.stream[row] = 0;
                columns.sequence[row] = 0;
                columns.offset[row] = 0;
                columns.payload_offset[row] = 0;
                columns.payload_length[row] = 0;
                columns.status[row] = error.status.number();
            }
        }
    }
    Ok(good)
}
