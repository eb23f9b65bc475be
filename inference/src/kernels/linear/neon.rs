//! The packed linears with NEON, which every 64-bit Arm has, and with its dot
//! products of bytes where the processor has them.
//!
//! A group is four quarters of four rows. q8_0 weights are made signed and need
//! no offset taken back; q4_0 weights stay 0 to 15 and do. Without dot products
//! two products of bytes are added in 16 bits (at most 2 * 128 * 127), then
//! pairwise in 32. A bf16 product is exact in f32, so fusing rounds as the sum
//! alone would. Run under an emulator only so far: no speed is known.

use super::super::activations::BLOCK_WORDS;
use super::super::packed::{GROUP_ROWS, PackedFormat, SCALES_BYTES, VECTOR_BYTES};
use super::{Output, Place, Tile};
use std::arch::aarch64::{
    float32x4_t, int8x16_t, int32x4_t, vaddq_s32, vandq_u8, vandq_u32, vcvt_f32_f16, vcvtq_f32_s32,
    vdupq_n_f32, vdupq_n_s32, vdupq_n_u8, vdupq_n_u32, veorq_u8, vfmaq_f32, vget_low_s8, vld1_u16,
    vld1q_u8, vmlal_high_s8, vmlal_s8, vmull_high_s8, vmull_s8, vmulq_f32, vpadalq_s16, vpaddq_s32,
    vreinterpret_f16_u16, vreinterpretq_f32_u32, vreinterpretq_s8_u8, vreinterpretq_s8_u32,
    vreinterpretq_u32_u8, vshlq_n_u32, vshrq_n_u8, vst1q_f32,
};
use std::arch::asm;

/// Quarters of a group.
const QUARTERS: usize = 4;
/// Rows of a quarter.
const QUARTER_ROWS: usize = GROUP_ROWS / QUARTERS;
/// Bytes of a quarter of a vector: four for each row.
const QUARTER_BYTES: usize = VECTOR_BYTES / QUARTERS;

/// One register for each quarter of `G` groups and each of `R` rows.
type Registers<T, const R: usize, const G: usize> = [[[T; QUARTERS]; G]; R];

/// Sums of products of signed bytes, four elements for each of four rows.
trait Products {
    /// Sums on the way.
    type Sums: Copy;

    fn zero() -> Self::Sums;

    /// Adds the products of two registers of weights with two words.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn add(sums: Self::Sums, weights: [int8x16_t; 2], words: [u32; 2]) -> Self::Sums;

    /// One sum for each row.
    fn total(sums: Self::Sums) -> int32x4_t;
}

/// With what every NEON has.
struct Widening;

impl Products for Widening {
    type Sums = [int32x4_t; 2];

    #[inline(always)]
    fn zero() -> Self::Sums {
        // SAFETY: NEON is there on every processor of this architecture.
        [unsafe { vdupq_n_s32(0) }; 2]
    }

    #[inline(always)]
    unsafe fn add(sums: Self::Sums, weights: [int8x16_t; 2], words: [u32; 2]) -> Self::Sums {
        let [first, second] = weights;
        // SAFETY: as above.
        unsafe {
            let [one, two] = words.map(|word| vreinterpretq_s8_u32(vdupq_n_u32(word)));
            let low = vmull_s8(vget_low_s8(first), vget_low_s8(one));
            let low = vmlal_s8(low, vget_low_s8(second), vget_low_s8(two));
            let high = vmlal_high_s8(vmull_high_s8(first, one), second, two);
            [vpadalq_s16(sums[0], low), vpadalq_s16(sums[1], high)]
        }
    }

    #[inline(always)]
    fn total(sums: Self::Sums) -> int32x4_t {
        // SAFETY: as above.
        unsafe { vpaddq_s32(sums[0], sums[1]) }
    }
}

/// With dot products of bytes.
struct DotProduct;

impl Products for DotProduct {
    type Sums = int32x4_t;

    #[inline(always)]
    fn zero() -> Self::Sums {
        // SAFETY: NEON is there on every processor of this architecture.
        unsafe { vdupq_n_s32(0) }
    }

