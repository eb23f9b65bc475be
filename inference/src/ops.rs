//! The five coarse operations of the model, each with two bodies.
//!
//! `Backend::Kernels` enters burn's custom-op door: an extension trait whose
//! processor implementation hands the tensors' memory to [`crate::kernels`]
//! without a copy. Stock backends run the same operation from stock burn
//! operations (`ops::stock`), on any device; the door itself leads to the
//! processor alone. Shapes are checked when a shard is loaded and a
//! step is validated; here a wrong one is a programming error.

mod buffers;
mod stock;
#[cfg(test)]
mod tests;
mod weight;

pub(crate) use weight::{PackedShape, PackedWeight, Weight};

use crate::arithmetic::Backend;
use crate::kernels::{AttentionShape, Columns, Kernels, Matrix, PackedMatrix, Prologue};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Dispatch, ExtensionType, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Bytes, DType, Shape, Tensor};
use half::{bf16, f16};

/// One, two or three matrices that share an input; their outputs lie side by
/// side. (Query, key and value, or gate and up, are separate tensors of the
/// checkpoint and stay where the file has them.)
#[derive(Debug, ExtensionType)]
pub(crate) enum Matrices<B: burn::backend::Backend> {
    /// One.
    One(FloatTensor<B>),
    /// Gate and up.
    Two(FloatTensor<B>, FloatTensor<B>),
    /// Query, key and value.
    Three(FloatTensor<B>, FloatTensor<B>, FloatTensor<B>),
}

/// The same for packed matrices.
#[derive(Debug, ExtensionType)]
pub(crate) enum PackedMatrices<B: burn::backend::Backend> {
    /// One.
    One(IntTensor<B>),
    /// Gate and up.
    Two(IntTensor<B>, IntTensor<B>),
    /// Query, key and value.
    Three(IntTensor<B>, IntTensor<B>, IntTensor<B>),
}

/// Input rows of a packed linear, and what is done to them first.
#[derive(Debug, ExtensionType)]
pub(crate) enum PackedInput<B: burn::backend::Backend> {
    /// Rows, nothing done.
    Plain(FloatTensor<B>),
    /// Rows and the gain of their norm.
    Normed(FloatTensor<B>, FloatTensor<B>),
    /// Gate and up side by side.
    Gated(FloatTensor<B>),
}

/// The sizes of a packed linear.
#[derive(Debug, Clone)]
pub(crate) struct PackedCall {
    shapes: Vec<PackedShape>,
    epsilon: f32,
}

/// What comes before a linear.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before<'a> {
    /// Nothing.
    Nothing,
    /// Root-mean-square norm of every row.
    Norm {
        /// One factor for each element.
        gain: &'a Tensor<1>,
        /// Added to the mean square.
        epsilon: f32,
    },
    /// Gate and up side by side become `silu(gate) * up`.
    SiluMul,
}

/// The custom operations.
#[backend_extension(Flex)]
pub(crate) trait TransformerOps: burn::backend::Backend {
    /// `input [rows, k]`, matrices `[n_i, k]` -> `[rows, n_1 + n_2 + ..]`.
    fn fused_linear(
        input: FloatTensor<Self>,
        #[extension_type] matrices: Matrices<Self>,
        kernels: Kernels,
    ) -> FloatTensor<Self>;

    /// The same with packed matrices, and what comes before them in one go.
    fn packed_linear(
        #[extension_type] input: PackedInput<Self>,
        #[extension_type] matrices: PackedMatrices<Self>,
        call: PackedCall,
        kernels: Kernels,
    ) -> FloatTensor<Self>;

    /// Root-mean-square norm of every row.
    fn rms_norm(
        input: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f32,
        kernels: Kernels,
    ) -> FloatTensor<Self>;

    /// Gate and up side by side -> `silu(gate) * up`.
    fn silu_mul(input: FloatTensor<Self>, kernels: Kernels) -> FloatTensor<Self>;

    /// Rows `first_row..` of the fused query, key and value rows -> turned
    /// queries, and the cache with turned keys and values appended in place.
    fn rope_append(
        qkv: FloatTensor<Self>,
        rotation: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        part: Part,
        kernels: Kernels,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Causal grouped-query attention over the cache.
    fn cached_attention(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        shape: AttentionShape,
        kernels: Kernels,
    ) -> FloatTensor<Self>;
}

/// One session's rows among those of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Its first row in the step's tensors.
    pub(crate) first_row: usize,
    /// Its sizes.
    pub(crate) shape: AttentionShape,
}

