//! Metadata of a GGUF file -> the `config.json` that the model was published with,
//! as far as this program reads it.
//!
//! So every bound and every refusal is the one that published checkpoints meet
//! (`config::read`). A key of the architecture that is not known here is refused by
//! name, because it might change what the model computes.

use super::super::CheckpointError;
use super::header::Header;
use super::names::{EMBEDDING, HEAD, ROPE_FACTORS};
use crate::stored::StoredFormat;
use serde_json::{Map, Value, json};

/// Keys below the architecture that are read here, or change nothing.
const KNOWN: [&str; 24] = [
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "vocab_size",
    "tensor_data_layout",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "rope.freq_base",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "expert_count",
    "expert_used_count",
    "expert_feed_forward_length",
    "expert_shared_count",
    "expert_weights_norm",
    "expert_gating_func",
];

/// Scores of experts are made weights by a softmax.
const GATING_SOFTMAX: u32 = 1;
/// What llama.cpp's converter of Llama 3.1 to 3.3 puts into factors, and all those
/// models have: turns below which, and above which, and the context they count in.
const LLAMA3: (f64, f64, u32) = (1.0, 4.0, 8192);

/// The configuration, and whether rows of query and key lie in pairs.
pub(super) struct Published {
    pub(super) config: Value,
    pub(super) has_pairs: bool,
}

/// Keys of one architecture.
struct Keys<'a> {
    header: &'a Header,
    architecture: &'a str,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn size(&self, key: &str) -> Result<Option<u32>, CheckpointError> {
        self.header.size(&self.key(key))
    }

    fn required(&self, key: &str) -> Result<u32, CheckpointError> {
        self.header.required(&self.key(key))
    }

    fn float(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        self.header.float(&self.key(key))
    }

    fn unsupported(&self, key: &str, value: impl ToString, supported: &str) -> CheckpointError {
        let (key, value) = (self.key(key), value.to_string());
        self.header.error(format!(
            "unsupported {key} = {value}; supported: {supported}"
        ))
    }

    fn refuse_unknown(&self) -> Result<(), CheckpointError> {
        let prefix = self.key("");
        let own = self
            .header
            .keys()
            .filter_map(|key| key.strip_prefix(&prefix));
        match own.into_iter().find(|key| !KNOWN.contains(key)) {
            Some(key) => Err(self.header.error(format!(
                "the setting {prefix}{key} is not known, so the model would not be computed \
                 as its author meant"
            ))),
            None => Ok(()),
        }
    }
}

/// What the first file of a model says; `headers` are all files.
pub(super) fn published(headers: &[Header]) -> Result<Published, CheckpointError> {
    let Some(header) = headers.first() else {
        return Err(CheckpointError::Card("no file".to_owned()));
    };
    let architecture = header
        .text("general.architecture")?
        .ok_or_else(|| header.error("general.architecture is missing".to_owned()))?;
    let keys = Keys {
        header,
        architecture,
    };
    let has_experts = keys.size("expert_count")?.unwrap_or(0) > 0;
    let window = keys
        .size("attention.sliding_window")?
        .filter(|&window| window > 0);
    let family = match (architecture, has_experts) {
        ("llama", true) => "mixtral",
        ("llama", false) if window.is_some() => "mistral",
        ("llama", false) => "llama",
        ("qwen2", false) => "qwen2",
        ("qwen3", false) => "qwen3",
        ("qwen3moe", true) => "qwen3_moe",
        _ => {
            return Err(header.error(format!(
                "unsupported general.architecture = {architecture}{}; supported: llama, qwen2, \
                 qwen3, qwen3moe",
                if has_experts { " with experts" } else { "" }
            )));
        }
    };
    keys.refuse_unknown()?;
    if window.is_some() && architecture != "llama" {
        return Err(keys.unsupported("attention.sliding_window", "set", "none"));
    }
    let mut config = sizes(&keys, headers)?;
    let mut set = |key: &str, value: Value| drop(config.insert(key.to_owned(), value));
    set("model_type", json!(family));
    set("sliding_window", json!(window));
    if has_experts {
        experts(&keys, family, &mut config)?;
    }
    rope(&keys, headers, &mut config)?;
    for (key, own) in [
        ("bos_token_id", "tokenizer.ggml.bos_token_id"),
        ("eos_token_id", "tokenizer.ggml.eos_token_id"),
    ] {
        if let Some(id) = header.size(own)? {
            config.insert(key.to_owned(), json!(id));
        }
    }
    Ok(Published {
        config: Value::Object(config),
        has_pairs: architecture == "llama",
    })
}

