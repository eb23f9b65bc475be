//! The packed linears with 256-bit registers, fused multiply-add and half-float
//! conversions: no byte products, so exact ones are put together.
//!
//! A group is two halves of eight rows. q8_0: bytes and activations are split
//! into even and odd elements of 16 bits, whose pairwise products add up without
//! saturation. q4_0: sums of 15 * 127 for all 16 pairs of a block fit 16 bits.
//! bf16: a product is exact in f32, so fusing rounds as the sum alone would.
//! Activations are split once for a block and all groups of a tile.

use super::super::activations::BLOCK_WORDS;
use super::super::packed::{GROUP_ROWS, PackedFormat, SCALES_BYTES, VECTOR_BYTES};
use super::{Output, Place, Tile};
use std::arch::x86_64::{
    __m256, __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256,
    _mm256_castsi256_ps, _mm256_cmpgt_epi32, _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_maskstore_ps,
    _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setr_epi32, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_slli_epi16,
    _mm256_slli_epi32, _mm256_srai_epi16, _mm256_srli_epi16, _mm256_storeu_si256,
};

/// Words of one row that are split at once: a block of bytes, half a chunk of
/// brain floats.
const SPLIT_WORDS: usize = 8;
/// Bytes of half a vector: four for each of eight rows.
const HALF_BYTES: usize = VECTOR_BYTES / 2;
/// Rows of half a group.
const HALF_ROWS: usize = GROUP_ROWS / 2;

/// One register for each half of `G` groups and each of `R` rows.
type Registers<T, const R: usize, const G: usize> = [[[T; 2]; G]; R];

/// # Safety
/// The processor has AVX2, FMA and F16C; `output` is valid for writing
/// `tile.rows` rows of its columns.
pub(super) unsafe fn run(tile: &Tile<'_>, output: Output) {
    match (tile.format, tile.rows) {
        (PackedFormat::Q8_0, 1) => sweep!(tile, output, eight_bits, 1, 4),
        (PackedFormat::Q8_0, 2) => sweep!(tile, output, eight_bits, 2, 2),
        (PackedFormat::Q8_0, 3) => sweep!(tile, output, eight_bits, 3, 2),
        (PackedFormat::Q8_0, 4) => sweep!(tile, output, eight_bits, 4, 1),
        (PackedFormat::Q8_0, 5) => sweep!(tile, output, eight_bits, 5, 1),
        (PackedFormat::Q8_0, _) => sweep!(tile, output, eight_bits, 6, 1),
        (PackedFormat::Q4_0, 1) => sweep!(tile, output, four_bits, 1, 4),
        (PackedFormat::Q4_0, 2) => sweep!(tile, output, four_bits, 2, 2),
        (PackedFormat::Q4_0, 3) => sweep!(tile, output, four_bits, 3, 2),
        (PackedFormat::Q4_0, 4) => sweep!(tile, output, four_bits, 4, 1),
        (PackedFormat::Q4_0, 5) => sweep!(tile, output, four_bits, 5, 1),
        (PackedFormat::Q4_0, _) => sweep!(tile, output, four_bits, 6, 1),
        (PackedFormat::Bf16, 1) => sweep!(tile, output, brain_floats, 1, 4),
        (PackedFormat::Bf16, 2) => sweep!(tile, output, brain_floats, 2, 2),
        (PackedFormat::Bf16, 3) => sweep!(tile, output, brain_floats, 3, 2),
        (PackedFormat::Bf16, 4) => sweep!(tile, output, brain_floats, 4, 1),
        (PackedFormat::Bf16, 5) => sweep!(tile, output, brain_floats, 5, 1),
        (PackedFormat::Bf16, _) => sweep!(tile, output, brain_floats, 6, 1),
    }
}

/// # Safety
/// As [`run`], for `R == tile.rows` and `G` groups at `place`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn eight_bits<const R: usize, const G: usize>(
    tile: &Tile<'_>,
    place: Place,
    output: Output,
) {
    // SAFETY: the caller's promises.
    unsafe { quantised::<false, R, G>(tile, place, output) }
}

/// # Safety
/// As [`run`], for `R == tile.rows` and `G` groups at `place`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn four_bits<const R: usize, const G: usize>(tile: &Tile<'_>, place: Place, output: Output) {
    // SAFETY: the caller's promises.
    unsafe { quantised::<true, R, G>(tile, place, output) }
}

