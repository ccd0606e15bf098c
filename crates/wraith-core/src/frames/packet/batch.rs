//! The packets of a [`Batch`].

use super::columns::PacketColumnsMut;
use super::error::PacketError;
use super::parse::parse;
use super::simd;
use crate::frames::{Batch, BatchError, Supported};

impl Batch<'_> {
    /// Parses each row as a packet that begins with an Ethernet header, and says how many were read: [`PacketStatus::Ok`] or
    /// [`PacketStatus::NotIp`]. Rows of the columns beyond this batch's keep what they hold. Nothing is allocated; any bytes are safe.
    ///
    /// All backends write the same bytes.
    ///
    /// # Errors
    ///
    /// [`BatchError::ColumnsTooShort`]; nothing is written then.
    ///
    /// [`PacketStatus::Ok`]: super::PacketStatus::Ok
    /// [`PacketStatus::NotIp`]: super::PacketStatus::NotIp
    pub fn packets(
        &self,
        backend: Supported,
        columns: &mut PacketColumnsMut<'_>,
    ) -> Result<usize, BatchError> {
        self.fits(columns.len())?;
        Ok(simd::packets(backend, self.slab(), self.descriptors(), columns))
    }

    /// Why a row is neither [`PacketStatus::Ok`] nor [`PacketStatus::NotIp`], in full. `None` when it is, or when there is no such row.
    ///
    /// [`PacketStatus::Ok`]: super::PacketStatus::Ok
    /// [`PacketStatus::NotIp`]: super::PacketStatus::NotIp
    #[must_use]
    pub fn explain_packet(&self, row: usize) -> Option<PacketError> {
        let descriptor = *self.descriptors().get(row)?;
        match self.slab().bytes(descriptor) {
            Some(bytes) => parse(bytes).err(),
            None => Some(PacketError::out_of_bounds(descriptor, self.slab().len())),
        }
    }
}
