//! Without the feature `simd`, and on other architectures, there are no vectors.

use crate::frames::columns::FrameColumnsMut;
use crate::frames::scalar;
use crate::frames::{Backend, Descriptor, Slab, Supported};

pub(crate) const fn has(_: Backend) -> bool {
    false
}

pub(crate) fn frames(
    _: Supported,
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut FrameColumnsMut<'_>,
) -> usize {
    scalar::frames(slab, descriptors, columns)
}
