//! The five coarse operations of the model, each with two bodies.
//!
//! `Backend::Kernels` enters burn's custom-op door: an extension trait whose
//! processor implementation hands the tensors' memory to [`crate::kernels`]
//! without a copy. `Backend::Burn` runs the same operation from stock burn
//! operations (`ops::stock`). Shapes are checked when a shard is loaded and a
//! step is validated; here a wrong one is a programming error.

mod stock;

use crate::arithmetic::Backend;
use crate::kernels::{AttentionShape, Columns, Kernels, Matrix};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
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

/// The custom operations.
#[backend_extension(Flex)]
pub(crate) trait TransformerOps: burn::backend::Backend {
    /// `input [rows, k]`, matrices `[n_i, k]` -> `[rows, n_1 + n_2 + ..]`.
    fn fused_linear(
        input: FloatTensor<Self>,
        #[extension_type] matrices: Matrices<Self>,
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
    /// `[kv_heads, head_dim, capacity]`.
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
    pub(crate) fn linear(&self, input: Tensor<2>, matrices: &[&Tensor<2>]) -> Tensor<2> {
        if self.backend == Backend::Burn {
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

    pub(crate) fn rms_norm(&self, input: Tensor<2>, gain: &Tensor<1>, epsilon: f32) -> Tensor<2> {
        if self.backend == Backend::Burn {
            return stock::rms_norm(input, gain, epsilon);
        }
        Tensor::from_dispatch(Dispatch::rms_norm(
            input.into_dispatch(),
            gain.clone().into_dispatch(),
            epsilon,
            self.kernels.clone(),
        ))
    }

    pub(crate) fn silu_mul(&self, input: Tensor<2>) -> Tensor<2> {
        if self.backend == Backend::Burn {
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
        if self.backend == Backend::Burn {
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
        if self.backend == Backend::Burn {
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
        let input = input.to_contiguous();
        let (rows, inner) = (input.shape()[0], input.shape()[1]);
        let stride = matrices.iter().map(|matrix| matrix.shape()[0]).sum();
        let mut out = vec![0.0; rows * stride];
        let mut column = 0;
        for matrix in &matrices {
            let columns = Columns { column, stride };
            kernels.linear(floats(&input), inner, stored(matrix), &mut out, columns);
            column += matrix.shape()[0];
        }
        tensor(out, [rows, stride])
    }

    fn rms_norm(input: FlexTensor, gain: FlexTensor, epsilon: f32, kernels: Kernels) -> FlexTensor {
        let input = input.to_contiguous();
        let mut out = vec![0.0; input.shape().num_elements()];
        kernels.rms_norm(floats(&input), floats(&gain), epsilon, &mut out);
        tensor(out, [input.shape()[0], input.shape()[1]])
    }

    fn silu_mul(input: FlexTensor, kernels: Kernels) -> FlexTensor {
        let input = input.to_contiguous();
        let (rows, width) = (input.shape()[0], input.shape()[1] / 2);
        let mut out = vec![0.0; rows * width];
        kernels.silu_mul(floats(&input), width, &mut out);
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
        let mut queries = vec![0.0; shape.rows * shape.query_width()];
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
        let queries = queries.to_contiguous();
        let mut out = vec![0.0; shape.rows * shape.query_width()];
        kernels.attention(
            &shape,
            floats(&queries),
            floats(&keys),
            floats(&values),
            &mut out,
        );
        tensor(out, [shape.rows, shape.query_width()])
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

fn tensor(values: Vec<f32>, dims: [usize; 2]) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(Shape::new(dims)),
        DType::F32,
    )
}
