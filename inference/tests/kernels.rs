//! Every instruction set gives the bits of the scalar statement, for any sizes.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

use half::{bf16, f16};
use proptest::prelude::*;
use talkoot_inference::kernels::{Columns, InstructionSet, Kernels, Matrix, scalar};

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
        .map(|set| Kernels::with_set(set, 1).unwrap())
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn linear_is_exactly_the_scalar_one(
        rows in 1_usize..18, inner in 1_usize..100, width in 1_usize..23,
        column in 0_usize..3, format in 0_usize..3, seed in any::<u64>(),
    ) {
        let input = values(rows * inner, seed);
        let weights = values(width * inner, seed ^ 1);
        let brain: Vec<bf16> = weights.iter().map(|w| bf16::from_f32(*w)).collect();
        let short: Vec<f16> = weights.iter().map(|w| f16::from_f32(*w)).collect();
        let matrix = match format {
            0 => Matrix::F32(&weights),
            1 => Matrix::Bf16(&brain),
            _ => Matrix::F16(&short),
        };
        let columns = Columns { column, stride: column + width + 1 };
        let mut expected = vec![7.0; rows * columns.stride];
        scalar::linear(&input, inner, matrix, &mut expected, columns);
        for kernels in all_kernels() {
            let mut out = vec![7.0; rows * columns.stride];
            kernels.linear(&input, inner, matrix, &mut out, columns);
            prop_assert_eq!(bits(&out), bits(&expected), "{:?}", kernels);
        }
        // The lanes lose nothing against a sum in twice the precision.
        let exact: f64 = (0..inner)
            .map(|k| {
                let weight = match matrix {
                    Matrix::F32(w) => w[k],
                    Matrix::Bf16(w) => w[k].to_f32(),
                    Matrix::F16(w) => w[k].to_f32(),
                };
                f64::from(input[k]) * f64::from(weight)
            })
            .sum();
        prop_assert!((f64::from(expected[column]) - exact).abs() < 1e-5);
    }

    #[test]
    fn norm_and_gate_are_exactly_the_scalar_ones(
        rows in 1_usize..18, width in 1_usize..100, seed in any::<u64>(),
    ) {
        let input: Vec<f32> = values(rows * 2 * width, seed).iter().map(|v| v * 30.0).collect();
        let gain = values(width, seed ^ 1);
        let (mut norm, mut gate) = (vec![0.0; rows * 2 * width], vec![0.0; rows * width]);
        scalar::rms_norm(&input, &gain, 1e-5, &mut norm);
        scalar::silu_mul(&input, width, &mut gate);
        for kernels in all_kernels() {
            let mut out = vec![0.0; norm.len()];
            kernels.rms_norm(&input, &gain, 1e-5, &mut out);
            prop_assert_eq!(bits(&out), bits(&norm), "{:?}", kernels);
            let mut out = vec![0.0; gate.len()];
            kernels.silu_mul(&input, width, &mut out);
            prop_assert_eq!(bits(&out), bits(&gate), "{:?}", kernels);
        }
        let (g, u) = (f64::from(input[0]), f64::from(input[width]));
        prop_assert!((f64::from(gate[0]) - g / (1.0 + (-g).exp()) * u).abs() < 1e-3);
    }
}

#[test]
fn threads_split_large_products_without_changing_a_bit() {
    for (rows, inner, width) in [(1, 4096, 2501), (37, 515, 1031)] {
        let input = values(rows * inner, 3);
        let weights = values(width * inner, 4);
        let columns = Columns {
            column: 2,
            stride: width + 5,
        };
        let run = |threads| {
            let mut out = vec![7.0; rows * columns.stride];
            Kernels::detect(threads).linear(
                &input,
                inner,
                Matrix::F32(&weights),
                &mut out,
                columns,
            );
            bits(&out)
        };
        let one = run(1);
        assert!(one == run(2) && one == run(5));
    }
}
