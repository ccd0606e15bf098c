//! SSE2: four rows a vector, with what later extensions do in one instruction put together from several.
#![expect(unsafe_code, reason = "loads from packets and stores into columns go through pointers")]

use std::arch::x86_64::*;

use super::super::kernel::{CHUNK, PREFETCHED, Transports, fold_addresses, kernel};
use crate::frames::packet::columns::PacketColumnsMut;
use crate::frames::packet::{hash, scalar};
use crate::frames::{Descriptor, MAX_OVER_READ, Slab};

/// Rows of a vector.
const ROWS: usize = 4;
/// A bit for each of them.
const ALL: u64 = (1 << ROWS) - 1;
/// One `u32` a row.
type V = __m128i;
/// All ones or all zeros a row.
type M = __m128i;

kernel!("sse2");

#[target_feature(enable = "sse2")]
#[inline]
fn splat(value: u32) -> V {
    _mm_set1_epi32(value as i32)
}

#[target_feature(enable = "sse2")]
#[inline]
fn add(a: V, b: V) -> V {
    _mm_add_epi32(a, b)
}

#[target_feature(enable = "sse2")]
#[inline]
fn sub(a: V, b: V) -> V {
    _mm_sub_epi32(a, b)
}

#[target_feature(enable = "sse2")]
#[inline]
fn multiply(a: V, b: V) -> V {
    let odd = _mm_mul_epu32(_mm_srli_epi64::<32>(a), _mm_srli_epi64::<32>(b));
    let [even, odd] = [_mm_mul_epu32(a, b), odd].map(|products| _mm_shuffle_epi32::<0b00_00_10_00>(products));
    _mm_unpacklo_epi32(even, odd)
}

#[target_feature(enable = "sse2")]
#[inline]
fn and(a: V, b: V) -> V {
    _mm_and_si128(a, b)
}

#[target_feature(enable = "sse2")]
#[inline]
fn xor(a: V, b: V) -> V {
    _mm_xor_si128(a, b)
}

#[target_feature(enable = "sse2")]
#[inline]
fn shift_left<const BITS: i32>(value: V) -> V {
    _mm_slli_epi32::<BITS>(value)
}

#[target_feature(enable = "sse2")]
#[inline]
fn shift_right<const BITS: i32>(value: V) -> V {
    _mm_srli_epi32::<BITS>(value)
}

#[target_feature(enable = "sse2")]
#[inline]
fn equal(a: V, b: V) -> M {
    _mm_cmpeq_epi32(a, b)
}

/// Signed.
#[target_feature(enable = "sse2")]
#[inline]
fn greater(a: V, b: V) -> M {
    _mm_cmpgt_epi32(a, b)
}

/// Unsigned.
#[target_feature(enable = "sse2")]
#[inline]
fn at_most(a: V, b: V) -> M {
    let signed = |value| _mm_xor_si128(value, _mm_set1_epi32(i32::MIN));
    not(greater(signed(a), signed(b)))
}

#[target_feature(enable = "sse2")]
#[inline]
fn both(a: M, b: M) -> M {
    _mm_and_si128(a, b)
}

#[target_feature(enable = "sse2")]
#[inline]
fn either(a: M, b: M) -> M {
    _mm_or_si128(a, b)
}

#[target_feature(enable = "sse2")]
#[inline]
fn not(a: M) -> M {
    _mm_xor_si128(a, _mm_set1_epi32(-1))
}

#[target_feature(enable = "sse2")]
#[inline]
fn pick(mask: M, yes: V, no: V) -> V {
    _mm_or_si128(_mm_and_si128(mask, yes), _mm_andnot_si128(mask, no))
}

#[target_feature(enable = "sse2")]
#[inline]
fn keep(mask: M, value: V) -> V {
    _mm_and_si128(mask, value)
}

#[target_feature(enable = "sse2")]
#[inline]
fn keep_not(mask: M, value: V) -> V {
    _mm_andnot_si128(mask, value)
}

/// The mask as one bit a row.
#[target_feature(enable = "sse2")]
#[inline]
fn bits(mask: M) -> u64 {
    _mm_movemask_ps(_mm_castsi128_ps(mask)) as u64
}

/// The mask of the lowest bits.
#[target_feature(enable = "sse2")]
#[inline]
fn mask(bits: u64) -> M {
    let each = _mm_set_epi32(8, 4, 2, 1);
    _mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32(bits as i32), each), each)
}

