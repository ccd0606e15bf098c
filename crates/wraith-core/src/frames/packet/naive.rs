//! What most code does: one packet, one `Result`, one row after the other. The readable reference that
//! [`Backend::Scalar`](crate::frames::Backend::Scalar) is held against, and a row of the benchmarks.

use super::columns::PacketColumnsMut;
use super::parse::parse;
use super::status::PacketStatus;
use crate::frames::{Batch, BatchError, Descriptor, Slab};

/// [`Batch::packets`], with [`parse`] for each row.
///
/// # Errors
///
/// As [`Batch::packets`].
pub fn packets(batch: &Batch<'_>, columns: &mut PacketColumnsMut<'_>) -> Result<usize, BatchError> {
    batch.fits(columns.len())?;
    let mut read = 0;
    for (row, &descriptor) in batch.descriptors().iter().enumerate() {
        read += usize::from(write_row(batch.slab(), descriptor, row, columns));
    }
    Ok(read)
}

/// Parses one packet into a row; whether it was read.
pub(super) fn write_row(
    slab: Slab<'_>,
    descriptor: Descriptor,
    row: usize,
    columns: &mut PacketColumnsMut<'_>,
) -> bool {
    let Some(bytes) = slab.bytes(descriptor) else {
        columns.refuse(row, PacketStatus::OutOfBounds);
        return false;
    };
    match parse(bytes) {
        Ok(packet) => {
            columns.put(row, descriptor.offset, &packet);
            true
        }
        Err(error) => {
            columns.refuse(row, error.status);
            false
        }
    }
}
