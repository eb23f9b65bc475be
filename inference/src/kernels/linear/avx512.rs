//! The packed linears with 512-bit registers: VNNI for whole numbers, BF16 for
//! brain floats.
//!
//! A register holds the same elements of sixteen weight rows; activations are
//! broadcast. A tile is `R` activation rows by `G` groups, all of whose sums
//! live in registers; with few rows more groups are read at once, each a stream
//! of its own, because that is what reaches the memory's speed.

use super::super::activations::BLOCK_WORDS;
use super::super::packed::{GROUP_ROWS, PackedFormat, SCALES_BYTES, VECTOR_BYTES};
use super::{Output, Place, Tile};
use std::arch::x86_64::{
    __m512, __m512bh, __m512i, __mmask16, _mm256_loadu_si256, _mm512_and_si512, _mm512_cvtepi32_ps,
    _mm512_cvtph_ps, _mm512_dpbf16_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_ps, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi16,
};

/// # Safety
/// The processor has AVX-512 F, BW, DQ and VL, with VNNI for q8_0 and q4_0 and
/// BF16 for bf16; `output` is valid for writing `tile.rows` rows of its columns.
pub(super) unsafe fn run(tile: &Tile<'_>, output: Output) {
    match (tile.format, tile.rows) {
        (PackedFormat::Q8_0, 1) => sweep!(tile, output, eight_bits, 1, 8),
        (PackedFormat::Q8_0, 2) => sweep!(tile, output, eight_bits, 2, 4),
        (PackedFormat::Q8_0, 3) => sweep!(tile, output, eight_bits, 3, 4),
        (PackedFormat::Q8_0, 4) => sweep!(tile, output, eight_bits, 4, 3),
        (PackedFormat::Q8_0, 5) => sweep!(tile, output, eight_bits, 5, 2),
        (PackedFormat::Q8_0, _) => sweep!(tile, output, eight_bits, 6, 2),
        (PackedFormat::Q4_0, 1) => sweep!(tile, output, four_bits, 1, 8),
        (PackedFormat::Q4_0, 2) => sweep!(tile, output, four_bits, 2, 4),
        (PackedFormat::Q4_0, 3) => sweep!(tile, output, four_bits, 3, 4),
        (PackedFormat::Q4_0, 4) => sweep!(tile, output, four_bits, 4, 3),
        (PackedFormat::Q4_0, 5) => sweep!(tile, output, four_bits, 5, 2),
        (PackedFormat::Q4_0, _) => sweep!(tile, output, four_bits, 6, 2),
        (PackedFormat::Bf16, 1) => sweep!(tile, output, brain_floats, 1, 8),
        (PackedFormat::Bf16, 2) => sweep!(tile, output, brain_floats, 2, 8),
        (PackedFormat::Bf16, 3) => sweep!(tile, output, brain_floats, 3, 6),
        (PackedFormat::Bf16, 4) => sweep!(tile, output, brain_floats, 4, 4),
        (PackedFormat::Bf16, 5) => sweep!(tile, output, brain_floats, 5, 4),
        (PackedFormat::Bf16, 7) => sweep!(tile, output, brain_floats, 7, 3),
        (PackedFormat::Bf16, 8) => sweep!(tile, output, brain_floats, 8, 3),
        (PackedFormat::Bf16, _) => sweep!(tile, output, brain_floats, 6, 4),
    }
}

/// # Safety
/// As [`run`], for `R == tile.rows` and `G` groups at `place`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn four_bits<const R: usize, const G: usize>(tile: &Tile<'_>, place: Place, output: Output) {
    // SAFETY: the caller's promises.
    unsafe { quantised::<true, R, G>(tile, place, output) }
}

