//! Many frames or packets at once.

use std::fmt;

use super::backend::Supported;
use super::columns::FrameColumnsMut;
use super::simd;
use super::slab::{Descriptor, Slab};
use super::wraith::{Frame, FrameError};

/// Descriptors over one slab: what a call parses. Two words and two more; copy it freely.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    slab: Slab<'a>,
    descriptors: &'a [Descriptor],
}

impl<'a> Batch<'a> {
    /// Row `i` of the columns will be about `descriptors[i]`. Free: descriptors are checked when they are parsed.
    ///
    /// # Errors
    ///
    /// [`BatchError::SlabTooLarge`]: columns hold positions as `u32`.
    pub const fn new(slab: Slab<'a>, descriptors: &'a [Descriptor]) -> Result<Self, BatchError> {
        if slab.len() > u32::MAX as usize {
            return Err(BatchError::SlabTooLarge { length: slab.len() });
        }
        Ok(Self { slab, descriptors })
    }

    /// How many rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.descriptors.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }

    /// The memory.
    #[must_use]
    pub const fn slab(&self) -> Slab<'a> {
        self.slab
    }

    /// Where each row lies.
    #[must_use]
    pub const fn descriptors(&self) -> &'a [Descriptor] {
        self.descriptors
    }

    /// Parses each row as a WRAITH frame into the columns, and says how many are [`FrameStatus::Ok`]. Rows of the columns beyond
    /// this batch's keep what they hold. Nothing is allocated; any bytes are safe.
    ///
    /// # Errors
    ///
    /// [`BatchError::ColumnsTooShort`]; nothing is written then.
    ///
    /// [`FrameStatus::Ok`]: super::wraith::FrameStatus::Ok
    pub fn frames(&self, backend: Supported, columns: &mut FrameColumnsMut<'_>) -> Result<usize, BatchError> {
        self.fits(columns.len())?;
        Ok(simd::frames(backend, self.slab, self.descriptors, columns))
    }

    /// Why a row is not [`FrameStatus::Ok`], in full. `None` when it is, or when there is no such row.
    ///
    /// [`FrameStatus::Ok`]: super::wraith::FrameStatus::Ok
    #[must_use]
    pub fn explain_frame(&self, row: usize) -> Option<FrameError> {
        let descriptor = *self.descriptors.get(row)?;
        match self.slab.bytes(descriptor) {
            Some(bytes) => Frame::new(bytes).err(),
            None => Some(FrameError::out_of_bounds(descriptor, self.slab.len())),
        }
    }

    /// Whether columns of `capacity` rows can take this batch.
    pub(crate) const fn fits(&self, capacity: usize) -> Result<(), BatchError> {
        if capacity < self.len() {
            return Err(BatchError::ColumnsTooShort { rows: self.len(), capacity });
        }
        Ok(())
    }
}

/// Why a batch cannot be made or parsed. The bytes in it are never the reason: each row has its own status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// The slab has positions that a `u32` cannot hold.
    SlabTooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// The columns have fewer rows than the batch.
    ColumnsTooShort {
        /// Rows of the batch.
        rows: usize,
        /// Rows of the columns.
        capacity: usize,
    },
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlabTooLarge { length } => {
                write!(f, "the slab has {length} bytes, {} are allowed; split it", u32::MAX)
            }
            Self::ColumnsTooShort { rows, capacity } => {
                write!(
                    f,
                    "the batch has {rows} rows, the columns {capacity}; make the columns at least as long"
                )
            }
        }
    }
}

impl std::error::Error for BatchError {}
