//! NEON: four rows a vector.
#![expect(unsafe_code, reason = "loads from packets and stores into columns go through pointers")]

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::kernel::{CHUNK, PREFETCHED, Transports, fold_addresses, kernel};
use crate::frames::packet::columns::PacketColumnsMut;
use crate::frames::packet::{hash, scalar};
use crate::frames::{Descriptor, MAX_OVER_READ, Slab};

/// Rows of a vector.
const ROWS: usize = 4;
/// A bit for each of them.
const ALL: u64 = (1 << ROWS) - 1;
/// One `u32` a row.
type V = uint32x4_t;
/// All ones or all zeros a row.
type M = uint32x4_t;

kernel!("neon");

#[target_feature(enable = "neon")]
#[inline]
fn splat(value: u32) -> V {
    vdupq_n_u32(value)
}

#[target_feature(enable = "neon")]
#[inline]
fn add(a: V, b: V) -> V {
    vaddq_u32(a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn sub(a: V, b: V) -> V {
    vsubq_u32(a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn multiply(a: V, b: V) -> V {
    vmulq_u32(a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn and(a: V, b: V) -> V {
    vandq_u32(a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn xor(a: V, b: V) -> V {
    veorq_u32(a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn shift_left<const BITS: i32>(value: V) -> V {
    vshlq_n_u32::<BITS>(value)
}

#[target_feature(enable = "neon")]
#[inline]
fn shift_right<const BITS: i32>(value: V) -> V {
    vshrq_n_u32::<BITS>(value)
}

#[target_feature(enable = "neon")]
#[inline]
fn equal(a: V, b: V) -> M {
    vceqq_u32(a, b)
}

/// Signed.
#[target_feature(enable = "neon")]
#[inline]
fn greater(a: V, b: V) -> M {
    vcgtq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b))
}

/// Unsigned.
#[target_feature(enable = "neon")]
#[inline]
fn at_most(a: V, b: V) -> M {
    vcleq_u32(a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn both(a: M, b: M) -> M {
    vandq_u32(a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn either(a: M, b: M) -> M {
    vorrq_u32(a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn not(a: M) -> M {
    vmvnq_u32(a)
}

#[target_feature(enable = "neon")]
#[inline]
fn pick(mask: M, yes: V, no: V) -> V {
    vbslq_u32(mask, yes, no)
}

#[target_feature(enable = "neon")]
#[inline]
fn keep(mask: M, value: V) -> V {
    vandq_u32(mask, value)
}

#[target_feature(enable = "neon")]
#[inline]
fn keep_not(mask: M, value: V) -> V {
    vbicq_u32(value, mask)
}

/// The bit of each row.
#[target_feature(enable = "neon")]
#[inline]
fn each_bit() -> V {
    vcombine_u32(vcreate_u32(2 << 32 | 1), vcreate_u32(8 << 32 | 4))
}

/// The mask as one bit a row.
#[target_feature(enable = "neon")]
#[inline]
fn bits(mask: M) -> u64 {
    u64::from(vaddvq_u32(vandq_u32(mask, each_bit())))
}

/// The mask of the lowest bits.
#[target_feature(enable = "neon")]
#[inline]
fn mask(bits: u64) -> M {
    vtstq_u32(vdupq_n_u32(bits as u32), each_bit())
}

/// Reverses the bytes of each lane.
#[target_feature(enable = "neon")]
#[inline]
fn swap(value: V) -> V {
    vreinterpretq_u32_u8(vrev32q_u8(vreinterpretq_u8_u32(value)))
}

/// Reverses the bytes of each half of each lane.
#[target_feature(enable = "neon")]
#[inline]
fn swap_halves(value: V) -> V {
    vreinterpretq_u32_u8(vrev16q_u8(vreinterpretq_u8_u32(value)))
}

#[target_feature(enable = "neon")]
#[inline]
fn ask_for(address: *const u8) {
    // SAFETY: a prefetch reads nothing and changes no register; any address will do.
    unsafe { asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly)) }
}

/// Offsets and lengths of the first rows.
#[target_feature(enable = "neon")]
#[inline]
fn load_descriptors(descriptors: &[Descriptor]) -> (V, V) {
    let rows = &descriptors[..ROWS];
    // SAFETY: there are four descriptors, of two words each.
    let words = unsafe { vld2q_u32(rows.as_ptr().cast()) };
    (words.0, words.1)
}

/// The 16 bytes at `base + starts[row]` of each row, as four vectors of one word a row.
///
/// # Safety
///
/// All of them are readable.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn load_rows(base: *const u8, starts: &[u32; ROWS]) -> [V; 4] {
    let row = |at: usize| {
        // SAFETY: the caller says that they are readable.
        vreinterpretq_u32_u8(unsafe { vld1q_u8(base.wrapping_add(starts[at] as usize)) })
    };
    let join = |low, high| (vreinterpretq_u64_u32(low), vreinterpretq_u64_u32(high));
    let (a, b, c, d) = (row(0), row(1), row(2), row(3));
    let (first, second) = join(vzip1q_u32(a, b), vzip1q_u32(c, d));
    let (third, fourth) = join(vzip2q_u32(a, b), vzip2q_u32(c, d));
    [
        vreinterpretq_u32_u64(vzip1q_u64(first, second)),
        vreinterpretq_u32_u64(vzip2q_u64(first, second)),
        vreinterpretq_u32_u64(vzip1q_u64(third, fourth)),
        vreinterpretq_u32_u64(vzip2q_u64(third, fourth)),
    ]
}

/// The 8 bytes at `base + starts[row]` of each row, as two vectors of one word a row.
///
/// # Safety
///
/// All of them are readable.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn load_pairs(base: *const u8, starts: &[u32; ROWS]) -> [V; 2] {
    let row = |at: usize| {
        // SAFETY: the caller says that they are readable.
        vreinterpret_u32_u8(unsafe { vld1_u8(base.wrapping_add(starts[at] as usize)) })
    };
    let (a, b) = (vcombine_u32(row(0), row(1)), vcombine_u32(row(2), row(3)));
    [vuzp1q_u32(a, b), vuzp2q_u32(a, b)]
}

/// One word a row.
///
/// # Safety
///
/// As many are readable.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn load(words: *const u32) -> V {
    // SAFETY: the caller says that they are readable.
    unsafe { vld1q_u32(words) }
}

/// Stores one word a row.
///
/// # Safety
///
/// There is room for as many.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn store(words: *mut u32, value: V) {
    // SAFETY: the caller says that there is room.
    unsafe { vst1q_u32(words, value) }
}

/// Stores values below 65536 as `u16`.
///
/// # Safety
///
/// There is room for one a row.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn store16(out: *mut u16, value: V) {
    // SAFETY: the caller says that there is room.
    unsafe { vst1_u16(out, vmovn_u32(value)) }
}

/// Stores values below 256 as `u8`.
///
/// # Safety
///
/// There is room for one a row.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn store8(out: *mut u8, value: V) {
    let halves = vmovn_u32(value);
    let bytes = vreinterpret_u32_u8(vmovn_u16(vcombine_u16(halves, halves)));
    // SAFETY: the caller says that there is room.
    unsafe { out.cast::<u32>().write_unaligned(vget_lane_u32::<0>(bytes)) }
}
