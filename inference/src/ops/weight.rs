//! A matrix of the model, in one of its two homes: as stored in the checkpoint,
//! or packed for the kernels.
//!
//! Packed bytes are an integer tensor, so that they live in the model like every
//! other parameter; what they mean is in their shape beside them.

use crate::kernels::PackedFormat;
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// What packed bytes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedShape {
    /// How the elements are stored.
    pub(crate) format: PackedFormat,
    /// Rows: outputs.
    pub(crate) width: usize,
    /// Elements of a row: inputs.
    pub(crate) inner: usize,
}

/// A packed matrix.
#[derive(Module, Debug)]
pub(crate) struct PackedWeight {
    /// The bytes of a `kernels::PackedMatrix`.
    pub(crate) bytes: Tensor<1, Int>,
    /// What they mean.
    #[module(skip)]
    pub(crate) shape: PackedShape,
}

/// A matrix `[width, inner]` of the model.
#[derive(Module, Debug)]
pub(crate) enum Weight {
    /// As stored, row-major.
    Stored(Tensor<2>),
    /// In the kernels' layout.
    Packed(PackedWeight),
}

impl Weight {
    /// Whether all are packed in one format.
    pub(crate) fn are_alike(weights: &[&Self]) -> bool {
        let format = |weight: &Self| match weight {
            Self::Stored(_) => None,
            Self::Packed(packed) => Some(packed.shape.format),
        };
        let mut formats = weights.iter().map(|weight| format(weight));
        let first = formats.next();
        formats.all(|format| Some(format) == first)
    }
}
