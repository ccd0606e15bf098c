//! Backends of x86-64.
#![expect(unsafe_code, reason = "code for one CPU is entered after the check that this is one")]

mod avx2;
mod avx512;
mod sse2;
mod sse41;

use super::super::columns::PacketColumnsMut;
use super::super::scalar;
use crate::frames::{Backend, Descriptor, Slab, Supported};

/// [`scalar::packets`], with the backend's instructions.
pub(in super::super) fn packets(
    backend: Supported,
    slab: Slab<'_>,
    descriptors: &[Descriptor],
    columns: &mut PacketColumnsMut<'_>,
) -> usize {
    match backend.backend() {
        // SAFETY: every x86-64 has SSE2.
        Backend::Sse2 => unsafe { sse2::packets(slab, descriptors, columns) },
        // SAFETY: `Supported` proves that the CPU has SSE4.1.
        Backend::Sse41 => unsafe { sse41::packets(slab, descriptors, columns) },
        // SAFETY: `Supported` proves that the CPU has AVX2.
        Backend::Avx2 => unsafe { avx2::packets(slab, descriptors, columns) },
        // SAFETY: `Supported` proves that the CPU has AVX-512 F, BW, VL and DQ.
        Backend::Avx512 => unsafe { avx512::packets(slab, descriptors, columns) },
        _ => scalar::packets(slab, descriptors, columns),
    }
}
