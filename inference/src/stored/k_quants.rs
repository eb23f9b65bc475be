//! The blocks of 256 elements that llama.cpp calls K-quants -> f32.
//!
//! | format | bytes of a block, in their order |
//! |---|---|
//! | q4_k | f16 scale, f16 offset, 12 of packed 6-bit pairs, 128 of halves |
//! | q5_k | f16 scale, f16 offset, 12 of packed 6-bit pairs, 32 of fifth bits, 128 of halves |
//! | q6_k | 128 of low halves, 64 of high pairs of bits, 16 signed scales, f16 scale |
//!
//! Halves come in runs of 32 bytes whose low halves are 32 elements and whose high
//! halves are the next 32 (in q6_k runs of 64 for 128 elements). An element is
//! `scale * number - offset`, each product rounded to f32.

use super::half_at;

/// Elements of a block.
pub(super) const BLOCK: usize = 256;
/// Bytes of the packed scales and offsets of eight runs.
const PAIRS_BYTES: usize = 12;
pub(super) const Q4_K_BYTES: usize = 4 + PAIRS_BYTES + 128;
pub(super) const Q5_K_BYTES: usize = 4 + PAIRS_BYTES + 32 + 128;
pub(super) const Q6_K_BYTES: usize = 128 + 64 + 16 + 2;

/// Scale and offset of run `run` of 32 elements: six bits each. Those of runs 0 to 3
/// are the low bits of bytes 0 to 3 and 4 to 7; those of runs 4 to 7 have their low
/// four bits in bytes 8 to 11 and their high two above the others.
fn pair(pairs: &[u8], run: usize) -> (f32, f32) {
    let (scale, offset) = if run < 4 {
        (pairs[run] & 0x3f, pairs[run + 4] & 0x3f)
    } else {
        let low = pairs[run + 4];
        (
            (low & 0x0f) | (pairs[run - 4] >> 6) << 4,
            (low >> 4) | (pairs[run] >> 6) << 4,
        )
    };
    (f32::from(scale), f32::from(offset))
}

/// The half of `byte` that belongs to an even or an odd run.
const fn half_of(byte: u8, run: usize) -> u8 {
    if run.is_multiple_of(2) {
        byte & 0x0f
    } else {
        byte >> 4
    }
}

pub(super) fn q4_k(stored: &[u8], values: &mut Vec<f32>) {
    for block in stored.as_chunks::<Q4_K_BYTES>().0 {
        let (scale, offset) = (half_at(block, 0), half_at(block, 2));
        let (pairs, halves) = block[4..].split_at(PAIRS_BYTES);
        for run in 0..8 {
            let (run_scale, run_offset) = pair(pairs, run);
            let (scale, offset) = (scale * run_scale, offset * run_offset);
            let bytes = halves[run / 2 * 32..][..32].iter();
            values.extend(bytes.map(|&byte| scale * f32::from(half_of(byte, run)) - offset));
        }
    }
}

pub(super) fn q5_k(stored: &[u8], values: &mut Vec<f32>) {
    for block in stored.as_chunks::<Q5_K_BYTES>().0 {
        let (scale, offset) = (half_at(block, 0), half_at(block, 2));
        let (pairs, rest) = block[4..].split_at(PAIRS_BYTES);
        let (fifths, halves) = rest.split_at(32);
        for run in 0..8 {
            let (run_scale, run_offset) = pair(pairs, run);
            let (scale, offset) = (scale * run_scale, offset * run_offset);
            let bytes = halves[run / 2 * 32..][..32].iter().zip(fifths);
            values.extend(bytes.map(|(&byte, &fifth)| {
                let number = half_of(byte, run) | ((fifth >> run) & 1) << 4;
                scale * f32::from(number) - offset
            }));
        }
    }
}

pub(super) fn q6_k(stored: &[u8], values: &mut Vec<f32>) {
    for block in stored.as_chunks::<Q6_K_BYTES>().0 {
        let (low, rest) = block.split_at(128);
        let (high, rest) = rest.split_at(64);
        let (scales, scale) = rest.split_at(16);
        let scale = half_at(scale, 0);
        for (index, run_scale) in scales.iter().enumerate() {
            let scale = scale * f32::from(run_scale.cast_signed());
            values.extend((index * 16..index * 16 + 16).map(|element| {
                let (side, within) = (element / 128, element % 128);
                let (quarter, lane) = (within / 32, within % 32);
                let low = low[side * 64 + (quarter % 2) * 32 + lane];
                let low = half_of(low, quarter / 2);
                let high = (high[side * 32 + lane] >> (2 * quarter)) & 3;
                scale * (f32::from(low | high << 4) - 32.0)
            }));
        }
    }
}