fn sizes(keys: &Keys<'_>, headers: &[Header]) -> Result<Map<String, Value>, CheckpointError> {
    let has = |name: &str| {
        headers
            .iter()
            .any(|header| header.tensors.contains_key(name))
    };
    let embedding = headers
        .iter()
        .find_map(|header| header.tensors.get(EMBEDDING));
    let missing = || CheckpointError::MissingTensor {
        name: EMBEDDING.to_owned(),
    };
    let vocabulary = embedding.ok_or_else(missing)?.dims.first().copied();
    let heads = keys.required("attention.head_count")?;
    let hidden = keys.required("embedding_length")?;
    let head_dim = match keys.size("attention.key_length")? {
        Some(width) => width,
        None => hidden / heads.max(1),
    };
    for key in ["attention.value_length", "rope.dimension_count"] {
        let own = keys.size(key)?.unwrap_or(head_dim);
        if own != head_dim {
            return Err(keys.unsupported(key, own, &format!("the width of a head, {head_dim}")));
        }
    }
    let epsilon = keys.float("attention.layer_norm_rms_epsilon")?;
    let epsilon = epsilon.ok_or_else(|| {
        let key = keys.key("attention.layer_norm_rms_epsilon");
        keys.header.error(format!("{key} is missing"))
    })?;
    let config = json!({
        "hidden_size": hidden,
        "intermediate_size": keys.size("feed_forward_length")?,
        "num_hidden_layers": keys.required("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.size("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "vocab_size": vocabulary,
        "max_position_embeddings": keys.required("context_length")?,
        "rms_norm_eps": epsilon,
        "rope_theta": keys.float("rope.freq_base")?.unwrap_or(10_000.0),
        "tie_word_embeddings": !has(HEAD),
    });
    match config {
        Value::Object(config) => Ok(config),
        _ => unreachable!("written as an object"),
    }
}

fn experts(
    keys: &Keys<'_>,
    family: &str,
    config: &mut Map<String, Value>,
) -> Result<(), CheckpointError> {
    let count = keys.required("expert_count")?;
    let gating = keys.size("expert_gating_func")?.unwrap_or(GATING_SOFTMAX);
    if gating != GATING_SOFTMAX {
        return Err(keys.unsupported("expert_gating_func", gating, "1 (softmax)"));
    }
    let shared = keys.size("expert_shared_count")?.unwrap_or(0);
    if shared != 0 {
        return Err(keys.unsupported("expert_shared_count", shared, "0"));
    }
    // Where the key is absent the architecture says it: both norm.
    let is_normed = keys
        .header
        .flag(&keys.key("expert_weights_norm"))?
        .unwrap_or(true);
    if family == "mixtral" && !is_normed {
        return Err(keys.unsupported("expert_weights_norm", false, "true"));
    }
    let mut set = |key: &str, value: Value| drop(config.insert(key.to_owned(), value));
    set(
        "num_experts_per_tok",
        json!(keys.required("expert_used_count")?),
    );
    if family == "mixtral" {
        set("num_local_experts", json!(count));
        return Ok(());
    }
    set("num_experts", json!(count));
    set("norm_topk_prob", json!(is_normed));
    let inner = keys.required("expert_feed_forward_length")?;
    set("moe_intermediate_size", json!(inner));
    Ok(())
}

fn rope(
    keys: &Keys<'_>,
    headers: &[Header],
    config: &mut Map<String, Value>,
) -> Result<(), CheckpointError> {
    let kind = keys.header.text(&keys.key("rope.scaling.type"))?;
    if let Some(kind) = kind.filter(|kind| *kind != "none") {
        return Err(keys.unsupported("rope.scaling.type", kind, "none, or the factors of Llama 3"));
    }
    let Some((header, entry)) = headers
        .iter()
        .find_map(|header| Some((header, header.tensors.get(ROPE_FACTORS)?)))
    else {
        return Ok(());
    };
    let width = config.get("head_dim").and_then(Value::as_u64).unwrap_or(0);
    let theta = config.get("rope_theta").and_then(Value::as_f64);
    let fail = |reason: &str| CheckpointError::tensor(ROPE_FACTORS, reason.to_owned());
    if entry.format != Some(StoredFormat::F32) || entry.dims.len() != 1 {
        return Err(fail("is no vector of F32"));
    }
    let mut factors = Vec::new();
    StoredFormat::F32.widen(&header.content().bytes()[entry.range.clone()], &mut factors);
    let factor = factors.iter().copied().fold(0.0, f32::max);
    let (low, high, context) = LLAMA3;
    let expected = (0..width / 2).map(|pair| {
        let theta = theta.unwrap_or(0.0);
        let speed = theta.powf(-((2 * pair) as f64) / width as f64);
        let turns = f64::from(context) * speed / std::f64::consts::TAU;
        let share = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        1.0 / ((1.0 - share) / f64::from(factor) + share)
    });
    let is_near = |(own, expected): (&f32, f64)| (f64::from(*own) / expected - 1.0).abs() < 1e-3;
    if factors.len() as u64 != width / 2 || !factors.iter().zip(expected).all(is_near) {
        return Err(fail(
            "holds factors that are not those of Llama 3.1 (low 1, high 4, context 8192)",
        ));
    }
    let scaling = json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": context,
    });
    config.insert("rope_scaling".to_owned(), scaling);
    Ok(())
}
