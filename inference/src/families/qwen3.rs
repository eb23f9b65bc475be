//! Qwen 3, dense: no biases, a norm of every head of query and key, and heads
//! whose width is a setting of its own.

use super::{Family, Parts};
use crate::config::Defaults;

pub(super) const FAMILY: Family = Family {
    name: "qwen3",
    defaults: Defaults {
        context: 32_768,
        epsilon: 1e-6,
        theta: 10_000.0,
        kv_heads: Some(32),
        head_dim: Some(128),
    },
    specifics: |raw| {
        raw.refuse_window()?;
        raw.dense()
    },
    parts: Parts {
        has_biases: false,
        has_head_norms: true,
        experts: None,
    },
};
