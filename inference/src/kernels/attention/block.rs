//! Attention of a block of rows over one key and value head.
//!
//! All query heads that share the head, times the rows of the block, are the
//! queries of the block; every key and value that is read serves as many of them
//! as registers have room for. Scores of all positions first, then the exact
//! softmax, then the weighted sum, each in the order that `scalar` states.

#![expect(
    unsafe_code,
    reason = "the tiles are vector instructions; blocks share their output"
)]

use super::super::pool::Shares;
use super::super::scalar::{exp, max, reduce};
use super::super::{AttentionShape, KEY_BLOCK, LANES};
use super::tile::{Extent, Panel, QUERIES, Rows, Sums, Vector, product};
use std::ops::Range;

/// Positions whose keys or values serve all queries of a block before the next.
const POSITIONS: usize = 64;

/// One block of one head.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) shape: &'a AttentionShape,
    /// Row of the step at which it begins.
    pub(super) first_row: usize,
    pub(super) rows: usize,
    /// The key and value head.
    pub(super) head: usize,
    /// Query rows of the step.
    pub(super) queries: &'a [f32],
    /// Keys of the head.
    pub(super) keys: &'a [f32],
    /// Values from this head on.
    pub(super) values: &'a [f32],
}

/// Memory of a block, reused from call to call.
#[derive(Default)]
pub(super) struct Scratch {
    queries: Vec<f32>,
    weights: Vec<f32>,
    inverses: Vec<f32>,
    sums: Vec<f32>,
}

impl Scratch {
    /// Gives weights beyond `count` back.
    pub(super) fn shrink_to(&mut self, count: usize) {
        if self.weights.len() > count {
            self.weights = Vec::new();
        }
    }
}

impl Block<'_> {
    fn group(&self) -> usize {
        self.shape.heads / self.shape.kv_heads
    }

    fn queries_count(&self) -> usize {
        self.rows * self.group()
    }

    /// Positions that a query of the block sees.
    fn seen(&self, query: usize) -> Range<usize> {
        self.shape.seen(self.first_row + query / self.group())
    }

    /// From the first position that any of `queries` sees to after the last.
    fn span(&self, queries: &Range<usize>) -> Range<usize> {
        self.seen(queries.start).start..self.seen(queries.end - 1).end
    }

    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let count = self.queries_count();
        (0..count)
            .step_by(QUERIES)
            .map(move |first| first..(first + QUERIES).min(count))
    }

    /// Where query `query` lies in the rows of the step.
    fn place(&self, query: usize) -> Range<usize> {
        let width = self.shape.head_dim;
        let head = self.head * self.group() + query % self.group();
        let row = self.first_row + query / self.group();
        let start = row * self.shape.query_width() + head * width;
        start..start + width
    }
}

/// Floats between the weights of two queries of a block that sees `span`
/// positions. Not a multiple of a page, so that rows do not compete for one
/// place in the cache.
pub(super) const fn pitch(span: usize) -> usize {
    span.next_multiple_of(POSITIONS) + POSITIONS + LANES
}

/// Writes the output of every query of the block to its place in `out`, which
/// has the shape of the queries of the step.
///
/// # Safety
/// The processor has the instructions of `V`; nobody else writes the columns of
/// the block's heads in the block's rows.
#[inline(always)]
pub(super) unsafe fn attend<V: Vector>(
    block: Block<'_>,
    scratch: &mut Scratch,
    out: &Shares<'_, f32>,
) {
    let width = block.shape.head_dim;
    let padded = width.next_multiple_of(KEY_BLOCK);
    let count = block.queries_count();
    // Positions count from the first of a key block, so that lanes stay theirs.
    let span = block.span(&(0..count));
    let origin = span.start / KEY_BLOCK * KEY_BLOCK;
    let pitch = pitch(span.end - origin);
    let Scratch {
        queries,
        weights,
        inverses,
        sums,
    } = scratch;
    queries.clear();
    for query in 0..count {
        queries.extend_from_slice(&block.queries[block.place(query)]);
    }
    if weights.len() < count * pitch {
        weights.resize(count * pitch, 0.0);
    }
    sums.clear();
    sums.resize(count * padded, 0.0);
    // SAFETY: the caller's promise.
    unsafe { scores::<V>(block, queries, weights, (origin, pitch)) };
    inverses.clear();
    for query in 0..count {
        let seen = block.seen(query);
        let row = &mut weights[query * pitch..(query + 1) * pitch];
        inverses.push(softmax(row, seen.start - origin..seen.end - origin));
    }
    // SAFETY: the caller's promise.
    unsafe { weighted::<V>(block, weights, sums, (origin, pitch)) };
    for (query, inverse) in inverses.iter().enumerate() {
        // SAFETY: of this query alone, by the caller's promise.
        let out = unsafe { out.slice(block.place(query)) };
        for (out, sum) in out.iter_mut().zip(&sums[query * padded..][..width]) {
            *out = sum * inverse;
        }
    }
}

