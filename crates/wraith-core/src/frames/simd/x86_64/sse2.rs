//! Frames by 128-bit vectors without byte shuffles: 8 rows a block.
#![expect(unsafe_code, reason = "loads and stores of whole vectors")]

use std::arch::x86_64::{
    __m128i, _MM_HINT_T0, _mm_add_epi16, _mm_add_epi32, _mm_and_si128, _mm_castps_si128, _mm_castsi128_ps,
    _mm_cmpeq_epi16, _mm_cmpgt_epi32, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128,
    _mm_packs_epi16, _mm_packs_epi32, _mm_packus_epi16, _mm_prefetch, _mm_set1_epi16, _mm_set1_epi32,
    _mm_setzero_si128, _mm_shuffle_ps, _mm_shufflehi_epi16, _mm_shufflelo_epi16, _mm_slli_epi16,
    _mm_slli_epi32, _mm_srai_epi32, _mm_srli_epi16, _mm_storel_epi64, _mm_storeu_si128, _mm_sub_epi32,
    _mm_subs_epu16, _mm_unpackhi_epi64, _mm_unpacklo_epi32, _mm_unpacklo_epi64, _mm_xor_si128,
};

use crate::frames::columns::FrameColumnsMut;
use crate::frames::simd::blocks::{Limits, in_blocks, offset_of};
use crate::frames::wraith::{FIRST_STREAM, HEADER_LENGTH, MAX_PAYLOAD};
use crate::frames::{Descriptor, Slab};
use crate::sizes::MAX_FRAME;

const ROWS: usize = 8;

/// As [`scalar::frames`](crate::frames::scalar).
#[target_feature(enable = "sse2")]
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
#[target_feature(enable = "sse2")]
unsafe fn parse(
    slab: *const u8,
    block: &[Descriptor; ROWS],
    ahead: Option<&[Descriptor; ROWS]>,
    limits: Limits,
    columns: &mut FrameColumnsMut<'_>,
    at: usize,
) -> u32 {
    let source = block.as_ptr().cast::<__m128i>();
    // SAFETY: a block is 64 bytes: four vectors.
    let pairs = unsafe { [0, 1, 2, 3].map(|pair| _mm_loadu_si128(source.add(pair))) };
    let (offsets, lengths) = (
        [evens(pairs[0], pairs[1]), evens(pairs[2], pairs[3])],
        [odds(pairs[0], pairs[1]), odds(pairs[2], pairs[3])],
    );
    // Unsigned, by an instruction that compares signed.
    let sign = _mm_set1_epi32(i32::MIN);
    let last = _mm_xor_si128(_mm_set1_epi32(limits.last as i32), sign);
    let beyond = offsets.map(|offsets| _mm_cmpgt_epi32(_mm_xor_si128(offsets, sign), last));
    if _mm_movemask_epi8(_mm_or_si128(beyond[0], beyond[1])) != 0 {
        return (1 << ROWS) - 1;
    }
    if let Some(ahead) = ahead {
        for descriptor in ahead {
            _mm_prefetch::<_MM_HINT_T0>(slab.wrapping_add(offset_of(descriptor)).cast());
        }
    }

    let mut rows = [_mm_setzero_si128(); ROWS];
    let mut tails = [_mm_setzero_si128(); ROWS];
    for (row, descriptor) in block.iter().enumerate() {
        // SAFETY: no offset is beyond `last`, so bytes 8 to 28 of each row are in the slab.
        unsafe {
            let place = slab.add(offset_of(descriptor));
            rows[row] = _mm_loadu_si128(place.add(8).cast());
            tails[row] = _mm_cvtsi32_si128(place.add(24).cast::<i32>().read_unaligned());
        }
    }
    let pairs = [0, 2, 4, 6];
    // The first eight bytes of each: type, flags, stream id and sequence. The others: the offset.
    let words = pairs.map(|row| _mm_unpacklo_epi64(rows[row], rows[row + 1]));
    let places = pairs.map(|row| _mm_unpackhi_epi64(rows[row], rows[row + 1]));
    let heads = [evens(words[0], words[1]), evens(words[2], words[3])];
    let sequences = [odds(words[0], words[1]), odds(words[2], words[3])];
    let kinds_and_flags = low_words(heads[0], heads[1]);
    let kinds = _mm_and_si128(kinds_and_flags, _mm_set1_epi16(0xff));
    let flags = _mm_srli_epi16::<8>(kinds_and_flags);
    let streams = swap16(high_words(heads[0], heads[1]));
    let tails = pairs.map(|row| _mm_unpacklo_epi32(tails[row], tails[row + 1]));
    let payloads = [_mm_unpacklo_epi64(tails[0], tails[1]), _mm_unpacklo_epi64(tails[2], tails[3])];
    let payloads = swap16(low_words(payloads[0], payloads[1]));

    // In words that saturate: a term is 0 where a limit is kept. What does not fit into 15 bits is larger than any limit, also
    // when it is taken for a negative number, which saturates to 0x8000.
    let slab_length = _mm_set1_epi32(limits.slab as i32);
    let behind = offsets.map(|offsets| _mm_sub_epi32(slab_length, offsets));
    let behind = _mm_packs_epi32(behind[0], behind[1]);
    let lengths = _mm_packs_epi32(lengths[0], lengths[1]);
    let header = _mm_set1_epi16(HEADER_LENGTH as i16);
    let one = _mm_set1_epi16(-1);
    let terms = [
        _mm_subs_epu16(lengths, behind),
        _mm_subs_epu16(lengths, _mm_set1_epi16(MAX_FRAME as i16)),
        _mm_subs_epu16(payloads, _mm_set1_epi16(MAX_PAYLOAD as i16)),
        _mm_subs_epu16(_mm_add_epi16(payloads, header), lengths),
        _mm_subs_epu16(_mm_add_epi16(kinds, one), _mm_set1_epi16(14)),
        _mm_subs_epu16(_mm_set1_epi16(FIRST_STREAM as i16 - 1), _mm_add_epi16(streams, one)),
        // The two bytes on top of each offset, which only 2^48 and what is above it use.
        high_parts(places),
    ];
    let wrong = terms.into_iter().fold(_mm_setzero_si128(), |all, term| _mm_or_si128(all, term));
    let good = _mm_cmpeq_epi16(wrong, _mm_setzero_si128());

    let payload_offsets = offsets.map(|offsets| _mm_add_epi32(offsets, _mm_set1_epi32(HEADER_LENGTH as i32)));
    // SAFETY: the columns have eight rows from `at` on.
    unsafe {
        _mm_storel_epi64(columns.kind.as_mut_ptr().add(at).cast(), _mm_packus_epi16(kinds, kinds));
        _mm_storel_epi64(columns.flags.as_mut_ptr().add(at).cast(), _mm_packus_epi16(flags, flags));
        _mm_storel_epi64(columns.status.as_mut_ptr().add(at).cast(), _mm_setzero_si128());
        _mm_storeu_si128(columns.stream.as_mut_ptr().add(at).cast(), streams);
        _mm_storeu_si128(columns.payload_length.as_mut_ptr().add(at).cast(), payloads);
        for (half, row) in [(0, at), (1, at + 4)] {
            _mm_storeu_si128(columns.sequence.as_mut_ptr().add(row).cast(), swap32(sequences[half]));
            _mm_storeu_si128(columns.payload_offset.as_mut_ptr().add(row).cast(), payload_offsets[half]);
        }
        for (pair, places) in places.into_iter().enumerate() {
            _mm_storeu_si128(columns.offset.as_mut_ptr().add(at + 2 * pair).cast(), swap64(places));
        }
    }
    !(_mm_movemask_epi8(_mm_packs_epi16(good, good)) as u32) & ((1 << ROWS) - 1)
}

