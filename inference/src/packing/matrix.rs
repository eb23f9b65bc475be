//! One matrix: stored rows to packed groups, piece by piece.
//!
//! A piece is a whole number of groups, about a mebibyte: what one thread makes,
//! hashes and checks at a time while it is in its cache. Which thread makes
//! which piece changes no byte. Source pages are let go piece by piece.

use crate::checkpoint::TensorBytes;
use crate::kernels::{GROUP_ROWS, PackError, PackedFormat, PackedMatrix, Pool};
use crate::ops::PackedShape;
use std::sync::{Mutex, PoisonError};
use talkoot_protocol::hash::Hash;
use talkoot_protocol::model::DType;

/// Packed bytes of a piece, about.
const PIECE_BYTES: usize = 1 << 20;

impl PackedShape {
    /// Bytes of the packed matrix.
    pub(crate) const fn bytes(&self) -> usize {
        self.format.matrix_bytes(self.width, self.inner)
    }

    /// Groups of rows in a piece.
    const fn piece_groups(&self) -> usize {
        let groups = PIECE_BYTES / self.format.group_bytes(self.inner);
        if groups == 0 { 1 } else { groups }
    }

    /// Bytes of every piece but the last, which may be smaller.
    pub(super) const fn piece_bytes(&self) -> usize {
        self.piece_groups() * self.format.group_bytes(self.inner)
    }

    /// How many pieces.
    pub(super) const fn pieces(&self) -> usize {
        self.bytes().div_ceil(self.piece_bytes())
    }
}

/// Runs `work` on every piece of `packed` and collects what it returns, or the
/// error of the first piece that has one.
pub(super) fn by_piece<T: Send, E: Send>(
    shape: &PackedShape,
    packed: &mut [u8],
    pool: &Pool,
    work: impl Fn(usize, &mut [u8]) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    type Slot<'a, T, E> = Mutex<(&'a mut [u8], Option<Result<T, E>>)>;
    let slots: Vec<Slot<'_, T, E>> = packed
        .chunks_mut(shape.piece_bytes())
        .map(|piece| Mutex::new((piece, None)))
        .collect();
    pool.run(slots.len(), &|index| {
        let mut slot = slots[index].lock().unwrap_or_else(PoisonError::into_inner);
        slot.1 = Some(work(index, slot.0));
    });
    slots
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner).1)
        .collect()
}

/// Packs a matrix of floats and returns the hash of every piece.
pub(super) fn pack(
    tensor: &TensorBytes,
    shape: &PackedShape,
    packed: &mut [u8],
    pool: &Pool,
) -> Result<Vec<Hash>, PackError> {
    let piece_rows = shape.piece_groups() * GROUP_ROWS;
    by_piece(shape, packed, pool, |index, piece| {
        let (first, end) = (index * piece_rows, (index + 1) * piece_rows);
        pack_rows(tensor, shape, first, piece)?;
        tensor.let_go(first..end.min(shape.width));
        Ok(Hash::of_blob(piece))
    })
}

/// Packs the rows from `first` on that fit `piece`.
fn pack_rows(
    tensor: &TensorBytes,
    shape: &PackedShape,
    first: usize,
    piece: &mut [u8],
) -> Result<(), PackError> {
    let PackedShape {
        format,
        width,
        inner,
    } = *shape;
    let mut rows = Vec::with_capacity(GROUP_ROWS * inner);
    let groups = piece.chunks_exact_mut(format.group_bytes(inner));
    for (first, group) in (first..width).step_by(GROUP_ROWS).zip(groups) {
        let count = GROUP_ROWS.min(width - first);
        let stored = tensor.rows(first..first + count);
        let packed = if tensor.format.dtype() == Some(dtype_of(format)) && !tensor.format.is_float()
        {
            format.repack_group(&stored, inner, group)
        } else {
            rows.clear();
            tensor.format.widen(&stored, &mut rows);
            format.pack_group(&rows, inner, group)
        };
        packed.map_err(|error| PackError {
            row: first + error.row,
        })?;
    }
    Ok(())
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

/// The number format of a packed format, as cards name it.
pub(crate) const fn dtype_of(format: PackedFormat) -> DType {
    match format {
        PackedFormat::Bf16 => DType::Bf16,
        PackedFormat::Q8_0 => DType::Q8_0,
        PackedFormat::Q4_0 => DType::Q4_0,
    }
}