/// Scores of every query with the positions it sees, and with some it does not.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn scores<V: Vector>(
    block: Block<'_>,
    queries: &[f32],
    weights: &mut [f32],
    (origin, pitch): (usize, usize),
) {
    let width = block.shape.head_dim;
    let scale = 1.0 / (width as f32).sqrt();
    let end = block.span(&(0..block.queries_count())).end;
    for start in (origin..end).step_by(POSITIONS) {
        for tile in block.tiles() {
            let span = block.span(&tile);
            if span.end <= start || span.start >= start + POSITIONS {
                continue;
            }
            let stop = span.end.min(start + POSITIONS);
            let panel = Panel {
                elements: &block.keys[start * width..],
                line_stride: KEY_BLOCK,
                group_stride: KEY_BLOCK * width,
            };
            let rows = Rows {
                elements: &queries[tile.start * width..],
                stride: width,
            };
            let mut sums = Sums {
                elements: &mut weights[tile.start * pitch + start - origin..],
                stride: pitch,
            };
            let extent = Extent {
                queries: tile.len(),
                steps: width,
                columns: (stop - start).next_multiple_of(KEY_BLOCK),
                scale: Some(scale),
            };
            // SAFETY: the caller's promise.
            unsafe { product::<V>(rows, panel, &mut sums, extent) };
        }
    }
}

/// Scores become e^(score - largest) where they are seen and 0 in the rest of
/// their blocks. Returns 1 / sum.
#[inline(always)]
fn softmax(row: &mut [f32], seen: Range<usize>) -> f32 {
    let first = seen.start / LANES * LANES;
    row[first..seen.start].fill(f32::NEG_INFINITY);
    let end = seen.end.next_multiple_of(LANES);
    row[seen.end..end].fill(f32::NEG_INFINITY);
    let (chunks, _) = row[first..end].as_chunks_mut::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for chunk in &*chunks {
        for lane in 0..LANES {
            most[lane] = max(most[lane], chunk[lane]);
        }
    }
    let most = most.into_iter().fold(f32::NEG_INFINITY, max);
    for value in chunks.as_flattened_mut() {
        *value = exp(*value - most);
    }
    // What is not seen is far below what rounding keeps, but a part must not
    // depend on what else lies in its block: it is exactly nothing.
    row[first..seen.start].fill(0.0);
    row[seen.end..end].fill(0.0);
    let mut lanes = [0.0; LANES];
    for chunk in row[first..end].as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    1.0 / reduce(lanes)
}

/// Adds the values that each query sees, weighted, in rising order.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn weighted<V: Vector>(
    block: Block<'_>,
    weights: &[f32],
    sums: &mut [f32],
    (origin, pitch): (usize, usize),
) {
    let whole = block.span(&(0..block.queries_count()));
    for start in (whole.start..whole.end).step_by(POSITIONS) {
        let within = |query: usize| {
            let seen = block.seen(query);
            seen.start.max(start)..seen.end.min(start + POSITIONS)
        };
        for tile in block.tiles() {
            // Windows move forward with the rows: this is what all see.
            let common = within(tile.end - 1).start..within(tile.start).end;
            let common = if common.is_empty() {
                usize::MAX..usize::MAX
            } else {
                common
            };
            let count = tile.len();
            // Each query to the common positions, all together, each to its end.
            for step in 0..=2 * count {
                let (queries, positions) = if step < count {
                    let query = tile.start + step;
                    let seen = within(query);
                    (query..query + 1, seen.start..seen.end.min(common.start))
                } else if step == count {
                    (tile.clone(), common.clone())
                } else {
                    let query = tile.start + step - count - 1;
                    let seen = within(query);
                    (query..query + 1, seen.start.max(common.end)..seen.end)
                };
                if !positions.is_empty() {
                    // SAFETY: the caller's promise.
                    unsafe {
                        add::<V>(block, (weights, origin, pitch), sums, (queries, positions))
                    };
                }
            }
        }
    }
}

/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn add<V: Vector>(
    block: Block<'_>,
    (weights, origin, pitch): (&[f32], usize, usize),
    sums: &mut [f32],
    (queries, positions): (Range<usize>, Range<usize>),
) {
    let width = block.shape.head_dim;
    let padded = width.next_multiple_of(KEY_BLOCK);
    let mut sums = Sums {
        elements: &mut sums[queries.start * padded..],
        stride: padded,
    };
    let values = &block.values[positions.start * width..];
    let rows = Rows {
        elements: &weights[queries.start * pitch + positions.start - origin..],
        stride: pitch,
    };
    // Columns beyond the width are of the next position and come to nothing;
    // where there is no next one, the last lines go without registers.
    let whole_lines = values.len().saturating_sub(padded - width) / width;
    let steps = positions.len().min(whole_lines);
    let extent = Extent {
        queries: queries.len(),
        steps,
        columns: padded,
        scale: None,
    };
    let panel = Panel {
        elements: values,
        line_stride: width,
        group_stride: KEY_BLOCK,
    };
    // SAFETY: the caller's promise.
    unsafe { product::<V>(rows, panel, &mut sums, extent) };
    let lines = values.chunks_exact(width).enumerate();
    for (k, line) in lines.take(positions.len()).skip(steps) {
        for query in 0..queries.len() {
            let weight = rows.elements[query * pitch + k];
            for (sum, value) in sums.elements[query * padded..].iter_mut().zip(line) {
                *sum += weight * value;
            }
        }
    }
}
