//! What a model would take and cost, from its `config.json` alone.
//!
//! No weight is read and nothing is measured: bytes are those that a shard of
//! the same layers would hold, operations those that its price counts, sessions
//! those that it would reserve. What it cannot know (the speed of a memory) it
//! is told or leaves out.

use crate::config::{ConfigError, ModelConfig};
use crate::families::{self, TensorSpec};
use crate::kernels::PackedFormat;
use crate::packing;
use crate::session::{SessionConfig, session_bytes};
use serde_json::Value;
use talkoot_protocol::model::{DType, LayerRange};

/// Why there is no estimate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EstimateError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It does not say how the weights are stored.
    #[error("the configuration does not say how the weights are stored (torch_dtype)")]
    NoDType,
    /// It says that they are stored in a way that no weights are.
    #[error("torch_dtype {0:?} is none of float32, bfloat16, float16")]
    DType(String),
    /// Fewer layers than nodes, or no node at all.
    #[error("{layers} layers cannot be shared by {nodes} nodes")]
    Nodes {
        /// Layers of the model.
        layers: u32,
        /// Nodes asked for.
        nodes: u32,
    },
}

/// Bytes of every range of layers, each looked at once: models of many experts
/// have tens of thousands of tensors, and who chooses layers asks for thousands
/// of ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerBytes {
    /// Of each layer by itself; first and last with their ends.
    each: Vec<u64>,
    /// Of all layers together; not the sum where both ends share a tensor.
    whole: u64,
}

impl LayerBytes {
    /// Asks `bytes_of` for each layer of a model and for the whole of it. Bytes of
    /// any other range must be the sum of those of its layers.
    #[must_use]
    pub fn new(whole: LayerRange, bytes_of: impl Fn(LayerRange) -> u64) -> Self {
        let single = |layer| LayerRange::new(layer, layer + 1).map_or(0, &bytes_of);
        Self {
            each: (whole.start()..whole.end()).map(single).collect(),
            whole: bytes_of(whole),
        }
    }

    /// Bytes of a range; layers that the model does not have count nothing.
    #[must_use]
    pub fn of(&self, range: LayerRange) -> u64 {
        let layers = range.start() as usize..range.end() as usize;
        if layers == (0..self.each.len()) {
            return self.whole;
        }
        let layers = self.each.get(layers).unwrap_or_default();
        layers
            .iter()
            .fold(0, |sum, &bytes| sum.saturating_add(bytes))
    }
}

/// A model whose weights need not be here.
#[derive(Debug, Clone)]
pub struct Estimate {
    config: ModelConfig,
    stored: DType,
    format: Option<PackedFormat>,
    weights: LayerBytes,
}

impl Estimate {
    /// Takes the text of a `config.json`. `stored` says how the weights are
    /// stored where the text does not, and is believed where it does.
    ///
    /// # Errors
    /// [`EstimateError`] naming the setting.
    pub fn from_json(
        text: &[u8],
        stored: Option<DType>,
        format: Option<PackedFormat>,
    ) -> Result<Self, EstimateError> {
        let config = ModelConfig::from_json(text)?;
        let stored = match stored {
            Some(dtype) => dtype,
            None => stored_dtype(text)?,
        };
        Ok(Self::new(config, stored, format))
    }

    /// An estimate for matrices stored as `stored` and packed to `format`, if
    /// they are packed.
    #[must_use]
    pub fn new(config: ModelConfig, stored: DType, format: Option<PackedFormat>) -> Self {
        let bytes = |range| weight_bytes(&config, stored, format, range);
        let weights = LayerBytes::new(config.layers(), bytes);
        Self {
            config,
            stored,
            format,
            weights,
        }
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The number format of the matrices, as they are used.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        match self.format {
            Some(format) => packing::dtype_of(format),
            None => self.stored,
        }
    }

