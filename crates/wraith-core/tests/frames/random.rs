//! Random bytes under random descriptors, and good frames with a few bytes changed, by every backend.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use wraith_core::frames::{Backend, Descriptor};

use crate::support::{Laid, agrees, good_frame};

/// Mostly inside the slab, and sometimes anything.
fn descriptor(slab: u32) -> impl Strategy<Value = Descriptor> {
    prop_oneof![
        8 => (0..=slab, 0..80_u32).prop_map(|(offset, length)| Descriptor::new(offset, length)),
        1 => (0..=slab).prop_map(move |offset| Descriptor::new(offset, slab - offset)),
        1 => any::<(u32, u32)>().prop_map(|(offset, length)| Descriptor::new(offset, length)),
    ]
}

proptest! {
    #[test]
    fn random_bytes(memory in vec(any::<u8>(), 0..600), seeds in vec(descriptor(600), 0..90)) {
        for backend in Backend::available() {
            agrees(backend, &memory, &seeds);
        }
    }

    #[test]
    fn mutated_frames(
        payloads in vec((0..50_usize, 0..64_usize), 1..80),
        changes in vec((any::<Index>(), any::<u8>()), 0..40),
        cut in 0..40_usize,
    ) {
        let mut laid = Laid::default();
        for (payload, alignment) in payloads {
            laid.push(&good_frame(payload), alignment);
        }
        for (place, byte) in changes {
            let place = place.index(laid.memory.len());
            laid.memory[place] = byte;
        }
        laid.memory.truncate(laid.memory.len() - cut.min(laid.memory.len()));
        for backend in Backend::available() {
            laid.agrees(backend);
        }
    }
}
