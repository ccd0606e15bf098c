//! Frames by 256-bit vectors: 16 rows a block.
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

/// A bit for each row.
const ALL: u32 = (1 << ROWS) - 1;

/// As [`scalar::frames`](crate::frames::scalar).
#[target_feature(enable = "avx2")]
pub(super) fn frames(slab: Slab<'_>, descriptors: &[Descriptor], columns: &mut FrameColumnsMut<'_>) -> usize {
    in_blocks::<ROWS>(slab, descriptors, columns, OVER_READ, |block, ahead, limits, columns, at| {
        // SAFETY: `in_blocks` gives limits of this slab, and rows that the columns have.
        unsafe { parse(slab.as_ptr(), block, ahead, limits, columns, at) }
    })
}

/// Four rows, transposed.
struct Four {
    /// Types, flags and stream ids, as 4, 4 and 8 bytes; in the upper half the payload lengths as the last 8 bytes.
    heads: __m256i,
    /// The sequences as they are on the wire, in the lower half.
    sequences: __m256i,
    /// The offsets as they are on the wire.
    places: __m256i,
}

/// Parses one block; a bit for each row that may not be good.
///
/// # Safety
///
/// From `slab` on there are `limits.slab` bytes, of which `OVER_READ` lie behind `limits.last`; the columns have the rows
/// `at` to `at + ROWS`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn parse(
    slab: *const u8,
    block: &[Descriptor; ROWS],
    ahead: Option<&[Descriptor; ROWS]>,
    limits: Limits,
    columns: &mut FrameColumnsMut<'_>,
    at: usize,
) -> u32 {
    let source = block.as_ptr().cast::<__m256i>();
    // SAFETY: a block is 128 bytes: four vectors.
    let pairs = unsafe {
        [
            _mm256_loadu_si256(source),
            _mm256_loadu_si256(source.add(1)),
            _mm256_loadu_si256(source.add(2)),
            _mm256_loadu_si256(source.add(3)),
        ]
    };
    // Rows 0, 1, 4, 5, 2, 3, 6, 7; and eight more.
    let offsets = [evens(pairs[0], pairs[1]), evens(pairs[2], pairs[3])];
    let lengths = [odds(pairs[0], pairs[1]), odds(pairs[2], pairs[3])];
    let last = _mm256_set1_epi32(limits.last as i32);
    let highest = _mm256_max_epu32(_mm256_max_epu32(offsets[0], offsets[1]), last);
    if _mm256_movemask_epi8(_mm256_cmpeq_epi32(highest, last)) != -1 {
        return ALL;
    }
    if let Some(ahead) = ahead {
        for descriptor in ahead {
            _mm_prefetch::<_MM_HINT_T0>(slab.wrapping_add(offset_of(descriptor)).cast());
        }
    }

    let (fours, _) = block.as_chunks();
    // SAFETY: no offset is beyond `last`, so 32 bytes of each row are in the slab.
    let [r0, r4, r8, r12] = unsafe {
        [four(slab, &fours[0]), four(slab, &fours[1]), four(slab, &fours[2]), four(slab, &fours[3])]
    };
    let (low, high) = (_mm256_unpackhi_epi64(r0.heads, r4.heads), _mm256_unpackhi_epi64(r8.heads, r12.heads));
    let streams = _mm256_permute2x128_si256::<0x20>(low, high);
    let payloads = _mm256_permute2x128_si256::<0x31>(low, high);
    let low = _mm_unpacklo_epi32(_mm256_castsi256_si128(r0.heads), _mm256_castsi256_si128(r4.heads));
    let high = _mm_unpacklo_epi32(_mm256_castsi256_si128(r8.heads), _mm256_castsi256_si128(r12.heads));
    let (kinds, flags) = (_mm_unpacklo_epi64(low, high), _mm_unpackhi_epi64(low, high));

    // The length of each row, or 0 if it is none: then no payload fits. In words, and in the order of the rows.
    let lengths = [possible(offsets[0], lengths[0], limits), possible(offsets[1], lengths[1], limits)];
    let lengths = in_order32(_mm256_packus_epi32(lengths[0], lengths[1]));
    let room = _mm256_min_epu16(lengths, _mm256_set1_epi16((HEADER_LENGTH as u16 + MAX_PAYLOAD) as i16));
    let ends = _mm256_adds_epu16(payloads, _mm256_set1_epi16(HEADER_LENGTH as i16));
    let numbers = _mm256_add_epi16(streams, _mm256_set1_epi16(-1));
    // Terms that saturate: 0 where a limit is kept.
    let wrong = _mm256_or_si256(
        _mm256_subs_epu16(ends, room),
        _mm256_subs_epu16(_mm256_set1_epi16(FIRST_STREAM as i16 - 1), numbers),
    );
    let wrong = _mm_packs_epi16(
        _mm_cmpeq_epi16(_mm256_castsi256_si128(wrong), _mm_setzero_si128()),
        _mm_cmpeq_epi16(_mm256_extracti128_si256::<1>(wrong), _mm_setzero_si128()),
    );
    let kinds_wrong = _mm_subs_epu8(_mm_add_epi8(kinds, _mm_set1_epi8(-1)), _mm_set1_epi8(14));
    let good = _mm_and_si128(wrong, _mm_cmpeq_epi8(kinds_wrong, _mm_setzero_si128()));
    let mut suspects = !_mm_movemask_epi8(good) as u32 & ALL;
    // The two bytes on top of each offset, which only 2^48 and what is above it use: all rows are parsed again then.
    let places =
        _mm256_or_si256(_mm256_or_si256(r0.places, r4.places), _mm256_or_si256(r8.places, r12.places));
    if _mm256_testz_si256(places, _mm256_set1_epi64x(0xffff)) == 0 {
        suspects = ALL;
    }

    let header = _mm256_set1_epi32(HEADER_LENGTH as i32);
    // SAFETY: the columns have 16 rows from `at` on.
    unsafe {
        _mm_storeu_si128(columns.kind.as_mut_ptr().add(at).cast(), kinds);
        _mm_storeu_si128(columns.flags.as_mut_ptr().add(at).cast(), flags);
        _mm_storeu_si128(columns.status.as_mut_ptr().add(at).cast(), _mm_setzero_si128());
        _mm256_storeu_si256(columns.stream.as_mut_ptr().add(at).cast(), streams);
        _mm256_storeu_si256(columns.payload_length.as_mut_ptr().add(at).cast(), payloads);
        let (sequence, offset) = (columns.sequence.as_mut_ptr().add(at), columns.offset.as_mut_ptr().add(at));
        let payload_offset = columns.payload_offset.as_mut_ptr().add(at).cast::<__m256i>();
        let join = |a: &Four, b: &Four| _mm256_permute2x128_si256::<0x20>(a.sequences, b.sequences);
        _mm256_storeu_si256(sequence.cast(), swap32(join(&r0, &r4)));
        _mm256_storeu_si256(sequence.add(8).cast(), swap32(join(&r8, &r12)));
        _mm256_storeu_si256(payload_offset, _mm256_add_epi32(in_order64(offsets[0]), header));
        _mm256_storeu_si256(payload_offset.add(1), _mm256_add_epi32(in_order64(offsets[1]), header));
        _mm256_storeu_si256(offset.cast(), swap64(r0.places));
        _mm256_storeu_si256(offset.add(4).cast(), swap64(r4.places));
        _mm256_storeu_si256(offset.add(8).cast(), swap64(r8.places));
        _mm256_storeu_si256(offset.add(12).cast(), swap64(r12.places));
    }
    suspects
}

