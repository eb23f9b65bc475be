//! What a model is besides its weights: a validated [`ModelConfig`].
//!
//! Every setting that changes the arithmetic is either understood when a
//! configuration is read (`read`, with the family's own part) or refused there, by
//! name: a model that loads computes what its author meant. This file holds the
//! numbers and their bounds; it reads no tensor and knows no tokenizer.

mod read;

pub(crate) use read::{Defaults, OneOrMany, RawConfig, Specifics, required};

use serde::{Deserialize, Serialize};
use talkoot_protocol::limits;
use talkoot_protocol::model::{LayerRange, ModelShape};

/// Experts of a layer, at most: as many as a card can say are active.
const EXPERTS_MAX: u32 = 1024;

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text is not a JSON object with the fields of a configuration.
    #[error("config.json is malformed: {0}")]
    Malformed(String),
    /// A setting asks for arithmetic that is not implemented.
    #[error("unsupported setting {setting} = {value}; supported: {supported}")]
    Unsupported {
        /// The key in `config.json`.
        setting: &'static str,
        /// What it says.
        value: String,
        /// What would be accepted.
        supported: &'static str,
    },
    /// A number is missing, zero, too large, or contradicts another one.
    #[error("setting {setting} = {value} is out of bounds: {reason}")]
    OutOfBounds {
        /// The key in `config.json`.
        setting: &'static str,
        /// What it says.
        value: String,
        /// What must hold.
        reason: &'static str,
    },
}

/// How the rotary frequencies are stretched for long contexts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// The piecewise scaling of Llama 3.1 and later.
    Llama3 {
        /// How much the long wavelengths are stretched.
        factor: f64,
        /// Below this many turns over the original context: stretched fully.
        low_freq_factor: f64,
        /// Above this many turns: not stretched.
        high_freq_factor: f64,
        /// The context length the model was first trained for.
        original_context: u32,
    },
}

/// Rotary position embedding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RopeConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// Stretching for long contexts.
    pub scaling: RopeScaling,
}

/// Everything about a model that its weights do not say.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The architecture family, as `model_type` names it: `llama`, `qwen3`, ..
    pub family: String,
    /// Matrix sizes.
    pub shape: ModelShape,
    /// Settings that are no sizes.
    pub settings: ModelSettings,
}

/// Settings of a family that are no matrix sizes. Their canonical JSON is
/// hashed into the model card.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ModelSettings {
    /// Added to the mean square before its root is taken.
    pub norm_epsilon: f32,
    /// Rotary position embedding.
    pub rope: RopeConfig,
    /// Whether the head is the embedding matrix.
    pub tied: bool,
    /// Positions that a row sees, its own the last; all up to it where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// Feed-forward parts that a router chooses from; absent in a dense model.
    /// How many one token uses is a size ([`ModelShape::active_experts`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<ExpertSettings>,
}

/// The experts of every layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpertSettings {
    /// How many there are.
    pub count: u32,
    /// Whether the weights of those that a token uses are scaled to sum to one.
    pub normalised: bool,
}

impl ModelSettings {
    /// The text that the card's `settings` hash covers.
    #[must_use]
    pub fn canonical_json(&self) -> String {
        #[expect(
            clippy::expect_used,
            reason = "finite numbers and fixed keys always serialise"
        )]
        serde_json::to_string(self).expect("plain data")
    }
}

impl ModelConfig {
    /// All layers.
    ///
    /// # Panics
    /// Never for a configuration that passed [`Self::check`].
    #[must_use]
    #[expect(clippy::expect_used, reason = "check() bounds the number of layers")]
    pub fn layers(&self) -> LayerRange {
        LayerRange::whole(self.shape.layers).expect("a checked number of layers")
    }

    /// Bounds and relations of the numbers, for a configuration from anywhere.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        let shape = &self.shape;
        let within = |setting, value: u32, max: u32| {
            if (1..=max).contains(&value) {
                return Ok(());
            }
            Err(out_of_bounds(
                setting,
                value,
                "must be at least 1 and of a plausible size",
            ))
        };
        within("num_hidden_layers", shape.layers, limits::LAYERS_MAX)?;
        within("hidden_size", shape.hidden, 1 << 20)?;
        within("intermediate_size", shape.intermediate, 1 << 22)?;
        within("num_attention_heads", shape.heads, 4096)?;
        within("num_key_value_heads", shape.kv_heads, shape.heads)?;
        within("head_dim", shape.head_dim, 4096)?;
        within("vocab_size", shape.vocabulary, 1 << 24)?;
        within(
            "max_position_embeddings",
            shape.context,
            limits::CONTEXT_TOKENS_MAX,
        )?;
        if !shape.heads.is_multiple_of(shape.kv_heads) {
            return Err(out_of_bounds(
                "num_key_value_heads",
                shape.kv_heads,
                "must divide num_attention_heads",
            ));
        }
        if !shape.head_dim.is_multiple_of(2) {
            return Err(out_of_bounds("head_dim", shape.head_dim, "must be even"));
        }
        let experts = self.settings.experts.map_or(0, |experts| experts.count);
        if experts > EXPERTS_MAX || (experts == 0 && self.settings.experts.is_some()) {
            return Err(out_of_bounds(
                "num_experts",
                experts,
                "must be at least 1 and at most 1024",
            ));
        }
        if shape.active_experts > experts || (experts > 0 && shape.active_experts == 0) {
            return Err(out_of_bounds(
                "num_experts_per_tok",
                shape.active_experts,
                "must be at least 1 and at most the number of experts",
            ));
        }
        self.settings.check()
    }
}

