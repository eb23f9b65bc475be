//! Attention and its cache: every instruction set and thread count gives the
//! bits of the scalar statement, which is held against a sum in f64.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]

use proptest::prelude::*;
use talkoot_inference::kernels::{AttentionShape, InstructionSet, Kernels, scalar};

/// Values between -1 and 1 from a seed.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn all_kernels() -> Vec<Kernels> {
    InstructionSet::available()
        .into_iter()
        .flat_map(|set| [1, 3].map(|threads| Kernels::with_set(set, threads).unwrap()))
        .collect()
}

/// Which not-a-number it is, the processor may choose.
fn bits(values: &[f32]) -> Vec<u32> {
    let quiet = |value: &f32| if value.is_nan() { f32::NAN } else { *value };
    values.iter().map(|value| quiet(value).to_bits()).collect()
}

/// Queries, keys and values for one call.
struct Inputs {
    shape: AttentionShape,
    queries: Vec<f32>,
    keys: Vec<f32>,
    cached: Vec<f32>,
}

impl Inputs {
    fn new(shape: AttentionShape, seed: u64) -> Self {
        Self {
            shape,
            queries: values(shape.rows * shape.query_width(), seed),
            keys: values(shape.keys_len(), seed ^ 1),
            cached: values(shape.values_len(), seed ^ 2),
        }
    }

    fn expected(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.queries.len()];
        scalar::attention(
            &self.shape,
            &self.queries,
            &self.keys,
            &self.cached,
            &mut out,
        );
        out
    }

    fn run(&self, kernels: &Kernels) -> Vec<f32> {
        let mut out = vec![9.0; self.queries.len()];
        kernels.attention(
            &self.shape,
            &self.queries,
            &self.keys,
            &self.cached,
            &mut out,
        );
        out
    }

    /// The last element of the last row's last head, in f64.
    fn exact(&self) -> f64 {
        let shape = &self.shape;
        let (width, head) = (shape.head_dim, shape.kv_heads - 1);
        let query = &self.queries[self.queries.len() - width..];
        let seen = shape.seen(shape.rows - 1);
        let weight = |t: usize| {
            let key = |i: usize| f64::from(self.keys[shape.key_index(head, t, i)]);
            let score: f64 = (0..width).map(|i| f64::from(query[i]) * key(i)).sum();
            (score / (width as f64).sqrt()).exp()
        };
        let total: f64 = seen.clone().map(weight).sum();
        let value =
            |t: usize| f64::from(self.cached[(head * shape.capacity + t) * width + width - 1]);
        seen.map(|t| weight(t) * value(t)).sum::<f64>() / total
    }
}

