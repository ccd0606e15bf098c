//! AVX2: eight rows a vector.
#![expect(unsafe_code, reason = "loads from packets and stores into columns go through pointers")]

use std::arch::x86_64::*;

use super::super::kernel::{CHUNK, PREFETCHED, Transports, fold_addresses, kernel};
use crate::frames::packet::columns::PacketColumnsMut;
use crate::frames::packet::{hash, scalar};
use crate::frames::{Descriptor, MAX_OVER_READ, Slab};

/// Rows of a vector.
const ROWS: usize = 8;
/// A bit for each of them.
const ALL: u64 = (1 << ROWS) - 1;
/// One `u32` a row.
type V = __m256i;
/// All ones or all zeros a row.
type M = __m256i;

kernel!("avx2");

#[target_feature(enable = "avx2")]
#[inline]
fn splat(value: u32) -> V {
    _mm256_set1_epi32(value as i32)
}

#[target_feature(enable = "avx2")]
#[inline]
fn add(a: V, b: V) -> V {
    _mm256_add_epi32(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn sub(a: V, b: V) -> V {
    _mm256_sub_epi32(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn multiply(a: V, b: V) -> V {
    _mm256_mullo_epi32(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn and(a: V, b: V) -> V {
    _mm256_and_si256(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor(a: V, b: V) -> V {
    _mm256_xor_si256(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn shift_left<const BITS: i32>(value: V) -> V {
    _mm256_slli_epi32::<BITS>(value)
}

#[target_feature(enable = "avx2")]
#[inline]
fn shift_right<const BITS: i32>(value: V) -> V {
    _mm256_srli_epi32::<BITS>(value)
}

#[target_feature(enable = "avx2")]
#[inline]
fn equal(a: V, b: V) -> M {
    _mm256_cmpeq_epi32(a, b)
}

/// Signed.
#[target_feature(enable = "avx2")]
#[inline]
fn greater(a: V, b: V) -> M {
    _mm256_cmpgt_epi32(a, b)
}

/// Unsigned.
#[target_feature(enable = "avx2")]
#[inline]
fn at_most(a: V, b: V) -> M {
    _mm256_cmpeq_epi32(_mm256_min_epu32(a, b), a)
}

#[target_feature(enable = "avx2")]
#[inline]
fn both(a: M, b: M) -> M {
    _mm256_and_si256(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn either(a: M, b: M) -> M {
    _mm256_or_si256(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn not(a: M) -> M {
    _mm256_xor_si256(a, _mm256_set1_epi32(-1))
}

#[target_feature(enable = "avx2")]
#[inline]
fn pick(mask: M, yes: V, no: V) -> V {
    _mm256_blendv_epi8(no, yes, mask)
}

#[target_feature(enable = "avx2")]
#[inline]
fn keep(mask: M, value: V) -> V {
    _mm256_and_si256(mask, value)
}

#[target_feature(enable = "avx2")]
#[inline]
fn keep_not(mask: M, value: V) -> V {
    _mm256_andnot_si256(mask, value)
}

/// The mask as one bit a row.
#[target_feature(enable = "avx2")]
#[inline]
fn bits(mask: M) -> u64 {
    u64::from(_mm256_movemask_ps(_mm256_castsi256_ps(mask)) as u32)
}

/// The mask of the lowest bits.
#[target_feature(enable = "avx2")]
#[inline]
fn mask(bits: u64) -> M {
    let each = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
    _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits as i32), each), each)
}

/// Reverses the bytes of each lane.
#[target_feature(enable = "avx2")]
#[inline]
fn swap(value: V) -> V {
    let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    _mm256_shuffle_epi8(value, _mm256_broadcastsi128_si256(order))
}

/// Reverses the bytes of each half of each lane.
#[target_feature(enable = "avx2")]
#[inline]
fn swap_halves(value: V) -> V {
    let order = _mm_set_epi8(14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1);
    _mm256_shuffle_epi8(value, _mm256_broadcastsi128_si256(order))
}

#[target_feature(enable = "avx2")]
#[inline]
#[allow(unused_unsafe, reason = "newer releases of Rust call it safe")]
fn ask_for(address: *const u8) {
    // SAFETY: a prefetch reads nothing; any address will do.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

/// Offsets and lengths of the first rows.
#[target_feature(enable = "avx2")]
#[inline]
fn load_descriptors(descriptors: &[Descriptor]) -> (V, V) {
    let rows = &descriptors[..ROWS];
    // SAFETY: there are eight descriptors, of two words each.
    let [a, b] = unsafe {
        let at = rows.as_ptr().cast::<__m256i>();
        [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))].map(|words| _mm256_castsi256_ps(words))
    };
    let offsets = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
    let lengths = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
    (_mm256_permute4x64_epi64::<0b11_01_10_00>(offsets), _mm256_permute4x64_epi64::<0b11_01_10_00>(lengths))
}

/// The 16 bytes at `base + starts[row]` of each row, as four vectors of one word a row.
///
/// # Safety
///
/// All of them are readable.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load_rows(base: *const u8, starts: &[u32; ROWS]) -> [V; 4] {
    // SAFETY: the caller says that they are readable.
    let row = |at: usize| unsafe { _mm_loadu_si128(base.wrapping_add(starts[at] as usize).cast()) };
    // Rows that are four apart share a vector, so that transposing within its halves brings them in order.
    let both = |at: usize| _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(at)), row(at + 4));
    let (a, b, c, d) = (both(0), both(1), both(2), both(3));
    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The 8 bytes at `base + starts[row]` of each row, as two vectors of one word a row.
///
/// # Safety
///
/// All of them are readable.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load_pairs(base: *const u8, starts: &[u32; ROWS]) -> [V; 2] {
    let pair = |at: usize| {
        // SAFETY: the caller says that they are readable.
        let [low, high] =
            [0, 1].map(|row| unsafe { _mm_loadl_epi64(base.wrapping_add(starts[at + row] as usize).cast()) });
        _mm_unpacklo_epi64(low, high)
    };
    let both = |at: usize| {
        _mm256_castsi256_ps(_mm256_inserti128_si256::<1>(_mm256_castsi128_si256(pair(at)), pair(at + 4)))
    };
    let (a, b) = (both(0), both(2));
    [
        _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(a, b)),
        _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(a, b)),
    ]
}

/// One word a row.
///
/// # Safety
///
/// As many are readable.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(words: *const u32) -> V {
    // SAFETY: the caller says that they are readable.
    unsafe { _mm256_loadu_si256(words.cast()) }
}

/// Stores one word a row.
///
/// # Safety
///
/// There is room for as many.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn store(words: *mut u32, value: V) {
    // SAFETY: the caller says that there is room.
    unsafe { _mm256_storeu_si256(words.cast(), value) }
}

/// Values below 65536, as `u16`.
#[target_feature(enable = "avx2")]
#[inline]
fn halves(value: V) -> __m128i {
    _mm_packus_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256::<1>(value))
}

/// Stores values below 65536 as `u16`.
///
/// # Safety
///
/// There is room for one a row.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn store16(out: *mut u16, value: V) {
    // SAFETY: the caller says that there is room.
    unsafe { _mm_storeu_si128(out.cast(), halves(value)) }
}

/// Stores values below 256 as `u8`.
///
/// # Safety
///
/// There is room for one a row.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn store8(out: *mut u8, value: V) {
    let halves = halves(value);
    // SAFETY: the caller says that there is room.
    unsafe { _mm_storel_epi64(out.cast(), _mm_packus_epi16(halves, halves)) }
}
