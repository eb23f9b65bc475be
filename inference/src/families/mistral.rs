//! Mistral: the plain decoder, with a sliding window of attention in its first
//! version and without one (`null`) in later ones.

use super::{Family, Parts};
use crate::config::Defaults;

/// What transformers assumes where the key is absent.
const WINDOW: u32 = 4096;

pub(super) const FAMILY: Family = Family {
    name: "mistral",
    defaults: Defaults {
        context: 131_072,
        epsilon: 1e-6,
        theta: 10_000.0,
        kv_heads: Some(8),
        head_dim: None,
    },
    specifics: |raw| {
        raw.refuse_mixed_layers()?;
        let mut specifics = raw.dense()?;
        specifics.window = raw.sliding_window.unwrap_or(Some(WINDOW));
        Ok(specifics)
    },
    parts: Parts {
        has_biases: false,
        has_head_norms: false,
        experts: None,
    },
};