/// # Safety
/// As [`run`], for `R == tile.rows` and `G` groups at `place`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
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
    let low = _mm512_set1_epi8(0x0f);
    let mut sums = [[_mm512_setzero_ps(); G]; R];
    // SAFETY: weights and panel hold `chunks` chunks of `G` groups and of `R`
    // rows, checked above, and nothing else is read; the columns are the
    // caller's promise.
    unsafe {
        let mut weights = tile.weights.as_ptr().add(place.first * tile.group_bytes);
        let mut panel = tile.panel.as_ptr();
        for _ in 0..chunks {
            for block in 0..2 {
                let mut dots = [[_mm512_set1_epi32(0); G]; R];
                for (row, dots) in dots.iter_mut().enumerate() {
                    *dots = [broadcast(panel, R + row); G];
                }
                let quads = weights.add(SCALES_BYTES + block * block_bytes);
                if FOUR_BITS {
                    for quad in 0..4 {
                        let both = vectors::<G>(quads.add(quad * VECTOR_BYTES), tile.group_bytes);
                        let lows = both.map(|both| _mm512_and_si512(both, low));
                        multiply(&mut dots, &lows, panel.add((2 + quad) * R));
                        let highs =
                            both.map(|both| _mm512_and_si512(_mm512_srli_epi16::<4>(both), low));
                        multiply(&mut dots, &highs, panel.add((6 + quad) * R));
                    }
                } else {
                    for quad in 0..8 {
                        let bytes = vectors::<G>(quads.add(quad * VECTOR_BYTES), tile.group_bytes);
                        multiply(&mut dots, &bytes, panel.add((2 + quad) * R));
                    }
                }
                let scales = weights.add(block * 2 * GROUP_ROWS);
                for group in 0..G {
                    let scales = scales.add(group * tile.group_bytes).cast();
                    let scales = _mm512_cvtph_ps(_mm256_loadu_si256(scales));
                    for row in 0..R {
                        let scale = _mm512_set1_ps(f32::from_bits(*panel.add(row)));
                        let dot = _mm512_cvtepi32_ps(dots[row][group]);
                        let scale = _mm512_mul_ps(scales, scale);
                        sums[row][group] = _mm512_fmadd_ps(scale, dot, sums[row][group]);
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
/// As [`run`], for `R == tile.rows` and `G` groups at `place`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn brain_floats<const R: usize, const G: usize>(
    tile: &Tile<'_>,
    place: Place,
    output: Output,
) {
    let count = tile.group_bytes / VECTOR_BYTES;
    assert!(tile.weights.len() >= (place.first + G) * tile.group_bytes);
    assert!(tile.panel.len() >= count * R);
    let mut sums = [[_mm512_setzero_ps(); G]; R];
    // SAFETY: weights and panel hold `count` vectors of `G` groups and words of
    // `R` rows, checked above, and nothing else is read; the columns are the
    // caller's promise.
    unsafe {
        let mut weights = tile.weights.as_ptr().add(place.first * tile.group_bytes);
        let mut panel = tile.panel.as_ptr();
        for _ in 0..count {
            let pairs = vectors::<G>(weights, tile.group_bytes).map(|pairs| as_brain_floats(pairs));
            for (row, sums) in sums.iter_mut().enumerate() {
                let activation = as_brain_floats(broadcast(panel, row));
                for (sum, pairs) in sums.iter_mut().zip(pairs) {
                    *sum = _mm512_dpbf16_ps(*sum, pairs, activation);
                }
            }
            weights = weights.add(VECTOR_BYTES);
            panel = panel.add(R);
        }
        store(&sums, place, output);
    }
}

/// Adds the products of one word of each row with one vector of each group.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn multiply<const R: usize, const G: usize>(
    dots: &mut [[__m512i; G]; R],
    weights: &[__m512i; G],
    words: *const u32,
) {
    for (row, dots) in dots.iter_mut().enumerate() {
        // SAFETY: the caller has a word for each row.
        let activation = unsafe { broadcast(words, row) };
        for (dot, weights) in dots.iter_mut().zip(weights) {
            *dot = _mm512_dpbusd_epi32(*dot, *weights, activation);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
#[expect(clippy::cast_possible_wrap, reason = "the bits are what matters")]
unsafe fn broadcast(words: *const u32, index: usize) -> __m512i {
    // SAFETY: the caller's promise that there is such a word.
    _mm512_set1_epi32(unsafe { *words.add(index) } as i32)
}

/// The vectors at the same place of `G` groups.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn vectors<const G: usize>(bytes: *const u8, group_bytes: usize) -> [__m512i; G] {
    let mut vectors = [_mm512_setzero_si512(); G];
    for (group, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller's promise that 64 bytes are there.
        *vector = unsafe { _mm512_loadu_si512(bytes.add(group * group_bytes).cast()) };
    }
    vectors
}

#[inline]
#[target_feature(enable = "avx512f")]
fn as_brain_floats(bits: __m512i) -> __m512bh {
    // SAFETY: two names of the same 512 bits.
    unsafe { std::mem::transmute(bits) }
}

/// Writes the sums of a tile, without the columns that only pad a group.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store<const R: usize, const G: usize>(
    sums: &[[__m512; G]; R],
    place: Place,
    output: Output,
) {
    for (row, sums) in sums.iter().enumerate() {
        for (group, &sum) in sums.iter().enumerate() {
            let column = (place.first + group) * GROUP_ROWS;
            let left = output.columns - column;
            let mask: __mmask16 = if left >= GROUP_ROWS {
                __mmask16::MAX
            } else {
                (1 << left) - 1
            };
            // SAFETY: the caller's promise: this row, and columns below its end.
            unsafe {
                let to = output.start.add(row * output.stride + column);
                _mm512_mask_storeu_ps(to, mask, sum);
            }
        }
    }
}