    #[inline(always)]
    unsafe fn add(mut sums: Self::Sums, weights: [int8x16_t; 2], words: [u32; 2]) -> Self::Sums {
        // The intrinsic is not stable yet.
        for (weights, word) in weights.into_iter().zip(words) {
            // SAFETY: the caller has the instruction; registers only.
            unsafe {
                asm!(
                    "sdot {sums:v}.4s, {weights:v}.16b, {word:v}.16b",
                    sums = inout(vreg) sums,
                    weights = in(vreg) weights,
                    word = in(vreg) vdupq_n_u32(word),
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
        sums
    }

    #[inline(always)]
    fn total(sums: Self::Sums) -> int32x4_t {
        sums
    }
}

/// Calls `$body` for the rows of a tile; one row reads several groups at once.
macro_rules! by_rows {
    ($tile:ident, $output:ident, $body:ident) => {
        match $tile.rows {
            1 => sweep!($tile, $output, $body, 1, 4),
            2 => sweep!($tile, $output, $body, 2, 2),
            3 => sweep!($tile, $output, $body, 3, 1),
            4 => sweep!($tile, $output, $body, 4, 1),
            5 => sweep!($tile, $output, $body, 5, 1),
            _ => sweep!($tile, $output, $body, 6, 1),
        }
    };
}

/// # Safety
/// The processor has dot products if `has_dot_products`; `output` is valid for
/// writing `tile.rows` rows of its columns.
pub(super) unsafe fn run(has_dot_products: bool, tile: &Tile<'_>, output: Output) {
    match (tile.format, has_dot_products) {
        (PackedFormat::Q8_0, true) => by_rows!(tile, output, eight_bits_dot),
        (PackedFormat::Q8_0, false) => by_rows!(tile, output, eight_bits),
        (PackedFormat::Q4_0, true) => by_rows!(tile, output, four_bits_dot),
        (PackedFormat::Q4_0, false) => by_rows!(tile, output, four_bits),
        (PackedFormat::Bf16, _) => by_rows!(tile, output, brain_floats),
    }
}

/// Defines `name::<R, G>`, the body for one format and one way to multiply.
macro_rules! bodies {
    ($($name:ident: $products:ident, $four_bits:literal, $features:literal;)*) => {$(
        /// # Safety
        /// As [`run`], for `R == tile.rows` and `G` groups at `place`.
        #[target_feature(enable = $features)]
        unsafe fn $name<const R: usize, const G: usize>(
            tile: &Tile<'_>,
            place: Place,
            output: Output,
        ) {
            // SAFETY: the caller's promises.
            unsafe { quantised::<$products, $four_bits, R, G>(tile, place, output) }
        }
    )*};
}

bodies! {
    eight_bits: Widening, false, "neon";
    eight_bits_dot: DotProduct, false, "neon,dotprod";
    four_bits: Widening, true, "neon";
    four_bits_dot: DotProduct, true, "neon,dotprod";
}

/// # Safety
/// As [`run`], for `R == tile.rows` and `G` groups at `place`.
#[inline(always)]
unsafe fn quantised<P: Products, const FOUR_BITS: bool, const R: usize, const G: usize>(
    tile: &Tile<'_>,
    place: Place,
    output: Output,
) {
    let chunk_bytes = tile.format.chunk_bytes();
    let chunks = tile.group_bytes / chunk_bytes;
    let block_bytes = (chunk_bytes - SCALES_BYTES) / 2;
    assert!(tile.weights.len() >= (place.first + G) * tile.group_bytes);
    assert!(tile.panel.len() >= chunks * 2 * BLOCK_WORDS * R);
    // SAFETY: weights and panel hold `chunks` chunks of `G` groups and of `R`
    // rows, checked above, and nothing else is read; the columns are the
    // caller's promise.
    unsafe {
        let mut sums = [[[vdupq_n_f32(0.0); QUARTERS]; G]; R];
        let mut weights = tile.weights.as_ptr().add(place.first * tile.group_bytes);
        let mut panel = tile.panel.as_ptr();
        for _ in 0..chunks {
            for block in 0..2 {
                for group in 0..G {
                    let chunk = weights.add(group * tile.group_bytes);
                    for quarter in 0..QUARTERS {
                        let scales = block * GROUP_ROWS + quarter * QUARTER_ROWS;
                        let scales = vld1_u16(chunk.add(2 * scales).cast());
                        let scales = vcvt_f32_f16(vreinterpret_f16_u16(scales));
                        let at = SCALES_BYTES + block * block_bytes + quarter * QUARTER_BYTES;
                        let dots = dots::<P, FOUR_BITS, R>(chunk.add(at), panel);
                        for row in 0..R {
                            let scale = vdupq_n_f32(f32::from_bits(*panel.add(row)));
                            let scale = vmulq_f32(scales, scale);
                            let sum = &mut sums[row][group][quarter];
                            *sum = vfmaq_f32(*sum, scale, vcvtq_f32_s32(dots[row]));
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

/// The dots of a block of a quarter's rows with `R` rows.
///
/// # Safety
/// The block's first quarter vector lies at `quads`, the block of the rows at
/// `panel`; the processor has the instructions of `P`.
#[inline(always)]
#[expect(clippy::cast_possible_wrap, reason = "offsets are signed")]
unsafe fn dots<P: Products, const FOUR_BITS: bool, const R: usize>(
    quads: *const u8,
    panel: *const u32,
) -> [int32x4_t; R] {
    let mut sums = [P::zero(); R];
    // SAFETY: the caller's promises.
    unsafe {
        for step in 0..4 {
            let (weights, words) = if FOUR_BITS {
                let both = vld1q_u8(quads.add(step * VECTOR_BYTES));
                let low = vandq_u8(both, vdupq_n_u8(0x0f));
                ([low, vshrq_n_u8::<4>(both)], [step, step + 4])
            } else {
                let quads = quads.add(2 * step * VECTOR_BYTES);
                let bytes = [vld1q_u8(quads), vld1q_u8(quads.add(VECTOR_BYTES))];
                let signed = bytes.map(|bytes| veorq_u8(bytes, vdupq_n_u8(0x80)));
                (signed, [2 * step, 2 * step + 1])
            };
            let weights = weights.map(|bytes| vreinterpretq_s8_u8(bytes));
            for (row, sums) in sums.iter_mut().enumerate() {
                let words = words.map(|word| *panel.add((2 + word) * R + row));
                *sums = P::add(*sums, weights, words);
            }
        }
        let mut dots = sums.map(P::total);
        if FOUR_BITS {
            for (row, dot) in dots.iter_mut().enumerate() {
                let offset = vdupq_n_s32(*panel.add(R + row) as i32);
                *dot = vaddq_s32(*dot, offset);
            }
        }
        dots
    }
}

/// # Safety
/// As [`run`], for `R == tile.rows` and `G` groups at `place`.
#[target_feature(enable = "neon")]
unsafe fn brain_floats<const R: usize, const G: usize>(
    tile: &Tile<'_>,
    place: Place,
    output: Output,
) {
    let count = tile.group_bytes / VECTOR_BYTES;
    assert!(tile.weights.len() >= (place.first + G) * tile.group_bytes);
    assert!(tile.panel.len() >= count * R);
    let high = vdupq_n_u32(!0xffff);
    let mut sums = [[[vdupq_n_f32(0.0); QUARTERS]; G]; R];
    // SAFETY: weights and panel hold `count` vectors of `G` groups and words of
    // `R` rows, checked above, and nothing else is read; the columns are the
    // caller's promise.
    unsafe {
        let mut weights = tile.weights.as_ptr().add(place.first * tile.group_bytes);
        let mut panel = tile.panel.as_ptr();
        for _ in 0..count {
            for group in 0..G {
                for quarter in 0..QUARTERS {
                    let at = group * tile.group_bytes + quarter * QUARTER_BYTES;
                    let pairs = vreinterpretq_u32_u8(vld1q_u8(weights.add(at)));
                    let odd = vreinterpretq_f32_u32(vandq_u32(pairs, high));
                    let even = vreinterpretq_f32_u32(vshlq_n_u32::<16>(pairs));
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let word = *panel.add(row);
                        let sum = &mut sums[group][quarter];
                        let activation = vdupq_n_f32(f32::from_bits(word & 0xffff_0000));
                        *sum = vfmaq_f32(*sum, odd, activation);
                        let activation = vdupq_n_f32(f32::from_bits(word << 16));
                        *sum = vfmaq_f32(*sum, even, activation);
                    }
                }
            }
            weights = weights.add(VECTOR_BYTES);
            panel = panel.add(R);
        }
        store(&sums, place, output);
    }
}

/// Writes the sums of a tile, without the columns that only pad a group.
///
/// # Safety
/// `output` is valid for writing `R` rows of its columns.
#[inline(always)]
unsafe fn store<const R: usize, const G: usize>(
    sums: &Registers<float32x4_t, R, G>,
    place: Place,
    output: Output,
) {
    for (row, sums) in sums.iter().enumerate() {
        for (quarter, &sum) in sums.as_flattened().iter().enumerate() {
            let column = place.first * GROUP_ROWS + quarter * QUARTER_ROWS;
            let left = output.columns.saturating_sub(column).min(QUARTER_ROWS);
            let mut lanes = [0.0; QUARTER_ROWS];
            // SAFETY: the caller's promise: this row, and columns below its end;
            // a quarter that is all padding writes nothing.
            unsafe {
                let to = output.start.wrapping_add(row * output.stride + column);
                vst1q_f32(lanes.as_mut_ptr(), sum);
                to.copy_from_nonoverlapping(lanes.as_ptr(), left);
            }
        }
    }
}
