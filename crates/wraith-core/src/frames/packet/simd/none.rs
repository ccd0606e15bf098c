//! No vectors: the feature `simd` is off, or there are none for this architecture.

use super::super::columns::PacketColumnsMut;
use super::super::scalar;
use crate::frames::{Descriptor, Slab, Supported};

/// [`scalar::packets`]: there is no other backend.
pub(in super::super) fn packets(
    _: Supported,
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut PacketColumnsMut<'_>,
) -> usize {
    scalar::packets(slab, descriptors, columns)
}
