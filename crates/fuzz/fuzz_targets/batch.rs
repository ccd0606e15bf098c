//! Any descriptors over any slab, as frames and as packets: those that lie outside, that overlap, that end with the slab, that are empty. All
//! backends and the naive parsers agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wraith_core::frames::Descriptor;
use wraith_fuzz::{Program, check_frames, check_packets};

/// A number of any size, most of them about as large as the slab.
fn number(program: &mut Program<'_>) -> u32 {
    let [high, low] = program.array();
    match high {
        0..=31 => u32::from(high % 4) << 8 | u32::from(low),
        32..=127 => u32::from(low),
        128..=159 => u32::MAX - u32::from(low),
        160..=191 => 1 << (low & 31),
        192..=223 => (1 << 31) - u32::from(low),
        _ => u32::from(low & 63),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut program = Program(bytes);
    let (rows, from_the_end) = (usize::from(program.byte() % 80), program.byte());
    let mut descriptors: Vec<_> = (0..rows)
        .map(|_| Descriptor { offset: number(&mut program), length: number(&mut program) })
        .collect();
    // An allocation of its own, of exactly this size: AddressSanitizer sees the first byte too many.
    let slab = Box::<[u8]>::from(program.0);
    let end = slab.len() as u32;
    // Some that end where the slab does.
    for (row, descriptor) in descriptors.iter_mut().enumerate() {
        if from_the_end >> (row % 8) & 1 != 0 {
            descriptor.offset = end.saturating_sub(descriptor.length);
        }
    }
    check_frames(&slab, &descriptors);
    check_packets(&slab, &descriptors);
});
