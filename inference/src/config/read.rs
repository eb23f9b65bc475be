//! `config.json` of a checkpoint -> a [`ModelConfig`].
//!
//! What all families share is read here; what a family adds, leaves out or
//! assumes is in its own file below `families/`. A setting that would change the
//! arithmetic and is not understood is refused by its name.

use super::{
    ConfigError, ExpertSettings, ModelConfig, ModelSettings, RopeConfig, RopeScaling,
    out_of_bounds, unsupported,
};
use crate::families;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use talkoot_protocol::limits;
use talkoot_protocol::model::ModelShape;

/// One id or several: both occur in the wild.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl OneOrMany {
    pub(crate) fn into_vec(self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![id],
            Self::Many(ids) => ids,
        }
    }
}

/// `config.json` as published, of any family. The fields keep their names there.
#[derive(Debug, Deserialize)]
pub(crate) struct RawConfig {
    model_type: String,
    hidden_size: u32,
    pub(crate) intermediate_size: Option<u32>,
    pub(crate) num_hidden_layers: u32,
    num_attention_heads: u32,
    num_key_value_heads: Option<u32>,
    head_dim: Option<u32>,
    vocab_size: u32,
    max_position_embeddings: Option<u32>,
    rms_norm_eps: Option<f32>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    partial_rotary_factor: Option<f64>,
    quantization_config: Option<Value>,
    /// Absent, null, or a number of positions.
    #[serde(default, deserialize_with = "present")]
    pub(crate) sliding_window: Option<Option<u32>>,
    #[serde(default)]
    pub(crate) use_sliding_window: bool,
    layer_types: Option<Vec<String>>,
    pub(crate) num_local_experts: Option<u32>,
    pub(crate) num_experts: Option<u32>,
    pub(crate) num_experts_per_tok: Option<u32>,
    pub(crate) moe_intermediate_size: Option<u32>,
    pub(crate) norm_topk_prob: Option<bool>,
    pub(crate) decoder_sparse_step: Option<u32>,
    pub(crate) mlp_only_layers: Option<Vec<u32>>,
}

fn present<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

#[derive(Debug, Clone, Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<u32>,
    partial_rotary_factor: Option<f64>,
}

/// What transformers assumes for a family whose configuration leaves these out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// `max_position_embeddings`.
    pub(crate) context: u32,
    /// `rms_norm_eps`.
    pub(crate) epsilon: f32,
    /// `rope_theta`.
    pub(crate) theta: f64,
    /// `num_key_value_heads`; as many as query heads if there is none.
    pub(crate) kv_heads: Option<u32>,
    /// `head_dim`; the hidden size over the heads if there is none.
    pub(crate) head_dim: Option<u32>,
}

/// What a family's own settings come to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Specifics {
    /// Width inside a feed-forward part, or inside an expert.
    pub(crate) intermediate: u32,
    /// Positions that a row sees.
    pub(crate) window: Option<u32>,
    /// Experts, and how many one token uses.
    pub(crate) experts: Option<(ExpertSettings, u32)>,
}

impl RawConfig {
    /// The settings of a dense feed-forward part and attention to everything.
    pub(crate) fn dense(&self) -> Result<Specifics, ConfigError> {
        let intermediate = required("intermediate_size", self.intermediate_size)?;
        Ok(Specifics {
            intermediate,
            ..Specifics::default()
        })
    }

    /// Refuses attention that some layers restrict to a window.
    pub(crate) fn refuse_window(&self) -> Result<(), ConfigError> {
        if self.use_sliding_window {
            return Err(unsupported("use_sliding_window", true, "false"));
        }
        let is_full = |kind: &&String| kind.as_str() == "full_attention";
        let types = self.layer_types.iter().flatten();
        match types.clone().find(|kind| !is_full(kind)) {
            Some(other) => Err(unsupported("layer_types", other, "full_attention")),
            None => Ok(()),
        }
    }

    /// Refuses layers that differ in their attention: all have the window, or none.
    pub(crate) fn refuse_mixed_layers(&self) -> Result<(), ConfigError> {
        let kinds = self.layer_types.as_deref().unwrap_or_default();
        let expected = match self.sliding_window.flatten() {
            Some(_) => "sliding_attention",
            None => "full_attention",
        };
        match kinds.iter().find(|kind| kind.as_str() != expected) {
            Some(other) => Err(unsupported("layer_types", other, "the same for all layers")),
            None => Ok(()),
        }
    }
}

/// A number that a family cannot do without.
pub(crate) fn required(setting: &'static str, value: Option<u32>) -> Result<u32, ConfigError> {
    value.ok_or_else(|| out_of_bounds(setting, "(missing)", "this family needs it"))
}