/// Keys and values of one layer of one session.
#[derive(Debug)]
pub(crate) struct LayerCache {
    /// `[kv_heads, head_dim, capacity]`, room for whole blocks of positions. The
    /// kernels order the same memory their own way
    /// ([`AttentionShape::key_index`]); a cache stays with one backend.
    pub(crate) keys: Tensor<3>,
    /// `[kv_heads, capacity, head_dim]`.
    pub(crate) values: Tensor<3>,
}

/// The operations as tensor functions, on the chosen backend.
#[derive(Debug, Clone)]
pub(crate) struct Ops {
    /// Who computes.
    pub(crate) backend: Backend,
    /// With which kernels.
    pub(crate) kernels: Kernels,
}

impl Ops {
    /// The same operations for the head, which is timed by itself.
    pub(crate) fn for_head(&self) -> Self {
        Self {
            backend: self.backend,
            kernels: self.kernels.for_head(),
        }
    }

    /// `before(input) [rows, k]`, weights `[n_i, k]` -> `[rows, n_1 + n_2 + ..]`.
    /// The weights of one call are all stored or all packed, perhaps in different
    /// formats.
    pub(crate) fn linear(
        &self,
        input: Tensor<2>,
        before: Before<'_>,
        weights: &[&Weight],
    ) -> Tensor<2> {
        let stored: Vec<&Tensor<2>> = weights
            .iter()
            .filter_map(|weight| match weight {
                Weight::Stored(matrix) => Some(matrix),
                Weight::Packed(_) => None,
            })
            .collect();
        if stored.is_empty() {
            if Weight::are_alike(weights) {
                return self.packed_linear(input, before, weights);
            }
            // A file may bring query and value in different formats.
            let each = |&weight: &&Weight| self.packed_linear(input.clone(), before, &[weight]);
            return Tensor::cat(weights.iter().map(each).collect(), 1);
        }
        let input = match before {
            Before::Nothing => input,
            Before::Norm { gain, epsilon } => self.rms_norm(input, gain, epsilon),
            Before::SiluMul => self.silu_mul(input),
        };
        self.stored_linear(input, &stored)
    }

    fn packed_linear(
        &self,
        input: Tensor<2>,
        before: Before<'_>,
        weights: &[&Weight],
    ) -> Tensor<2> {
        let packed: Vec<&PackedWeight> = weights
            .iter()
            .filter_map(|weight| match weight {
                Weight::Packed(packed) => Some(packed),
                Weight::Stored(_) => None,
            })
            .collect();
        let bytes = |weight: &PackedWeight| weight.bytes.clone().into_dispatch();
        let matrices = match *packed {
            [a] => PackedMatrices::One(bytes(a)),
            [a, b] => PackedMatrices::Two(bytes(a), bytes(b)),
            [a, b, c] => PackedMatrices::Three(bytes(a), bytes(b), bytes(c)),
            _ => unreachable!("one to three matrices"),
        };
        let input = input.into_dispatch();
        let (input, epsilon) = match before {
            Before::Nothing => (PackedInput::Plain(input), 0.0),
            Before::Norm { gain, epsilon } => {
                let gain = gain.clone().into_dispatch();
                (PackedInput::Normed(input, gain), epsilon)
            }
            Before::SiluMul => (PackedInput::Gated(input), 0.0),
        };
        let shapes = packed.iter().map(|weight| weight.shape).collect();
        Tensor::from_dispatch(Dispatch::packed_linear(
            input,
            matrices,
            PackedCall { shapes, epsilon },
            self.kernels.clone(),
        ))
    }

    /// The products with matrices as they are stored.
    pub(crate) fn stored_linear(&self, input: Tensor<2>, matrices: &[&Tensor<2>]) -> Tensor<2> {
        if self.backend.is_stock() {
            return stock::linear(&input, matrices);
        }
        let dispatch = |tensor: &Tensor<2>| tensor.clone().into_dispatch();
        let matrices = match *matrices {
            [a] => Matrices::One(dispatch(a)),
            [a, b] => Matrices::Two(dispatch(a), dispatch(b)),
            [a, b, c] => Matrices::Three(dispatch(a), dispatch(b), dispatch(c)),
            _ => unreachable!("one to three matrices"),
        };
        Tensor::from_dispatch(Dispatch::fused_linear(
            input.into_dispatch(),
            matrices,
            self.kernels.clone(),
        ))
    }

