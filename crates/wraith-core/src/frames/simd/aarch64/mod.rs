//! aarch64: NEON, which is always there, so it is chosen when compiling.
#![expect(unsafe_code, reason = "calls what is compiled for NEON")]

mod neon;

use crate::frames::columns::FrameColumnsMut;
use crate::frames::scalar;
use crate::frames::{Backend, Descriptor, Slab, Supported};

pub(crate) fn has(backend: Backend) -> bool {
    matches!(backend, Backend::Scalar | Backend::Neon)
}

pub(crate) fn frames(
    backend: Supported,
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut FrameColumnsMut<'_>,
) -> usize {
    match backend.backend() {
        // SAFETY: NEON is part of every aarch64 that this is compiled for.
        Backend::Neon => unsafe { neon::frames(slab, descriptors, columns) },
        _ => scalar::frames(slab, descriptors, columns),
    }
}
