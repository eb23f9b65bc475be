//! Turns queries and keys by their positions and fills the cache, for the rows
//! of one key block at a time: what such rows write lies in pieces that no
//! other block touches, so threads share a call by blocks.
//!
//! Each element is the expression of `scalar::rope_append`.

#![expect(unsafe_code, reason = "blocks share what they write")]

use super::pool::Shares;
use super::{AttentionShape, KEY_BLOCK};
use std::ops::Range;

/// What the blocks of one call read and where they write.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) shape: &'a AttentionShape,
    pub(super) qkv: &'a [f32],
    pub(super) rotation: &'a [f32],
    pub(super) queries: &'a Shares<'a, f32>,
    pub(super) keys: &'a Shares<'a, f32>,
    pub(super) values: &'a Shares<'a, f32>,
}

/// Writes the pairs (i, i + half) of a turned head, one after the other.
#[inline(always)]
fn turn(head: &[f32], rotation: &[f32], out: &mut [f32]) {
    let half = out.len() / 2;
    let (first, second) = head.split_at(half);
    let (cosines, sines) = rotation.split_at(half);
    let (low, high) = out.split_at_mut(half);
    let (first, second) = (&first[..half], &second[..half]);
    let (cosines, sines) = (&cosines[..half], &sines[..half]);
    let (low, high) = (&mut low[..half], &mut high[..half]);
    for i in 0..half {
        low[i] = first[i] * cosines[i] - second[i] * sines[i];
        high[i] = second[i] * cosines[i] + first[i] * sines[i];
    }
}

/// `rows` of the step, all of one key block. No two calls at a time may share
/// a row or a block.
#[inline(always)]
pub(super) fn rope_append(task: Turn<'_>, rows: Range<usize>) {
    let Turn { shape, .. } = task;
    let width = shape.head_dim;
    let mut turned = vec![0.0_f32; width];
    for row in rows {
        let position = shape.position + row;
        let qkv = &task.qkv[row * shape.qkv_width()..][..shape.qkv_width()];
        let (query, key_value) = qkv.split_at(shape.query_width());
        let (key, value) = key_value.split_at(shape.kv_heads * width);
        let rotation = &task.rotation[row * width..][..width];
        let range = row * shape.query_width()..(row + 1) * shape.query_width();
        // SAFETY: of this row alone.
        let queries = unsafe { task.queries.slice(range) };
        for (head, out) in query
            .chunks_exact(width)
            .zip(queries.chunks_exact_mut(width))
        {
            turn(head, rotation, out);
        }
        for (h, head) in key.chunks_exact(width).enumerate() {
            turn(head, rotation, &mut turned);
            let start = shape.key_index(h, position, 0) - position % KEY_BLOCK;
            // SAFETY: of this block of positions alone.
            let block = unsafe { task.keys.slice(start..start + width * KEY_BLOCK) };
            let (lines, _) = block.as_chunks_mut::<KEY_BLOCK>();
            for (line, turned) in lines.iter_mut().zip(&turned) {
                line[position % KEY_BLOCK] = *turned;
            }
        }
        for (h, head) in value.chunks_exact(width).enumerate() {
            let start = (h * shape.capacity + position) * width;
            // SAFETY: of this position alone.
            unsafe { task.values.slice(start..start + width) }.copy_from_slice(head);
        }
    }
}
