//! Grouped-query attention, cut into blocks that threads share.
//!
//! A block is some rows over one key and value head. Its expression is that of
//! `scalar`, whatever the cut. Nothing here knows how a tile is computed, and
//! nothing keeps memory beyond one bounded scratch for each thread.

#![expect(
    unsafe_code,
    reason = "calling functions compiled for detected features; blocks share their output"
)]

mod block;
mod tile;

use super::pool::{Pool, Shares};
use super::{AttentionShape, InstructionSet};
use block::{Block, Scratch, attend, pitch};
use std::cell::Cell;

/// Queries of a block: enough that reading keys and values costs little.
const QUERIES_MAX: usize = 48;
/// Weights of a block: half of a second-level cache, unless one row needs more.
const WEIGHTS_MAX: usize = 131_072;
/// Weights that a thread keeps from call to call at most.
const KEPT_WEIGHTS_MAX: usize = 4 * WEIGHTS_MAX;
/// Below this many products a call is not worth a second thread.
const PRODUCTS_MIN: usize = 200_000;

thread_local! {
    static SCRATCH: Cell<Option<Scratch>> = const { Cell::new(None) };
}

/// See [`super::Kernels::attention`]; sizes are checked there.
pub(super) fn attention(
    (set, pool): (InstructionSet, &Pool),
    shape: &AttentionShape,
    queries: &[f32],
    (keys, values): (&[f32], &[f32]),
    out: &mut [f32],
) {
    let group = shape.heads / shape.kv_heads;
    let seen = shape.position + shape.rows;
    let span = shape
        .window
        .map_or(seen, |window| seen.min(window + shape.rows));
    let queries_max = QUERIES_MAX.min(WEIGHTS_MAX / pitch(span));
    let block_rows = (queries_max / group).max(1);
    let row_blocks = shape.rows.div_ceil(block_rows);
    let (keys_len, values_len) = (shape.keys_len(), shape.values_len());
    let shares = Shares::new(out);
    let work = |part: usize| {
        let head = part % shape.kv_heads;
        // The last rows see most: they come first, so that no thread is left
        // with them at the end.
        let first_row = (row_blocks - 1 - part / shape.kv_heads) * block_rows;
        let block = Block {
            shape,
            first_row,
            rows: block_rows.min(shape.rows - first_row),
            head,
            queries,
            keys: &keys[head * (keys_len / shape.kv_heads)..][..keys_len / shape.kv_heads],
            values: &values[head * (values_len / shape.kv_heads)..],
        };
        let mut scratch = SCRATCH.take().unwrap_or_default();
        dispatch(set, block, &mut scratch, &shares);
        scratch.shrink_to(KEPT_WEIGHTS_MAX);
        SCRATCH.set(Some(scratch));
    };
    let parts = row_blocks * shape.kv_heads;
    if shape.rows * span * shape.query_width() < PRODUCTS_MIN {
        (0..parts).for_each(work);
    } else {
        pool.run(parts, &work);
    }
}

fn dispatch(set: InstructionSet, block: Block<'_>, scratch: &mut Scratch, out: &Shares<'_, f32>) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        unsafe fn avx2(block: Block<'_>, scratch: &mut Scratch, out: &Shares<'_, f32>) {
            // SAFETY: the features are those of this function; the output is
            // the caller's promise.
            unsafe { attend::<tile::Eight>(block, scratch, out) };
        }
        #[target_feature(enable = "avx2,avx512f,avx512vl,avx512bw,avx512dq")]
        unsafe fn avx512(block: Block<'_>, scratch: &mut Scratch, out: &Shares<'_, f32>) {
            // SAFETY: as above.
            unsafe { attend::<tile::Sixteen>(block, scratch, out) };
        }
        if set >= InstructionSet::Avx512 {
            // SAFETY: `Kernels` is only made with a set that
            // `InstructionSet::available` found on this machine; different
            // blocks differ in rows or in heads.
            return unsafe { avx512(block, scratch, out) };
        }
        if set >= InstructionSet::Avx2 {
            // SAFETY: as above.
            return unsafe { avx2(block, scratch, out) };
        }
    }
    let _ = set;
    // SAFETY: every processor of this architecture has these instructions;
    // different blocks differ in rows or in heads.
    unsafe { attend::<tile::Four>(block, scratch, out) };
}