impl ModelConfig {
    /// Reads and validates `config.json`.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting.
    pub fn from_json(text: &[u8]) -> Result<Self, ConfigError> {
        let value: Value = serde_json::from_slice(text)
            .map_err(|error| ConfigError::Malformed(error.to_string()))?;
        // The family decides what the other fields mean, so it is judged first.
        let name = value.get("model_type").and_then(Value::as_str);
        let name = name.ok_or_else(|| ConfigError::Malformed("no model_type".to_owned()))?;
        let family = families::named(name)
            .ok_or_else(|| unsupported("model_type", name, families::NAMES))?;
        let raw: RawConfig = serde_json::from_value(value)
            .map_err(|error| ConfigError::Malformed(error.to_string()))?;
        refuse_unsupported(&raw)?;
        let specifics = (family.specifics)(&raw)?;
        let settings = ModelSettings {
            norm_epsilon: raw.rms_norm_eps.unwrap_or(family.defaults.epsilon),
            rope: rope(&raw, &family.defaults)?,
            tied: raw.tie_word_embeddings,
            window: specifics.window,
            experts: specifics.experts.map(|(experts, _)| experts),
        };
        let config = Self {
            family: raw.model_type.clone(),
            shape: shape(&raw, &family.defaults, &specifics)?,
            settings,
        };
        config.check()?;
        Ok(config)
    }
}

fn refuse_unsupported(raw: &RawConfig) -> Result<(), ConfigError> {
    if raw.attention_bias {
        return Err(unsupported("attention_bias", true, "false"));
    }
    if raw.mlp_bias {
        return Err(unsupported("mlp_bias", true, "false"));
    }
    let activation = raw.hidden_act.as_deref().unwrap_or("silu");
    if activation != "silu" {
        return Err(unsupported("hidden_act", activation, "silu"));
    }
    if raw.quantization_config.is_some() {
        return Err(unsupported(
            "quantization_config",
            "present",
            "weights in f32, f16 or bf16",
        ));
    }
    let rope = raw.rope_parameters.as_ref().or(raw.rope_scaling.as_ref());
    let partial = raw
        .partial_rotary_factor
        .or_else(|| rope?.partial_rotary_factor);
    match partial {
        Some(factor) if factor != 1.0 => Err(unsupported("partial_rotary_factor", factor, "1")),
        _ => Ok(()),
    }
}

fn shape(
    raw: &RawConfig,
    defaults: &Defaults,
    specifics: &Specifics,
) -> Result<ModelShape, ConfigError> {
    let heads = raw.num_attention_heads;
    let head_dim = match raw.head_dim.or(defaults.head_dim) {
        Some(head_dim) => head_dim,
        None if heads > 0 && raw.hidden_size.is_multiple_of(heads) => raw.hidden_size / heads,
        None => {
            return Err(out_of_bounds(
                "num_attention_heads",
                heads,
                "must divide hidden_size when head_dim is not given",
            ));
        }
    };
    let kv_heads = raw.num_key_value_heads.or(defaults.kv_heads);
    let context = raw.max_position_embeddings.unwrap_or(defaults.context);
    Ok(ModelShape {
        layers: raw.num_hidden_layers,
        hidden: raw.hidden_size,
        intermediate: specifics.intermediate,
        heads,
        kv_heads: kv_heads.unwrap_or(heads),
        head_dim,
        vocabulary: raw.vocab_size,
        context: context.min(limits::CONTEXT_TOKENS_MAX),
        active_experts: specifics.experts.map_or(0, |(_, active)| active),
    })
}

/// `rope_parameters` is what newer tools write; `rope_scaling` with a separate
/// `rope_theta` is what most published checkpoints have.
fn rope(raw: &RawConfig, defaults: &Defaults) -> Result<RopeConfig, ConfigError> {
    let block = raw.rope_parameters.as_ref().or(raw.rope_scaling.as_ref());
    let theta = block
        .and_then(|rope| rope.rope_theta)
        .or(raw.rope_theta)
        .unwrap_or(defaults.theta);
    let kind = block
        .and_then(|rope| rope.rope_type.as_deref())
        .unwrap_or("default");
    let scaling = match (kind, block) {
        ("llama3", Some(rope)) => {
            let need = |setting, value: Option<f64>| {
                value.ok_or_else(|| out_of_bounds(setting, "(missing)", "llama3 scaling needs it"))
            };
            RopeScaling::Llama3 {
                factor: need("rope_scaling.factor", rope.factor)?,
                low_freq_factor: need("rope_scaling.low_freq_factor", rope.low_freq_factor)?,
                high_freq_factor: need("rope_scaling.high_freq_factor", rope.high_freq_factor)?,
                original_context: rope
                    .original_max_position_embeddings
                    .or(raw.max_position_embeddings)
                    .unwrap_or(defaults.context),
            }
        }
        ("default", Some(rope)) if rope.rope_type.is_none() && rope.factor.is_some() => {
            return Err(unsupported(
                "rope_scaling",
                "without a type",
                "default, llama3",
            ));
        }
        ("default", _) => RopeScaling::Default,
        (other, _) => {
            return Err(unsupported(
                "rope_scaling.rope_type",
                other,
                "default, llama3",
            ));
        }
    };
    Ok(RopeConfig { theta, scaling })
}
