//! Where each tensor of a checkpoint lies, whether it is what the configuration
//! asks for, and its bytes.
//!
//! Bytes are shared with the mapped file. GGUF files of some families store the rows
//! of query and key in another order; whoever reads them here gets the order of the
//! published checkpoint, so that equal weights are equal tensors.

use super::map::WeightFile;
use super::{Checkpoint, CheckpointError};
use crate::config::ModelConfig;
use crate::families::{self, Role, TensorSpec};
use crate::kernels::PackedFormat;
use crate::packing;
use crate::stored::StoredFormat;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use talkoot_protocol::model::DType;

/// One tensor of a file.
#[derive(Debug, Clone)]
pub(super) struct TensorEntry {
    /// The file's own name for the number format.
    pub(super) dtype: String,
    /// The number format, if it is one that weights may have; the size of the range
    /// is then what format and sizes come to.
    pub(super) format: Option<StoredFormat>,
    /// Sizes, outermost first.
    pub(super) dims: Vec<usize>,
    /// Where the bytes lie in the file.
    pub(super) range: Range<usize>,
    /// The order of the rows.
    pub(super) order: RowOrder,
}

/// A tensor and the file it is in.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) file: String,
    pub(super) entry: TensorEntry,
}

/// In which order the rows of a matrix are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowOrder {
    /// That of the published checkpoint.
    Plain,
    /// Within every head of so many rows, the two that are turned together lie side
    /// by side; published, the second of them lies half a head further.
    Pairs {
        /// Rows of a head, even.
        head: usize,
    },
}

impl RowOrder {
    /// Where row `row` of the published order is stored.
    const fn stored(self, row: usize) -> usize {
        match self {
            Self::Plain => row,
            Self::Pairs { head } => {
                let (first, within) = (row / head * head, row % head);
                let half = head / 2;
                first + 2 * (within % half) + within / half
            }
        }
    }
}

/// One tensor's bytes and what they are. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub(crate) struct TensorBytes {
    /// Number format.
    pub(crate) format: StoredFormat,
    /// Sizes, outermost first.
    pub(crate) dims: Vec<usize>,
    bytes: Bytes,
    order: RowOrder,
    file: WeightFile,
    start: usize,
}

impl TensorBytes {
    /// How many bytes.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many rows; elements of a vector.
    pub(crate) fn row_count(&self) -> usize {
        self.dims.first().copied().unwrap_or(1)
    }

    /// Bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.bytes.len() / self.row_count().max(1)
    }

    /// The little-endian bytes of some rows, in the order of the published
    /// checkpoint.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Cow<'_, [u8]> {
        let width = self.row_bytes();
        if self.order == RowOrder::Plain {
            return Cow::Borrowed(&self.bytes[rows.start * width..rows.end * width]);
        }
        let mut ordered = Vec::with_capacity(rows.len() * width);
        for row in rows {
            let stored = self.order.stored(row);
            ordered.extend_from_slice(&self.bytes[stored * width..(stored + 1) * width]);
        }
        Cow::Owned(ordered)
    }

    /// All rows: the bytes of the file where it has them in order, else a copy.
    pub(crate) fn ordered(&self) -> Bytes {
        match self.order {
            RowOrder::Plain => self.bytes.clone(),
            RowOrder::Pairs { .. } => Bytes::from(self.rows(0..self.row_count()).into_owned()),
        }
    }

    /// Gives the memory of some rows back until they are read again.
    pub(crate) fn let_go(&self, rows: Range<usize>) {
        let width = self.row_bytes();
        self.file
            .let_go(self.start + rows.start * width..self.start + rows.end * width);
    }
}

/// How the matrices of products are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Products {
    /// As stored: all are floats of one format.
    Stored(DType),
    /// Blocks that have a packed format stay what they are.
    Native {
        /// The format of most of the weights.
        main: PackedFormat,
        /// What all other matrices are converted to.
        other: PackedFormat,
        /// Whether there are others.
        is_converted: bool,
    },
    /// All are packed to one format.
    Packed(PackedFormat),
}

/// The packed format of stored blocks.
const fn packed_format(format: StoredFormat) -> Option<PackedFormat> {
    match format {
        StoredFormat::Q8_0 => Some(PackedFormat::Q8_0),
        StoredFormat::Q4_0 => Some(PackedFormat::Q4_0),
        _ => None,
    }
}

/// Every tensor the family needs is there, with its shape. Matrices share one float
/// format, because the price of the model depends on it, or some are blocks.
pub(super) fn check_manifest(
    config: &ModelConfig,
    tensors: &BTreeMap<String, Located>,
) -> Result<Products, CheckpointError> {
    let mut floats: Option<(StoredFormat, String)> = None;
    let mut mixed = None;
    let mut blocks: BTreeMap<Option<PackedFormat>, usize> = BTreeMap::new();
    let mut has_blocks = false;
    for spec in families::tensors(config, config.layers()) {
        let format = check_tensor(&spec, tensors)?;
        if matches!(spec.role, Role::Vector | Role::Router) {
            continue;
        }
        has_blocks |= spec.role == Role::Product && !format.is_float();
        if spec.role == Role::Product || config.settings.tied {
            *blocks.entry(packed_format(format)).or_default() +=
                spec.dims.iter().product::<usize>();
        }
        match &floats {
            None => floats = Some((format, spec.name)),
            Some((first, _)) if *first == format => {}
            Some((first, _)) if mixed.is_none() => {
                let reason = format!("is {format}, the matrices before it are {first}");
                mixed = Some(CheckpointError::tensor(&spec.name, reason));
            }
            Some(_) => {}
        }
    }
    if has_blocks {
        return Ok(native(&blocks));
    }
    match (mixed, floats) {
        (Some(error), _) => Err(error),
        (None, Some((format, name))) => format.dtype().map(Products::Stored).ok_or_else(|| {
            CheckpointError::tensor(&name, format!("is {format}, and no other matrix is"))
        }),
        (None, None) => Err(CheckpointError::Card("it has no matrices".to_owned())),
    }
}