/// # Safety
/// As [`run`], for `R == tile.rows` and `G` groups at `place`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn quantised<const FOUR_BITS: bool, const R: usize, const G: usize>(
    tile: &Tile<'_>,
    place: Place,
    output: Output,
) {
    let chunk_bytes = tile.format.chunk_bytes();
    let chunks = tile.group_bytes / chunk_bytes;
    let block_bytes = (chunk_bytes - SCALES_BYTES) / 2;
    assert!(tile.weights.len() >= (place.first + G) * tile.group_bytes);
    assert!(tile.panel.len() >= chunks * 2 * BLOCK_WORDS * R);
    let mut sums = [[[_mm256_setzero_ps(); 2]; G]; R];
    // SAFETY: weights and panel hold `chunks` chunks of `G` groups and of `R`
    // rows, checked above, and nothing else is read; the columns are the
    // caller's promise.
    unsafe {
        let mut weights = tile.weights.as_ptr().add(place.first * tile.group_bytes);
        let mut panel = tile.panel.as_ptr();
        for _ in 0..chunks {
            for block in 0..2 {
                let quads = weights.add(SCALES_BYTES + block * block_bytes);
                let dots = if FOUR_BITS {
                    dots_four_bits::<R, G>(quads, tile.group_bytes, panel)
                } else {
                    dots_eight_bits::<R, G>(quads, tile.group_bytes, panel)
                };
                let scales = weights.add(block * 2 * GROUP_ROWS);
                for group in 0..G {
                    for half in 0..2 {
                        let scales = scales.add(group * tile.group_bytes + half * 2 * HALF_ROWS);
                        let scales = _mm256_cvtph_ps(_mm_loadu_si128(scales.cast()));
                        for row in 0..R {
                            let scale = _mm256_set1_ps(f32::from_bits(*panel.add(row)));
                            let scale = _mm256_mul_ps(scales, scale);
                            let dot = _mm256_cvtepi32_ps(dots[row][group][half]);
                            let sum = &mut sums[row][group][half];
                            *sum = _mm256_fmadd_ps(scale, dot, *sum);
                        }
                    }
                }
                panel = panel.add(BLOCK_WORDS * R);
            }
            weights = weights.add(chunk_bytes);
        }
        store(&sums, place, output);
    }
}

/// # Safety
/// A block of `G` groups lies at `quads`, one of `R` rows at `panel`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn dots_eight_bits<const R: usize, const G: usize>(
    quads: *const u8,
    group_bytes: usize,
    panel: *const u32,
) -> Registers<__m256i, R, G> {
    let low = _mm256_set1_epi16(0x00ff);
    // SAFETY: the caller's promises.
    unsafe {
        let (even, odd) = split::<R>(panel.add(2 * R), |words| {
            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words));
            (even, _mm256_srai_epi16::<8>(words))
        });
        let (even, odd) = (even.as_ptr().cast(), odd.as_ptr().cast());
        let mut dots = offsets::<R, G>(panel);
        for quad in 0..SPLIT_WORDS {
            for group in 0..G {
                for half in 0..2 {
                    let at = group * group_bytes + quad * VECTOR_BYTES + half * HALF_BYTES;
                    let bytes = _mm256_loadu_si256(quads.add(at).cast());
                    let evens = _mm256_and_si256(bytes, low);
                    let odds = _mm256_srli_epi16::<8>(bytes);
                    for (row, dots) in dots.iter_mut().enumerate() {
                        let even = _mm256_madd_epi16(evens, broadcast(even, quad * R + row));
                        let odd = _mm256_madd_epi16(odds, broadcast(odd, quad * R + row));
                        let dot = &mut dots[group][half];
                        *dot = _mm256_add_epi32(*dot, _mm256_add_epi32(even, odd));
                    }
                }
            }
        }
        dots
    }
}

/// # Safety
/// A block of `G` groups lies at `quads`, one of `R` rows at `panel`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn dots_four_bits<const R: usize, const G: usize>(
    quads: *const u8,
    group_bytes: usize,
    panel: *const u32,
) -> Registers<__m256i, R, G> {
    let low = _mm256_set1_epi8(0x0f);
    let mut pairs = [[[_mm256_setzero_si256(); 2]; G]; R];
    // SAFETY: the caller's promises.
    unsafe {
        for quad in 0..4 {
            for group in 0..G {
                for half in 0..2 {
                    let at = group * group_bytes + quad * VECTOR_BYTES + half * HALF_BYTES;
                    let both = _mm256_loadu_si256(quads.add(at).cast());
                    let lows = _mm256_and_si256(both, low);
                    let highs = _mm256_and_si256(_mm256_srli_epi16::<4>(both), low);
                    for (row, pairs) in pairs.iter_mut().enumerate() {
                        let words = (2 + quad) * R + row;
                        let lows = _mm256_maddubs_epi16(lows, broadcast(panel, words));
                        let highs = _mm256_maddubs_epi16(highs, broadcast(panel, words + 4 * R));
                        let pair = &mut pairs[group][half];
                        *pair = _mm256_add_epi16(*pair, _mm256_add_epi16(lows, highs));
                    }
                }
            }
        }
        let mut dots = offsets::<R, G>(panel);
        let one = _mm256_set1_epi16(1);
        for (dots, pairs) in dots.as_flattened_mut().iter_mut().zip(pairs.as_flattened()) {
            for (dot, &pairs) in dots.iter_mut().zip(pairs) {
                *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(pairs, one));
            }
        }
        dots
    }
}

