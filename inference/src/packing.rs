//! Stored tensors -> packed ones.
//!
//! A packed matrix is a function of the stored values and the format alone, so
//! two nodes that pack the same checkpoint hold the same bytes.

use crate::checkpoint::TensorBytes;
use crate::kernels::{GROUP_ROWS, PackError, PackedFormat, PackedMatrix};
use crate::ops::PackedShape;
use bytes::Bytes;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use talkoot_protocol::model::DType;

/// Packs a matrix of floats.
pub(crate) fn pack(tensor: &TensorBytes, format: PackedFormat) -> Result<Bytes, PackError> {
    let (width, inner) = (tensor.dims[0], tensor.dims[1]);
    let row_bytes = inner * tensor.dtype.element_bytes().unwrap_or(4);
    let mut packed = vec![0; format.matrix_bytes(width, inner)];
    let mut rows = Vec::new();
    let groups = packed.chunks_exact_mut(format.group_bytes(inner));
    for (index, group) in groups.enumerate() {
        let first = index * GROUP_ROWS;
        let count = GROUP_ROWS.min(width - first);
        let stored = &tensor.bytes[first * row_bytes..(first + count) * row_bytes];
        widen(stored, tensor.dtype, &mut rows);
        format
            .pack_group(&rows, inner, group)
            .map_err(|error| PackError {
                row: first + error.row,
            })?;
    }
    Ok(Bytes::from(packed))
}

/// The values of a packed matrix.
pub(crate) fn unpack(bytes: &[u8], shape: &PackedShape) -> Vec<f32> {
    let PackedShape {
        format,
        width,
        inner,
    } = *shape;
    let mut values = vec![0.0; width * inner];
    if let Some(matrix) = PackedMatrix::new(format, bytes, width, inner) {
        for (row, values) in values.chunks_exact_mut(inner).enumerate() {
            matrix.unpack_row(row, values);
        }
    }
    values
}

fn widen(stored: &[u8], dtype: DType, rows: &mut Vec<f32>) {
    rows.clear();
    match dtype {
        DType::Bf16 => {
            let (pairs, _) = stored.as_chunks::<2>();
            rows.extend(pairs.iter().map(|pair| bf16::from_le_bytes(*pair).to_f32()));
        }
        DType::F16 => {
            let (pairs, _) = stored.as_chunks::<2>();
            let halves: Vec<f16> = pairs.iter().map(|pair| f16::from_le_bytes(*pair)).collect();
            rows.resize(halves.len(), 0.0);
            halves.convert_to_f32_slice(rows);
        }
        _ => {
            let (quads, _) = stored.as_chunks::<4>();
            rows.extend(quads.iter().map(|quad| f32::from_le_bytes(*quad)));
        }
    }
}
