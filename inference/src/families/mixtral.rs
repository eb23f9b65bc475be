//! Mixtral: Mistral's attention, and experts of which each token uses some, their
//! weights scaled to sum to one.

use super::{ExpertNames, Family, Parts};
use crate::config::{Defaults, ExpertSettings, required};

pub(super) const FAMILY: Family = Family {
    name: "mixtral",
    defaults: Defaults {
        context: 131_072,
        epsilon: 1e-5,
        theta: 1e6,
        kv_heads: Some(8),
        head_dim: None,
    },
    specifics: |raw| {
        raw.refuse_mixed_layers()?;
        let mut specifics = raw.dense()?;
        specifics.window = raw.sliding_window.flatten();
        let count = required("num_local_experts", raw.num_local_experts)?;
        let active = required("num_experts_per_tok", raw.num_experts_per_tok)?;
        let experts = ExpertSettings {
            count,
            normalised: true,
        };
        specifics.experts = Some((experts, active));
        Ok(specifics)
    },
    parts: Parts {
        has_biases: false,
        has_head_norms: false,
        experts: Some(ExpertNames {
            router: "block_sparse_moe.gate",
            experts: "block_sparse_moe.experts",
            gate_up_down: ["w1", "w3", "w2"],
        }),
    },
};
