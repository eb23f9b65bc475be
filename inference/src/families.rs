//! Architecture families: which tensors a model has, and how a layer computes.
//!
//! All families here are decoders of the same build: pre-norm blocks of rotary
//! grouped-query attention and a gated feed-forward part (`decoder`). A family is
//! one file that says what its configuration means and which variants of those
//! parts it has; adding one means that file and a line in [`FAMILIES`]
//! (docs/MODELS.md, "How to add a family"). Everything around a layer (sessions,
//! batches, borders) is the shard's.

mod attention;
mod decoder;
mod embedding;
mod experts;
mod feed_forward;
mod llama;
mod mistral;
mod mixtral;
mod qwen2;
mod qwen3;
mod qwen3_moe;

pub(crate) use decoder::Decoder;

use crate::config::{ConfigError, Defaults, ModelConfig, RawConfig, Specifics};
use crate::ops::{LayerCache, Ops, Part};
use burn::tensor::Tensor;
use talkoot_protocol::model::LayerRange;

/// The families that can be loaded.
const FAMILIES: [&Family; 6] = [
    &llama::FAMILY,
    &mistral::FAMILY,
    &mixtral::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
    &qwen3_moe::FAMILY,
];

/// Their names, for messages.
pub(crate) const NAMES: &str = "llama, mistral, mixtral, qwen2, qwen3, qwen3_moe";

/// What one file below `families/` says.
#[derive(Debug)]
pub(crate) struct Family {
    /// `model_type` in `config.json`.
    pub(crate) name: &'static str,
    /// What its configuration means where it says nothing.
    pub(crate) defaults: Defaults,
    /// Understands or refuses the settings that are its own.
    pub(crate) specifics: fn(&RawConfig) -> Result<Specifics, ConfigError>,
    /// The variants it has of the parts of a decoder.
    parts: Parts,
}

/// Variants of the parts of a decoder.
#[derive(Debug, Clone, Copy)]
struct Parts {
    /// Query, key and value have biases.
    has_biases: bool,
    /// Every head of query and key is normed before it is turned.
    has_head_norms: bool,
    /// What the router and the experts are called, in a family that has them.
    experts: Option<ExpertNames>,
}

/// Names of tensors within a layer.
#[derive(Debug, Clone, Copy)]
struct ExpertNames {
    /// The router.
    router: &'static str,
    /// Experts by number below it.
    experts: &'static str,
    /// Gate, up and down of an expert.
    gate_up_down: [&'static str; 3],
}

/// The family of this name, if there is one.
pub(crate) fn named(name: &str) -> Option<&'static Family> {
    FAMILIES.into_iter().find(|family| family.name == name)
}

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A row for each token.
    Embedding,
    /// A norm or a bias.
    Vector,
    /// A small matrix that decides, and is used as stored.
    Router,
    /// A matrix that rows are multiplied with.
    Product,
}

/// A tensor that a checkpoint must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorSpec {
    /// Its name.
    pub(crate) name: String,
    /// Its sizes, outermost first.
    pub(crate) dims: Vec<usize>,
    /// What it is for.
    pub(crate) role: Role,
}

/// The tensors of a range of layers, with the ends that belong to it. The
/// configuration parser admits no family that is not listed here.
pub(crate) fn tensors(
    config: &ModelConfig,
    range: LayerRange,
) -> impl Iterator<Item = TensorSpec> + use<> {
    let parts = named(&config.family).map(|family| family.parts);
    let tensors = parts.map(|parts| decoder::tensors(config, parts, range));
    tensors.into_iter().flatten()
}

/// The matrices of a range that rows are multiplied with: what is packed where
/// a checkpoint is used packed. A tied embedding is one at the last layer.
pub(crate) fn products(
    config: &ModelConfig,
    range: LayerRange,
) -> impl Iterator<Item = TensorSpec> + use<> {
    let has_tied_head = config.settings.tied && range.is_last(config.shape.layers);
    tensors(config, range).filter(move |spec| match spec.role {
        Role::Product => true,
        Role::Embedding => has_tied_head,
        Role::Vector | Role::Router => false,
    })
}

/// The tensors of a range that are used as stored: all, or where matrices are
/// packed what is no product and, for the first layer, the embedding.
pub(crate) fn stored(
    config: &ModelConfig,
    range: LayerRange,
    is_packed: bool,
) -> impl Iterator<Item = TensorSpec> + use<> {
    let is_first = range.is_first();
    tensors(config, range).filter(move |spec| match spec.role {
        _ if !is_packed => true,
        Role::Embedding => is_first,
        Role::Vector | Role::Router => true,
        Role::Product => false,
    })
}

/// The rows of one step: what every layer of it needs besides the rows.
#[derive(Debug)]
pub(crate) struct StepContext {
    /// Who computes.
    pub(crate) ops: Ops,
    /// Cosines and sines of each row's position.
    pub(crate) rotation: Tensor<2>,
    /// Which rows belong to which session.
    pub(crate) parts: Vec<Part>,
}

/// The caches of one layer, one for each part of the step.
pub(crate) type LayerCaches<'a> = Vec<&'a mut Option<LayerCache>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_every_family() {
        let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(NAMES, names.join(", "));
    }
}
