//! The input rows of a packed linear in the number format of its products.
//!
//! Rows lie in panels of at most [`PANEL_ROWS`], interleaved word by word, so a
//! kernel walks one stream whatever the number of rows. Each row is converted by
//! itself, so its words do not depend on the others:
//!
//! - for bf16 weights, bf16 to the nearest (tiny magnitudes as zero): a word is
//!   two elements;
//! - for q8_0 and q4_0, signed bytes in blocks of 32 with an f32 scale: a block
//!   is for each row the scale, then for each row what takes the weights' offset
//!   back (minus 128 or 8 times the sum of the bytes), then eight words of four
//!   bytes. A block with a value that is not finite gets the scale NaN, which
//!   every output of the row then is.

#[cfg(target_arch = "x86_64")]
mod avx512;

use super::linear::has_wide_body;
use super::packed::{BLOCK, PackedFormat, to_bf16};
use super::pool::{Pool, Shares};
use super::{InstructionSet, variants};
use std::ops::Range;

/// Rows of a panel at most, where there are many: the highest tile of registers
/// that has two groups.
const PANEL_ROWS: usize = 6;
/// Rows of brain floats that 512-bit registers take as one panel: so few are
/// bound by reading the weights, which one panel does once. (Products of bytes
/// need two registers for a sum, and gained nothing.)
const BF16_SINGLE_PANEL_ROWS: usize = 8;
/// Words of a block for each row: scale, offset, eight words of bytes.
pub(super) const BLOCK_WORDS: usize = 2 + BLOCK / 4;
/// Smaller blocks are taken as zeros, so that no scale is denormal.
const BLOCK_MAGNITUDE_MIN: f32 = f32::from_bits((127 - 100) << 23);

/// What is done to a row before its products.
#[derive(Debug, Clone, Copy)]
pub enum Prologue<'a> {
    /// Nothing.
    None,
    /// Root-mean-square norm with a gain.
    RmsNorm {
        /// One factor for each element.
        gain: &'a [f32],
        /// Added to the mean square.
        epsilon: f32,
    },
    /// `silu(first half) * second half`: input rows are twice as wide.
    SiluMul,
}

impl Prologue<'_> {
    /// Width of an input row for `inner` elements after the prologue.
    pub(super) const fn input_width(&self, inner: usize) -> usize {
        match self {
            Self::SiluMul => 2 * inner,
            Self::None | Self::RmsNorm { .. } => inner,
        }
    }
}

/// Converted rows.
#[derive(Debug)]
pub(super) struct Activations {
    words: Vec<u32>,
    rows: usize,
    panels: usize,
    row_words: usize,
}

impl Activations {
    /// Converts the rows of `input`, which are `inner` wide after `prologue`.
    pub(super) fn new(
        set: InstructionSet,
        pool: &Pool,
        format: PackedFormat,
        (input, inner): (&[f32], usize),
        prologue: &Prologue<'_>,
    ) -> Self {
        let width = prologue.input_width(inner);
        let rows = input.len() / width;
        let row_words = row_words(format, inner);
        let panels = panels(set, format, rows);
        let mut words = vec![0; rows * row_words];
        let shares = Shares::new(&mut words);
        pool.run(panels, &|panel| {
            let rows = panel_rows(rows, panels, panel);
            let count = rows.len();
            #[expect(unsafe_code, reason = "parts write their own panels")]
            // SAFETY: panels are disjoint and each is written by one part.
            let words = unsafe { shares.slice(rows.start * row_words..rows.end * row_words) };
            let mut scratch = vec![0.0; inner.next_multiple_of(format.chunk())];
            for (row, input) in input[rows.start * width..rows.end * width]
                .chunks_exact(width)
                .enumerate()
            {
                let elements = &mut scratch[..inner];
                match *prologue {
                    Prologue::None => elements.copy_from_slice(input),
                    Prologue::RmsNorm { gain, epsilon } => {
                        variants::rms_norm(set, input, gain, epsilon, elements);
                    }
                    Prologue::SiluMul => variants::silu_mul(set, input, inner, elements),
                }
                convert_row(set, format, &scratch, words, (row, count));
            }
        });
        Self {
            words,
            rows,
            panels,
            row_words,
        }
    }

    /// Panels of rows.
    pub(super) const fn panels(&self) -> usize {
        self.panels
    }

    /// How many rows.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// The rows of a panel and their interleaved words.
    pub(super) fn panel(&self, panel: usize) -> (Range<usize>, &[u32]) {
        let rows = panel_rows(self.rows, self.panels, panel);
        let words = rows.start * self.row_words..rows.end * self.row_words;
        (rows, &self.words[words])
    }
}