prop_compose! {
    fn shapes()(
        rows in prop_oneof![1_usize..18, 18_usize..70],
        position in prop_oneof![0_usize..20, 0_usize..300],
        kv_heads in 1_usize..4,
        group in 1_usize..9,
        half in prop_oneof![Just(32_usize), Just(64), 1_usize..40, 120_usize..=128],
        spare in 0_usize..40,
        window in prop_oneof![Just(None), (1_usize..200).prop_map(Some)],
    ) -> AttentionShape {
        AttentionShape {
            heads: kv_heads * group,
            kv_heads,
            head_dim: 2 * half,
            capacity: position + rows + spare,
            position,
            rows,
            window,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn attention_is_exactly_the_scalar_one_and_right(shape in shapes(), seed in any::<u64>()) {
        let inputs = Inputs::new(shape, seed);
        let expected = inputs.expected();
        for kernels in all_kernels() {
            prop_assert_eq!(bits(&inputs.run(&kernels)), bits(&expected), "{:?}", kernels);
        }
        let (last, exact) = (expected[expected.len() - 1], inputs.exact());
        prop_assert!((f64::from(last) - exact).abs() < 1e-4, "{last} {exact}");
    }

    #[test]
    fn what_a_row_does_not_see_does_not_touch_it(
        shape in shapes(), seed in any::<u64>(), poison in prop_oneof![
            Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)
        ],
    ) {
        let mut inputs = Inputs::new(shape, seed);
        let clean = inputs.expected();
        // The position of the middle row, in keys and values of the first head.
        let middle = shape.rows / 2;
        let position = shape.position + middle;
        inputs.keys[shape.key_index(0, position, 0)] = poison;
        inputs.cached[position * shape.head_dim] = poison;
        for kernels in all_kernels() {
            let out = inputs.run(&kernels);
            prop_assert_eq!(bits(&out), bits(&inputs.expected()), "{:?}", kernels);
            let rows = out.chunks(shape.query_width()).zip(clean.chunks(shape.query_width()));
            for (row, (out, clean)) in rows.enumerate() {
                let sees = shape.seen(row).contains(&position);
                prop_assert!(sees || bits(out) == bits(clean), "row {row}");
                prop_assert!(!sees || !out[0].is_finite(), "row {row}");
            }
        }
    }

    #[test]
    fn chunks_do_not_change_a_bit(shape in shapes(), seed in any::<u64>(), cut in 0_usize..70) {
        let inputs = Inputs::new(shape, seed);
        let cut = cut % shape.rows;
        let whole = inputs.run(&Kernels::detect(1));
        let mut parts = Vec::new();
        for (first, rows) in [(0, cut), (cut, shape.rows - cut)] {
            let queries = &inputs.queries[first * shape.query_width()..];
            let part = Inputs {
                shape: AttentionShape { position: shape.position + first, rows, ..shape },
                queries: queries[..rows * shape.query_width()].to_vec(),
                keys: inputs.keys.clone(),
                cached: inputs.cached.clone(),
            };
            parts.extend(part.run(&Kernels::detect(2)));
        }
        prop_assert_eq!(bits(&whole), bits(&parts));
    }

    #[test]
    fn turn_and_append_are_exactly_the_scalar_ones(shape in shapes(), seed in any::<u64>()) {
        let qkv = values(shape.rows * shape.qkv_width(), seed);
        let rotation = values(shape.rows * shape.head_dim, seed ^ 1);
        let run = |kernels: Option<&Kernels>| {
            let mut queries = vec![0.0; shape.rows * shape.query_width()];
            let mut keys = values(shape.keys_len(), seed ^ 2);
            let mut cached = values(shape.values_len(), seed ^ 3);
            let cache = (&mut keys[..], &mut cached[..]);
            match kernels {
                Some(kernels) => kernels.rope_append(&shape, &qkv, &rotation, &mut queries, cache),
                None => scalar::rope_append(&shape, &qkv, &rotation, &mut queries, cache),
            }
            [bits(&queries), bits(&keys), bits(&cached)]
        };
        let expected = run(None);
        for kernels in all_kernels() {
            prop_assert!(run(Some(&kernels)) == expected, "{kernels:?}");
        }
    }
}

#[test]
fn rope_turns_pairs_and_fills_its_cells_only() {
    let shape = AttentionShape {
        heads: 2,
        kv_heads: 1,
        head_dim: 4,
        capacity: 5,
        position: 2,
        rows: 2,
        window: None,
    };
    let qkv = values(2 * shape.qkv_width(), 1);
    // Quarter turns: cosine 0, sine 1.
    let rotation = [0.0, 0.0, 1.0, 1.0].repeat(2);
    let mut queries = vec![0.0; 2 * shape.query_width()];
    let mut keys = vec![9.0; shape.keys_len()];
    let mut cached = vec![9.0; shape.values_len()];
    Kernels::detect(1).rope_append(
        &shape,
        &qkv,
        &rotation,
        &mut queries,
        (&mut keys, &mut cached),
    );
    assert_eq!(queries[..4], [-qkv[2], -qkv[3], qkv[0], qkv[1]]);
    for (row, qkv) in qkv.chunks(16).enumerate() {
        let turned = [-qkv[10], -qkv[11], qkv[8], qkv[9]];
        for (i, turned) in turned.iter().enumerate() {
            assert_eq!(keys[shape.key_index(0, 2 + row, i)], *turned);
        }
        assert_eq!(cached[(2 + row) * 4..(3 + row) * 4], qkv[12..16]);
    }
    assert_eq!(keys.iter().filter(|key| **key == 9.0).count(), 64 - 8);
    assert_eq!(cached[..8], [9.0; 8]);
    assert_eq!(cached[16..], [9.0; 4]);
}
