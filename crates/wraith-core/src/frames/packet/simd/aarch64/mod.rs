//! The backend of aarch64.
#![expect(unsafe_code, reason = "code for one CPU is entered after the check that this is one")]

mod neon;

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
        // SAFETY: `Supported` proves that the CPU has NEON.
        Backend::Neon => unsafe { neon::packets(slab, descriptors, columns) },
        _ => scalar::packets(slab, descriptors, columns),
    }
}