/// How many panels.
fn panels(set: InstructionSet, format: PackedFormat, rows: usize) -> usize {
    let is_bf16 = format == PackedFormat::Bf16;
    if is_bf16 && rows <= BF16_SINGLE_PANEL_ROWS && has_wide_body(set, format) {
        1
    } else {
        rows.div_ceil(PANEL_ROWS)
    }
}

/// The rows of a panel: all panels alike, because each reads the weights once.
const fn panel_rows(rows: usize, panels: usize, panel: usize) -> Range<usize> {
    rows * panel / panels..rows * (panel + 1) / panels
}

/// Words of one row.
const fn row_words(format: PackedFormat, inner: usize) -> usize {
    let padded = inner.div_ceil(format.chunk()) * format.chunk();
    match format {
        PackedFormat::Bf16 => padded / 2,
        PackedFormat::Q8_0 | PackedFormat::Q4_0 => padded / BLOCK * BLOCK_WORDS,
    }
}

/// Writes `elements`, padded to whole chunks, as row `row` of a panel of
/// `count` rows.
fn convert_row(
    set: InstructionSet,
    format: PackedFormat,
    elements: &[f32],
    panel: &mut [u32],
    (row, count): (usize, usize),
) {
    #[cfg(target_arch = "x86_64")]
    if set >= InstructionSet::Avx512 {
        #[expect(unsafe_code, reason = "calling a function for a detected set")]
        // SAFETY: the set was detected.
        unsafe {
            avx512::convert_row(format, elements, panel, (row, count));
        }
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if set >= InstructionSet::Avx2 {
        #[target_feature(enable = "avx2")]
        fn avx2(format: PackedFormat, elements: &[f32], panel: &mut [u32], place: (usize, usize)) {
            convert_plainly(format, elements, panel, place);
        }
        #[expect(unsafe_code, reason = "calling a function for a detected set")]
        // SAFETY: the set was detected.
        return unsafe { avx2(format, elements, panel, (row, count)) };
    }
    let _ = set;
    convert_plainly(format, elements, panel, (row, count));
}

/// As [`convert_row`], in whatever instructions the caller is compiled for:
/// rounding is one of AVX2's, and a call of a function without it.
#[inline(always)]
fn convert_plainly(
    format: PackedFormat,
    elements: &[f32],
    panel: &mut [u32],
    (row, count): (usize, usize),
) {
    match format {
        PackedFormat::Bf16 => {
            let (pairs, _) = elements.as_chunks::<2>();
            for (pair, words) in pairs.iter().zip(panel.chunks_exact_mut(count)) {
                let [low, high] = pair.map(|value| u32::from(to_bf16(value).to_bits()));
                words[row] = low | (high << 16);
            }
        }
        PackedFormat::Q8_0 => convert_blocks(elements, -128, panel, (row, count)),
        PackedFormat::Q4_0 => convert_blocks(elements, -8, panel, (row, count)),
    }
}

/// Scale of a block, and what its elements are multiplied by.
fn block_scale(most: f32) -> (f32, f32) {
    if most < BLOCK_MAGNITUDE_MIN {
        (0.0, 0.0)
    } else if most.is_finite() {
        (most / 127.0, 127.0 / most)
    } else {
        (f32::NAN, 0.0)
    }
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded values lie within -127..=127; words hold bytes"
)]
fn convert_blocks(elements: &[f32], offset: i32, panel: &mut [u32], (row, count): (usize, usize)) {
    let (blocks, _) = elements.as_chunks::<BLOCK>();
    let words = panel.chunks_exact_mut(BLOCK_WORDS * count);
    for (block, words) in blocks.iter().zip(words) {
        // Bits of magnitudes order like the magnitudes, NaN above all.
        let bits = block.iter().map(|x| x.to_bits() & 0x7fff_ffff);
        let (scale, inverse) = block_scale(f32::from_bits(bits.max().unwrap_or(0)));
        // A product with zero is NaN for what is not finite; its cast is 0.
        let bytes = block.map(|element| (element * inverse).round_ties_even() as i8);
        let sum: i32 = bytes.iter().map(|&byte| i32::from(byte)).sum();
        words[row] = scale.to_bits();
        words[count + row] = (offset * sum) as u32;
        let (quads, _) = bytes.as_chunks::<4>();
        for (quad, words) in quads.iter().zip(words[2 * count..].chunks_exact_mut(count)) {
            words[row] = u32::from_le_bytes(quad.map(|byte| byte as u8));
        }
    }
}
