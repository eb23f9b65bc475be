//! Qwen 2 and 2.5: biases of query, key and value. Windows over some layers, which
//! no published checkpoint turns on, are refused.

use super::{Family, Parts};
use crate::config::Defaults;

pub(super) const FAMILY: Family = Family {
    name: "qwen2",
    defaults: Defaults {
        context: 32_768,
        epsilon: 1e-6,
        theta: 10_000.0,
        kv_heads: Some(32),
        head_dim: None,
    },
    specifics: |raw| {
        raw.refuse_window()?;
        raw.dense()
    },
    parts: Parts {
        has_biases: true,
        has_head_norms: false,
        experts: None,
    },
};