/// `blocks`: elements by the packed format that their blocks have, if they have one.
fn native(blocks: &BTreeMap<Option<PackedFormat>, usize>) -> Products {
    let own = blocks
        .iter()
        .filter_map(|(format, count)| Some((*count, (*format)?)));
    let main = own.max().map_or(PackedFormat::Bf16, |(_, format)| format);
    Products::Native {
        main,
        // Beside products of bytes others are products of bytes too: one arithmetic.
        other: match main {
            PackedFormat::Bf16 => PackedFormat::Bf16,
            PackedFormat::Q8_0 | PackedFormat::Q4_0 => PackedFormat::Q8_0,
        },
        is_converted: blocks.contains_key(&None),
    }
}

fn check_tensor(
    spec: &TensorSpec,
    tensors: &BTreeMap<String, Located>,
) -> Result<StoredFormat, CheckpointError> {
    let Located { entry, .. } =
        tensors
            .get(&spec.name)
            .ok_or_else(|| CheckpointError::MissingTensor {
                name: spec.name.clone(),
            })?;
    if entry.dims != spec.dims {
        return Err(CheckpointError::tensor(
            &spec.name,
            format!(
                "has shape {:?}, the configuration asks for {:?}",
                entry.dims, spec.dims
            ),
        ));
    }
    entry.format.ok_or_else(|| {
        let names: Vec<&str> = StoredFormat::ALL
            .iter()
            .map(|format| format.name())
            .collect();
        CheckpointError::tensor(
            &spec.name,
            format!(
                "has number format {}, supported: {}",
                entry.dtype,
                names.join(", ")
            ),
        )
    })
}

impl Checkpoint {
    /// One tensor. Its bytes are shared with the file, not copied.
    pub(crate) fn tensor(&self, spec: &TensorSpec) -> Result<TensorBytes, CheckpointError> {
        let format = check_tensor(spec, &self.tensors)?;
        let missing = || CheckpointError::MissingTensor {
            name: spec.name.clone(),
        };
        let located = self.tensors.get(&spec.name).ok_or_else(missing)?;
        let file = self.weights.get(&located.file).ok_or_else(missing)?;
        let entry = &located.entry;
        Ok(TensorBytes {
            format,
            dims: spec.dims.clone(),
            bytes: file.bytes().slice(entry.range.clone()),
            order: entry.order,
            file: file.clone(),
            start: entry.range.start,
        })
    }

    /// The packed format that a matrix of products is used in; `None` where it is
    /// used as stored.
    pub(crate) fn product_format(&self, spec: &TensorSpec) -> Option<PackedFormat> {
        match self.products {
            Products::Stored(_) => None,
            Products::Packed(format) => Some(format),
            Products::Native { other, .. } => {
                let stored = self.tensors.get(&spec.name)?.entry.format?;
                Some(packed_format(stored).unwrap_or(other))
            }
        }
    }

    /// Bytes of the weights that a shard of `range` would hold.
    #[must_use]
    pub fn weight_bytes(&self, range: talkoot_protocol::model::LayerRange) -> u64 {
        let stored: u64 = families::stored(&self.config, range, self.packed_format().is_some())
            .filter_map(|spec| self.tensors.get(&spec.name))
            .map(|located| located.entry.range.len() as u64)
            .sum();
        let packed: u64 = families::products(&self.config, range)
            .filter_map(|spec| Some(packing::shape_of(&spec, self.product_format(&spec)?)))
            .map(|shape| shape.bytes() as u64)
            .sum();
        stored + packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_turned_together_come_apart() {
        let order = RowOrder::Pairs { head: 6 };
        // Stored: 0 and 3 of the published order, then 1 and 4, then 2 and 5.
        let stored: Vec<usize> = (0..8).map(|row| order.stored(row)).collect();
        assert_eq!(stored, [0, 2, 4, 1, 3, 5, 6, 8]);
        assert_eq!(RowOrder::Plain.stored(5), 5);
    }

    #[test]
    fn blocks_stay_what_they_are_and_one_arithmetic_is_left() {
        let of = |blocks: &[(Option<PackedFormat>, usize)]| match native(
            &blocks.iter().copied().collect(),
        ) {
            Products::Native {
                main,
                other,
                is_converted,
            } => (main, other, is_converted),
            other => panic!("{other:?}"),
        };
        let (bf16, eight, four) = (PackedFormat::Bf16, PackedFormat::Q8_0, PackedFormat::Q4_0);
        assert_eq!(of(&[(None, 9)]), (bf16, bf16, true));
        assert_eq!(of(&[(None, 9), (Some(four), 5)]), (four, eight, true));
        assert_eq!(
            of(&[(Some(four), 9), (Some(eight), 5)]),
            (four, eight, false)
        );
    }
}
