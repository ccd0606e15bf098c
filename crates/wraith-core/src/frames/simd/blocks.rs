//! What all backends share: whole blocks of rows by vectors, whatever is rare row by row.
#![expect(unsafe_code, reason = "a volatile read")]

use crate::frames::columns::FrameColumnsMut;
use crate::frames::scalar;
use crate::frames::wraith::{FrameStatus, HEADER_LENGTH};
use crate::frames::{Descriptor, Slab};

/// Slabs up to this length are not prefetched from: the pages of one are all in the first-level table of the CPU (96 entries of 4 KiB), and a
/// prefetch costs more than the wait for the second-level cache. Measured with 128, 256 and 1024 frames in slots of 2 KiB.
const PREFETCH_ABOVE: usize = 96 * 4096;

/// What the vectors compare with.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The slab's length. A [`Batch`](crate::frames::Batch) has checked that it fits.
    pub(crate) slab: u32,
    /// The last place from which `OVER_READ` bytes can be read.
    pub(crate) last: u32,
}

/// Parses descriptors in blocks of `N`. `parse` writes the rows from the given one on, and says by a bit a row which of them
/// may not be good; for those, and for the rest behind the last block, the scalar parser has the last word.
///
/// `parse` may read `over_read` bytes from each place up to [`Limits::last`], and it gets the next block when that is worth prefetching.
///
/// Inlined into its callers, which are compiled for instructions that it is not.
#[inline(always)]
pub(crate) fn in_blocks<const N: usize>(
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut FrameColumnsMut<'_>,
    over_read: usize,
    mut parse: impl FnMut(
        &[Descriptor; N],
        Option<&[Descriptor; N]>,
        Limits,
        &mut FrameColumnsMut<'_>,
        usize,
    ) -> u32,
) -> usize {
    let (blocks, rest) = descriptors.as_chunks::<N>();
    let Some(last) = slab.len().checked_sub(over_read) else {
        return scalar::frames(slab, descriptors, columns);
    };
    // Checked once, so that blocks can be written without.
    assert!(columns.len() >= descriptors.len(), "columns of at least the batch's rows");
    let limits = Limits { slab: slab.len() as u32, last: last as u32 };
    let far = slab.len() > PREFETCH_ABOVE;
    let mut bad = 0;
    for (index, block) in blocks.iter().enumerate() {
        let at = index * N;
        let ahead = if far { blocks.get(index + 1) } else { None };
        let suspects = parse(block, ahead, limits, columns, at);
        if suspects != 0 {
            bad += patch(slab, descriptors, columns, at, suspects);
        }
    }
    let good = blocks.len() * N - bad;
    if rest.is_empty() {
        return good;
    }
    good + scalar::rows(slab, descriptors, columns, descriptors.len() - rest.len())
}

/// Where a descriptor's frame begins, read by an instruction of its own: the compiler would take it out of a vector that holds it already,
/// which costs three.
#[inline(always)]
pub(crate) fn offset_of(descriptor: &Descriptor) -> usize {
    // SAFETY: a reference is readable.
    unsafe { (&raw const descriptor.offset).read_volatile() as usize }
}

/// Parses the rows from `at` on whose bit is set once more, each for itself; how many of them are bad.
#[cold]
#[inline(never)]
fn patch(
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut FrameColumnsMut<'_>,
    at: usize,
    mut suspects: u32,
) -> usize {
    let mut bad = 0;
    while suspects != 0 {
        let row = at + suspects.trailing_zeros() as usize;
        suspects &= suspects - 1;
        bad += usize::from(!patch_row(slab, descriptors[row], columns, row));
    }
    bad
}

/// Parses one row; whether it is good.
fn patch_row(slab: Slab<'_>, descriptor: Descriptor, columns: &mut FrameColumnsMut<'_>, row: usize) -> bool {
    let read = scalar::read(slab, descriptor);
    let header = read.unwrap_or_default();
    columns.kind[row] = header.kind();
    columns.flags[row] = header.flags();
    columns.stream[row] = header.stream();
    columns.sequence[row] = header.sequence();
    columns.offset[row] = header.offset;
    columns.payload_offset[row] = if read.is_ok() { descriptor.offset + HEADER_LENGTH as u32 } else { 0 };
    columns.payload_length[row] = header.payload_length;
    columns.status[row] = read.err().unwrap_or(FrameStatus::Ok).number();
    read.is_ok()
}
