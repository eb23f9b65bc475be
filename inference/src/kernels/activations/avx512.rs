//! Converting activation rows with 512-bit registers.
//!
//! The words are those of the plain conversion, but for the bytes of a block
//! that is not finite, whose products nobody sees.

#![expect(unsafe_code, reason = "instructions that the caller detected")]

use super::super::packed::{BF16_MAGNITUDE_MIN, BLOCK, PackedFormat};
use super::{BLOCK_WORDS, block_scale};
use std::arch::x86_64::{
    __m128i, __m512, __m512i, _CMP_LT_OQ, _CMP_UNORD_Q, _mm_storeu_si128, _mm256_storeu_si256,
    _mm512_abs_ps, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_cmp_ps_mask,
    _mm512_cvtepi32_epi8, _mm512_cvtepi32_epi16, _mm512_cvtps_epi32, _mm512_loadu_ps,
    _mm512_mask_mov_epi32, _mm512_max_epu32, _mm512_mul_ps, _mm512_reduce_add_epi32,
    _mm512_reduce_max_epu32, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
    _mm512_srli_epi32,
};

/// Elements of one register.
const LANES: usize = 16;

/// # Safety
/// The processor has AVX-512 F, BW, DQ and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn convert_row(
    format: PackedFormat,
    elements: &[f32],
    panel: &mut [u32],
    place: (usize, usize),
) {
    match format {
        PackedFormat::Bf16 => brain_floats(elements, panel, place),
        PackedFormat::Q8_0 => blocks(elements, -128, panel, place),
        PackedFormat::Q4_0 => blocks(elements, -8, panel, place),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn brain_floats(elements: &[f32], panel: &mut [u32], (row, count): (usize, usize)) {
    let (vectors, _) = elements.as_chunks::<LANES>();
    let words = panel.chunks_exact_mut(LANES / 2 * count);
    for (vector, words) in vectors.iter().zip(words) {
        let value = load(vector);
        let bits = _mm512_castps_si512(value);
        // To the nearest, ties to even, as in `half`; NaN stays NaN.
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
        let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, half));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(value, value);
        let rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0));
        let least = _mm512_set1_ps(BF16_MAGNITUDE_MIN);
        let tiny = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_abs_ps(value), least);
        let rounded = _mm512_mask_mov_epi32(rounded, tiny, _mm512_setzero_si512());
        let mut pairs = [0_u32; LANES / 2];
        // SAFETY: 16 halves are the 32 bytes of `pairs`.
        unsafe {
            _mm256_storeu_si256(pairs.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(rounded));
        }
        for (pair, words) in pairs.iter().zip(words.chunks_exact_mut(count)) {
            words[row] = *pair;
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(
    clippy::cast_sign_loss,
    reason = "words hold the bits of whole numbers"
)]
fn blocks(elements: &[f32], offset: i32, panel: &mut [u32], (row, count): (usize, usize)) {
    let (blocks, _) = elements.as_chunks::<BLOCK>();
    let words = panel.chunks_exact_mut(BLOCK_WORDS * count);
    for (block, words) in blocks.iter().zip(words) {
        let (halves, _) = block.as_chunks::<LANES>();
        let [low, high] = [load(&halves[0]), load(&halves[1])];
        let magnitude = |value| _mm512_castps_si512(_mm512_abs_ps(value));
        let most = _mm512_max_epu32(magnitude(low), magnitude(high));
        let (scale, inverse) = block_scale(f32::from_bits(_mm512_reduce_max_epu32(most)));
        let inverse = _mm512_set1_ps(inverse);
        let low = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse));
        let high = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
        let sum = if scale.is_nan() {
            0
        } else {
            _mm512_reduce_add_epi32(_mm512_add_epi32(low, high))
        };
        words[row] = scale.to_bits();
        words[count + row] = (offset * sum) as u32;
        let quads = [bytes(low), bytes(high)];
        let quads = quads.as_flattened();
        for (quad, words) in quads.iter().zip(words[2 * count..].chunks_exact_mut(count)) {
            words[row] = *quad;
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(vector: &[f32; LANES]) -> __m512 {
    // SAFETY: 16 elements are there.
    unsafe { _mm512_loadu_ps(vector.as_ptr()) }
}

/// The low bytes of 16 whole numbers, as four words.
#[inline]
#[target_feature(enable = "avx512f")]
fn bytes(values: __m512i) -> [u32; 4] {
    let mut words = [0_u32; 4];
    let bytes: __m128i = _mm512_cvtepi32_epi8(values);
    // SAFETY: 16 bytes are the 16 bytes of `words`.
    unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), bytes) };
    words
}
