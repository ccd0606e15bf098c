//! One suite, instantiated for each backend.

use wraith_core::frames::wraith::{FIRST_STREAM, HEADER_LENGTH, MAX_OFFSET, MAX_PAYLOAD};
use wraith_core::frames::{Backend, Descriptor, Supported};

use crate::support::{Laid, agrees, good_frame, proof};

macro_rules! suite {
    ($($(#[$there:meta])* $backend:ident: $proof:expr;)*) => { $($(#[$there])* mod $backend {
        suite!(@tests $proof; every_length_at_every_alignment, every_type_and_every_flag, every_stream_id, every_payload_length,
            the_limits_of_offsets_and_each_bit_of_them, every_bit_of_a_sequence, the_longest_frames, every_error_at_every_place,
            every_length_of_a_batch, descriptors_at_and_beyond_the_end, slabs_shorter_than_a_vector);
    })* };
    (@tests $proof:expr; $($test:ident),*) => { $(#[test] fn $test() {
        if let Some(backend) = $proof {
            super::$test(backend);
        }
    })* };
}

suite! {
    scalar: super::proof(super::Backend::Scalar);
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    sse2: super::proof(super::Backend::Sse2);
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    sse41: super::proof(super::Backend::Sse41);
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    avx2: super::proof(super::Backend::Avx2);
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    avx512: super::proof(super::Backend::Avx512);
    #[cfg(all(feature = "simd", target_arch = "aarch64"))]
    neon: super::proof(super::Backend::Neon);
    active: Some(*super::Backend::active().as_ref().expect("a backend that this CPU has"));
}

/// More than two blocks of the widest backend, and a rest.
const ROWS: usize = 37;

/// Good frames, of which row `at` is another one.
fn with(at: usize, bytes: &[u8], alignment: usize) -> Laid {
    let mut laid = Laid::default();
    for row in 0..ROWS {
        if row == at { laid.push(bytes, alignment) } else { laid.push(&good_frame(row), row * 7) }
    }
    laid
}

fn every_length_at_every_alignment(backend: Supported) {
    for length in 0..=160 {
        let mut bytes = good_frame(160 - HEADER_LENGTH);
        bytes[24..26].copy_from_slice(&(length as u16 / 2).to_be_bytes());
        bytes.truncate(length);
        for alignment in (0..64).step_by(if length < 64 { 1 } else { 5 }) {
            // Each place of a block comes round, and with the last row the end of the slab.
            let laid = with((length * 64 + alignment) % ROWS, &bytes, alignment);
            laid.agrees(backend);
        }
    }
}

/// Frames as `edit` makes them of good ones, one for each of `0..count`.
fn edited(count: usize, payload: usize, edit: impl Fn(usize, &mut Vec<u8>)) -> Laid {
    let mut laid = Laid::default();
    for number in 0..count {
        let mut bytes = good_frame(payload);
        edit(number, &mut bytes);
        laid.push(&bytes, number);
    }
    laid.padded()
}

fn every_type_and_every_flag(backend: Supported) {
    let columns = edited(256, 3, |number, bytes| bytes[8] = number as u8).agrees(backend);
    assert_eq!(columns.status()[..256].iter().filter(|&&status| status == 0).count(), 15);
    let columns = edited(256, 3, |number, bytes| bytes[9] = number as u8).agrees(backend);
    assert!((0..256).all(|number| columns.flags()[number] == number as u8));
}

fn every_stream_id(backend: Supported) {
    let edit =
        |number: usize, bytes: &mut Vec<u8>| bytes[10..12].copy_from_slice(&(number as u16).to_be_bytes());
    let columns = edited(1 << 16, 0, edit).agrees(backend);
    assert_eq!(columns.status()[..1 << 16].iter().filter(|&&status| status != 0).count(), 15);
    assert_eq!(columns.stream()[usize::from(FIRST_STREAM)], FIRST_STREAM);
}

/// Over frames that share one long payload, so that the lengths matter and not what is there.
fn every_payload_length(backend: Supported) {
    let mut laid = edited(1 << 16, 0, |length, bytes| {
        bytes[24..26].copy_from_slice(&(length as u16).to_be_bytes());
    });
    laid.memory.extend(vec![0; 9000]);
    for (length, descriptor) in laid.descriptors.iter_mut().enumerate() {
        // One too few, just enough, one more.
        descriptor.length = (HEADER_LENGTH + length + length % 3 - 1).clamp(HEADER_LENGTH, 9000) as u32;
    }
    let columns = laid.agrees(backend);
    assert!(columns.payload_length()[..1 << 16].iter().any(|&length| length > MAX_PAYLOAD - 3));
    for (length, descriptor) in laid.descriptors.iter_mut().enumerate() {
        descriptor.length = 9000 - length as u32 % 2;
    }
    let columns = laid.agrees(backend);
    let good = |length: usize| columns.status()[length] == 0;
    assert!((0..1 << 16).all(|length| good(length) == (length <= usize::from(MAX_PAYLOAD))));
}

