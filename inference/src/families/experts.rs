//! Experts: a router sends each row to some of many gated feed-forward parts, whose
//! outputs are added, weighted, to the residual.
//!
//! Law: what a row gets depends on that row alone. Its experts are those with the
//! largest scores (of equal ones the first), their outputs are added in rising
//! order of the expert's number, multiply and add apart. So rows may be grouped
//! by expert, batched and cut in any way. Only the experts of the held layers are
//! loaded; the router keeps its stored number format where matrices are packed.

use super::decoder::LayerNames;
use super::feed_forward::norm_spec;
use super::{ExpertNames, Role, TensorSpec};
use crate::checkpoint::CheckpointError;
use crate::config::ModelConfig;
use crate::kernels::scalar::exp;
use crate::ops::{Before, Ops, Weight, values};
use crate::weights::Loader;
use burn::module::Module;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use std::collections::BTreeMap;

/// Its tensors.
pub(super) struct ExpertsSpecs {
    norm: TensorSpec,
    router: TensorSpec,
    /// Gate, up and down of each.
    experts: Vec<[TensorSpec; 3]>,
    routing: Routing,
    epsilon: f32,
}

impl ExpertsSpecs {
    pub(super) fn new(config: &ModelConfig, parts: &ExpertNames, names: &LayerNames) -> Self {
        let (hidden, inner) = (
            config.shape.hidden as usize,
            config.shape.intermediate as usize,
        );
        let settings = config.settings.experts;
        let count = settings.map_or(0, |settings| settings.count) as usize;
        let expert = |number: usize| {
            let [gate, up, down] = parts.gate_up_down;
            let matrix = |part: &str, dims: [usize; 2]| {
                let name = format!("{}.{number}.{part}.weight", parts.experts);
                names.spec(&name, &dims, Role::Product)
            };
            [
                matrix(gate, [inner, hidden]),
                matrix(up, [inner, hidden]),
                matrix(down, [hidden, inner]),
            ]
        };
        let router = format!("{}.weight", parts.router);
        Self {
            norm: norm_spec(config, names),
            router: names.spec(&router, &[count, hidden], Role::Router),
            experts: (0..count).map(expert).collect(),
            routing: Routing {
                active: config.shape.active_experts as usize,
                normalised: settings.is_some_and(|settings| settings.normalised),
            },
            epsilon: config.settings.norm_epsilon,
        }
    }

    pub(super) fn into_list(self) -> Vec<TensorSpec> {
        let mut specs = vec![self.norm, self.router];
        specs.extend(self.experts.into_iter().flatten());
        specs
    }
}

/// How experts are chosen.
#[derive(Debug, Clone, Copy)]
struct Routing {
    /// How many a row uses.
    active: usize,
    /// Whether their weights are scaled to sum to one.
    normalised: bool,
}

impl Routing {
    /// The experts of a row with these scores and their weights, by number.
    fn choose(self, scores: &[f32]) -> Vec<(usize, f32)> {
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let parts: Vec<f32> = scores.iter().map(|score| exp(score - most)).collect();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order.truncate(self.active);
        order.sort_unstable();
        let total: f32 = if self.normalised {
            order.iter().map(|&expert| parts[expert]).sum()
        } else {
            parts.iter().sum()
        };
        let weight = |&expert: &usize| (expert, parts[expert] / total);
        order.iter().map(weight).collect()
    }

    /// Each chosen expert with its rows and their weights.
    fn group(self, scores: &[f32], count: usize) -> BTreeMap<usize, (Vec<i64>, Vec<f32>)> {
        let mut groups: BTreeMap<usize, (Vec<i64>, Vec<f32>)> = BTreeMap::new();
        for (row, scores) in (0_i64..).zip(scores.chunks_exact(count)) {
            for (expert, weight) in self.choose(scores) {
                let (rows, weights) = groups.entry(expert).or_default();
                rows.push(row);
                weights.push(weight);
            }
        }
        groups
    }
}

/// One of them.
#[derive(Module, Debug)]
struct Expert {
    gate: Weight,
    up: Weight,
    down: Weight,
}

/// Its weights.
#[derive(Module, Debug)]
pub(super) struct Experts {
    norm: Tensor<1>,
    router: Tensor<2>,
    experts: Vec<Expert>,
    #[module(skip)]
    routing: Routing,
    #[module(skip)]
    epsilon: f32,
}

impl Experts {
    pub(super) fn load(
        loader: &mut Loader<'_>,
        specs: &ExpertsSpecs,
    ) -> Result<Self, CheckpointError> {
        let experts = specs.experts.iter().map(|[gate, up, down]| {
            Ok(Expert {
                gate: loader.matrix(gate)?,
                up: loader.matrix(up)?,
                down: loader.matrix(down)?,
            })
        });
        let experts = experts.collect::<Result<_, CheckpointError>>()?;
        Ok(Self {
            norm: loader.vector(&specs.norm)?,
            router: loader.stored(&specs.router)?,
            experts,
            routing: specs.routing,
            epsilon: specs.epsilon,
        })
    }

    pub(super) fn forward(&self, hidden: Tensor<2>, ops: &Ops) -> Tensor<2> {
        let device = hidden.device();
        let normed = ops.rms_norm(hidden.clone(), &self.norm, self.epsilon);
        let scores = values(ops.stored_linear(normed.clone(), &[&self.router]));
        let mut output = hidden;
        for (expert, (rows, weights)) in self.routing.group(&scores, self.experts.len()) {
            let count = rows.len();
            let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &device);
            let weights = Tensor::<2>::from_data(TensorData::new(weights, [count, 1]), &device);
            let Expert { gate, up, down } = &self.experts[expert];
            let own = normed.clone().select(0, rows.clone());
            let gate_up = ops.linear(own, Before::Nothing, &[gate, up]);
            let made = ops.linear(gate_up, Before::SiluMul, &[down]) * weights;
            output = output.select_assign(0, rows, made, IndexingUpdateOp::Add);
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_scores_win_and_the_first_of_equal_ones() {
        let routing = |normalised| Routing {
            active: 2,
            normalised,
        };
        let chosen = routing(true).choose(&[0.0, 3.0, 1.0, 3.0, 3.0]);
        assert_eq!(chosen, [(1, 0.5), (3, 0.5)]);
        let chosen = routing(false).choose(&[0.0, 0.0, 0.0, 0.0]);
        assert_eq!(chosen, [(0, 0.25), (1, 0.25)]);
    }

    #[test]
    fn rows_are_grouped_by_expert_without_changing_their_choice() {
        let routing = Routing {
            active: 1,
            normalised: true,
        };
        let groups = routing.group(&[0.0, 1.0, 5.0, 1.0, -1.0, 0.5], 2);
        let rows = groups.iter().map(|(expert, own)| (*expert, own.0.clone()));
        assert_eq!(rows.collect::<Vec<_>>(), [(0, vec![1]), (1, vec![0, 2])]);
        // A score that is no number chooses, but does not panic.
        routing.group(&[f32::NAN, 1.0], 2);
    }
}