/// The double words 0 and 2 of both.
#[inline]
#[target_feature(enable = "sse2")]
fn evens(a: __m128i, b: __m128i) -> __m128i {
    _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(_mm_castsi128_ps(a), _mm_castsi128_ps(b)))
}

/// The double words 1 and 3 of both.
#[inline]
#[target_feature(enable = "sse2")]
fn odds(a: __m128i, b: __m128i) -> __m128i {
    _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(_mm_castsi128_ps(a), _mm_castsi128_ps(b)))
}

/// The lower word of each double word.
#[inline]
#[target_feature(enable = "sse2")]
fn low_words(a: __m128i, b: __m128i) -> __m128i {
    high_words(_mm_slli_epi32::<16>(a), _mm_slli_epi32::<16>(b))
}

/// The upper word of each double word: with its sign, so that it is packed as it is.
#[inline]
#[target_feature(enable = "sse2")]
fn high_words(a: __m128i, b: __m128i) -> __m128i {
    _mm_packs_epi32(_mm_srai_epi32::<16>(a), _mm_srai_epi32::<16>(b))
}

/// The lowest word of each of eight quad words.
#[inline]
#[target_feature(enable = "sse2")]
fn high_parts(places: [__m128i; 4]) -> __m128i {
    low_words(evens(places[0], places[1]), evens(places[2], places[3]))
}

/// Turns the bytes of each word round.
#[inline]
#[target_feature(enable = "sse2")]
fn swap16(v: __m128i) -> __m128i {
    _mm_or_si128(_mm_slli_epi16::<8>(v), _mm_srli_epi16::<8>(v))
}

/// Turns the bytes of each double word round.
#[inline]
#[target_feature(enable = "sse2")]
fn swap32(v: __m128i) -> __m128i {
    _mm_shufflehi_epi16::<0b10_11_00_01>(_mm_shufflelo_epi16::<0b10_11_00_01>(swap16(v)))
}

/// Turns the bytes of each quad word round.
#[inline]
#[target_feature(enable = "sse2")]
fn swap64(v: __m128i) -> __m128i {
    _mm_shufflehi_epi16::<0b00_01_10_11>(_mm_shufflelo_epi16::<0b00_01_10_11>(swap16(v)))
}