fn the_limits_of_offsets_and_each_bit_of_them(backend: Supported) {
    let mut offsets: Vec<u64> = (0..64).map(|bit| 1 << bit).collect();
    offsets.extend((0..64).map(|bit| (1 << bit) - 1));
    offsets.extend([
        MAX_OFFSET + 1,
        MAX_OFFSET + (1 << 20),
        3 << 47,
        u64::MAX,
        u64::MAX - 0xffff,
        0xffff << 48,
    ]);
    for place in 0..16 {
        let edit = |number: usize, bytes: &mut Vec<u8>| {
            if number >= place {
                bytes[16..24].copy_from_slice(&offsets[number - place].to_be_bytes());
            }
        };
        let columns = edited(offsets.len() + place, 5, edit).agrees(backend);
        for (row, &offset) in offsets.iter().enumerate() {
            let expected = if offset <= MAX_OFFSET { offset } else { 0 };
            assert_eq!(columns.offset()[row + place], expected, "offset {offset:#x}");
        }
    }
}

fn every_bit_of_a_sequence(backend: Supported) {
    let edit =
        |number: usize, bytes: &mut Vec<u8>| bytes[12..16].copy_from_slice(&(1_u32 << number).to_be_bytes());
    let columns = edited(32, 1, edit).agrees(backend);
    assert!((0..32).all(|number| columns.sequence()[number] == 1 << number));
}

fn the_longest_frames(backend: Supported) {
    for at in [0, 15, 36] {
        for length in
            [8971, 8972, 8973, 8999, 9000, 9001, 9027, 9028, 9029, 32767, 32768, 65535, 65536, 70000]
        {
            let mut bytes = good_frame(3);
            bytes.resize(length, 0xee);
            bytes[24..26].copy_from_slice(&MAX_PAYLOAD.to_be_bytes());
            let columns = with(at, &bytes, length).agrees(backend);
            assert_eq!(columns.status()[at] == 0, (8972..=9000).contains(&length), "{length} bytes");
        }
    }
}

fn every_error_at_every_place(backend: Supported) {
    let edits: [fn(&mut Vec<u8>); 8] = [
        |bytes| bytes.truncate(27),
        |bytes| bytes.resize(9001, 0),
        |bytes| bytes[8] = 0x10,
        |bytes| bytes[8] = 0x20,
        |bytes| bytes[10..12].copy_from_slice(&[0, 15]),
        |bytes| bytes[16] = 1,
        |bytes| bytes[24] = 0xff,
        |bytes| bytes[25] += 1,
    ];
    for (edit, status) in edits.into_iter().zip(2..) {
        let mut bytes = good_frame(9);
        edit(&mut bytes);
        for at in 0..ROWS {
            let columns = with(at, &bytes, at).agrees(backend);
            for row in 0..ROWS {
                assert_eq!(columns.status()[row], if row == at { status } else { 0 });
            }
        }
    }
    // And a descriptor that is wrong.
    for at in 0..ROWS {
        let mut laid = with(at, &good_frame(1), at);
        laid.descriptors[at].offset = laid.memory.len() as u32 + 1;
        assert_eq!(laid.agrees(backend).status()[at], 1);
    }
}

fn every_length_of_a_batch(backend: Supported) {
    for rows in 0..=100 {
        edited(rows, 2, |number, bytes| bytes[9] = number as u8).agrees(backend);
        edited(rows, 2, |number, bytes| bytes[8] = number as u8).agrees(backend);
    }
}

fn descriptors_at_and_beyond_the_end(backend: Supported) {
    let laid = with(ROWS, &[], 0);
    let end = laid.memory.len() as u32;
    let mut offsets: Vec<u32> = (end - 70..=end + 5).collect();
    offsets.extend([0, i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX - 28, u32::MAX]);
    for &offset in &offsets {
        for length in [0, 1, 27, 28, 29, 32, 33, end.wrapping_sub(offset), u32::MAX - offset, u32::MAX] {
            for at in [0, 7, 16, 36] {
                let mut descriptors = laid.descriptors.clone();
                descriptors[at] = Descriptor::new(offset, length);
                agrees(backend, &laid.memory, &descriptors);
            }
        }
    }
}

fn slabs_shorter_than_a_vector(backend: Supported) {
    let frame = good_frame(40);
    for length in 0..=64 {
        for offset in [0, 1, 4, 30] {
            let descriptors = vec![Descriptor::new(offset, length as u32 - offset.min(length as u32)); 33];
            agrees(backend, &frame[..length], &descriptors);
        }
    }
}
