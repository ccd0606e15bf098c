//! Frames by NEON: 8 rows a block.
#![expect(unsafe_code, reason = "loads and stores of whole vectors")]

use std::arch::aarch64::{
    uint8x16_t, uint8x16x2_t, uint16x8_t, uint32x4_t, vaddq_u32, vaddv_u8, vand_u8, vcgtq_u16, vcltq_u16,
    vcombine_u16, vdup_n_u8, vdupq_n_u8, vdupq_n_u16, vdupq_n_u32, vget_high_u8, vget_low_u8, vld1_u8,
    vld1q_u8, vld2q_u32, vmaxq_u32, vmaxvq_u32, vminq_u16, vmovl_u8, vmovn_u16, vorrq_u16, vqaddq_u16,
    vqmovn_u32, vqtbl2q_u8, vreinterpretq_u8_u32, vreinterpretq_u8_u64, vreinterpretq_u16_u8,
    vreinterpretq_u16_u32, vreinterpretq_u32_u8, vreinterpretq_u64_u8, vrev32q_u8, vrev64q_u8,
    vsetq_lane_u32, vst1_u8, vst1q_u8, vst1q_u16, vst1q_u32, vsubq_u16, vsubq_u32, vuzp1q_u16, vuzp1q_u32,
    vuzp2q_u32, vzip1q_u64, vzip2q_u64,
};
use std::arch::asm;

use crate::frames::columns::FrameColumnsMut;
use crate::frames::simd::blocks::{Limits, in_blocks, offset_of};
use crate::frames::wraith::{FIRST_STREAM, HEADER_LENGTH, MAX_PAYLOAD};
use crate::frames::{Descriptor, Slab};
use crate::sizes::MAX_FRAME;

const ROWS: usize = 8;

/// From two vectors of four heads: eight types, eight flags.
const KINDS_AND_FLAGS: [u8; 16] = [0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29];

/// And eight stream ids, their bytes turned round.
const STREAMS: [u8; 16] = [3, 2, 7, 6, 11, 10, 15, 14, 19, 18, 23, 22, 27, 26, 31, 30];

/// From two vectors of four tails: eight payload lengths, their bytes turned round.
const PAYLOADS: [u8; 16] = [1, 0, 5, 4, 9, 8, 13, 12, 17, 16, 21, 20, 25, 24, 29, 28];

