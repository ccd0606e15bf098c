//! x86-64: what its CPUs have, and the choice between their backends.

use crate::frames::columns::FrameColumnsMut;
use crate::frames::scalar;
use crate::frames::{Backend, Descriptor, Slab, Supported};

/// Whether this CPU has what the backend's functions are compiled for.
pub(crate) fn has(backend: Backend) -> bool {
    match backend {
        Backend::Scalar | Backend::Sse2 => true,
        Backend::Sse41 => is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1"),
        Backend::Avx2 => is_x86_feature_detected!("avx2"),
        Backend::Avx512 => {
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
        }
        Backend::Neon => false,
    }
}

pub(crate) fn frames(
    _: Supported,
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut FrameColumnsMut<'_>,
) -> usize {
    scalar::frames(slab, descriptors, columns)
}
