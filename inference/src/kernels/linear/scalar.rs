//! The expressions of the packed linears, one element at a time.
//!
//! Every other body gives these bits. Slow: it is the statement, the test's
//! other side, and what runs where nothing better is there.

use super::super::activations::BLOCK_WORDS;
use super::super::packed::{self, BLOCK, GROUP_ROWS, PackedFormat};
use super::{Output, Tile};
use half::bf16;

/// bf16: `sum = fma(weight, activation, sum)`, of each pair the second first.
/// Products are exact in f32, so fusing matters only where one alone overflows.
///
/// `panel` has `rows` rows interleaved, of which `row` is taken.
#[must_use]
pub fn dot_bf16(group: &[u8], lane: usize, panel: &[u32], (row, rows): (usize, usize)) -> f32 {
    let vectors = group.chunks_exact(packed::VECTOR_BYTES);
    let mut sum = 0.0_f32;
    for (vector, words) in vectors.zip(panel.chunks_exact(rows)) {
        let pair = &vector[lane * 4..lane * 4 + 4];
        let word = words[row].to_le_bytes();
        for k in [1, 0] {
            let weight = bf16::from_le_bytes([pair[2 * k], pair[2 * k + 1]]).to_f32();
            let activation = bf16::from_le_bytes([word[2 * k], word[2 * k + 1]]).to_f32();
            let product = weight * activation;
            sum = if product.is_finite() {
                sum + product
            } else {
                weight.mul_add(activation, sum)
            };
        }
    }
    sum
}

/// q8_0 and q4_0: `sum = fma(weight scale * activation scale, dot, sum)` over
/// blocks of 32, where `dot` is a whole number.
#[must_use]
#[expect(
    clippy::cast_possible_wrap,
    reason = "activation bytes and offsets are signed"
)]
pub fn dot_quantised(
    format: PackedFormat,
    group: &[u8],
    lane: usize,
    panel: &[u32],
    (row, rows): (usize, usize),
) -> f32 {
    let chunks = group.chunks_exact(format.chunk_bytes());
    let blocks = panel.chunks_exact(BLOCK_WORDS * rows);
    let two = chunks.flat_map(|chunk| [(chunk, 0), (chunk, 1)]);
    let mut sum = 0.0_f32;
    for ((chunk, block), words) in two.zip(blocks) {
        let mut dot = 0_i32;
        for within in 0..BLOCK {
            let k = block * BLOCK + within;
            let weight = match format {
                PackedFormat::Q4_0 => packed::q4_0(chunk, lane, k),
                PackedFormat::Q8_0 | PackedFormat::Bf16 => packed::q8_0(chunk, lane, k),
            };
            let word = words[(2 + within / 4) * rows + row].to_le_bytes();
            dot += i32::from(weight) * i32::from(word[within % 4] as i8);
        }
        let scale = packed::scale(chunk, lane, block * BLOCK) * f32::from_bits(words[row]);
        sum = scale.mul_add(dot as f32, sum);
    }
    sum
}

/// # Safety
/// `output` is valid for writing `tile.rows` rows of its columns.
pub(super) unsafe fn run(tile: &Tile<'_>, output: Output) {
    for column in 0..output.columns {
        let (group, lane) = (column / GROUP_ROWS, column % GROUP_ROWS);
        let group = &tile.weights[group * tile.group_bytes..][..tile.group_bytes];
        for row in 0..tile.rows {
            let place = (row, tile.rows);
            let sum = match tile.format {
                PackedFormat::Bf16 => dot_bf16(group, lane, tile.panel, place),
                format => dot_quantised(format, group, lane, tile.panel, place),
            };
            // SAFETY: a row and a column that the caller promised.
            unsafe { *output.start.add(row * output.stride + column) = sum };
        }
    }
}
