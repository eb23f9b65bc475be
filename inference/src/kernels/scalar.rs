//! The plain statement of every kernel: one loop for each sum.
//!
//! This is the definition that the wide bodies are tested against, bit for bit.

use super::{AttentionShape, Columns, LANES, Matrix};

/// Element `index` of a stored matrix, widened.
fn element(matrix: &Matrix<'_>, index: usize) -> f32 {
    match matrix {
        Matrix::F32(elements) => elements[index],
        Matrix::Bf16(elements) => elements[index].to_f32(),
        Matrix::F16(elements) => elements[index].to_f32(),
    }
}

/// Halves the lanes until one is left.
#[must_use]
pub fn reduce(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The sum of `term(0..count)` in the order of this crate.
fn sum(count: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    for index in 0..count {
        lanes[index % LANES] += term(index);
    }
    reduce(lanes)
}

/// See [`super::Kernels::linear`].
pub fn linear(input: &[f32], inner: usize, weights: Matrix<'_>, out: &mut [f32], columns: Columns) {
    for (x, y) in input
        .chunks_exact(inner)
        .zip(out.chunks_exact_mut(columns.stride))
    {
        for n in 0..weights.len() / inner {
            y[columns.column + n] = sum(inner, |k| element(&weights, n * inner + k) * x[k]);
        }
    }
}

/// See [`super::Kernels::rms_norm`].
pub fn rms_norm(input: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = gain.len();
    for (x, y) in input.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let mean = sum(width, |i| x[i] * x[i]) / width as f32;
        let scale = 1.0 / (mean + epsilon).sqrt();
        for i in 0..width {
            y[i] = gain[i] * (x[i] * scale);
        }
    }
}

/// See [`super::Kernels::silu_mul`].
pub fn silu_mul(input: &[f32], width: usize, out: &mut [f32]) {
    for (x, y) in input
        .chunks_exact(2 * width)
        .zip(out.chunks_exact_mut(width))
    {
        for i in 0..width {
            y[i] = x[i] / (1.0 + exp(-x[i])) * x[width + i];
        }
    }
}

/// See [`super::Kernels::rope_append`].
pub fn rope_append(
    shape: &AttentionShape,
    qkv: &[f32],
    rotation: &[f32],
    queries: &mut [f32],
    cache: (&mut [f32], &mut [f32]),
) {
    let (keys, values) = cache;
    let (width, half) = (shape.head_dim, shape.head_dim / 2);
    for row in 0..shape.rows {
        let position = shape.position + row;
        let qkv = &qkv[row * shape.qkv_width()..][..shape.qkv_width()];
        let (query, key_value) = qkv.split_at(shape.query_width());
        let (key, value) = key_value.split_at(shape.kv_heads * width);
        let (cosines, sines) = rotation[row * width..][..width].split_at(half);
        // The rotation pairs dimension i with i + half.
        let turned = |head: &[f32], i: usize| {
            let j = i % half;
            if i < half {
                head[j] * cosines[j] - head[j + half] * sines[j]
            } else {
                head[j + half] * cosines[j] + head[j] * sines[j]
            }
        };
        let out = &mut queries[row * shape.query_width()..][..shape.query_width()];
        for (head, out) in query.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            for (i, out) in out.iter_mut().enumerate() {
                *out = turned(head, i);
            }
        }
        for (h, head) in key.chunks_exact(width).enumerate() {
            for i in 0..width {
                keys[shape.key_index(h, position, i)] = turned(head, i);
            }
        }
        for (h, head) in value.chunks_exact(width).enumerate() {
            values[(h * shape.capacity + position) * width..][..width].copy_from_slice(head);
        }
    }
}

/// See [`super::Kernels::attention`].
pub fn attention(
    shape: &AttentionShape,
    queries: &[f32],
    keys: &[f32],
    values: &[f32],
    out: &mut [f32],
) {
    let width = shape.head_dim;
    let scale = 1.0 / (width as f32).sqrt();
    for row in 0..shape.rows {
        let seen = shape.seen(row);
        for head in 0..shape.heads {
            let kv = head / (shape.heads / shape.kv_heads);
            let start = row * shape.query_width() + head * width;
            let query = &queries[start..start + width];
            let score = |t: usize| {
                let mut sum = 0.0;
                for (i, q) in query.iter().enumerate() {
                    sum += q * keys[shape.key_index(kv, t, i)];
                }
                sum * scale
            };
            let scores: Vec<f32> = seen.clone().map(score).collect();
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, max);
            let parts: Vec<f32> = scores.iter().map(|score| exp(score - most)).collect();
            let mut lanes = [0.0; LANES];
            for (t, part) in seen.clone().zip(&parts) {
                lanes[t % LANES] += part;
            }
            let inverse = 1.0 / reduce(lanes);
            for i in 0..width {
                let mut sum = 0.0;
                for (t, part) in seen.clone().zip(&parts) {
                    sum += part * values[(kv * shape.capacity + t) * width + i];
                }
                out[start + i] = sum * inverse;
            }
        }
    }
}

/// The larger, without the special cases of [`f32::max`] that keep a loop from
/// becoming wide instructions.
#[inline(always)]
#[must_use]
pub fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// e^x with a relative error below 2e-7 for -87 <= x <= 88, clamped outside.
///
/// Our own, because the C library's differs between systems in the last bit.
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by a polynomial; 2^n by exponent
/// bits.
#[inline(always)]
#[must_use]
#[expect(clippy::excessive_precision, reason = "the coefficients as derived")]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer.
    const LN_2_HIGH: f32 = 0.693_359_375;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_15e-4;
    p = p * r + 1.398_199_95e-3;
    p = p * r + 8.333_451_9e-3;
    p = p * r + 4.166_579_59e-2;
    p = p * r + 1.666_666_55e-1;
    p = p * r + 5.000_000_1e-1;
    let e_r = p * r * r + r + 1.0;
    // The low bits of `rounded` are n; bias it and move it to the exponent.
    let power = rounded.to_bits().wrapping_add(127) << 23;
    e_r * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_and_clamped() {
        let mut worst = 0.0_f64;
        for step in -86_990..87_990 {
            let x = step as f32 * 0.001;
            let exact = f64::from(x).exp();
            worst = worst.max(((f64::from(exp(x)) - exact) / exact).abs());
        }
        assert!(worst < 2e-7, "{worst}");
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e30) > 0.0 && exp(-1e30) < 1e-37);
        assert!(exp(1e30).is_finite());
        assert!(exp(f32::NAN).is_nan());
    }
}
