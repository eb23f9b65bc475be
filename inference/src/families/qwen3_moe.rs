//! Qwen 3 with experts in every layer: Qwen 3's attention and many small experts.
//! Checkpoints that leave some layers dense are refused.

use super::{ExpertNames, Family, Parts};
use crate::config::{Defaults, ExpertSettings, Specifics, required, unsupported};

pub(super) const FAMILY: Family = Family {
    name: "qwen3_moe",
    defaults: Defaults {
        context: 32_768,
        epsilon: 1e-6,
        theta: 10_000.0,
        kv_heads: Some(4),
        head_dim: None,
    },
    specifics: |raw| {
        raw.refuse_window()?;
        let step = raw.decoder_sparse_step.unwrap_or(1);
        if step != 1 {
            return Err(unsupported("decoder_sparse_step", step, "1"));
        }
        if let Some(layer) = raw.mlp_only_layers.as_deref().unwrap_or_default().first() {
            return Err(unsupported("mlp_only_layers", layer, "no layers"));
        }
        let count = required("num_experts", raw.num_experts)?;
        let experts = ExpertSettings {
            count,
            normalised: raw.norm_topk_prob.unwrap_or(false),
        };
        let active = required("num_experts_per_tok", raw.num_experts_per_tok)?;
        Ok(Specifics {
            intermediate: required("moe_intermediate_size", raw.moe_intermediate_size)?,
            window: None,
            experts: Some((experts, active)),
        })
    },
    parts: Parts {
        has_biases: false,
        has_head_norms: true,
        experts: Some(ExpertNames {
            router: "mlp.gate",
            experts: "mlp.experts",
            gate_up_down: ["gate_proj", "up_proj", "down_proj"],
        }),
    },
};
