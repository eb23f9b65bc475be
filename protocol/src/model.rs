//! Models, layer ranges and number formats: what a shard is a shard of.
//!
//! A card describes a model well enough to price and route it; weights,
//! tokenizer and template travel as blobs named in it. This file computes
//! floating-point operations, never anything with floats.

use crate::codec::{self, DecodeError, bound, bound_text};
use crate::hash::{Hash, HashContext, ParseHexError};
use crate::limits;
use bincode::{Decode, Encode};
use std::fmt;
use std::str::FromStr;

/// The id of a model: the hash of its card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ModelId(pub Hash);

impl ModelId {
    /// The first 8 hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ModelId {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A half-open range of layers, `[start, end)`, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LayerRange {
    start: u16,
    end: u16,
}

/// A text or a pair of numbers is not a layer range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a layer range is written START..END with START < END <= 1024, for example 0..8")]
pub struct LayerRangeError;

impl LayerRange {
    /// Makes `[start, end)`.
    ///
    /// # Errors
    /// [`LayerRangeError`] when it is empty or ends beyond
    /// [`limits::LAYERS_MAX`].
    pub fn new(start: u32, end: u32) -> Result<Self, LayerRangeError> {
        if start >= end || end > limits::LAYERS_MAX {
            return Err(LayerRangeError);
        }
        let narrow = |value: u32| u16::try_from(value).map_err(|_| LayerRangeError);
        Ok(Self {
            start: narrow(start)?,
            end: narrow(end)?,
        })
    }

    /// All layers of a model.
    ///
    /// # Errors
    /// [`LayerRangeError`] when `layers` is 0 or too many.
    pub fn whole(layers: u32) -> Result<Self, LayerRangeError> {
        Self::new(0, layers)
    }

    /// The first layer.
    #[must_use]
    pub const fn start(self) -> u32 {
        self.start as u32
    }

    /// One past the last layer.
    #[must_use]
    pub const fn end(self) -> u32 {
        self.end as u32
    }

    /// How many layers.
    #[must_use]
    pub const fn count(self) -> u32 {
        (self.end as u32).saturating_sub(self.start as u32)
    }

    /// Whether `other` lies within this range.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether one layer lies within this range.
    #[must_use]
    pub const fn contains(self, layer: u32) -> bool {
        self.start() <= layer && layer < self.end()
    }

    /// Whether the embedding belongs to this range.
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.start == 0
    }

    /// Whether norm, head and sampler belong to this range of a model with
    /// `layers` layers.
    #[must_use]
    pub const fn is_last(self, layers: u32) -> bool {
        self.end as u32 == layers
    }

    /// The invariant, for decoded values.
    ///
    /// # Errors
    /// [`DecodeError::OutOfBounds`].
    pub fn check(self) -> Result<(), DecodeError> {
        bound(
            self.start < self.end && self.end() <= limits::LAYERS_MAX,
            "layer range",
        )
    }
}

impl fmt::Display for LayerRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl FromStr for LayerRange {
    type Err = LayerRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (start, end) = text.split_once("..").ok_or(LayerRangeError)?;
        let number = |part: &str| part.trim().parse::<u32>().map_err(|_| LayerRangeError);
        Self::new(number(start)?, number(end)?)
    }
}

/// A number format of weights or hidden states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit brain float.
    Bf16,
    /// 16-bit IEEE float.
    F16,
    /// 8-bit blocks of 32 with one f16 scale.
    Q8_0,
    /// 4-bit blocks of 32 with one f16 scale.
    Q4_0,
}

impl DType {
    /// Bytes of one element, or `None` for block formats.
    #[must_use]
    pub const fn element_bytes(self) -> Option<usize> {
        match self {
            Self::F32 => Some(4),
            Self::Bf16 | Self::F16 => Some(2),
            Self::Q8_0 | Self::Q4_0 => None,
        }
    }

    /// The name in configuration files and listings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The kernel set and activation format a shard computes with. Two shards with
/// the same id give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ArithmeticId(pub u16);

impl fmt::Display for ArithmeticId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{}", self.0)
    }
}

/// The matrix sizes of a model, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ModelShape {
    /// Layers.
    pub layers: u32,
    /// Width of the hidden state.
    pub hidden: u32,
    /// Width inside the gated feed-forward part.
    pub intermediate: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Width of one head.
    pub head_dim: u32,
    /// Entries of the vocabulary (rows of embedding and head).
    pub vocabulary: u32,
    /// Tokens a session may hold.
    pub context: u32,
    /// Experts that one token uses, 0 for a dense model.
    pub active_experts: u32,
}