    /// Weights of the whole model; a tied head counts once.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        sum(
            families::tensors(&self.config, self.config.layers()),
            elements,
        )
    }

    /// Bytes of the weights that a shard of `range` would hold.
    #[must_use]
    pub fn weight_bytes(&self, range: LayerRange) -> u64 {
        self.weights.of(range)
    }

    /// Bytes of the caches of one session with room for `tokens` positions.
    #[must_use]
    pub fn session_bytes(&self, range: LayerRange, tokens: u32) -> u64 {
        session_bytes(
            &self.config.shape,
            &SessionConfig {
                range,
                capacity_tokens: tokens,
                hidden_dtype: DType::F32,
            },
        )
    }

    /// Floating-point operations per token; see `ModelShape::flops_per_token`.
    #[must_use]
    pub fn flops_per_token(&self, range: LayerRange) -> Option<u64> {
        self.config.shape.flops_per_token(range)
    }

    /// Bytes of the matrices that one token of one session is multiplied with:
    /// each weight of a product counts two operations. Through the speed of the
    /// memory they bound how fast a single session can be.
    #[must_use]
    pub fn read_bytes_per_token(&self, range: LayerRange) -> Option<u64> {
        let weights = u128::from(self.flops_per_token(range)? / 2);
        let (bytes, per_weights) = match self.dtype() {
            DType::F32 => (4, 1),
            DType::Bf16 | DType::F16 => (2, 1),
            DType::Q8_0 => (34, 32),
            DType::Q4_0 => (18, 32),
        };
        u64::try_from(weights * bytes / per_weights).ok()
    }

    /// Cuts the layers into `nodes` ranges such that the node that needs most,
    /// weights and one session of `tokens` positions, needs as little as it can.
    ///
    /// # Errors
    /// [`EstimateError::Nodes`].
    pub fn cut(&self, nodes: u32, tokens: u32) -> Result<Vec<LayerRange>, EstimateError> {
        let layers = self.config.shape.layers;
        let impossible = EstimateError::Nodes { layers, nodes };
        if nodes == 0 || nodes > layers {
            return Err(impossible);
        }
        let needed = |range| {
            self.weight_bytes(range)
                .saturating_add(self.session_bytes(range, tokens))
        };
        let (mut low, mut high) = (0, needed(self.config.layers()));
        while low < high {
            let middle = low + (high - low) / 2;
            match fill(layers, nodes, middle, needed) {
                Some(_) => high = middle,
                None => low = middle + 1,
            }
        }
        fill(layers, nodes, high, needed).ok_or(impossible)
    }
}

/// Ranges of at most `bytes_max` each, every one as long as that and the nodes
/// after it, which want a layer each, allow.
fn fill(
    layers: u32,
    nodes: u32,
    bytes_max: u64,
    needed: impl Fn(LayerRange) -> u64,
) -> Option<Vec<LayerRange>> {
    let (mut ranges, mut start) = (Vec::new(), 0);
    for node in 0..nodes {
        let end_max = layers - (nodes - node - 1);
        let fits =
            |end: &u32| LayerRange::new(start, *end).is_ok_and(|range| needed(range) <= bytes_max);
        let end = (start + 1..=end_max).take_while(fits).last()?;
        ranges.push(LayerRange::new(start, end).ok()?);
        start = end;
    }
    (start == layers).then_some(ranges)
}

fn weight_bytes(
    config: &ModelConfig,
    stored: DType,
    format: Option<PackedFormat>,
    range: LayerRange,
) -> u64 {
    let element_bytes = stored.element_bytes().unwrap_or(0) as u64;
    let as_stored = sum(families::stored(config, range, format.is_some()), |spec| {
        elements(spec).saturating_mul(element_bytes)
    });
    let packed = format.map_or(0, |format| {
        sum(families::products(config, range), |spec| {
            packing::shape_of(spec, format).bytes() as u64
        })
    });
    as_stored.saturating_add(packed)
}

fn sum(specs: impl Iterator<Item = TensorSpec>, of: impl Fn(&TensorSpec) -> u64) -> u64 {
    specs.fold(0, |sum, spec| sum.saturating_add(of(&spec)))
}

fn elements(spec: &TensorSpec) -> u64 {
    spec.dims
        .iter()
        .fold(1, |product: u64, &dim| product.saturating_mul(dim as u64))
}

