//! Attention of a block: norm, fused query, key and value, rotary positions, each
//! session's rows over its own cache, output, added to the residual.
//!
//! Two variants: biases of query, key and value (Qwen 2), and a norm of every
//! head of query and key before it is turned (Qwen 3). Each acts on a row alone,
//! so neither batch nor cut changes a bit.

use super::decoder::LayerNames;
use super::{LayerCaches, Parts, Role, StepContext, TensorSpec};
use crate::checkpoint::CheckpointError;
use crate::config::ModelConfig;
use crate::ops::{Before, Ops, Weight};
use crate::weights::Loader;
use burn::module::Module;
use burn::tensor::Tensor;

/// Widths of the fused rows.
#[derive(Debug, Clone, Copy)]
struct Widths {
    /// All query heads.
    query: usize,
    /// All key heads; as many as all value heads.
    key: usize,
    /// One head.
    head: usize,
}

impl Widths {
    const fn of(config: &ModelConfig) -> Self {
        let shape = &config.shape;
        let head = shape.head_dim as usize;
        Self {
            query: shape.heads as usize * head,
            key: shape.kv_heads as usize * head,
            head,
        }
    }
}

/// Its tensors.
pub(super) struct AttentionSpecs {
    norm: TensorSpec,
    query: TensorSpec,
    key: TensorSpec,
    value: TensorSpec,
    output: TensorSpec,
    /// Of query, key and value.
    biases: Option<[TensorSpec; 3]>,
    /// Of query and key.
    head_norms: Option<[TensorSpec; 2]>,
    widths: Widths,
    epsilon: f32,
}

impl AttentionSpecs {
    pub(super) fn new(config: &ModelConfig, parts: &Parts, names: &LayerNames) -> Self {
        let widths = Widths::of(config);
        let hidden = config.shape.hidden as usize;
        let Widths { query, key, head } = widths;
        let matrix = |part: &str, dims: [usize; 2]| {
            names.spec(&format!("self_attn.{part}.weight"), &dims, Role::Product)
        };
        let vector = |part: &str, width: usize| {
            names.spec(&format!("self_attn.{part}"), &[width], Role::Vector)
        };
        Self {
            norm: names.spec("input_layernorm.weight", &[hidden], Role::Vector),
            query: matrix("q_proj", [query, hidden]),
            key: matrix("k_proj", [key, hidden]),
            value: matrix("v_proj", [key, hidden]),
            output: matrix("o_proj", [hidden, query]),
            biases: parts.has_biases.then(|| {
                [
                    vector("q_proj.bias", query),
                    vector("k_proj.bias", key),
                    vector("v_proj.bias", key),
                ]
            }),
            head_norms: parts
                .has_head_norms
                .then(|| [vector("q_norm.weight", head), vector("k_norm.weight", head)]),
            widths,
            epsilon: config.settings.norm_epsilon,
        }
    }

    pub(super) fn into_list(self) -> Vec<TensorSpec> {
        let mut specs = vec![self.norm, self.query, self.key, self.value, self.output];
        specs.extend(self.biases.into_iter().flatten());
        specs.extend(self.head_norms.into_iter().flatten());
        specs
    }
}

/// Gains of the norms of heads.
#[derive(Module, Debug)]
struct HeadNorms {
    query: Tensor<1>,
    key: Tensor<1>,
}

/// Its weights.
#[derive(Module, Debug)]
pub(super) struct Attention {
    norm: Tensor<1>,
    query: Weight,
    key: Weight,
    value: Weight,
    output: Weight,
    /// Of query, key and value, side by side.
    bias: Option<Tensor<1>>,
    head_norms: Option<HeadNorms>,
    #[module(skip)]
    widths: Widths,
    #[module(skip)]
    epsilon: f32,
}

impl Attention {
    pub(super) fn load(
        loader: &mut Loader<'_>,
        specs: &AttentionSpecs,
    ) -> Result<Self, CheckpointError> {
        let bias = match &specs.biases {
            Some(biases) => {
                let biases = biases.iter().map(|spec| loader.vector(spec));
                Some(Tensor::cat(biases.collect::<Result<_, _>>()?, 0))
            }
            None => None,
        };
        let head_norms = match &specs.head_norms {
            Some([query, key]) => Some(HeadNorms {
                query: loader.vector(query)?,
                key: loader.vector(key)?,
            }),
            None => None,
        };
        Ok(Self {
            norm: loader.vector(&specs.norm)?,
            query: loader.matrix(&specs.query)?,
            key: loader.matrix(&specs.key)?,
            value: loader.matrix(&specs.value)?,
            output: loader.matrix(&specs.output)?,
            bias,
            head_norms,
            widths: specs.widths,
            epsilon: specs.epsilon,
        })
    }

    pub(super) fn forward(
        &self,
        hidden: Tensor<2>,
        context: &StepContext,
        caches: LayerCaches<'_>,
    ) -> Tensor<2> {
        let ops = &context.ops;
        let norm = Before::Norm {
            gain: &self.norm,
            epsilon: self.epsilon,
        };
        let mut qkv = ops.linear(hidden.clone(), norm, &[&self.query, &self.key, &self.value]);
        if let Some(bias) = &self.bias {
            qkv = qkv + bias.clone().unsqueeze();
        }
        if let Some(norms) = &self.head_norms {
            qkv = self.norm_heads(qkv, norms, ops);
        }
        let attended = attend(&qkv, context, caches);
        hidden + ops.linear(attended, Before::Nothing, &[&self.output])
    }

    fn norm_heads(&self, qkv: Tensor<2>, norms: &HeadNorms, ops: &Ops) -> Tensor<2> {
        let Widths { query, key, head } = self.widths;
        let [rows, _] = qkv.dims();
        let normed = |first: usize, width: usize, gain: &Tensor<1>| {
            let heads = qkv.clone().narrow(1, first, width);
            let heads = heads.reshape([rows * (width / head), head]);
            ops.rms_norm(heads, gain, self.epsilon)
                .reshape([rows, width])
        };
        let queries = normed(0, query, &norms.query);
        let keys = normed(query, key, &norms.key);
        let values = qkv.clone().narrow(1, query + key, key);
        Tensor::cat(vec![queries, keys, values], 1)
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
