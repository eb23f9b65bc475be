//! The gated feed-forward part of a dense block: norm, gate and up, `silu(gate) * up`,
//! down, added to the residual.

use super::decoder::LayerNames;
use super::{Role, TensorSpec};
use crate::checkpoint::CheckpointError;
use crate::config::ModelConfig;
use crate::ops::{Before, Ops, Weight};
use crate::weights::Loader;
use burn::module::Module;
use burn::tensor::Tensor;

/// Its tensors.
pub(super) struct FeedForwardSpecs {
    norm: TensorSpec,
    gate: TensorSpec,
    up: TensorSpec,
    down: TensorSpec,
    epsilon: f32,
}

/// The norm before the second half of a block, whatever that is.
pub(super) fn norm_spec(config: &ModelConfig, names: &LayerNames) -> TensorSpec {
    let hidden = config.shape.hidden as usize;
    names.spec("post_attention_layernorm.weight", &[hidden], Role::Vector)
}

impl FeedForwardSpecs {
    pub(super) fn new(config: &ModelConfig, names: &LayerNames) -> Self {
        let (hidden, inner) = (
            config.shape.hidden as usize,
            config.shape.intermediate as usize,
        );
        let matrix = |part: &str, dims: [usize; 2]| {
            names.spec(&format!("mlp.{part}.weight"), &dims, Role::Product)
        };
        Self {
            norm: norm_spec(config, names),
            gate: matrix("gate_proj", [inner, hidden]),
            up: matrix("up_proj", [inner, hidden]),
            down: matrix("down_proj", [hidden, inner]),
            epsilon: config.settings.norm_epsilon,
        }
    }

    pub(super) fn into_list(self) -> Vec<TensorSpec> {
        vec![self.norm, self.gate, self.up, self.down]
    }
}

/// Its weights.
#[derive(Module, Debug)]
pub(super) struct FeedForward {
    norm: Tensor<1>,
    gate: Weight,
    up: Weight,
    down: Weight,
    #[module(skip)]
    epsilon: f32,
}

impl FeedForward {
    pub(super) fn load(
        loader: &mut Loader<'_>,
        specs: &FeedForwardSpecs,
    ) -> Result<Self, CheckpointError> {
        Ok(Self {
            norm: loader.vector(&specs.norm)?,
            gate: loader.matrix(&specs.gate)?,
            up: loader.matrix(&specs.up)?,
            down: loader.matrix(&specs.down)?,
            epsilon: specs.epsilon,
        })
    }

    pub(super) fn forward(&self, hidden: Tensor<2>, ops: &Ops) -> Tensor<2> {
        let norm = Before::Norm {
            gain: &self.norm,
            epsilon: self.epsilon,
        };
        let gate_up = ops.linear(hidden.clone(), norm, &[&self.gate, &self.up]);
        hidden + ops.linear(gate_up, Before::SiluMul, &[&self.down])
    }
}
