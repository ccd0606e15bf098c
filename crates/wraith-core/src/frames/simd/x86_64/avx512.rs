//! Frames by 512-bit vectors: 16 rows a block.
#![expect(unsafe_code, reason = "loads and stores of whole vectors")]

use std::arch::x86_64::*;

use crate::frames::columns::FrameColumnsMut;
use crate::frames::simd::blocks::{Limits, in_blocks, offset_of};
use crate::frames::wraith::{FIRST_STREAM, HEADER_LENGTH, MAX_PAYLOAD};
use crate::frames::{Descriptor, Slab};
use crate::sizes::MAX_FRAME;

const ROWS: usize = 16;

/// A row is read as 32 bytes.
const OVER_READ: usize = 32;

/// As [`scalar::frames`](crate::frames::scalar).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) fn frames(slab: Slab<'_>, descriptors: &[Descriptor], columns: &mut FrameColumnsMut<'_>) -> usize {
    in_blocks::<ROWS>(slab, descriptors, columns, OVER_READ, |block, ahead, limits, columns, at| {
        // SAFETY: `in_blocks` gives limits of this slab, and rows that the columns have.
        unsafe { parse(slab.as_ptr(), block, ahead, limits, columns, at) }
    })
}

/// Parses one block; a bit for each row that may not be good.
///
/// # Safety
///
/// From `slab` on there are `limits.slab` bytes, of which `OVER_READ` lie behind `limits.last`; the columns have the rows `at` to
/// `at + ROWS`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn parse(
    slab: *const u8,
    block: &[Descriptor; ROWS],
    ahead: Option<&[Descriptor; ROWS]>,
    limits: Limits,
    columns: &mut FrameColumnsMut<'_>,
    at: usize,
) -> u32 {
    // SAFETY: a block is 128 bytes: two vectors.
    let (low, high) = unsafe {
        let source = block.as_ptr().cast::<__m512i>();
        (_mm512_loadu_si512(source), _mm512_loadu_si512(source.add(1)))
    };
    let offsets = _mm512_permutex2var_epi32(low, every_second(0), high);
    let lengths = _mm512_permutex2var_epi32(low, every_second(1), high);
    if _mm512_cmpgt_epu32_mask(offsets, _mm512_set1_epi32(limits.last as i32)) != 0 {
        return 0xffff;
    }
    if let Some(ahead) = ahead {
        for descriptor in ahead {
            _mm_prefetch::<_MM_HINT_T0>(slab.wrapping_add(offset_of(descriptor)).cast());
        }
    }

    // Two rows a vector: their quad words are nonce; type, flags, stream id, sequence; offset; payload length.
    // SAFETY: no offset is beyond `last`, so 32 bytes of each row are in the slab.
    let pair = |row: usize| unsafe {
        let place = |row: usize| slab.add(offset_of(&block[row])).cast();
        let first = _mm512_castsi256_si512(_mm256_loadu_si256(place(row)));
        _mm512_inserti64x4::<1>(first, _mm256_loadu_si256(place(row + 1)))
    };
    let (p0, p1, p2, p3) = (pair(0), pair(2), pair(4), pair(6));
    let (p4, p5, p6, p7) = (pair(8), pair(10), pair(12), pair(14));
    // Four rows: their second quad words, then their third.
    let middle = _mm512_setr_epi64(1, 5, 9, 13, 2, 6, 10, 14);
    let q0 = _mm512_permutex2var_epi64(p0, middle, p1);
    let q1 = _mm512_permutex2var_epi64(p2, middle, p3);
    let q2 = _mm512_permutex2var_epi64(p4, middle, p5);
    let q3 = _mm512_permutex2var_epi64(p6, middle, p7);
    let words = (
        _mm512_inserti64x4::<1>(q0, _mm512_castsi512_si256(q1)),
        _mm512_inserti64x4::<1>(q2, _mm512_castsi512_si256(q3)),
    );
    let places =
        (_mm512_shuffle_i64x2::<0b11_10_11_10>(q0, q1), _mm512_shuffle_i64x2::<0b11_10_11_10>(q2, q3));
    let sequences = swap32(_mm512_permutex2var_epi32(words.0, every_second(1), words.1));
    let heads = _mm512_permutex2var_epi32(words.0, every_second(0), words.1);
    // Of each four rows: types, flags and stream ids, as 4, 4 and 8 bytes. Then types, flags, and stream ids of all.
    let split = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 3, 2, 7, 6, 11, 10, 15, 14);
    let heads = _mm512_shuffle_epi8(heads, _mm512_broadcast_i32x4(split));
    let collected = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    let heads = _mm512_permutexvar_epi32(collected, heads);
    let kinds = _mm512_castsi512_si128(heads);
    let streams = _mm512_extracti64x4_epi64::<1>(heads);
    // The payload lengths of four rows, and of eight; in the second and in the fourth quarter.
    let (t0, t1) = (_mm512_unpackhi_epi32(p0, p1), _mm512_unpackhi_epi32(p2, p3));
    let (t2, t3) = (_mm512_unpackhi_epi32(p4, p5), _mm512_unpackhi_epi32(p6, p7));
    let (t0, t1) = (_mm512_unpacklo_epi64(t0, t1), _mm512_unpacklo_epi64(t2, t3));
    // As words: rows 0, 2, 4, 6 are 8, 10, 12, 14; rows 1, 3, 5, 7 are 24 and so on; of the other vector 32 more.
    let tails = _mm512_castsi256_si512(_mm256_setr_epi16(
        8, 24, 10, 26, 12, 28, 14, 30, 40, 56, 42, 58, 44, 60, 46, 62,
    ));
    let payloads = swap16(_mm512_castsi512_si256(_mm512_permutex2var_epi16(t0, tails, t1)));

    let behind = _mm512_sub_epi32(_mm512_set1_epi32(limits.slab as i32), offsets);
    let most = _mm512_min_epu32(behind, _mm512_set1_epi32(MAX_FRAME as i32));
    let room = _mm512_min_epu32(lengths, _mm512_set1_epi32(HEADER_LENGTH as i32 + i32::from(MAX_PAYLOAD)));
    let ends = _mm512_add_epi32(_mm512_cvtepu16_epi32(payloads), _mm512_set1_epi32(HEADER_LENGTH as i32));
    let numbers = _mm256_add_epi16(streams, _mm256_set1_epi16(-1));
    let good = _mm512_cmple_epu32_mask(lengths, most);
    let good = _mm512_mask_cmple_epu32_mask(good, ends, room);
    let good = _mm256_mask_cmpge_epu16_mask(good, numbers, _mm256_set1_epi16(FIRST_STREAM as i16 - 1));
    let good = _mm_mask_cmple_epu8_mask(good, _mm_add_epi8(kinds, _mm_set1_epi8(-1)), _mm_set1_epi8(14));
    // The two bytes on top of each offset, which only 2^48 and what is above it use.
    let top = _mm512_set1_epi64(0xffff);
    let large = (_mm512_test_epi64_mask(places.0, top), _mm512_test_epi64_mask(places.1, top));
    let large = u32::from(large.0) | u32::from(large.1) << 8;

    // SAFETY: the columns have 16 rows from `at` on.
    unsafe {
        _mm_storeu_si128(columns.kind.as_mut_ptr().add(at).cast(), kinds);
        _mm_storeu_si128(columns.flags.as_mut_ptr().add(at).cast(), _mm512_extracti32x4_epi32::<1>(heads));
        _mm_storeu_si128(columns.status.as_mut_ptr().add(at).cast(), _mm_setzero_si128());
        _mm256_storeu_si256(columns.stream.as_mut_ptr().add(at).cast(), streams);
        _mm256_storeu_si256(columns.payload_length.as_mut_ptr().add(at).cast(), payloads);
        _mm512_storeu_si512(columns.sequence.as_mut_ptr().add(at).cast(), sequences);
        let payload_offsets = _mm512_add_epi32(offsets, _mm512_set1_epi32(HEADER_LENGTH as i32));
        _mm512_storeu_si512(columns.payload_offset.as_mut_ptr().add(at).cast(), payload_offsets);
        let offset = columns.offset.as_mut_ptr().add(at).cast::<__m512i>();
        _mm512_storeu_si512(offset, swap64(places.0));
        _mm512_storeu_si512(offset.add(1), swap64(places.1));
    }
    (u32::from(!good) | large) & 0xffff
}

/// Places 0, 2, 4 … of two vectors of double words, or with `first` 1 places 1, 3, 5 ….
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn every_second(first: i32) -> __m512i {
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    _mm512_add_epi32(even, _mm512_set1_epi32(first))
}

/// Turns the bytes of each word round.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn swap16(v: __m256i) -> __m256i {
    let order = _mm_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(order))
}

/// Turns the bytes of each double word round.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn swap32(v: __m512i) -> __m512i {
    let order = _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
    _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(order))
}

/// Turns the bytes of each quad word round.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn swap64(v: __m512i) -> __m512i {
    let order = _mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8);
    _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(order))
}