    /// Root-mean-square norm of every row.
    pub(crate) fn rms_norm(&self, input: Tensor<2>, gain: &Tensor<1>, epsilon: f32) -> Tensor<2> {
        if self.backend.is_stock() {
            return stock::rms_norm(input, gain, epsilon);
        }
        Tensor::from_dispatch(Dispatch::rms_norm(
            input.into_dispatch(),
            gain.clone().into_dispatch(),
            epsilon,
            self.kernels.clone(),
        ))
    }

    fn silu_mul(&self, input: Tensor<2>) -> Tensor<2> {
        if self.backend.is_stock() {
            return stock::silu_mul(input);
        }
        Tensor::from_dispatch(Dispatch::silu_mul(
            input.into_dispatch(),
            self.kernels.clone(),
        ))
    }

    /// Appends to `cache` and returns the turned queries of the part's rows.
    pub(crate) fn rope_append(
        &self,
        qkv: Tensor<2>,
        rotation: Tensor<2>,
        cache: LayerCache,
        part: Part,
    ) -> (Tensor<2>, LayerCache) {
        if self.backend.is_stock() {
            return stock::rope_append(qkv, rotation, cache, part);
        }
        let (queries, keys, values) = Dispatch::rope_append(
            qkv.into_dispatch(),
            rotation.into_dispatch(),
            cache.keys.into_dispatch(),
            cache.values.into_dispatch(),
            part,
            self.kernels.clone(),
        );
        let cache = LayerCache {
            keys: Tensor::from_dispatch(keys),
            values: Tensor::from_dispatch(values),
        };
        (Tensor::from_dispatch(queries), cache)
    }

    pub(crate) fn attention(
        &self,
        queries: Tensor<2>,
        cache: &LayerCache,
        shape: AttentionShape,
    ) -> Tensor<2> {
        if self.backend.is_stock() {
            return stock::attention(queries, cache, shape);
        }
        Tensor::from_dispatch(Dispatch::cached_attention(
            queries.into_dispatch(),
            cache.keys.clone().into_dispatch(),
            cache.values.clone().into_dispatch(),
            shape,
            self.kernels.clone(),
        ))
    }
}

impl TransformerOps for Flex {
    fn fused_linear(input: FlexTensor, matrices: Matrices<Self>, kernels: Kernels) -> FlexTensor {
        let matrices = match matrices {
            Matrices::One(a) => vec![a],
            Matrices::Two(a, b) => vec![a, b],
            Matrices::Three(a, b, c) => vec![a, b, c],
        };
        let input = contiguous(input);
        let (rows, inner) = (input.shape()[0], input.shape()[1]);
        let stride = matrices.iter().map(|matrix| matrix.shape()[0]).sum();
        let mut out = buffers::take(rows * stride);
        let mut column = 0;
        for matrix in &matrices {
            let columns = Columns { column, stride };
            kernels.linear(floats(&input), inner, stored(matrix), &mut out, columns);
            column += matrix.shape()[0];
        }
        recycle(input);
        tensor(out, [rows, stride])
    }

    fn packed_linear(
        input: PackedInput<Self>,
        matrices: PackedMatrices<Self>,
        call: PackedCall,
        kernels: Kernels,
    ) -> FlexTensor {
        let bytes = match matrices {
            PackedMatrices::One(a) => vec![a],
            PackedMatrices::Two(a, b) => vec![a, b],
            PackedMatrices::Three(a, b, c) => vec![a, b, c],
        };
        let matrices: Vec<PackedMatrix<'_>> = bytes
            .iter()
            .zip(&call.shapes)
            .map(|(bytes, shape)| packed(bytes, shape))
            .collect();
        let stride: usize = call.shapes.iter().map(|shape| shape.width).sum();
        let (input, gain, is_gated) = match input {
            PackedInput::Plain(input) => (input, None, false),
            PackedInput::Normed(input, gain) => (input, Some(gain), false),
            PackedInput::Gated(input) => (input, None, true),
        };
        let prologue = match &gain {
            Some(gain) => Prologue::RmsNorm {
                gain: floats(gain),
                epsilon: call.epsilon,
            },
            None if is_gated => Prologue::SiluMul,
            None => Prologue::None,
        };
        let input = contiguous(input);
        let rows = input.shape()[0];
        let mut out = buffers::take(rows * stride);
        kernels.packed_linear(floats(&input), &prologue, &matrices, &mut out);
        recycle(input);
        tensor(out, [rows, stride])
    }

