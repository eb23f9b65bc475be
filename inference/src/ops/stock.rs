//! The coarse operations from stock burn operations.
//!
//! Right and portable: this is what runs where we have no kernel, and what the
//! kernels are compared with. Slow on a processor, because weights are widened
//! and intermediate tensors made on every call.

use super::{LayerCache, Part};
use crate::kernels::AttentionShape;
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{FloatDType, Int, Tensor};

pub(super) fn linear(input: &Tensor<2>, matrices: &[&Tensor<2>]) -> Tensor<2> {
    let outputs = matrices
        .iter()
        .map(|matrix| {
            input
                .clone()
                .matmul((*matrix).clone().cast(FloatDType::F32).transpose())
        })
        .collect();
    Tensor::cat(outputs, 1)
}

pub(super) fn rms_norm(input: Tensor<2>, gain: &Tensor<1>, epsilon: f32) -> Tensor<2> {
    let mean = (input.clone() * input.clone()).mean_dim(1);
    input / (mean + epsilon).sqrt() * gain.clone().unsqueeze()
}

pub(super) fn silu_mul(input: Tensor<2>) -> Tensor<2> {
    let [_, double] = input.dims();
    let gate = input.clone().narrow(1, 0, double / 2);
    let up = input.narrow(1, double / 2, double / 2);
    gate.clone() * sigmoid(gate) * up
}

pub(super) fn rope_append(
    qkv: Tensor<2>,
    rotation: Tensor<2>,
    cache: LayerCache,
    part: Part,
) -> (Tensor<2>, LayerCache) {
    let Part { first_row, shape } = part;
    let AttentionShape {
        heads,
        kv_heads,
        head_dim,
        position,
        rows,
        ..
    } = shape;
    let qkv = qkv.narrow(0, first_row, rows);
    let rotation = rotation.narrow(0, first_row, rows);
    let half = head_dim / 2;
    let cosines = rotation.clone().narrow(1, 0, half).reshape([rows, 1, half]);
    let sines = rotation.narrow(1, half, half).reshape([rows, 1, half]);
    let split = |first_head: usize, count: usize| -> Tensor<3> {
        qkv.clone()
            .narrow(1, first_head * head_dim, count * head_dim)
            .reshape([rows, count, head_dim])
    };
    let turn = |x: Tensor<3>| {
        let (a, b) = (x.clone().narrow(2, 0, half), x.narrow(2, half, half));
        let first = a.clone() * cosines.clone() - b.clone() * sines.clone();
        let second = b * cosines.clone() + a * sines.clone();
        Tensor::cat(vec![first, second], 2)
    };
    let queries = turn(split(0, heads)).reshape([rows, heads * head_dim]);
    let keys = turn(split(heads, kv_heads)).permute([1, 2, 0]);
    let values = split(heads + kv_heads, kv_heads).permute([1, 0, 2]);
    let seen = position..position + rows;
    let keys = cache
        .keys
        .slice_assign([0..kv_heads, 0..head_dim, seen.clone()], keys);
    let values = cache
        .values
        .slice_assign([0..kv_heads, seen, 0..head_dim], values);
    (queries, LayerCache { keys, values })
}

pub(super) fn attention(
    queries: Tensor<2>,
    cache: &LayerCache,
    shape: AttentionShape,
) -> Tensor<2> {
    let AttentionShape {
        heads,
        kv_heads,
        head_dim,
        position,
        rows,
        window,
        ..
    } = shape;
    let (seen, group) = (position + rows, heads / kv_heads);
    let device = queries.device();
    // The query heads that share a key head become rows of one product.
    let queries = queries
        .reshape([rows, kv_heads, group, head_dim])
        .permute([1, 2, 0, 3])
        .reshape([kv_heads, group * rows, head_dim]);
    let keys = cache.keys.clone().narrow(2, 0, seen);
    let values = cache.values.clone().narrow(1, 0, seen);
    let scores = queries.matmul(keys) / (head_dim as f32).sqrt();
    let own = Tensor::<1, Int>::arange(position as i64..seen as i64, &device).reshape([1, rows, 1]);
    let other = Tensor::<1, Int>::arange(0..seen as i64, &device).reshape([1, 1, seen]);
    let (own, other) = (own.expand([1, rows, seen]), other.expand([1, rows, seen]));
    let hidden = match window {
        None => other.greater(own),
        Some(window) => other
            .clone()
            .greater(own.clone())
            .bool_or((other + window as i64).lower_equal(own)),
    };
    let scores = scores
        .reshape([kv_heads * group, rows, seen])
        .mask_fill(
            hidden.expand([kv_heads * group, rows, seen]),
            f32::NEG_INFINITY,
        )
        .reshape([kv_heads, group * rows, seen]);
    softmax(scores, 2)
        .matmul(values)
        .reshape([kv_heads, group, rows, head_dim])
        .permute([2, 0, 1, 3])
        .reshape([rows, heads * head_dim])
}