/// Reverses the bytes of each lane.
#[target_feature(enable = "sse2")]
#[inline]
fn swap(value: V) -> V {
    let halves = swap_halves(value);
    _mm_or_si128(_mm_slli_epi32::<16>(halves), _mm_srli_epi32::<16>(halves))
}

/// Reverses the bytes of each half of each lane.
#[target_feature(enable = "sse2")]
#[inline]
fn swap_halves(value: V) -> V {
    _mm_or_si128(_mm_slli_epi16::<8>(value), _mm_srli_epi16::<8>(value))
}

#[target_feature(enable = "sse2")]
#[inline]
#[allow(unused_unsafe, reason = "newer releases of Rust call it safe")]
fn ask_for(address: *const u8) {
    // SAFETY: a prefetch reads nothing; any address will do.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

/// Offsets and lengths of the first rows.
#[target_feature(enable = "sse2")]
#[inline]
fn load_descriptors(descriptors: &[Descriptor]) -> (V, V) {
    let rows = &descriptors[..ROWS];
    // SAFETY: there are four descriptors, of two words each.
    let [a, b] = unsafe {
        let at = rows.as_ptr().cast::<__m128i>();
        [_mm_loadu_si128(at), _mm_loadu_si128(at.add(1))].map(|words| _mm_castsi128_ps(words))
    };
    (
        _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(a, b)),
        _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(a, b)),
    )
}

/// The 16 bytes at `base + starts[row]` of each row, as four vectors of one word a row.
///
/// # Safety
///
/// All of them are readable.
#[target_feature(enable = "sse2")]
#[inline]
unsafe fn load_rows(base: *const u8, starts: &[u32; ROWS]) -> [V; 4] {
    // SAFETY: the caller says that they are readable.
    let row = |at: usize| unsafe { _mm_loadu_si128(base.wrapping_add(starts[at] as usize).cast()) };
    let (a, b, c, d) = (row(0), row(1), row(2), row(3));
    let (ab, cd) = (_mm_unpacklo_epi32(a, b), _mm_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm_unpackhi_epi32(a, b), _mm_unpackhi_epi32(c, d));
    [
        _mm_unpacklo_epi64(ab, cd),
        _mm_unpackhi_epi64(ab, cd),
        _mm_unpacklo_epi64(ab_high, cd_high),
        _mm_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The 8 bytes at `base + starts[row]` of each row, as two vectors of one word a row.
///
/// # Safety
///
/// All of them are readable.
#[target_feature(enable = "sse2")]
#[inline]
unsafe fn load_pairs(base: *const u8, starts: &[u32; ROWS]) -> [V; 2] {
    let pair = |at: usize| {
        // SAFETY: the caller says that they are readable.
        let [low, high] =
            [0, 1].map(|row| unsafe { _mm_loadl_epi64(base.wrapping_add(starts[at + row] as usize).cast()) });
        _mm_castsi128_ps(_mm_unpacklo_epi64(low, high))
    };
    let (a, b) = (pair(0), pair(2));
    [
        _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(a, b)),
        _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(a, b)),
    ]
}

/// One word a row.
///
/// # Safety
///
/// As many are readable.
#[target_feature(enable = "sse2")]
#[inline]
unsafe fn load(words: *const u32) -> V {
    // SAFETY: the caller says that they are readable.
    unsafe { _mm_loadu_si128(words.cast()) }
}

/// Stores one word a row.
///
/// # Safety
///
/// There is room for as many.
#[target_feature(enable = "sse2")]
#[inline]
unsafe fn store(words: *mut u32, value: V) {
    // SAFETY: the caller says that there is room.
    unsafe { _mm_storeu_si128(words.cast(), value) }
}

/// Stores values below 65536 as `u16`.
///
/// # Safety
///
/// There is room for one a row.
#[target_feature(enable = "sse2")]
#[inline]
unsafe fn store16(out: *mut u16, value: V) {
    // Packing saturates to signed values: those from 32768 on are made negative first.
    let signed = _mm_srai_epi32::<16>(_mm_slli_epi32::<16>(value));
    // SAFETY: the caller says that there is room.
    unsafe { _mm_storel_epi64(out.cast(), _mm_packs_epi32(signed, signed)) }
}

/// Stores values below 256 as `u8`.
///
/// # Safety
///
/// There is room for one a row.
#[target_feature(enable = "sse2")]
#[inline]
unsafe fn store8(out: *mut u8, value: V) {
    let halves = _mm_packs_epi32(value, value);
    let word = _mm_cvtsi128_si32(_mm_packus_epi16(halves, halves));
    // SAFETY: the caller says that there is room.
    unsafe { out.cast::<i32>().write_unaligned(word) }
}
