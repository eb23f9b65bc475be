//! The Llama family: pre-norm blocks of rotary grouped-query attention and a
//! gated feed-forward part, without biases.
//!
//! Weights keep the number format of the checkpoint and, where the file aligns
//! them, its memory. The residual is f32 here; rounding it between layers is
//! the shard's business.

use super::{LayerCaches, StepContext, TensorSpec};
use crate::checkpoint::CheckpointError;
use crate::config::ModelConfig;
use crate::ops::{Before, Ops, Weight};
use crate::weights::Loader;
use burn::module::Module;
use burn::tensor::{FloatDType, Int, Tensor, TensorData};
use talkoot_protocol::model::LayerRange;

const EMBEDDING: &str = "model.embed_tokens.weight";
const FINAL_NORM: &str = "model.norm.weight";
const HEAD: &str = "lm_head.weight";

/// Sizes as the tensor code wants them.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    hidden: usize,
    intermediate: usize,
    query: usize,
    key: usize,
    vocabulary: usize,
}

impl Sizes {
    fn of(config: &ModelConfig) -> Self {
        let shape = &config.shape;
        Self {
            hidden: shape.hidden as usize,
            intermediate: shape.intermediate as usize,
            query: shape.heads as usize * shape.head_dim as usize,
            key: shape.kv_heads as usize * shape.head_dim as usize,
            vocabulary: shape.vocabulary as usize,
        }
    }
}

/// The tensors of one layer, by field.
#[derive(Debug, Clone)]
struct LayerSpecs {
    input_norm: TensorSpec,
    query: TensorSpec,
    key: TensorSpec,
    value: TensorSpec,
    output: TensorSpec,
    post_norm: TensorSpec,
    gate: TensorSpec,
    up: TensorSpec,
    down: TensorSpec,
}

impl LayerSpecs {
    fn new(sizes: &Sizes, layer: u32) -> Self {
        let spec = |part: &str, dims: &[usize]| TensorSpec {
            name: format!("model.layers.{layer}.{part}.weight"),
            dims: dims.to_vec(),
        };
        let Sizes {
            hidden,
            intermediate,
            query,
            key,
            ..
        } = *sizes;
        Self {
            input_norm: spec("input_layernorm", &[hidden]),
            query: spec("self_attn.q_proj", &[query, hidden]),
            key: spec("self_attn.k_proj", &[key, hidden]),
            value: spec("self_attn.v_proj", &[key, hidden]),
            output: spec("self_attn.o_proj", &[hidden, query]),
            post_norm: spec("post_attention_layernorm", &[hidden]),
            gate: spec("mlp.gate_proj", &[intermediate, hidden]),
            up: spec("mlp.up_proj", &[intermediate, hidden]),
            down: spec("mlp.down_proj", &[hidden, intermediate]),
        }
    }

    fn into_list(self) -> [TensorSpec; 9] {
        [
            self.input_norm,
            self.query,
            self.key,
            self.value,
            self.output,
            self.post_norm,
            self.gate,
            self.up,
            self.down,
        ]
    }
}

fn embedding_spec(sizes: &Sizes) -> TensorSpec {
    TensorSpec {
        name: EMBEDDING.to_owned(),
        dims: vec![sizes.vocabulary, sizes.hidden],
    }
}

fn norm_spec(sizes: &Sizes) -> TensorSpec {
    TensorSpec {
        name: FINAL_NORM.to_owned(),
        dims: vec![sizes.hidden],
    }
}

fn head_spec(sizes: &Sizes) -> TensorSpec {
    TensorSpec {
        name: HEAD.to_owned(),
        dims: vec![sizes.vocabulary, sizes.hidden],
    }
}

/// The tensors of a range. A tied head needs the embedding at both ends.
pub(super) fn tensors(
    config: &ModelConfig,
    range: LayerRange,
) -> impl Iterator<Item = TensorSpec> + use<> {
    let sizes = Sizes::of(config);
    let (first, last) = (range.is_first(), range.is_last(config.shape.layers));
    let tied = config.settings.tied;
    let ends = [
        (first || (last && tied)).then(|| embedding_spec(&sizes)),
        last.then(|| norm_spec(&sizes)),
        (last && !tied).then(|| head_spec(&sizes)),
    ];
    let layers = (range.start()..range.end())
        .flat_map(move |layer| LayerSpecs::new(&sizes, layer).into_list());
    ends.into_iter().flatten().chain(layers)
}

/// The matrices of a range that rows are multiplied with. A tied embedding is
/// one at the last layer.
pub(super) fn products(
    config: &ModelConfig,
    range: LayerRange,
) -> impl Iterator<Item = TensorSpec> + use<> {
    let has_tied_head = config.settings.tied && range.is_last(config.shape.layers);
    tensors(config, range)
        .filter(move |spec| spec.dims.len() == 2 && (has_tied_head || spec.name != EMBEDDING))
}

/// The tensors of a range that are used as stored: all, or where matrices are
/// packed the norms and, for the first layer, the embedding.
pub(super) fn stored(
    config: &ModelConfig,
    range: LayerRange,
    is_packed: bool,
) -> impl Iterator<Item = TensorSpec> + use<> {
    let is_first = range.is_first();
    tensors(config, range).filter(move |spec| {
        !is_packed || spec.dims.len() < 2 || (is_first && spec.name == EMBEDDING)
    })
}

