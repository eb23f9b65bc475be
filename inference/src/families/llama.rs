//! Llama 2 and 3.x: the plain decoder. Rotary frequencies may be stretched as in
//! Llama 3.1; biases are refused.

use super::{Family, Parts};
use crate::config::Defaults;

pub(super) const FAMILY: Family = Family {
    name: "llama",
    defaults: Defaults {
        context: 2048,
        epsilon: 1e-6,
        theta: 10_000.0,
        kv_heads: None,
        head_dim: None,
    },
    specifics: |raw| raw.dense(),
    parts: Parts {
        has_biases: false,
        has_head_norms: false,
        experts: None,
    },
};