impl ModelSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let epsilon = self.norm_epsilon;
        if !(epsilon > 0.0 && epsilon < 1.0) {
            return Err(out_of_bounds(
                "rms_norm_eps",
                epsilon,
                "must be above 0 and below 1",
            ));
        }
        positive("rope_theta", self.rope.theta)?;
        if self.window == Some(0) {
            return Err(out_of_bounds("sliding_window", 0, "must be at least 1"));
        }
        if let RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context,
        } = self.rope.scaling
        {
            positive("rope_scaling.factor", factor)?;
            positive("rope_scaling.low_freq_factor", low_freq_factor)?;
            positive("rope_scaling.high_freq_factor", high_freq_factor)?;
            if high_freq_factor <= low_freq_factor {
                return Err(out_of_bounds(
                    "rope_scaling.high_freq_factor",
                    high_freq_factor,
                    "must be above low_freq_factor",
                ));
            }
            if original_context == 0 {
                return Err(out_of_bounds(
                    "rope_scaling.original_max_position_embeddings",
                    original_context,
                    "must be at least 1",
                ));
            }
        }
        Ok(())
    }
}

pub(crate) fn unsupported(
    setting: &'static str,
    value: impl ToString,
    supported: &'static str,
) -> ConfigError {
    ConfigError::Unsupported {
        setting,
        value: value.to_string(),
        supported,
    }
}

pub(crate) fn out_of_bounds(
    setting: &'static str,
    value: impl ToString,
    reason: &'static str,
) -> ConfigError {
    ConfigError::OutOfBounds {
        setting,
        value: value.to_string(),
        reason,
    }
}

fn positive(setting: &'static str, value: f64) -> Result<(), ConfigError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(out_of_bounds(setting, value, "must be a positive number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn base() -> Value {
        serde_json::json!({
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 176,
            "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
            "vocab_size": 512, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        })
    }

    fn with(key: &str, value: Value) -> Result<ModelConfig, ConfigError> {
        let mut config = base();
        config[key] = value;
        ModelConfig::from_json(config.to_string().as_bytes())
    }

    #[test]
    fn defaults_follow_the_published_convention() {
        let config = ModelConfig::from_json(base().to_string().as_bytes()).unwrap();
        assert_eq!(config.shape.head_dim, 16);
        assert_eq!(
            config.settings.rope,
            RopeConfig {
                theta: 10_000.0,
                scaling: RopeScaling::Default
            }
        );
        assert!(!config.settings.tied);
    }

    #[test]
    fn unsupported_settings_are_refused_by_name() {
        let cases = [
            ("model_type", Value::from("mamba")),
            ("attention_bias", Value::from(true)),
            ("mlp_bias", Value::from(true)),
            ("hidden_act", Value::from("gelu")),
            ("quantization_config", serde_json::json!({"bits": 4})),
            ("partial_rotary_factor", Value::from(0.5)),
        ];
        for (key, value) in cases {
            match with(key, value) {
                Err(ConfigError::Unsupported { setting, .. }) => assert_eq!(setting, key),
                other => panic!("{key}: {other:?}"),
            }
        }
        let yarn = with(
            "rope_scaling",
            serde_json::json!({"rope_type": "yarn", "factor": 4.0}),
        );
        assert!(matches!(
            yarn,
            Err(ConfigError::Unsupported {
                setting: "rope_scaling.rope_type",
                ..
            })
        ));
    }

    #[test]
    fn contradictions_are_refused() {
        for (key, value) in [
            ("num_key_value_heads", 3),
            ("num_attention_heads", 5),
            ("num_hidden_layers", 0),
            ("head_dim", 7),
            ("vocab_size", 0),
        ] {
            let result = with(key, Value::from(value));
            assert!(
                matches!(result, Err(ConfigError::OutOfBounds { .. })),
                "{key}: {result:?}"
            );
        }
    }

    #[test]
    fn both_spellings_of_llama3_scaling_mean_the_same() {
        let scaling = serde_json::json!({
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        });
        let mut old = base();
        old["rope_theta"] = 500_000.0.into();
        old["rope_scaling"] = scaling.clone();
        let mut new = base();
        new["rope_parameters"] = scaling;
        new["rope_parameters"]["rope_theta"] = 500_000.0.into();
        let read = |value: Value| ModelConfig::from_json(value.to_string().as_bytes()).unwrap();
        assert_eq!(read(old.clone()), read(new));
        assert!(matches!(
            read(old).settings.rope.scaling,
            RopeScaling::Llama3 { .. }
        ));
    }
}
