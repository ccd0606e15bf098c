//! AVX-512 (F, BW, VL, DQ): sixteen rows a vector.
#![expect(unsafe_code, reason = "loads from packets and stores into columns go through pointers")]

use std::arch::x86_64::*;

use super::super::kernel::{CHUNK, PREFETCHED, Transports, fold_addresses, kernel};
use crate::frames::packet::columns::PacketColumnsMut;
use crate::frames::packet::{hash, scalar};
use crate::frames::{Descriptor, MAX_OVER_READ, Slab};

/// Rows of a vector.
const ROWS: usize = 16;
/// A bit for each of them.
const ALL: u64 = (1 << ROWS) - 1;
/// One `u32` a row.
type V = __m512i;
/// A bit a row.
type M = __mmask16;

kernel!("avx512f,avx512bw,avx512vl,avx512dq");

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn splat(value: u32) -> V {
    _mm512_set1_epi32(value as i32)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn add(a: V, b: V) -> V {
    _mm512_add_epi32(a, b)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn sub(a: V, b: V) -> V {
    _mm512_sub_epi32(a, b)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn multiply(a: V, b: V) -> V {
    _mm512_mullo_epi32(a, b)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn and(a: V, b: V) -> V {
    _mm512_and_si512(a, b)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn xor(a: V, b: V) -> V {
    _mm512_xor_si512(a, b)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn shift_left<const BITS: u32>(value: V) -> V {
    _mm512_slli_epi32::<BITS>(value)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn shift_right<const BITS: u32>(value: V) -> V {
    _mm512_srli_epi32::<BITS>(value)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn equal(a: V, b: V) -> M {
    _mm512_cmpeq_epi32_mask(a, b)
}

/// Signed.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn greater(a: V, b: V) -> M {
    _mm512_cmpgt_epi32_mask(a, b)
}

/// Unsigned.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn at_most(a: V, b: V) -> M {
    _mm512_cmple_epu32_mask(a, b)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn both(a: M, b: M) -> M {
    a & b
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn either(a: M, b: M) -> M {
    a | b
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn not(a: M) -> M {
    !a
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn pick(mask: M, yes: V, no: V) -> V {
    _mm512_mask_blend_epi32(mask, no, yes)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn keep(mask: M, value: V) -> V {
    _mm512_maskz_mov_epi32(mask, value)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn keep_not(mask: M, value: V) -> V {
    _mm512_maskz_mov_epi32(!mask, value)
}

/// The mask as one bit a row.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn bits(mask: M) -> u64 {
    u64::from(mask)
}

/// The mask of the lowest bits.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn mask(bits: u64) -> M {
    bits as M
}

/// Reverses the bytes of each lane.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn swap(value: V) -> V {
    let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    _mm512_shuffle_epi8(value, _mm512_broadcast_i32x4(order))
}

/// Reverses the bytes of each half of each lane.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn swap_halves(value: V) -> V {
    let order = _mm_set_epi8(14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1);
    _mm512_shuffle_epi8(value, _mm512_broadcast_i32x4(order))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
#[allow(unused_unsafe, reason = "newer releases of Rust call it safe")]
fn ask_for(address: *const u8) {
    // SAFETY: a prefetch reads nothing; any address will do.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

/// Offsets and lengths of the first rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn load_descriptors(descriptors: &[Descriptor]) -> (V, V) {
    let rows = &descriptors[..ROWS];
    // SAFETY: there are sixteen descriptors, of two words each.
    let [a, b] = unsafe {
        let at = rows.as_ptr().cast::<__m512i>();
        [_mm512_loadu_si512(at), _mm512_loadu_si512(at.add(1))]
    };
    let even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    let odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
    (_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b))
}

/// Four quarters as one vector.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn join(quarters: [__m128i; 4]) -> V {
    let [a, b, c, d] = quarters;
    let ab = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
    _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(ab, c), d)
}

/// The 16 bytes at `base + starts[row]` of each row, as four vectors of one word a row.
///
/// # Safety
///
/// All of them are readable.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
unsafe fn load_rows(base: *const u8, starts: &[u32; ROWS]) -> [V; 4] {
    // SAFETY: the caller says that they are readable.
    let row = |at: usize| unsafe { _mm_loadu_si128(base.wrapping_add(starts[at] as usize).cast()) };
    // Rows that are four apart share a vector, so that transposing within its quarters brings them in order.
    let all = |at: usize| join([row(at), row(at + 4), row(at + 8), row(at + 12)]);
    let (a, b, c, d) = (all(0), all(1), all(2), all(3));
    let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab, cd),
        _mm512_unpackhi_epi64(ab, cd),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The 8 bytes at `base + starts[row]` of each row, as two vectors of one word a row.
///
/// # Safety
///
/// All of them are readable.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
unsafe fn load_pairs(base: *const u8, starts: &[u32; ROWS]) -> [V; 2] {
    let pair = |at: usize| {
        // SAFETY: the caller says that they are readable.
        let [low, high] =
            [0, 1].map(|row| unsafe { _mm_loadl_epi64(base.wrapping_add(starts[at + row] as usize).cast()) });
        _mm_unpacklo_epi64(low, high)
    };
    let all = |at: usize| _mm512_castsi512_ps(join([pair(at), pair(at + 4), pair(at + 8), pair(at + 12)]));
    let (a, b) = (all(0), all(2));
    [
        _mm512_castps_si512(_mm512_shuffle_ps::<0b10_00_10_00>(a, b)),
        _mm512_castps_si512(_mm512_shuffle_ps::<0b11_01_11_01>(a, b)),
    ]
}

/// One word a row.
///
/// # Safety
///
/// As many are readable.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
unsafe fn load(words: *const u32) -> V {
    // SAFETY: the caller says that they are readable.
    unsafe { _mm512_loadu_si512(words.cast()) }
}

/// Stores one word a row.
///
/// # Safety
///
/// There is room for as many.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
unsafe fn store(words: *mut u32, value: V) {
    // SAFETY: the caller says that there is room.
    unsafe { _mm512_storeu_si512(words.cast(), value) }
}

/// Stores values below 65536 as `u16`.
///
/// # Safety
///
/// There is room for one a row.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
unsafe fn store16(out: *mut u16, value: V) {
    // SAFETY: the caller says that there is room.
    unsafe { _mm256_storeu_si256(out.cast(), _mm512_cvtepi32_epi16(value)) }
}

/// Stores values below 256 as `u8`.
///
/// # Safety
///
/// There is room for one a row.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
unsafe fn store8(out: *mut u8, value: V) {
    // SAFETY: the caller says that there is room.
    unsafe { _mm_storeu_si128(out.cast(), _mm512_cvtepi32_epi8(value)) }
}
