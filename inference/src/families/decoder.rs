//! A decoder: blocks of attention and feed-forward part, with an embedding before
//! the first and a norm and a head after the last.
//!
//! Weights keep the number format of the checkpoint and, where the file aligns
//! them, its memory. The residual is f32 here; rounding it between layers is
//! the shard's business. What families differ in is in `Parts`; how its parts
//! compute is theirs.

use super::attention::{Attention, AttentionSpecs};
use super::embedding::Embedding;
use super::experts::{Experts, ExpertsSpecs};
use super::feed_forward::{FeedForward, FeedForwardSpecs};
use super::{LayerCaches, Parts, Role, StepContext, TensorSpec, named};
use crate::checkpoint::CheckpointError;
use crate::config::ModelConfig;
use crate::ops::{Before, Ops, Weight};
use crate::weights::Loader;
use burn::module::Module;
use burn::tensor::Tensor;
use talkoot_protocol::model::LayerRange;

const EMBEDDING: &str = "model.embed_tokens.weight";
const FINAL_NORM: &str = "model.norm.weight";
const HEAD: &str = "lm_head.weight";

/// Names the tensors of one layer.
pub(super) struct LayerNames(u32);

impl LayerNames {
    /// `part` of the layer, of these sizes.
    pub(super) fn spec(&self, part: &str, dims: &[usize], role: Role) -> TensorSpec {
        let layer = self.0;
        TensorSpec {
            name: format!("model.layers.{layer}.{part}"),
            dims: dims.to_vec(),
            role,
        }
    }
}

fn end_spec(name: &str, dims: &[usize], role: Role) -> TensorSpec {
    TensorSpec {
        name: name.to_owned(),
        dims: dims.to_vec(),
        role,
    }
}

fn embedding_spec(config: &ModelConfig) -> TensorSpec {
    let dims = [config.shape.vocabulary, config.shape.hidden].map(|size| size as usize);
    end_spec(EMBEDDING, &dims, Role::Embedding)
}

fn norm_spec(config: &ModelConfig) -> TensorSpec {
    end_spec(FINAL_NORM, &[config.shape.hidden as usize], Role::Vector)
}

fn head_spec(config: &ModelConfig) -> TensorSpec {
    let dims = [config.shape.vocabulary, config.shape.hidden].map(|size| size as usize);
    end_spec(HEAD, &dims, Role::Product)
}

/// The tensors of a range, made as they are asked for: a configuration from
/// strangers may promise millions. A tied head needs the embedding at both ends.
pub(super) fn tensors(
    config: &ModelConfig,
    parts: Parts,
    range: LayerRange,
) -> impl Iterator<Item = TensorSpec> + use<> {
    let (first, last) = (range.is_first(), range.is_last(config.shape.layers));
    let tied = config.settings.tied;
    let ends = [
        (first || (last && tied)).then(|| embedding_spec(config)),
        last.then(|| norm_spec(config)),
        (last && !tied).then(|| head_spec(config)),
    ];
    let config = config.clone();
    let layers = (range.start()..range.end()).flat_map(move |layer| {
        let names = LayerNames(layer);
        let mut specs = AttentionSpecs::new(&config, &parts, &names).into_list();
        specs.extend(match &parts.experts {
            Some(experts) => ExpertsSpecs::new(&config, experts, &names).into_list(),
            None => FeedForwardSpecs::new(&config, &names).into_list(),
        });
        specs
    });
    ends.into_iter().flatten().chain(layers)
}

/// The second half of a block.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one to a layer, and most models have the larger"
)]
enum Second {
    /// One feed-forward part for every token.
    Dense(FeedForward),
    /// Several, of which each token uses some.
    Experts(Experts),
}

/// One block.
#[derive(Module, Debug)]
struct Layer {
    attention: Attention,
    second: Second,
}

impl Layer {
    fn load(loader: &mut Loader<'_>, parts: &Parts, layer: u32) -> Result<Self, CheckpointError> {
        let config = loader.checkpoint().config();
        let names = LayerNames(layer);
        let attention = AttentionSpecs::new(config, parts, &names);
        let attention = Attention::load(loader, &attention)?;
        let second = match &parts.experts {
            Some(experts) => {
                let specs = ExpertsSpecs::new(config, experts, &names);
                Second::Experts(Experts::load(loader, &specs)?)
            }
            None => {
                let specs = FeedForwardSpecs::new(config, &names);
                Second::Dense(FeedForward::load(loader, &specs)?)
            }
        };
        Ok(Self { attention, second })
    }
}

/// A contiguous range of blocks, with the ends that belong to it.
#[derive(Module, Debug)]
pub(crate) struct Decoder {
    layers: Vec<Layer>,
    #[module(skip)]
    embedding: Option<Embedding>,
    norm: Option<Tensor<1>>,
    head: Option<Weight>,
    #[module(skip)]
    first_layer: u32,
    #[module(skip)]
    epsilon: f32,
}

impl Decoder {
    /// Loads the tensors of `range` and no others.
    pub(crate) fn load(
        loader: &mut Loader<'_>,
        range: LayerRange,
    ) -> Result<Self, CheckpointError> {
        let config = loader.checkpoint().config();
        let parts = named(&config.family)
            .map(|family| family.parts)
            .ok_or_else(|| CheckpointError::Card(format!("no family {}", config.family)))?;
        let (first, last) = (range.is_first(), range.is_last(config.shape.layers));
        let layers = (range.start()..range.end())
            .map(|layer| Layer::load(loader, &parts, layer))
            .collect::<Result<_, _>>()?;
        let tied = config.settings.tied;
        let embedding = first
            .then(|| Embedding::load(loader, &embedding_spec(config)))
            .transpose()?;
        let norm = last
            .then(|| loader.vector(&norm_spec(config)))
            .transpose()?;
        let floats = embedding.as_ref().and_then(Embedding::floats);
        let head = match floats {
            _ if !last => None,
            // The same memory where nothing is packed.
            Some(embedding) if tied && !loader.packs() => {
                loader.tie(&embedding_spec(config))?;
                Some(Weight::Stored(embedding.clone()))
            }
            _ if tied => Some(loader.matrix(&embedding_spec(config))?),
            _ => Some(loader.matrix(&head_spec(config))?),
        };
        Ok(Self {
            layers,
            embedding,
            norm,
            head,
            first_layer: range.start(),
            epsilon: config.settings.norm_epsilon,
        })
    }

    /// Token ids -> hidden rows. Only for a range that starts at layer 0.
    pub(crate) fn embed(&self, ids: &[u32]) -> Option<Tensor<2>> {
        Some(self.embedding.as_ref()?.rows(ids))
    }

    /// One layer over all rows of a step.
    pub(crate) fn layer(
        &self,
        layer: u32,
        hidden: Tensor<2>,
        context: &StepContext,
        caches: LayerCaches<'_>,
    ) -> Tensor<2> {
        let block = &self.layers[(layer - self.first_layer) as usize];
        let hidden = block.attention.forward(hidden, context, caches);
        match &block.second {
            Second::Dense(feed_forward) => feed_forward.forward(hidden, &context.ops),
            Second::Experts(experts) => experts.forward(hidden, &context.ops),
        }
    }

    /// Hidden rows -> logits. Only for a range that ends at the last layer.
    pub(crate) fn logits(&self, hidden: Tensor<2>, ops: &Ops) -> Option<Tensor<2>> {
        let (norm, head) = (self.norm.as_ref()?, self.head.as_ref()?);
        let before = Before::Norm {
            gain: norm,
            epsilon: self.epsilon,
        };
        Some(ops.linear(hidden, before, &[head]))
    }
}
