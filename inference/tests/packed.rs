//! Packed matrices: what a format holds, and linears that give the same bits
//! on every instruction set, thread count and row count.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]

use proptest::prelude::*;
use talkoot_inference::StoredFormat;
use talkoot_inference::kernels::{
    BLOCK, GROUP_ROWS, InstructionSet, Kernels, PackedFormat, PackedMatrix, Prologue,
};

/// Numbers that look like weights, the same for the same seed.
fn noise(seed: u64, count: usize, spread: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let unit = (state >> 40) as f32 / (1 << 24) as f32;
            (unit - 0.5) * 2.0 * spread
        })
        .collect()
}

fn pack(format: PackedFormat, weights: &[f32], inner: usize) -> Vec<u8> {
    let group_bytes = format.group_bytes(inner);
    let mut bytes = vec![0; format.matrix_bytes(weights.len() / inner, inner)];
    let groups = bytes.chunks_exact_mut(group_bytes);
    for (rows, group) in weights.chunks(GROUP_ROWS * inner).zip(groups) {
        format.pack_group(rows, inner, group).unwrap();
    }
    bytes
}

/// `bytes` at an odd address.
fn unaligned(bytes: &[u8]) -> Vec<u8> {
    let mut moved = vec![0];
    moved.extend_from_slice(bytes);
    moved
}

struct Case {
    format: PackedFormat,
    inner: usize,
    width: usize,
    bytes: Vec<u8>,
}

impl Case {
    fn new(format: PackedFormat, width: usize, inner: usize, seed: u64) -> Self {
        let weights = noise(seed, width * inner, 0.2);
        Self {
            format,
            inner,
            width,
            bytes: unaligned(&pack(format, &weights, inner)),
        }
    }

    fn matrix(&self) -> PackedMatrix<'_> {
        PackedMatrix::new(self.format, &self.bytes[1..], self.width, self.inner).unwrap()
    }

    fn run(&self, kernels: &Kernels, input: &[f32]) -> Vec<f32> {
        let mut out = vec![f32::NAN; input.len() / self.inner * self.width];
        kernels.packed_linear(input, &Prologue::None, &[self.matrix()], &mut out);
        out
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    // One NaN is as good as another.
    let bits = |value: &f32| {
        if value.is_nan() {
            u32::MAX
        } else {
            value.to_bits()
        }
    };
    values.iter().map(bits).collect()
}

