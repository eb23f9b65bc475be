//! The names that llama.cpp gives tensors <-> those of published checkpoints.
//!
//! A stack of experts is one tensor there and one for each expert here. Query and key
//! of the architecture `llama` have their rows in the order of llama.cpp's rotation
//! ([`RowOrder::Pairs`]). A tensor that the family does not use is refused: it would
//! have changed what the model computes.

use super::super::tensors::{RowOrder, TensorEntry};
use super::super::{CheckpointError, Located};
use super::header::Header;
use crate::config::ModelConfig;
use crate::families::{self, TensorSpec};
use std::collections::{BTreeMap, BTreeSet};

/// Factors of rotary frequencies: read as a setting (`config`).
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";
pub(super) const EMBEDDING: &str = "token_embd.weight";
pub(super) const HEAD: &str = "output.weight";

/// Parts of a layer.
const PARTS: [(&str, &str); 16] = [
    ("input_layernorm.weight", "attn_norm.weight"),
    ("post_attention_layernorm.weight", "ffn_norm.weight"),
    ("self_attn.q_proj.weight", "attn_q.weight"),
    ("self_attn.k_proj.weight", "attn_k.weight"),
    ("self_attn.v_proj.weight", "attn_v.weight"),
    ("self_attn.o_proj.weight", "attn_output.weight"),
    ("self_attn.q_proj.bias", "attn_q.bias"),
    ("self_attn.k_proj.bias", "attn_k.bias"),
    ("self_attn.v_proj.bias", "attn_v.bias"),
    ("self_attn.q_norm.weight", "attn_q_norm.weight"),
    ("self_attn.k_norm.weight", "attn_k_norm.weight"),
    ("mlp.gate_proj.weight", "ffn_gate.weight"),
    ("mlp.up_proj.weight", "ffn_up.weight"),
    ("mlp.down_proj.weight", "ffn_down.weight"),
    ("block_sparse_moe.gate.weight", "ffn_gate_inp.weight"),
    ("mlp.gate.weight", "ffn_gate_inp.weight"),
];

/// Matrices of an expert.
const EXPERT_PARTS: [(&str, &str); 6] = [
    ("w1.weight", "ffn_gate_exps.weight"),
    ("w3.weight", "ffn_up_exps.weight"),
    ("w2.weight", "ffn_down_exps.weight"),
    ("gate_proj.weight", "ffn_gate_exps.weight"),
    ("up_proj.weight", "ffn_up_exps.weight"),
    ("down_proj.weight", "ffn_down_exps.weight"),
];

fn find(table: &[(&str, &'static str)], part: &str) -> Option<&'static str> {
    let found = table.iter().find(|(published, _)| *published == part);
    found.map(|(_, name)| *name)
}

/// The name in the file, and which of a stack it is.
fn name_of(published: &str) -> Option<(String, Option<usize>)> {
    match published {
        "model.embed_tokens.weight" => return Some((EMBEDDING.to_owned(), None)),
        "model.norm.weight" => return Some(("output_norm.weight".to_owned(), None)),
        "lm_head.weight" => return Some((HEAD.to_owned(), None)),
        _ => {}
    }
    let (layer, part) = published.strip_prefix("model.layers.")?.split_once('.')?;
    let expert = part
        .strip_prefix("block_sparse_moe.experts.")
        .or_else(|| part.strip_prefix("mlp.experts."));
    if let Some((expert, part)) = expert.and_then(|expert| expert.split_once('.')) {
        let name = find(&EXPERT_PARTS, part)?;
        return Some((format!("blk.{layer}.{name}"), Some(expert.parse().ok()?)));
    }
    Some((format!("blk.{layer}.{}", find(&PARTS, part)?), None))
}

/// Expert `expert` of a stack.
fn expert_of(stack: &TensorEntry, expert: usize) -> Option<TensorEntry> {
    let (&count, dims) = stack.dims.split_first()?;
    let bytes = stack.range.len() / count.max(1);
    let start = stack.range.start + bytes.checked_mul(expert)?;
    (expert < count && stack.format.is_some()).then(|| TensorEntry {
        dims: dims.to_vec(),
        range: start..start + bytes,
        ..stack.clone()
    })
}

/// The tensors that the family needs, by their published names.
pub(super) fn published(
    config: &ModelConfig,
    headers: &[Header],
    has_pairs: bool,
) -> Result<BTreeMap<String, Located>, CheckpointError> {
    let mut by_name: BTreeMap<&str, (&Header, &TensorEntry)> = BTreeMap::new();
    for header in headers {
        for (name, entry) in &header.tensors {
            if let Some((other, _)) = by_name.insert(name, (header, entry)) {
                let reason = format!("is in both {} and {}", other.file(), header.file());
                return Err(CheckpointError::tensor(name, reason));
            }
        }
    }
    let mut unused: BTreeSet<&str> = by_name.keys().copied().collect();
    unused.remove(ROPE_FACTORS);
    let mut tensors = BTreeMap::new();
    for TensorSpec { name, .. } in families::tensors(config, config.layers()) {
        let missing = |name: &str| CheckpointError::MissingTensor {
            name: name.to_owned(),
        };
        let (own, expert) = name_of(&name).ok_or_else(|| missing(&name))?;
        let &(header, entry) = by_name.get(own.as_str()).ok_or_else(|| missing(&own))?;
        unused.remove(own.as_str());
        let mut entry = match expert {
            None => entry.clone(),
            Some(expert) => expert_of(entry, expert).ok_or_else(|| {
                let reason = format!(
                    "{} of shape {:?} has no expert {expert}",
                    entry.dtype, entry.dims
                );
                CheckpointError::tensor(&own, reason)
            })?,
        };
        if has_pairs && (own.ends_with(".attn_q.weight") || own.ends_with(".attn_k.weight")) {
            let head = config.shape.head_dim as usize;
            entry.order = RowOrder::Pairs { head };
        }
        let file = header.file().to_owned();
        tensors.insert(name, Located { file, entry });
    }
    match unused.first() {
        Some(name) => Err(CheckpointError::tensor(
            name,
            format!(
                "is in the file, but the family {} does not use it",
                config.family
            ),
        )),
        None => Ok(tensors),
    }
}