impl ModelShape {
    /// Floating-point operations per token of the layers of `range`, plus the
    /// head if the range is the last: two for every weight of a matrix product.
    /// Embedding and attention scores count nothing; prompt and completion
    /// tokens cost the same. `None` when the numbers overflow.
    #[must_use]
    pub fn flops_per_token(&self, range: LayerRange) -> Option<u64> {
        let [hidden, intermediate, heads, kv_heads, head_dim, vocabulary] = [
            self.hidden,
            self.intermediate,
            self.heads,
            self.kv_heads,
            self.head_dim,
            self.vocabulary,
        ]
        .map(u64::from);
        let query = hidden.checked_mul(heads)?.checked_mul(head_dim)?;
        let key = hidden.checked_mul(kv_heads)?.checked_mul(head_dim)?;
        let attention = query.checked_mul(2)?.checked_add(key.checked_mul(2)?)?;
        let experts = u64::from(self.active_experts.max(1));
        let feed_forward = hidden
            .checked_mul(intermediate)?
            .checked_mul(3)?
            .checked_mul(experts)?;
        let layers = attention
            .checked_add(feed_forward)?
            .checked_mul(u64::from(range.count()))?;
        let head = if range.is_last(self.layers) {
            hidden.checked_mul(vocabulary)?
        } else {
            0
        };
        layers.checked_add(head)?.checked_mul(2)
    }
}

/// What a model is. Its canonical bytes name it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ModelCard {
    /// A name for people; two models may share it.
    pub name: String,
    /// The architecture family, `llama`.
    pub family: String,
    /// The matrix sizes.
    pub shape: ModelShape,
    /// How the weights are stored.
    pub dtype: DType,
    /// Which version of our quantiser made them; 0 for weights as published.
    pub quantiser_version: u16,
    /// blake3 of the family settings that are no sizes (rope, norm, bias).
    pub settings: Hash,
    /// blake3 of `config.json`.
    pub config: Hash,
    /// blake3 of `tokenizer.json`.
    pub tokenizer: Hash,
    /// blake3 of the chat template text; zero when there is none.
    pub template: Hash,
    /// blake3 of the tensor list (name, dtype, dims and blake3 of each tensor).
    pub tensors: Hash,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
}

impl ModelCard {
    /// Decodes a card from its canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let card: Self = codec::decode(bytes, limits::CARD_BYTES_MAX)?;
        card.check()?;
        Ok(card)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The model's id.
    #[must_use]
    pub fn id(&self) -> ModelId {
        ModelId(Hash::of(HashContext::Card, &self.to_bytes()))
    }

    /// What the weights would take at 16 bits each, rounded down. A block of 32
    /// takes 34 bytes at 8 bits and 18 at 4.
    #[must_use]
    pub fn half_precision_bytes(&self) -> u128 {
        let (numerator, denominator) = match self.dtype {
            DType::F32 => (1, 2),
            DType::Bf16 | DType::F16 => (1, 1),
            DType::Q8_0 => (64, 34),
            DType::Q4_0 => (64, 18),
        };
        u128::from(self.weight_bytes)
            .saturating_mul(numerator)
            .checked_div(denominator)
            .unwrap_or(0)
    }

    /// Bounds on every field.
    ///
    /// # Errors
    /// [`DecodeError::OutOfBounds`] naming the field.
    pub fn check(&self) -> Result<(), DecodeError> {
        let shape = &self.shape;
        bound(!self.name.is_empty(), "card name")?;
        bound_text(&self.name, limits::NAME_BYTES_MAX, "card name")?;
        bound(!self.family.is_empty(), "card family")?;
        bound_text(&self.family, limits::NAME_BYTES_MAX, "card family")?;
        bound(
            (1..=limits::LAYERS_MAX).contains(&shape.layers),
            "card layers",
        )?;
        bound((1..=1 << 20).contains(&shape.hidden), "card hidden")?;
        bound(
            (1..=1 << 22).contains(&shape.intermediate),
            "card intermediate",
        )?;
        bound((1..=4096).contains(&shape.heads), "card heads")?;
        bound((1..=shape.heads).contains(&shape.kv_heads), "card kv_heads")?;
        bound((1..=4096).contains(&shape.head_dim), "card head_dim")?;
        bound((1..=1 << 24).contains(&shape.vocabulary), "card vocabulary")?;
        bound(
            (1..=limits::CONTEXT_TOKENS_MAX).contains(&shape.context),
            "card context",
        )?;
        bound(shape.active_experts <= 1024, "card active_experts")
    }
}