/// `torch_dtype`, or `dtype` as newer tools write it.
fn stored_dtype(text: &[u8]) -> Result<DType, EstimateError> {
    let value: Value =
        serde_json::from_slice(text).map_err(|error| ConfigError::Malformed(error.to_string()))?;
    let name = ["torch_dtype", "dtype"]
        .iter()
        .find_map(|key| value.get(key)?.as_str())
        .ok_or(EstimateError::NoDType)?;
    match name {
        "float32" => Ok(DType::F32),
        "bfloat16" => Ok(DType::Bf16),
        "float16" => Ok(DType::F16),
        other => Err(EstimateError::DType(other.chars().take(32).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(layers: u32, tied: bool) -> String {
        serde_json::json!({
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 176,
            "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2,
            "vocab_size": 512, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
            "tie_word_embeddings": tied, "torch_dtype": "bfloat16",
        })
        .to_string()
    }

    fn estimate(layers: u32, tied: bool, format: Option<PackedFormat>) -> Estimate {
        Estimate::from_json(config(layers, tied).as_bytes(), None, format).unwrap()
    }

    #[test]
    fn one_layer_is_counted_by_hand() {
        // Query and output 64², key and value 32 · 64, three of 176 · 64, two norms.
        let layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 176 * 64 + 2 * 64;
        let ends = 512 * 64;
        let tied = estimate(3, true, None);
        assert_eq!(tied.parameters(), 3 * layer + ends + 64);
        assert_eq!(
            estimate(3, false, None).parameters(),
            3 * layer + 2 * ends + 64
        );
        let middle = LayerRange::new(1, 2).unwrap();
        assert_eq!(tied.weight_bytes(middle), 2 * layer);
        // The norms are no products; two operations and two bytes a weight.
        let flops = tied.flops_per_token(middle).unwrap();
        assert_eq!(flops, 2 * (layer - 2 * 64));
        assert_eq!(tied.read_bytes_per_token(middle), Some(flops));
        let packed = estimate(3, true, Some(PackedFormat::Q4_0));
        assert_eq!(
            packed.read_bytes_per_token(middle),
            Some(flops / 2 * 18 / 32)
        );
    }

    #[test]
    fn ranges_add_up_but_for_the_embedding_that_both_ends_need() {
        for format in [None, Some(PackedFormat::Q8_0)] {
            for tied in [false, true] {
                let estimate = estimate(5, tied, format);
                let bytes = |start, end| {
                    let range = LayerRange::new(start, end).unwrap();
                    let counted = estimate.weight_bytes(range);
                    let (config, stored) = (&estimate.config, estimate.stored);
                    assert_eq!(counted, weight_bytes(config, stored, format, range));
                    counted
                };
                let parts = bytes(0, 2) + bytes(2, 4) + bytes(4, 5);
                let shared = if tied && format.is_none() {
                    512 * 64 * 2
                } else {
                    0
                };
                assert_eq!(parts, bytes(0, 5) + shared, "{format:?} {tied}");
            }
        }
    }

    #[test]
    fn cuts_tile_the_model_and_none_is_better() {
        let estimate = estimate(7, true, Some(PackedFormat::Q4_0));
        let greatest = |ranges: &[LayerRange]| {
            let needed = |range| estimate.weight_bytes(range) + estimate.session_bytes(range, 64);
            ranges.iter().map(|range| needed(*range)).max().unwrap()
        };
        let best = estimate.cut(3, 64).unwrap();
        let borders = |ranges: &[LayerRange]| -> Vec<u32> {
            ranges
                .iter()
                .flat_map(|range| [range.start(), range.end()])
                .collect()
        };
        let [a, b] = [best[0].end(), best[1].end()];
        assert_eq!(borders(&best), [0, a, a, b, b, 7]);
        for first in 1..6 {
            for second in first + 1..7 {
                let other = [(0, first), (first, second), (second, 7)];
                let other = other.map(|(start, end)| LayerRange::new(start, end).unwrap());
                assert!(greatest(&best) <= greatest(&other), "{other:?}");
            }
        }
        assert_eq!(estimate.cut(7, 64).unwrap().len(), 7);
        assert_eq!(estimate.cut(1, 64).unwrap(), [estimate.config.layers()]);
        for nodes in [0, 8] {
            let refused = estimate.cut(nodes, 64).unwrap_err();
            assert_eq!(refused, EstimateError::Nodes { layers: 7, nodes });
        }
    }

    #[test]
    fn what_the_configuration_leaves_open_is_asked_for() {
        let silent = config(2, true).replace("torch_dtype", "irrelevant");
        let read = |text: &str, stored| Estimate::from_json(text.as_bytes(), stored, None);
        assert_eq!(read(&silent, None).unwrap_err(), EstimateError::NoDType);
        assert_eq!(read(&silent, Some(DType::F32)).unwrap().dtype(), DType::F32);
        let newer = config(2, true).replace("torch_dtype", "dtype");
        assert_eq!(read(&newer, None).unwrap().dtype(), DType::Bf16);
        let strange = config(2, true).replace("bfloat16", "int2");
        assert_eq!(
            read(&strange, None).unwrap_err(),
            EstimateError::DType("int2".into())
        );
        assert!(matches!(read("[]", None), Err(EstimateError::Config(_))));
    }
}