/// # Safety
/// As [`run`], for `R == tile.rows` and `G` groups at `place`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn brain_floats<const R: usize, const G: usize>(
    tile: &Tile<'_>,
    place: Place,
    output: Output,
) {
    let splits = tile.group_bytes / VECTOR_BYTES / SPLIT_WORDS;
    assert!(tile.weights.len() >= (place.first + G) * tile.group_bytes);
    assert!(tile.panel.len() >= splits * SPLIT_WORDS * R);
    let high = _mm256_set1_epi32(!0xffff);
    let mut sums = [[[_mm256_setzero_ps(); 2]; G]; R];
    // SAFETY: weights and panel hold `splits` times eight vectors of `G` groups
    // and words of `R` rows, checked above, and nothing else is read; the
    // columns are the caller's promise.
    unsafe {
        let mut weights = tile.weights.as_ptr().add(place.first * tile.group_bytes);
        let mut panel = tile.panel.as_ptr();
        for _ in 0..splits {
            let (even, odd) = split::<R>(panel, |words| {
                (
                    _mm256_slli_epi32::<16>(words),
                    _mm256_and_si256(words, high),
                )
            });
            let (even, odd) = (even.as_ptr().cast(), odd.as_ptr().cast());
            for word in 0..SPLIT_WORDS {
                for group in 0..G {
                    for half in 0..2 {
                        let at = group * tile.group_bytes + half * HALF_BYTES;
                        let pairs = _mm256_loadu_si256(weights.add(at).cast());
                        let odds = _mm256_castsi256_ps(_mm256_and_si256(pairs, high));
                        let evens = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs));
                        for (row, sums) in sums.iter_mut().enumerate() {
                            let odd = _mm256_castsi256_ps(broadcast(odd, word * R + row));
                            let even = _mm256_castsi256_ps(broadcast(even, word * R + row));
                            let sum = &mut sums[group][half];
                            *sum = _mm256_fmadd_ps(odds, odd, *sum);
                            *sum = _mm256_fmadd_ps(evens, even, *sum);
                        }
                    }
                }
                weights = weights.add(VECTOR_BYTES);
            }
            panel = panel.add(SPLIT_WORDS * R);
        }
        store(&sums, place, output);
    }
}

/// The even and the odd elements of the next words of all rows, as `halves`
/// takes a register of words apart.
///
/// # Safety
/// `SPLIT_WORDS * R` words lie at `words`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn split<const R: usize>(
    words: *const u32,
    halves: impl Fn(__m256i) -> (__m256i, __m256i),
) -> ([[u32; SPLIT_WORDS]; R], [[u32; SPLIT_WORDS]; R]) {
    let mut evens = [[0; SPLIT_WORDS]; R];
    let mut odds = [[0; SPLIT_WORDS]; R];
    for (at, (even, odd)) in evens.iter_mut().zip(&mut odds).enumerate() {
        // SAFETY: the caller's promise; each array holds one register.
        unsafe {
            let words = _mm256_loadu_si256(words.add(at * SPLIT_WORDS).cast());
            let (evens, odds) = halves(words);
            _mm256_storeu_si256(even.as_mut_ptr().cast(), evens);
            _mm256_storeu_si256(odd.as_mut_ptr().cast(), odds);
        }
    }
    (evens, odds)
}

/// What takes the weights' offset back, for each row of a block.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn offsets<const R: usize, const G: usize>(panel: *const u32) -> Registers<__m256i, R, G> {
    let mut dots = [[[_mm256_setzero_si256(); 2]; G]; R];
    for (row, dots) in dots.iter_mut().enumerate() {
        // SAFETY: the caller has such a word for each row.
        *dots = [[unsafe { broadcast(panel, R + row) }; 2]; G];
    }
    dots
}

#[inline]
#[target_feature(enable = "avx2")]
#[expect(clippy::cast_possible_wrap, reason = "the bits are what matters")]
unsafe fn broadcast(words: *const u32, index: usize) -> __m256i {
    // SAFETY: the caller's promise that there is such a word.
    _mm256_set1_epi32(unsafe { *words.add(index) } as i32)
}

/// Writes the sums of a tile, without the columns that only pad a group.
#[inline]
#[target_feature(enable = "avx2")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "at most the rows of a group"
)]
unsafe fn store<const R: usize, const G: usize>(
    sums: &Registers<__m256, R, G>,
    place: Place,
    output: Output,
) {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (row, sums) in sums.iter().enumerate() {
        for (half, &sum) in sums.as_flattened().iter().enumerate() {
            let column = place.first * GROUP_ROWS + half * HALF_ROWS;
            let left = output.columns.saturating_sub(column).min(HALF_ROWS);
            let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(left as i32), lanes);
            // SAFETY: the caller's promise: this row, and columns below its end;
            // a half that is all padding writes nothing.
            unsafe {
                let to = output.start.wrapping_add(row * output.stride + column);
                _mm256_maskstore_ps(to, mask, sum);
            }
        }
    }
}
