//! aarch64: NEON, which is always there, so it is chosen when compiling.

use crate::frames::columns::FrameColumnsMut;
use crate::frames::scalar;
use crate::frames::{Backend, Descriptor, Slab, Supported};

pub(crate) fn has(backend: Backend) -> bool {
    matches!(backend, Backend::Scalar | Backend::Neon)
}

pub(crate) fn frames(
    _: Supported,
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut FrameColumnsMut<'_>,
) -> usize {
    scalar::frames(slab, descriptors, columns)
}