    fn rms_norm(input: FlexTensor, gain: FlexTensor, epsilon: f32, kernels: Kernels) -> FlexTensor {
        let input = contiguous(input);
        let mut out = buffers::take(input.shape().num_elements());
        kernels.rms_norm(floats(&input), floats(&gain), epsilon, &mut out);
        tensor(out, [input.shape()[0], input.shape()[1]])
    }

    fn silu_mul(input: FlexTensor, kernels: Kernels) -> FlexTensor {
        let input = contiguous(input);
        let (rows, width) = (input.shape()[0], input.shape()[1] / 2);
        let mut out = buffers::take(rows * width);
        kernels.silu_mul(floats(&input), width, &mut out);
        recycle(input);
        tensor(out, [rows, width])
    }

    fn rope_append(
        qkv: FlexTensor,
        rotation: FlexTensor,
        mut keys: FlexTensor,
        mut values: FlexTensor,
        part: Part,
        kernels: Kernels,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let Part { first_row, shape } = part;
        let (qkv, rotation) = (qkv.to_contiguous(), rotation.to_contiguous());
        let rows = |width: usize| first_row * width..(first_row + shape.rows) * width;
        let mut queries = buffers::take(shape.rows * shape.query_width());
        kernels.rope_append(
            &shape,
            &floats(&qkv)[rows(shape.qkv_width())],
            &floats(&rotation)[rows(shape.head_dim)],
            &mut queries,
            (keys.storage_mut::<f32>(), values.storage_mut::<f32>()),
        );
        (
            tensor(queries, [shape.rows, shape.query_width()]),
            keys,
            values,
        )
    }

    fn cached_attention(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        shape: AttentionShape,
        kernels: Kernels,
    ) -> FlexTensor {
        let queries = contiguous(queries);
        let mut out = buffers::take(shape.rows * shape.query_width());
        kernels.attention(
            &shape,
            floats(&queries),
            floats(&keys),
            floats(&values),
            &mut out,
        );
        recycle(queries);
        tensor(out, [shape.rows, shape.query_width()])
    }
}

/// The elements of activations.
#[expect(clippy::expect_used, reason = "activations are f32 by construction")]
pub(crate) fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor
        .into_data()
        .try_into_vec::<f32>()
        .expect("f32 activations")
}

/// The tensor itself where it is contiguous: a second handle would keep its
/// memory from being used again.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// Keeps the memory of a tensor that nobody else holds.
fn recycle(tensor: FlexTensor) {
    if tensor.is_unique()
        && let Ok(values) = tensor.into_data().try_into_vec::<f32>()
    {
        buffers::give(values);
    }
}

#[expect(
    clippy::expect_used,
    reason = "activations are contiguous f32 by construction"
)]
fn floats(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("contiguous f32")
}

#[expect(
    clippy::expect_used,
    reason = "weights are loaded contiguous in one of three formats"
)]
fn stored(tensor: &FlexTensor) -> Matrix<'_> {
    match tensor.dtype() {
        DType::BF16 => Matrix::Bf16(tensor.as_slice::<bf16>().expect("contiguous weights")),
        DType::F16 => Matrix::F16(tensor.as_slice::<f16>().expect("contiguous weights")),
        _ => Matrix::F32(tensor.as_slice::<f32>().expect("contiguous weights")),
    }
}

#[expect(
    clippy::expect_used,
    reason = "packed weights are made with the length of their shape"
)]
fn packed<'a>(bytes: &'a FlexTensor, shape: &PackedShape) -> PackedMatrix<'a> {
    let PackedShape {
        format,
        width,
        inner,
    } = *shape;
    PackedMatrix::new(format, bytes.bytes(), width, inner).expect("packed bytes fit their shape")
}

fn tensor(values: Vec<f32>, dims: [usize; 2]) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(Shape::new(dims)),
        DType::F32,
    )
}
