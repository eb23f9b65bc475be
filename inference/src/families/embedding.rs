//! The embedding: a row for each token, as floats or as blocks.
//!
//! Blocks stay as they are in the mapped file, and the rows that a step asks for are
//! widened, so a quantised embedding costs no memory beyond the pages it touches.

use super::TensorSpec;
use crate::checkpoint::{CheckpointError, TensorBytes};
use crate::weights::Loader;
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};

/// Rows by token.
#[derive(Debug, Clone)]
pub(super) enum Embedding {
    /// Floats, in their stored format.
    Floats(Tensor<2>),
    /// Blocks, and the device that widened rows go to.
    Blocks(TensorBytes, Device),
}

impl Embedding {
    pub(super) fn load(
        loader: &mut Loader<'_>,
        spec: &TensorSpec,
    ) -> Result<Self, CheckpointError> {
        Ok(match loader.blocks(spec)? {
            Some(blocks) => Self::Blocks(blocks, loader.device().clone()),
            None => Self::Floats(loader.stored(spec)?),
        })
    }

    /// The matrix itself, where it is one of floats.
    pub(super) const fn floats(&self) -> Option<&Tensor<2>> {
        match self {
            Self::Floats(matrix) => Some(matrix),
            Self::Blocks(..) => None,
        }
    }

    /// The rows of `ids`, which are within the vocabulary.
    pub(super) fn rows(&self, ids: &[u32]) -> Tensor<2> {
        let count = ids.len();
        match self {
            Self::Floats(matrix) => {
                let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
                let ids = TensorData::new(ids, [count]);
                let ids = Tensor::<1, Int>::from_data(ids, &matrix.device());
                matrix.clone().select(0, ids).cast(FloatDType::F32)
            }
            Self::Blocks(blocks, device) => {
                let mut values = Vec::new();
                for &id in ids {
                    let row = blocks.rows(id as usize..id as usize + 1);
                    blocks.format.widen(&row, &mut values);
                }
                let width = values.len() / count.max(1);
                Tensor::from_data(TensorData::new(values, [count, width]), device)
            }
        }
    }
}
