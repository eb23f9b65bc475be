//! Rotary position embedding: the angles of each position.
//!
//! Frequencies follow the published formulas in f32, so that logits agree with
//! other implementations; sine and cosine come from a pure-Rust library, so
//! that they agree between machines. Which pairs of dimensions are turned is
//! the kernel's business.

use crate::config::{RopeConfig, RopeScaling};

/// The turning speed of each pair of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RotaryTable {
    inverse_frequencies: Vec<f32>,
}

impl RotaryTable {
    pub(crate) fn new(config: &RopeConfig, head_dim: usize) -> Self {
        let inverse_frequencies = (0..head_dim / 2)
            .map(|pair| {
                let exponent = to_f64(2 * pair) / to_f64(head_dim);
                narrow(scale(
                    1.0 / libm::pow(config.theta, exponent),
                    &config.scaling,
                ))
            })
            .collect();
        Self {
            inverse_frequencies,
        }
    }

    /// Appends the cosines, then the sines of `position`.
    pub(crate) fn push_row(&self, position: usize, rows: &mut Vec<f32>) {
        let angles = self
            .inverse_frequencies
            .iter()
            .map(|speed| f64::from(position as f32 * speed));
        rows.extend(angles.clone().map(|angle| narrow(libm::cos(angle))));
        rows.extend(angles.map(|angle| narrow(libm::sin(angle))));
    }
}

/// Llama 3: long wavelengths are stretched by `factor`, short ones are left,
/// and those between are mixed in proportion.
fn scale(inverse: f64, scaling: &RopeScaling) -> f64 {
    let RopeScaling::Llama3 {
        factor,
        low_freq_factor,
        high_freq_factor,
        original_context,
    } = *scaling
    else {
        return inverse;
    };
    let turns = f64::from(original_context) * inverse / std::f64::consts::TAU;
    if turns < low_freq_factor {
        inverse / factor
    } else if turns > high_freq_factor {
        inverse
    } else {
        let smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
        (1.0 - smooth) * inverse / factor + smooth * inverse
    }
}

fn to_f64(value: usize) -> f64 {
    value as f64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is the point"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}
