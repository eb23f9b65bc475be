//! The kernels in the shape that compilers turn into wide instructions: fixed
//! lanes, no branches inside, inlined into one copy for each instruction set.
//!
//! Plain safe Rust. Each function computes exactly the expression of its
//! namesake in `scalar`.

use super::scalar::{exp, reduce};
use super::{Columns, LANES, Matrix};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Weight rows that share one pass over an input row.
const TILE: usize = 4;
/// From this many input rows on, weights are widened once for all of them.
const WIDEN_ROWS_MIN: usize = 3;

/// A stored element that one instruction widens.
trait Element: Copy {
    fn widen(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

#[inline(always)]
pub(super) fn linear(
    input: &[f32],
    inner: usize,
    weights: Matrix<'_>,
    out: &mut [f32],
    columns: Columns,
) {
    let rows = input.len() / inner;
    match weights {
        Matrix::F32(weights) => tiles(input, inner, weights, out, columns),
        Matrix::Bf16(weights) if rows < WIDEN_ROWS_MIN => {
            tiles(input, inner, weights, out, columns)
        }
        Matrix::Bf16(weights) => {
            let widen = |from: &[bf16], to: &mut [f32]| {
                for (from, to) in from.iter().zip(to) {
                    *to = from.widen();
                }
            };
            widened(input, inner, weights, widen, out, columns);
        }
        Matrix::F16(weights) => {
            let widen = |from: &[f16], to: &mut [f32]| from.convert_to_f32_slice(to);
            widened(input, inner, weights, widen, out, columns);
        }
    }
}

/// Widens one tile of weight rows at a time, then computes with f32.
#[inline(always)]
fn widened<T: Copy>(
    input: &[f32],
    inner: usize,
    weights: &[T],
    widen: impl Fn(&[T], &mut [f32]),
    out: &mut [f32],
    columns: Columns,
) {
    let mut scratch = vec![0.0_f32; TILE * inner];
    for (index, tile) in weights.chunks(TILE * inner).enumerate() {
        let scratch = &mut scratch[..tile.len()];
        widen(tile, scratch);
        let columns = Columns {
            column: columns.column + index * TILE,
            ..columns
        };
        tiles(input, inner, scratch, out, columns);
    }
}

#[inline(always)]
fn tiles<T: Element>(
    input: &[f32],
    inner: usize,
    weights: &[T],
    out: &mut [f32],
    columns: Columns,
) {
    let mut column = columns.column;
    let mut whole = weights.chunks_exact(TILE * inner);
    for tile in whole.by_ref() {
        let (a, rest) = tile.split_at(inner);
        let (b, rest) = rest.split_at(inner);
        let (c, d) = rest.split_at(inner);
        for (x, y) in input
            .chunks_exact(inner)
            .zip(out.chunks_exact_mut(columns.stride))
        {
            let sums = dot([a, b, c, d], x);
            y[column..column + TILE].copy_from_slice(&sums);
        }
        column += TILE;
    }
    for row in whole.remainder().chunks_exact(inner) {
        for (x, y) in input
            .chunks_exact(inner)
            .zip(out.chunks_exact_mut(columns.stride))
        {
            [y[column]] = dot([row], x);
        }
        column += 1;
    }
}

/// N dot products that read `x` once.
#[inline(always)]
fn dot<T: Element, const N: usize>(weights: [&[T]; N], x: &[f32]) -> [f32; N] {
    let mut lanes = [[0.0_f32; LANES]; N];
    let (x_chunks, x_tail) = x.as_chunks::<LANES>();
    let split = weights.map(|row| row.as_chunks::<LANES>());
    let chunks = split.map(|(chunks, _)| &chunks[..x_chunks.len()]);
    for (index, x) in x_chunks.iter().enumerate() {
        for n in 0..N {
            let w = &chunks[n][index];
            for lane in 0..LANES {
                lanes[n][lane] += w[lane].widen() * x[lane];
            }
        }
    }
    for n in 0..N {
        for (lane, (w, x)) in split[n].1.iter().zip(x_tail).enumerate() {
            lanes[n][lane] += w.widen() * x;
        }
    }
    lanes.map(reduce)
}

/// Sum of `term(chunk element)` over a slice, in the crate's order.
#[inline(always)]
fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, tail) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += term(chunk[lane]);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(tail) {
        *lane += term(*value);
    }
    reduce(lanes)
}

#[inline(always)]
pub(super) fn rms_norm(input: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = gain.len();
    for (x, y) in input.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let mean = sum(x, |x| x * x) / width as f32;
        let scale = 1.0 / (mean + epsilon).sqrt();
        for ((x, y), gain) in x.iter().zip(y).zip(gain) {
            *y = gain * (x * scale);
        }
    }
}

#[inline(always)]
pub(super) fn silu_mul(input: &[f32], width: usize, out: &mut [f32]) {
    for (x, y) in input
        .chunks_exact(2 * width)
        .zip(out.chunks_exact_mut(width))
    {
        let (gate, up) = x.split_at(width);
        for ((gate, up), y) in gate.iter().zip(up).zip(y) {
            *y = gate / (1.0 + exp(-gate)) * up;
        }
    }
}
