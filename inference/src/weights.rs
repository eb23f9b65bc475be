//! Tensor bytes of a checkpoint -> burn tensors.
//!
//! A matrix whose bytes lie aligned in the file is used where it lies; others
//! are copied once. Nothing is converted but the small norm vectors, unless the
//! checkpoint is used in a packed format or on a card.

use crate::arithmetic::Backend;
use crate::checkpoint::{Checkpoint, CheckpointError, TensorBytes};
use crate::device;
use crate::families::TensorSpec;
use crate::ops::{PackedWeight, Weight};
use crate::packing;
use crate::stored::StoredFormat;
use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{
    AllocationProperty, Bytes, DType, Device, FloatDType, Shape, Tensor, TensorData,
};
use std::collections::BTreeMap;

#[cfg(target_endian = "big")]
compile_error!("weights and hidden states are used as little-endian memory");

/// The largest element of a stored matrix; memory from the allocator and from
/// maps is at least this aligned at its start.
const ALIGNMENT_BYTES: usize = 4;

/// Loads tensors and counts their bytes.
#[derive(Debug)]
pub(crate) struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    backend: Backend,
    device: &'a Device,
    packed: BTreeMap<String, bytes::Bytes>,
    bytes: u64,
    products: Vec<bytes::Bytes>,
}

impl<'a> Loader<'a> {
    /// Tensors go to `device`, the one of `backend`; `packed` are the matrices of
    /// the range, where the checkpoint is used packed.
    pub(crate) const fn new(
        checkpoint: &'a Checkpoint,
        backend: Backend,
        device: &'a Device,
        packed: BTreeMap<String, bytes::Bytes>,
    ) -> Self {
        Self {
            checkpoint,
            backend,
            device,
            packed,
            bytes: 0,
            products: Vec::new(),
        }
    }

    /// Where the tensors are.
    pub(crate) const fn checkpoint(&self) -> &'a Checkpoint {
        self.checkpoint
    }

    /// Where tensors go.
    pub(crate) const fn device(&self) -> &'a Device {
        self.device
    }

    /// Bytes loaded so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The matrices of products that kernels read, as they lie in memory.
    pub(crate) fn into_products(self) -> Vec<bytes::Bytes> {
        self.products
    }

    /// Whether matrices of products are converted, and so another memory than
    /// what is stored.
    pub(crate) const fn packs(&self) -> bool {
        self.checkpoint.packed_format().is_some()
    }

    /// A matrix of products: packed if the checkpoint is used packed. Stock burn
    /// operations get the packed values as plain floats.
    pub(crate) fn matrix(&mut self, spec: &TensorSpec) -> Result<Weight, CheckpointError> {
        let Some(format) = self.checkpoint.product_format(spec) else {
            return self.stored_product(spec).map(Weight::Stored);
        };
        let missing = || CheckpointError::MissingTensor {
            name: spec.name.clone(),
        };
        let bytes = self.packed.remove(&spec.name).ok_or_else(missing)?;
        let shape = packing::shape_of(spec, format);
        if self.backend.is_stock() {
            let values = packing::unpack(&bytes, &shape);
            self.bytes += values.len() as u64 * 4;
            let values = TensorData::new(values, [shape.width, shape.inner]);
            return Ok(Weight::Stored(Tensor::from_data(values, self.device)));
        }
        self.bytes += bytes.len() as u64;
        self.products.push(bytes.clone());
        let layout = Layout::contiguous(Shape::new([bytes.len()]));
        let bytes = Bytes::from_shared(bytes, AllocationProperty::Other);
        let bytes = FlexTensor::new(bytes, layout, DType::U8);
        Ok(Weight::Packed(PackedWeight {
            bytes: Tensor::from_primitive::<Flex>(bytes),
            shape,
        }))
    }

    /// A matrix of products in its stored number format.
    fn stored_product(&mut self, spec: &TensorSpec) -> Result<Tensor<2>, CheckpointError> {
        let tensor = self.checkpoint.tensor(spec)?;
        let bytes = tensor.ordered();
        self.products.push(bytes.clone());
        Ok(self.place(&tensor, bytes))
    }

    /// Counts an embedding that is loaded already as the matrix of the head.
    pub(crate) fn tie(&mut self, embedding: &TensorSpec) -> Result<(), CheckpointError> {
        self.products
            .push(self.checkpoint.tensor(embedding)?.ordered());
        Ok(())
    }

    /// A matrix in its stored number format; blocks become floats.
    pub(crate) fn stored(&mut self, spec: &TensorSpec) -> Result<Tensor<2>, CheckpointError> {
        self.load::<2>(spec)
    }

    /// A vector, widened to f32.
    pub(crate) fn vector(&mut self, spec: &TensorSpec) -> Result<Tensor<1>, CheckpointError> {
        Ok(self.load::<1>(spec)?.cast(FloatDType::F32))
    }

    /// A tensor of blocks whose rows are widened one by one when they are needed;
    /// `None` if it is of floats.
    pub(crate) fn blocks(
        &mut self,
        spec: &TensorSpec,
    ) -> Result<Option<TensorBytes>, CheckpointError> {
        let tensor = self.checkpoint.tensor(spec)?;
        if tensor.format.is_float() {
            return Ok(None);
        }
        self.bytes += tensor.len() as u64;
        Ok(Some(tensor))
    }

    fn load<const D: usize>(&mut self, spec: &TensorSpec) -> Result<Tensor<D>, CheckpointError> {
        let tensor = self.checkpoint.tensor(spec)?;
        let bytes = tensor.ordered();
        Ok(self.place(&tensor, bytes))
    }

    /// Brings `bytes`, those of `tensor`, to the device.
    fn place<const D: usize>(&mut self, tensor: &TensorBytes, bytes: bytes::Bytes) -> Tensor<D> {
        let shape = Shape::from(tensor.dims.clone());
        let dtype = match tensor.format {
            StoredFormat::Bf16 => DType::BF16,
            StoredFormat::F16 => DType::F16,
            _ => DType::F32,
        };
        let bytes = if !tensor.format.is_float() {
            let mut values = Vec::new();
            tensor.format.widen(&bytes, &mut values);
            Bytes::from_elems(values)
        } else if bytes.as_ptr().addr().is_multiple_of(ALIGNMENT_BYTES) {
            Bytes::from_shared(bytes, AllocationProperty::File)
        } else {
            // Through words, because the allocator aligns bytes to nothing.
            let mut words = vec![0_u32; bytes.len().div_ceil(ALIGNMENT_BYTES)];
            copy_to_words(&bytes, &mut words);
            Bytes::from_elems(words)
        };
        let tensor = FlexTensor::new(bytes, Layout::contiguous(shape), dtype);
        let tensor = device::place(Tensor::from_primitive::<Flex>(tensor), self.device);
        let element_bytes = tensor.dtype().size();
        self.bytes += (tensor.shape().num_elements() * element_bytes) as u64;
        tensor
    }
}

fn copy_to_words(bytes: &[u8], words: &mut [u32]) {
    for (chunk, word) in bytes.chunks(ALIGNMENT_BYTES).zip(words) {
        let mut padded = [0; ALIGNMENT_BYTES];
        padded[..chunk.len()].copy_from_slice(chunk);
        *word = u32::from_le_bytes(padded);
    }
}