fn all_kernels() -> Vec<Kernels> {
    let sets = InstructionSet::available();
    sets.into_iter()
        .flat_map(|set| [1, 3].map(|threads| Kernels::with_set(set, threads).unwrap()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_instruction_set_gives_the_bits_of_the_scalar_one(
        format in prop::sample::select(&PackedFormat::ALL[..]),
        width in 1_usize..150,
        inner in 1_usize..200,
        rows in 1_usize..18,
        seed in any::<u64>(),
        strange in prop::option::of((0_usize..200, prop::sample::select(
            &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-42, 1e-25, 3e38][..],
        ))),
    ) {
        let case = Case::new(format, width, inner, seed);
        let mut input = noise(seed ^ 1, rows * inner, 3.0);
        if let Some((at, value)) = strange {
            let at = at % input.len();
            input[at] = value;
        }
        let expected = bits(&case.run(&Kernels::with_set(InstructionSet::Baseline, 1).unwrap(), &input));
        for kernels in all_kernels() {
            prop_assert_eq!(&bits(&case.run(&kernels, &input)), &expected, "{:?}", kernels);
        }
    }

    #[test]
    fn a_row_does_not_know_the_other_rows(
        format in prop::sample::select(&PackedFormat::ALL[..]),
        rows in 2_usize..40,
        seed in any::<u64>(),
    ) {
        let case = Case::new(format, 70, 96, seed);
        let input = noise(seed ^ 1, rows * 96, 3.0);
        let kernels = Kernels::detect(2);
        let together = case.run(&kernels, &input);
        let alone: Vec<f32> = input.chunks(96).flat_map(|row| case.run(&kernels, row)).collect();
        prop_assert_eq!(bits(&together), bits(&alone));
    }

    #[test]
    fn products_are_close_to_those_of_plain_numbers(
        format in prop::sample::select(&PackedFormat::ALL[..]),
        rows in 1_usize..9,
        seed in any::<u64>(),
    ) {
        let (width, inner) = (40, 256);
        let case = Case::new(format, width, inner, seed);
        let input = noise(seed ^ 1, rows * inner, 3.0);
        let found = case.run(&Kernels::detect(1), &input);
        let mut weights = vec![0.0; inner];
        for (row, input) in input.chunks(inner).enumerate() {
            for column in 0..width {
                // The weights as stored, so that only activations are rounded.
                case.matrix().unpack_row(column, &mut weights);
                let products = || input.iter().zip(&weights).map(|(a, w)| f64::from(a * w));
                let plain: f64 = products().sum();
                let size: f64 = products().map(|product| product * product).sum::<f64>().sqrt();
                let error = (f64::from(found[row * width + column]) - plain).abs();
                prop_assert!(error <= 0.04 * size, "{error} of {size}");
            }
        }
    }

    #[test]
    fn a_format_keeps_values_to_its_precision(seed in any::<u64>(), inner in 1_usize..130) {
        let row = noise(seed, inner, 0.3);
        for (format, tolerance) in [
            (PackedFormat::Bf16, 1.0 / 256.0),
            // Half a step of 1/127, and the scale's rounding to f16.
            (PackedFormat::Q8_0, 1.0 / 220.0),
            // A step of 1/8: the end of the other sign is cut off.
            (PackedFormat::Q4_0, 1.01 / 8.0),
        ] {
            let group = pack(format, &row, inner);
            let mut found = vec![0.0; inner];
            format.unpack_row(&group, 0, &mut found);
            for (found, block) in found.chunks(BLOCK).zip(row.chunks(BLOCK)) {
                let most = block.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                for (found, value) in found.iter().zip(block) {
                    prop_assert!((found - value).abs() <= most * tolerance, "{format:?}");
                }
            }
        }
    }
}

#[test]
fn prologues_are_those_of_the_separate_kernels() {
    let case = Case::new(PackedFormat::Q8_0, 48, 160, 5);
    let kernels = Kernels::detect(2);
    let input = noise(6, 7 * 160, 2.0);
    let gain = noise(7, 160, 1.0);
    let mut normed = vec![0.0; input.len()];
    kernels.rms_norm(&input, &gain, 1e-5, &mut normed);
    let mut out = vec![0.0; 7 * 48];
    let norm = Prologue::RmsNorm {
        gain: &gain,
        epsilon: 1e-5,
    };
    kernels.packed_linear(&input, &norm, &[case.matrix()], &mut out);
    assert_eq!(bits(&out), bits(&case.run(&kernels, &normed)));

    let double = noise(8, 7 * 320, 2.0);
    let mut gated = vec![0.0; 7 * 160];
    kernels.silu_mul(&double, 160, &mut gated);
    kernels.packed_linear(&double, &Prologue::SiluMul, &[case.matrix()], &mut out);
    assert_eq!(bits(&out), bits(&case.run(&kernels, &gated)));
}

#[test]
fn outputs_of_several_matrices_lie_side_by_side() {
    let cases = [20, 16, 33].map(|width| Case::new(PackedFormat::Q4_0, width, 64, width as u64));
    let input = noise(1, 3 * 64, 1.0);
    let kernels = Kernels::detect(2);
    let mut out = vec![0.0; 3 * (20 + 16 + 33)];
    let matrices = cases.each_ref().map(Case::matrix);
    kernels.packed_linear(&input, &Prologue::None, &matrices, &mut out);
    for (row, out) in out.chunks(20 + 16 + 33).enumerate() {
        let mut start = 0;
        for case in &cases {
            let alone = case.run(&kernels, &input[row * 64..(row + 1) * 64]);
            assert_eq!(out[start..start + case.width], alone);
            start += case.width;
        }
    }
}

#[test]
fn a_weight_that_is_no_number_is_refused_by_row() {
    for format in PackedFormat::ALL {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut rows = vec![0.5; 3 * 40];
            rows[41] = bad;
            let mut group = vec![0; format.group_bytes(40)];
            let error = format.pack_group(&rows, 40, &mut group).unwrap_err();
            assert_eq!(error.row, 1, "{format:?}");
        }
    }
}