/// A bit for each byte of a vector of eight.
const BITS: [u8; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// As [`scalar::frames`](crate::frames::scalar).
#[target_feature(enable = "neon")]
pub(super) fn frames(slab: Slab<'_>, descriptors: &[Descriptor], columns: &mut FrameColumnsMut<'_>) -> usize {
    in_blocks::<ROWS>(slab, descriptors, columns, HEADER_LENGTH, |block, ahead, limits, columns, at| {
        // SAFETY: `in_blocks` gives limits of this slab, and rows that the columns have.
        unsafe { parse(slab.as_ptr(), block, ahead, limits, columns, at) }
    })
}

/// Parses one block; a bit for each row that may not be good.
///
/// # Safety
///
/// From `slab` on there are `limits.slab` bytes, of which `HEADER_LENGTH` lie behind `limits.last`; the columns have the rows
/// `at` to `at + ROWS`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn parse(
    slab: *const u8,
    block: &[Descriptor; ROWS],
    ahead: Option<&[Descriptor; ROWS]>,
    limits: Limits,
    columns: &mut FrameColumnsMut<'_>,
    at: usize,
) -> u32 {
    // SAFETY: a block is 64 bytes: twice four pairs of double words.
    let (low, high) = unsafe {
        let source = block.as_ptr().cast::<u32>();
        (vld2q_u32(source), vld2q_u32(source.add(8)))
    };
    if vmaxvq_u32(vmaxq_u32(low.0, high.0)) > limits.last {
        return (1 << ROWS) - 1;
    }
    if let Some(ahead) = ahead {
        for descriptor in ahead {
            prefetch(slab.wrapping_add(offset_of(descriptor)));
        }
    }

    let mut rows = [vdupq_n_u8(0); ROWS];
    let mut tails = [0; ROWS];
    for (row, descriptor) in block.iter().enumerate() {
        // SAFETY: no offset is beyond `last`, so bytes 8 to 28 of each row are in the slab.
        unsafe {
            let place = slab.add(offset_of(descriptor));
            rows[row] = vld1q_u8(place.add(8));
            tails[row] = place.add(24).cast::<u32>().read_unaligned();
        }
    }
    // The first eight bytes of each: type, flags, stream id and sequence. The others: the offset.
    let words =
        [first(rows[0], rows[1]), first(rows[2], rows[3]), first(rows[4], rows[5]), first(rows[6], rows[7])];
    let places = [
        second(rows[0], rows[1]),
        second(rows[2], rows[3]),
        second(rows[4], rows[5]),
        second(rows[6], rows[7]),
    ];
    let heads = uint8x16x2_t(
        vreinterpretq_u8_u32(vuzp1q_u32(double_words(words[0]), double_words(words[1]))),
        vreinterpretq_u8_u32(vuzp1q_u32(double_words(words[2]), double_words(words[3]))),
    );
    let sequences = [
        vuzp2q_u32(double_words(words[0]), double_words(words[1])),
        vuzp2q_u32(double_words(words[2]), double_words(words[3])),
    ];
    let tails = uint8x16x2_t(
        vreinterpretq_u8_u32(four(tails[0], tails[1], tails[2], tails[3])),
        vreinterpretq_u8_u32(four(tails[4], tails[5], tails[6], tails[7])),
    );
    // SAFETY: the tables are 16 and 8 bytes long.
    let (by_kind, by_stream, by_payload, bits) = unsafe {
        (
            vld1q_u8(KINDS_AND_FLAGS.as_ptr()),
            vld1q_u8(STREAMS.as_ptr()),
            vld1q_u8(PAYLOADS.as_ptr()),
            vld1_u8(BITS.as_ptr()),
        )
    };
    let kinds_and_flags = vqtbl2q_u8(heads, by_kind);
    let streams = vreinterpretq_u16_u8(vqtbl2q_u8(heads, by_stream));
    let payloads = vreinterpretq_u16_u8(vqtbl2q_u8(tails, by_payload));
    // The two bytes on top of each offset, which only 2^48 and what is above it use.
    let tops = vuzp1q_u16(
        vreinterpretq_u16_u32(vuzp1q_u32(double_words(places[0]), double_words(places[1]))),
        vreinterpretq_u16_u32(vuzp1q_u32(double_words(places[2]), double_words(places[3]))),
    );

    // In words that saturate: what does not fit is larger than any limit.
    let behind = vdupq_n_u32(limits.slab);
    let behind = saturated(vsubq_u32(behind, low.0), vsubq_u32(behind, high.0));
    let lengths = saturated(low.1, high.1);
    let most = vminq_u16(behind, vdupq_n_u16(MAX_FRAME as u16));
    let room = vminq_u16(lengths, vdupq_n_u16(HEADER_LENGTH as u16 + MAX_PAYLOAD));
    let one = vdupq_n_u16(1);
    let kinds = vmovl_u8(vget_low_u8(kinds_and_flags));
    let wrong = [
        vcgtq_u16(lengths, most),
        vcgtq_u16(vqaddq_u16(payloads, vdupq_n_u16(HEADER_LENGTH as u16)), room),
        vcgtq_u16(vsubq_u16(kinds, one), vdupq_n_u16(14)),
        vcltq_u16(vsubq_u16(streams, one), vdupq_n_u16(FIRST_STREAM - 1)),
        vcgtq_u16(tops, vdupq_n_u16(0)),
    ];
    let wrong = vorrq_u16(vorrq_u16(vorrq_u16(wrong[0], wrong[1]), vorrq_u16(wrong[2], wrong[3])), wrong[4]);

    let header = vdupq_n_u32(HEADER_LENGTH as u32);
    // SAFETY: the columns have eight rows from `at` on.
    unsafe {
        vst1_u8(columns.kind.as_mut_ptr().add(at), vget_low_u8(kinds_and_flags));
        vst1_u8(columns.flags.as_mut_ptr().add(at), vget_high_u8(kinds_and_flags));
        vst1_u8(columns.status.as_mut_ptr().add(at), vdup_n_u8(0));
        vst1q_u16(columns.stream.as_mut_ptr().add(at), streams);
        vst1q_u16(columns.payload_length.as_mut_ptr().add(at), payloads);
        for (offsets, sequences, row) in [(low.0, sequences[0], at), (high.0, sequences[1], at + 4)] {
            let sequences = vrev32q_u8(vreinterpretq_u8_u32(sequences));
            vst1q_u8(columns.sequence.as_mut_ptr().add(row).cast(), sequences);
            vst1q_u32(columns.payload_offset.as_mut_ptr().add(row), vaddq_u32(offsets, header));
        }
        for (pair, places) in places.into_iter().enumerate() {
            vst1q_u8(columns.offset.as_mut_ptr().add(at + 2 * pair).cast(), vrev64q_u8(places));
        }
    }
    u32::from(vaddv_u8(vand_u8(vmovn_u16(wrong), bits)))
}

/// Asks for a line of the cache. Any address is safe.
#[inline(always)]
fn prefetch(place: *const u8) {
    // SAFETY: a hint, which neither faults nor changes anything.
    unsafe { asm!("prfm pldl1keep, [{}]", in(reg) place, options(nostack, preserves_flags, readonly)) };
}

/// The lower quad words of both.
#[inline]
#[target_feature(enable = "neon")]
fn first(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
    vreinterpretq_u8_u64(vzip1q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)))
}

/// The upper quad words of both.
#[inline]
#[target_feature(enable = "neon")]
fn second(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
    vreinterpretq_u8_u64(vzip2q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)))
}

#[inline]
#[target_feature(enable = "neon")]
fn double_words(v: uint8x16_t) -> uint32x4_t {
    vreinterpretq_u32_u8(v)
}

/// Four double words as a vector.
#[inline]
#[target_feature(enable = "neon")]
fn four(a: u32, b: u32, c: u32, d: u32) -> uint32x4_t {
    vsetq_lane_u32::<3>(d, vsetq_lane_u32::<2>(c, vsetq_lane_u32::<1>(b, vdupq_n_u32(a))))
}

/// Double words as words; what does not fit is the largest.
#[inline]
#[target_feature(enable = "neon")]
fn saturated(a: uint32x4_t, b: uint32x4_t) -> uint16x8_t {
    vcombine_u16(vqmovn_u32(a), vqmovn_u32(b))
}
