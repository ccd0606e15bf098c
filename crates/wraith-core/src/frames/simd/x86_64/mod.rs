//! x86-64: what its CPUs have, and the choice between their backends.

#![expect(unsafe_code, reason = "calls what is compiled for more instructions than the rest")]

mod avx2;
mod avx512;
mod sse2;
mod sse41;

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
    backend: Supported,
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut FrameColumnsMut<'_>,
) -> usize {
    match backend.backend() {
        // SAFETY: SSE2 is part of x86-64.
        Backend::Sse2 => unsafe { sse2::frames(slab, descriptors, columns) },
        // SAFETY: `Supported` is the proof that `has` found them.
        Backend::Sse41 => unsafe { sse41::frames(slab, descriptors, columns) },
        // SAFETY: as above.
        Backend::Avx2 => unsafe { avx2::frames(slab, descriptors, columns) },
        // SAFETY: as above.
        Backend::Avx512 => unsafe { avx512::frames(slab, descriptors, columns) },
        _ => scalar::frames(slab, descriptors, columns),
    }
}