/// Reads four rows.
///
/// # Safety
///
/// 32 bytes of each are readable from `slab` on.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn four(slab: *const u8, rows: &[Descriptor; 4]) -> Four {
    // The quad words of a row: nonce; type, flags, stream id, sequence; offset; payload length.
    // SAFETY: the caller's promise.
    let row = |row: usize| unsafe { _mm256_loadu_si256(slab.add(offset_of(&rows[row])).cast()) };
    let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
    let (words, more) = (_mm256_unpackhi_epi64(r0, r1), _mm256_unpackhi_epi64(r2, r3));
    let (places, others) = (_mm256_unpacklo_epi64(r0, r1), _mm256_unpacklo_epi64(r2, r3));
    let split = _mm256_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 3, 2, 7, 6, 11, 10, 15, 14, // types, flags, stream ids
        -1, -1, -1, -1, -1, -1, -1, -1, 1, 0, 5, 4, 9, 8, 13, 12, // payload lengths
    );
    Four {
        heads: _mm256_shuffle_epi8(evens(words, more), split),
        sequences: odds(words, more),
        places: _mm256_permute2x128_si256::<0x31>(places, others),
    }
}

/// The lengths that are inside the slab and not above a frame's, the others as 0.
#[inline]
#[target_feature(enable = "avx2")]
fn possible(offsets: __m256i, lengths: __m256i, limits: Limits) -> __m256i {
    let behind = _mm256_sub_epi32(_mm256_set1_epi32(limits.slab as i32), offsets);
    let most = _mm256_min_epu32(behind, _mm256_set1_epi32(MAX_FRAME as i32));
    _mm256_and_si256(lengths, _mm256_cmpeq_epi32(_mm256_max_epu32(lengths, most), most))
}

/// The double words 0 and 2 of both, in each half.
#[inline]
#[target_feature(enable = "avx2")]
fn evens(a: __m256i, b: __m256i) -> __m256i {
    let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(a, b))
}

/// The double words 1 and 3 of both, in each half.
#[inline]
#[target_feature(enable = "avx2")]
fn odds(a: __m256i, b: __m256i) -> __m256i {
    let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(a, b))
}

/// Quad words 0, 2, 1, 3: undoes the order that comes of working in halves.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order64(v: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(v)
}

/// Double words 0, 4, 1, 5, 2, 6, 3, 7: the same for twice as many pieces.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order32(v: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

/// Turns the bytes of each double word round.
#[inline]
#[target_feature(enable = "avx2")]
fn swap32(v: __m256i) -> __m256i {
    _mm256_shuffle_epi8(v, twice(_mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12)))
}

/// Turns the bytes of each quad word round.
#[inline]
#[target_feature(enable = "avx2")]
fn swap64(v: __m256i) -> __m256i {
    _mm256_shuffle_epi8(v, twice(_mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8)))
}

/// The same in both halves.
#[inline]
#[target_feature(enable = "avx2")]
fn twice(v: __m128i) -> __m256i {
    _mm256_broadcastsi128_si256(v)
}
