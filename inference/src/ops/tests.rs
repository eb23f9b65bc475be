//! Every operation of the door gives what its stock body gives, within the
//! rounding of its arithmetic, for any sizes. Nothing here is timed.

use super::*;
use crate::kernels::{GROUP_ROWS, KEY_BLOCK, PackedFormat};
use crate::packing;
use burn::tensor::{Device, FloatDType, TensorData};
use proptest::prelude::*;

/// Of sums in another order, relative to the size of the result.
const TOLERANCE: f32 = 1e-5;

fn ops(backend: Backend) -> Ops {
    Ops {
        backend,
        kernels: Kernels::detect(1),
    }
}

/// Values between -1 and 1 from a seed.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn random<const D: usize>(dims: [usize; D], seed: u64) -> Tensor<D> {
    let data = TensorData::new(values(dims.iter().product(), seed), dims);
    Tensor::from_data(data, &Device::flex())
}

fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

/// The size of the difference, relative to that of `right`.
fn error<const D: usize>(left: Tensor<D>, right: Tensor<D>) -> f32 {
    assert_eq!(left.dims(), right.dims());
    let (left, right) = (to_vec(left), to_vec(right));
    let size = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let difference = size(&mut left.iter().zip(&right).map(|(a, b)| a - b));
    difference / size(&mut right.iter().copied()).max(f32::MIN_POSITIVE)
}

/// The same matrix packed for the kernels and as the floats it then holds.
fn packed_twice(format: PackedFormat, width: usize, inner: usize, seed: u64) -> (Weight, Weight) {
    let shape = PackedShape {
        format,
        width,
        inner,
    };
    let mut bytes = vec![0; shape.bytes()];
    let rows = values(width * inner, seed);
    let groups = bytes.chunks_exact_mut(format.group_bytes(inner));
    for (rows, group) in rows.chunks(GROUP_ROWS * inner).zip(groups) {
        format.pack_group(rows, inner, group).unwrap();
    }
    let floats = TensorData::new(packing::unpack(&bytes, &shape), [width, inner]);
    let layout = Layout::contiguous(Shape::new([bytes.len()]));
    let bytes = FlexTensor::new(Bytes::from_elems(bytes), layout, DType::U8);
    let bytes = Tensor::from_primitive::<Flex>(bytes);
    let stored = Tensor::from_data(floats, &Device::flex());
    (
        Weight::Packed(PackedWeight { bytes, shape }),
        Weight::Stored(stored),
    )
}

/// Keys `[kv_heads, head_dim, capacity]` in the order of the kernels, or back.
fn reordered(keys: Tensor<3>, shape: &AttentionShape, to_kernels: bool) -> Tensor<3> {
    let [heads, width, capacity] = keys.dims();
    let from = to_vec(keys);
    let mut to = from.clone();
    for at in 0..from.len() {
        let (row, position) = (at / capacity, at % capacity);
        let ours = shape.key_index(row / width, position, row % width);
        if to_kernels {
            to[ours] = from[at];
        } else {
            to[at] = from[ours];
        }
    }
    let data = TensorData::new(to, [heads, width, capacity]);
    Tensor::from_data(data, &Device::flex())
}

/// Input columns and what is done to them so that `inner` come out.
fn input_of(kind: usize, inner: usize, gain: &Tensor<1>) -> (usize, Before<'_>) {
    let epsilon = 1e-5;
    match kind {
        0 => (inner, Before::Nothing),
        1 => (inner, Before::Norm { gain, epsilon }),
        _ => (2 * inner, Before::SiluMul),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn stored_linear_norm_and_gate_are_those_of_stock_burn(
        rows in 1_usize..18, inner in 1_usize..80, kind in 0_usize..3, dtype in 0_usize..3,
        widths in prop::collection::vec(1_usize..40, 1..4), seed in any::<u64>(),
    ) {
        let dtype = [FloatDType::F32, FloatDType::BF16, FloatDType::F16][dtype];
        let gain = random([inner], seed);
        let (columns, before) = input_of(kind, inner, &gain);
        let input = random([rows, columns], seed ^ 1);
        let weights: Vec<Weight> = widths
            .iter()
            .map(|&width| Weight::Stored(random([width, inner], seed ^ width as u64).cast(dtype)))
            .collect();
        let weights: Vec<&Weight> = weights.iter().collect();
        let run = |backend| ops(backend).linear(input.clone(), before, &weights);
        let error = error(run(Backend::Kernels), run(Backend::Burn));
        prop_assert!(error < TOLERANCE, "{error}");
    }

    /// Sums in 32 bits agree; activations are rounded to bf16 or to bytes.
    #[test]
    fn packed_linear_is_that_of_stock_burn_on_the_same_values(
        rows in 1_usize..18, inner in 1_usize..100, kind in 0_usize..3, format in 0_usize..3,
        widths in prop::collection::vec(8_usize..40, 1..4), seed in any::<u64>(),
    ) {
        let format = PackedFormat::ALL[format];
        let gain = random([inner], seed);
        let (columns, before) = input_of(kind, inner, &gain);
        let input = random([rows, columns], seed ^ 1);
        let (packed, stored): (Vec<Weight>, Vec<Weight>) = widths
            .iter()
            .map(|&width| packed_twice(format, width, inner, seed ^ width as u64))
            .unzip();
        let run = |backend, weights: &[Weight]| {
            let weights: Vec<&Weight> = weights.iter().collect();
            ops(backend).linear(input.clone(), before, &weights)
        };
        let error = error(run(Backend::Kernels, &packed), run(Backend::Burn, &stored));
        prop_assert!(error < 0.03, "{format:?} {error}");
    }

    #[test]
    fn rope_append_and_attention_are_those_of_stock_burn(
        first_row in 0_usize..4, rows in 1_usize..18, position in 0_usize..50, after in 0_usize..3,
        kv_heads in 1_usize..3, group in 1_usize..4, half in 1_usize..20,
        window in prop::option::of(1_usize..40), seed in any::<u64>(),
    ) {
        let (head_dim, capacity) = (2 * half, position + rows + 2);
        let heads = kv_heads * group;
        let shape =
            AttentionShape { heads, kv_heads, head_dim, capacity, position, rows, window };
        let all_rows = first_row + rows + after;
        let qkv = random([all_rows, shape.qkv_width()], seed);
        let rotation = random([all_rows, head_dim], seed ^ 1);
        let run = |backend| {
            let blocks = capacity.next_multiple_of(KEY_BLOCK);
            let keys = random([kv_heads, head_dim, blocks], seed ^ 2);
            let is_ours = backend == Backend::Kernels;
            let cache = LayerCache {
                keys: if is_ours { reordered(keys, &shape, true) } else { keys },
                values: random([kv_heads, capacity, head_dim], seed ^ 3),
            };
            let part = Part { first_row, shape };
            let ops = ops(backend);
            let (queries, cache) = ops.rope_append(qkv.clone(), rotation.clone(), cache, part);
            let output = ops.attention(queries.clone(), &cache, shape);
            let keys = cache.keys;
            let keys = if is_ours { reordered(keys, &shape, false) } else { keys };
            (queries, keys, cache.values, output)
        };
        let (kernels, burn) = (run(Backend::Kernels), run(Backend::Burn));
        let errors = [
            error(kernels.0, burn.0),
            error(kernels.1, burn.1),
            error(kernels.2, burn.2),
            error(kernels.3, burn.3),
        ];
        prop_assert!(errors.iter().all(|error| *error < TOLERANCE), "{errors:?}");
    }
}
