//! Architecture families: which tensors a model has, and how a layer computes.
//!
//! Adding a family means one file below `families/` and one arm in each match
//! here. Everything around a layer (sessions, batches, borders) is the shard's.

mod llama;

use crate::checkpoint::CheckpointError;
use crate::config::ModelConfig;
use crate::ops::{LayerCache, Ops, Part};
use crate::weights::Loader;
use burn::tensor::Tensor;
use talkoot_protocol::model::LayerRange;

/// A tensor that a checkpoint must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorSpec {
    /// Its name.
    pub(crate) name: String,
    /// Its sizes, outermost first.
    pub(crate) dims: Vec<usize>,
}

/// The tensors of a range of layers, with the ends that belong to it. The
/// configuration parser admits no family that is not listed here.
pub(crate) fn tensors(
    config: &ModelConfig,
    range: LayerRange,
) -> impl Iterator<Item = TensorSpec> + use<> {
    llama::tensors(config, range)
}

/// The matrices of a range that rows are multiplied with: what is packed where
/// a checkpoint is used packed.
pub(crate) fn products(
    config: &ModelConfig,
    range: LayerRange,
) -> impl Iterator<Item = TensorSpec> + use<> {
    llama::products(config, range)
}

/// The tensors of a range that are used as stored.
pub(crate) fn stored(
    config: &ModelConfig,
    range: LayerRange,
    is_packed: bool,
) -> impl Iterator<Item = TensorSpec> + use<> {
    llama::stored(config, range, is_packed)
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

/// The loaded layers of one range.
#[derive(Debug)]
pub(crate) enum FamilyModel {
    /// Llama and its kin.
    Llama(llama::Llama),
}

impl FamilyModel {
    /// Loads the tensors of `range` and no others.
    pub(crate) fn load(
        loader: &mut Loader<'_>,
        range: LayerRange,
    ) -> Result<Self, CheckpointError> {
        Ok(Self::Llama(llama::Llama::load(loader, range)?))
    }

    /// Token ids -> hidden rows. Only for a range that starts at layer 0.
    pub(crate) fn embed(&self, ids: &[u32]) -> Option<Tensor<2>> {
        match self {
            Self::Llama(model) => model.embed(ids),
        }
    }

    /// One layer over all rows of a step.
    pub(crate) fn layer(
        &self,
        layer: u32,
        hidden: Tensor<2>,
        context: &StepContext,
        caches: LayerCaches<'_>,
    ) -> Tensor<2> {
        match self {
            Self::Llama(model) => model.layer(layer, hidden, context, caches),
        }
    }

    /// Hidden rows -> logits. Only for a range that ends at the last layer.
    pub(crate) fn logits(&self, hidden: Tensor<2>, ops: &Ops) -> Option<Tensor<2>> {
        match self {
            Self::Llama(model) => model.logits(hidden, ops),
        }
    }
}