/// Every block of every group has its place: a matrix of marked values comes
/// back whole.
#[test]
fn packing_loses_no_element() {
    for format in PackedFormat::ALL {
        let (width, inner) = (35, 100);
        let weights: Vec<f32> = (0..width * inner).map(|at| (at % 7) as f32 - 3.0).collect();
        let bytes = pack(format, &weights, inner);
        let matrix = PackedMatrix::new(format, &bytes, width, inner).unwrap();
        let mut row = vec![0.0; inner];
        for (index, expected) in weights.chunks(inner).enumerate() {
            matrix.unpack_row(index, &mut row);
            for (found, expected) in row.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 0.4,
                    "{format:?} {found} {expected}"
                );
            }
        }
        assert!(PackedMatrix::new(format, &bytes[1..], width, inner).is_none());
    }
}

/// A product of two brain floats may be too large for f32 while its sum with
/// others is not.
#[test]
fn one_product_may_exceed_what_the_sum_does_not() {
    let inner = 32;
    let huge = 2.0_f32.powi(64);
    let mut row = vec![0.0; inner];
    // -2^127, then 2^128: of each pair the second comes first.
    (row[1], row[0]) = (-(2.0_f32.powi(63)), huge);
    let case = Case {
        format: PackedFormat::Bf16,
        inner,
        width: 1,
        bytes: unaligned(&pack(PackedFormat::Bf16, &row, inner)),
    };
    for kernels in all_kernels() {
        let found = case.run(&kernels, &[huge; 32]);
        assert_eq!(found, [2.0_f32.powi(127)], "{kernels:?}");
    }
}

/// Blocks of a file move into the layout without a change, the least number
/// (which our own quantiser never makes) included, and every instruction set
/// multiplies them alike.
#[test]
fn repacked_blocks_are_what_was_stored() {
    let (width, inner) = (37, 96);
    for (format, stored, block_bytes) in [
        (PackedFormat::Q8_0, StoredFormat::Q8_0, 34),
        (PackedFormat::Q4_0, StoredFormat::Q4_0, 18),
    ] {
        let row_bytes = inner / BLOCK * block_bytes;
        let mut rows: Vec<u8> = (0..width * row_bytes)
            .map(|i| (i * 131 + i / 7) as u8)
            .collect();
        for block in rows.chunks_exact_mut(block_bytes) {
            block[0] = block[2];
            block[1] = 0x2c;
            block[5] = 0x80;
        }
        let mut bytes = vec![0; 1 + format.matrix_bytes(width, inner)];
        let groups = bytes[1..].chunks_exact_mut(format.group_bytes(inner));
        for (rows, group) in rows.chunks(GROUP_ROWS * row_bytes).zip(groups) {
            format.repack_group(rows, inner, group).unwrap();
        }
        let case = Case {
            format,
            inner,
            width,
            bytes,
        };
        let mut expected = Vec::new();
        stored.widen(&rows, &mut expected);
        let mut values = vec![0.0; width * inner];
        for (row, values) in values.chunks_exact_mut(inner).enumerate() {
            case.matrix().unpack_row(row, values);
        }
        assert_eq!(bits(&values), bits(&expected), "{format:?}");
        let input = noise(5, 7 * inner, 3.0);
        let baseline = Kernels::with_set(InstructionSet::Baseline, 1).unwrap();
        let expected = bits(&case.run(&baseline, &input));
        for kernels in all_kernels() {
            assert_eq!(
                bits(&case.run(&kernels, &input)),
                expected,
                "{:?}",
                kernels.set()
            );
        }
    }
}

#[test]
fn a_stored_scale_that_is_no_number_is_refused_by_row() {
    let mut rows = vec![0; 3 * 34];
    rows[34..36].copy_from_slice(&[0x00, 0x7c]);
    let mut group = vec![0; PackedFormat::Q8_0.group_bytes(BLOCK)];
    let error = PackedFormat::Q8_0.repack_group(&rows, BLOCK, &mut group);
    assert_eq!(error.unwrap_err().row, 1);
}