/// One block.
#[derive(Module, Debug)]
struct LlamaLayer {
    input_norm: Tensor<1>,
    query: Weight,
    key: Weight,
    value: Weight,
    output: Weight,
    post_norm: Tensor<1>,
    gate: Weight,
    up: Weight,
    down: Weight,
}

impl LlamaLayer {
    fn load(loader: &mut Loader<'_>, specs: &LayerSpecs) -> Result<Self, CheckpointError> {
        Ok(Self {
            input_norm: loader.vector(&specs.input_norm)?,
            query: loader.matrix(&specs.query)?,
            key: loader.matrix(&specs.key)?,
            value: loader.matrix(&specs.value)?,
            output: loader.matrix(&specs.output)?,
            post_norm: loader.vector(&specs.post_norm)?,
            gate: loader.matrix(&specs.gate)?,
            up: loader.matrix(&specs.up)?,
            down: loader.matrix(&specs.down)?,
        })
    }

    fn forward(
        &self,
        hidden: Tensor<2>,
        context: &StepContext,
        caches: LayerCaches<'_>,
        epsilon: f32,
    ) -> Tensor<2> {
        let ops = &context.ops;
        let norm = |gain| Before::Norm { gain, epsilon };
        let qkv = ops.linear(
            hidden.clone(),
            norm(&self.input_norm),
            &[&self.query, &self.key, &self.value],
        );
        let attended = attend(&qkv, context, caches);
        let hidden = hidden + ops.linear(attended, Before::Nothing, &[&self.output]);
        let gate_up = ops.linear(
            hidden.clone(),
            norm(&self.post_norm),
            &[&self.gate, &self.up],
        );
        hidden + ops.linear(gate_up, Before::SiluMul, &[&self.down])
    }
}

/// Attention of each session's rows over its own cache.
fn attend(qkv: &Tensor<2>, context: &StepContext, caches: LayerCaches<'_>) -> Tensor<2> {
    let ops = &context.ops;
    let mut outputs: Vec<Tensor<2>> = context
        .parts
        .iter()
        .zip(caches)
        .map(|(&part, slot)| {
            #[expect(clippy::expect_used, reason = "every layer puts its cache back")]
            let cache = slot.take().expect("cache present between layers");
            let (queries, cache) =
                ops.rope_append(qkv.clone(), context.rotation.clone(), cache, part);
            let output = ops.attention(queries, &cache, part.shape);
            *slot = Some(cache);
            output
        })
        .collect();
    match outputs.pop() {
        Some(only) if outputs.is_empty() => only,
        last => Tensor::cat(outputs.into_iter().chain(last).collect(), 0),
    }
}

/// A contiguous range of blocks, with the ends that belong to it.
#[derive(Module, Debug)]
pub(crate) struct Llama {
    layers: Vec<LlamaLayer>,
    embedding: Option<Tensor<2>>,
    norm: Option<Tensor<1>>,
    head: Option<Weight>,
    #[module(skip)]
    first_layer: u32,
    #[module(skip)]
    epsilon: f32,
}

impl Llama {
    pub(super) fn load(
        loader: &mut Loader<'_>,
        range: LayerRange,
    ) -> Result<Self, CheckpointError> {
        let config = loader.checkpoint().config();
        let sizes = Sizes::of(config);
        let (first, last) = (range.is_first(), range.is_last(config.shape.layers));
        let layers = (range.start()..range.end())
            .map(|layer| LlamaLayer::load(loader, &LayerSpecs::new(&sizes, layer)))
            .collect::<Result<_, _>>()?;
        let tied = config.settings.tied;
        let embedding = first
            .then(|| loader.stored(&embedding_spec(&sizes)))
            .transpose()?;
        let norm = last
            .then(|| loader.vector(&norm_spec(&sizes)))
            .transpose()?;
        let head = match &embedding {
            _ if !last => None,
            // The same memory where nothing is packed.
            Some(embedding) if tied && !loader.packs() => {
                loader.tie(&embedding_spec(&sizes))?;
                Some(Weight::Stored(embedding.clone()))
            }
            _ if tied => Some(loader.matrix(&embedding_spec(&sizes))?),
            _ => Some(loader.matrix(&head_spec(&sizes))?),
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

    pub(super) fn embed(&self, ids: &[u32]) -> Option<Tensor<2>> {
        let embedding = self.embedding.as_ref()?;
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let count = ids.len();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), &embedding.device());
        Some(embedding.clone().select(0, ids).cast(FloatDType::F32))
    }

    pub(super) fn layer(
        &self,
        layer: u32,
        hidden: Tensor<2>,
        context: &StepContext,
        caches: LayerCaches<'_>,
    ) -> Tensor<2> {
        let block = &self.layers[(layer - self.first_layer) as usize];
        block.forward(hidden, context, caches, self.epsilon)
    }

    pub(super) fn logits(&self, hidden: Tensor<2>, ops: &Ops) -> Option<Tensor<2>> {
        let (norm, head) = (self.norm.as_ref()?, self.head.as_ref()?);
        let before = Before::Norm {
            gain: norm,
            epsilon: self.epsilon,
        };
        Some(ops.linear(hidden, before, &[head]))
    }
}
