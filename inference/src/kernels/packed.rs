//! Packed matrices: the weight formats and the one layout that decode and
//! prefill share.
//!
//! Sixteen rows form a group, stored one after the other; within a group the
//! inner dimension runs in chunks. So a wide register holds the same elements of
//! sixteen rows, a thread reads several groups as so many streams, and no sum
//! over k is split. Rows and elements that pad a group or a chunk are zero.
//!
//! | format | chunk | bytes of a chunk |
//! |---|---|---|
//! | bf16 | 32 elements | 16 vectors; vector j: row r's elements 2j, 2j + 1 |
//! | q8_0 | 64 elements, two blocks | 2 x 16 f16 scales, then 2 x 8 vectors; vector j: row r's elements 4j..4j + 4, each plus 128 |
//! | q4_0 | 64 elements, two blocks | 2 x 16 f16 scales, then 2 x 4 vectors; vector j: row r's elements 4j..4j + 4 in the low halves of four bytes, 4j + 16.. in the high, each plus 8 |
//!
//! Scales and roundings of q8_0 and q4_0 are those of GGUF, value for value.
//! This file packs and unpacks; it multiplies nothing.

use half::{bf16, f16};

/// Rows that lie interleaved.
pub const GROUP_ROWS: usize = 16;
/// Elements that share a scale.
pub const BLOCK: usize = 32;
/// Bytes of one vector: four for each row of a group.
pub(super) const VECTOR_BYTES: usize = 64;
/// Elements of a chunk of a quantised format.
pub(super) const QUANTISED_CHUNK: usize = 2 * BLOCK;
/// Scales of a chunk of a quantised format, in bytes.
pub(super) const SCALES_BYTES: usize = 2 * GROUP_ROWS * 2;
/// Elements of a chunk of bf16.
pub(super) const BF16_CHUNK: usize = 32;
/// Smaller bf16 magnitudes are taken as zero, in weights and in activations: a
/// product is then zero or at least 2^-100 with its last bit at 2^-114, so no
/// sum of products is ever denormal and hardware that flushes denormals agrees
/// with hardware that does not.
pub(super) const BF16_MAGNITUDE_MIN: f32 = f32::from_bits((127 - 50) << 23);

/// How the elements of a packed matrix are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackedFormat {
    /// 16-bit brain floats; products with activations of the same format.
    Bf16,
    /// 8-bit blocks of 32 with an f16 scale; products in whole numbers.
    Q8_0,
    /// 4-bit blocks of 32 with an f16 scale; products in whole numbers.
    Q4_0,
}

/// A matrix has a value that its format cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("row {row} has a value that is not finite or too large for the format")]
pub struct PackError {
    /// Which row of those given.
    pub row: usize,
}

impl PackedFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bf16, Self::Q8_0, Self::Q4_0];

    /// The name in settings and listings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Elements of the inner dimension that lie together.
    pub(super) const fn chunk(self) -> usize {
        match self {
            Self::Bf16 => BF16_CHUNK,
            Self::Q8_0 | Self::Q4_0 => QUANTISED_CHUNK,
        }
    }

    /// Bytes of one chunk of a group.
    pub(super) const fn chunk_bytes(self) -> usize {
        match self {
            Self::Bf16 => 16 * VECTOR_BYTES,
            Self::Q8_0 => SCALES_BYTES + 16 * VECTOR_BYTES,
            Self::Q4_0 => SCALES_BYTES + 8 * VECTOR_BYTES,
        }
    }

    /// Bytes of one group of rows of `inner` elements.
    #[must_use]
    pub const fn group_bytes(self, inner: usize) -> usize {
        inner.div_ceil(self.chunk()) * self.chunk_bytes()
    }

    /// Bytes of a packed matrix of `width` rows of `inner` elements.
    #[must_use]
    pub const fn matrix_bytes(self, width: usize, inner: usize) -> usize {
        width.div_ceil(GROUP_ROWS) * self.group_bytes(inner)
    }

    /// Packs up to [`GROUP_ROWS`] rows of `inner` elements into one group.
    ///
    /// # Errors
    /// [`PackError`] naming the first row that does not fit the format; `group`
    /// is then not to be used.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn pack_group(self, rows: &[f32], inner: usize, group: &mut [u8]) -> Result<(), PackError> {
        assert!(inner > 0 && rows.len().is_multiple_of(inner), "group rows");
        assert!(rows.len() / inner <= GROUP_ROWS, "rows of a group");
        assert_eq!(group.len(), self.group_bytes(inner), "group bytes");
        self.clear_group(group);
        for (row, elements) in rows.chunks_exact(inner).enumerate() {
            let chunks = elements.chunks(self.chunk());
            for (elements, chunk) in chunks.zip(group.chunks_exact_mut(self.chunk_bytes())) {
                match self {
                    Self::Bf16 => pack_bf16(row, elements, chunk)?,
                    Self::Q8_0 => pack_q8_0(row, elements, chunk)?,
                    Self::Q4_0 => pack_q4_0(row, elements, chunk)?,
                }
            }
        }
        Ok(())
    }

    /// Packs up to [`GROUP_ROWS`] rows that are stored in GGUF's blocks of the same
    /// format: bytes move, no value changes.
    ///
    /// # Errors
    /// [`PackError`] naming the first row with a scale that is no number; `group` is
    /// then not to be used.
    ///
    /// # Panics
    /// When the sizes do not fit, or the format has no blocks.
    pub fn repack_group(
        self,
        stored: &[u8],
        inner: usize,
        group: &mut [u8],
    ) -> Result<(), PackError> {
        let block_bytes = match self {
            Self::Q8_0 => 2 + BLOCK,
            Self::Q4_0 => 2 + BLOCK / 2,
            Self::Bf16 => unreachable!("brain floats have no blocks"),
        };
        assert!(inner > 0 && inner.is_multiple_of(BLOCK), "whole blocks");
        let row_bytes = inner / BLOCK * block_bytes;
        assert!(stored.len().is_multiple_of(row_bytes), "group rows");
        assert!(stored.len() / row_bytes <= GROUP_ROWS, "rows of a group");
        assert_eq!(group.len(), self.group_bytes(inner), "group bytes");
        self.clear_group(group);
        for (row, blocks) in stored.chunks_exact(row_bytes).enumerate() {
            for (index, block) in blocks.chunks_exact(block_bytes).enumerate() {
                let first = index * BLOCK % QUANTISED_CHUNK;
                let chunk = index * BLOCK / QUANTISED_CHUNK * self.chunk_bytes();
                let chunk = &mut group[chunk..chunk + self.chunk_bytes()];
                let (scale, numbers) = block.split_at(2);
                if !f16::from_le_bytes([scale[0], scale[1]]).is_finite() {
                    return Err(PackError { row });
                }
                let at = scale_offset(row, first);
                chunk[at..at + 2].copy_from_slice(scale);
                for (k, &number) in numbers.iter().enumerate() {
                    match self {
                        Self::Q8_0 => chunk[q8_0_offset(row, first + k)] = number ^ 0x80,
                        // A byte holds elements k and k + 16, as in the vectors here.
                        _ => chunk[q4_0_offset(row, first + k).0] = number,
                    }
                }
            }
        }
        Ok(())
    }

    /// A group of zeros.
    fn clear_group(self, group: &mut [u8]) {
        let zero = match self {
            Self::Bf16 => 0,
            Self::Q8_0 => 128,
            Self::Q4_0 => 0x88,
        };
        for chunk in group.chunks_exact_mut(self.chunk_bytes()) {
            chunk.fill(zero);
            if self != Self::Bf16 {
                chunk[..SCALES_BYTES].fill(0);
            }
        }
    }

    /// The values of one row of a group, as the kernels see them.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn unpack_row(self, group: &[u8], row: usize, elements: &mut [f32]) {
        assert!(row < GROUP_ROWS, "row of a group");
        assert_eq!(group.len(), self.group_bytes(elements.len()), "group bytes");
        let chunks = group.chunks_exact(self.chunk_bytes());
        for (elements, chunk) in elements.chunks_mut(self.chunk()).zip(chunks) {
            for (k, element) in elements.iter_mut().enumerate() {
                *element = match self {
                    Self::Bf16 => {
                        let at = bf16_offset(row, k);
                        bf16::from_le_bytes([chunk[at], chunk[at + 1]]).to_f32()
                    }
                    Self::Q8_0 => scale(chunk, row, k) * f32::from(q8_0(chunk, row, k)),
                    Self::Q4_0 => scale(chunk, row, k) * f32::from(q4_0(chunk, row, k)),
                };
            }
        }
    }
}

/// A packed matrix in memory.
#[derive(Debug, Clone, Copy)]
pub struct PackedMatrix<'a> {
    format: PackedFormat,
    bytes: &'a [u8],
    width: usize,
    inner: usize,
}

impl<'a> PackedMatrix<'a> {
    /// `width` rows of `inner` elements that were packed into `bytes`, or
    /// `None` when the length does not fit.
    #[must_use]
    pub fn new(format: PackedFormat, bytes: &'a [u8], width: usize, inner: usize) -> Option<Self> {
        (bytes.len() == format.matrix_bytes(width, inner)).then_some(Self {
            format,
            bytes,
            width,
            inner,
        })
    }

    /// How the elements are stored.
    #[must_use]
    pub const fn format(&self) -> PackedFormat {
        self.format
    }

    /// Rows, which are outputs of a linear.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Elements of a row, which are inputs of a linear.
    #[must_use]
    pub const fn inner(&self) -> usize {
        self.inner
    }

    /// Groups of rows.
    pub(super) const fn groups(&self) -> usize {
        self.width.div_ceil(GROUP_ROWS)
    }

    /// The groups from `first` on.
    pub(super) fn groups_from(&self, first: usize) -> &'a [u8] {
        &self.bytes[first * self.format.group_bytes(self.inner)..]
    }

    /// The values of one row.
    ///
    /// # Panics
    /// When there is no such row, or `elements` has another length than it.
    pub fn unpack_row(&self, row: usize, elements: &mut [f32]) {
        assert!(row < self.width && elements.len() == self.inner, "row");
        let group_bytes = self.format.group_bytes(self.inner);
        let group = &self.groups_from(row / GROUP_ROWS)[..group_bytes];
        self.format.unpack_row(group, row % GROUP_ROWS, elements);
    }
}

/// Where element `k` of `row` lies in a chunk of bf16.
const fn bf16_offset(row: usize, k: usize) -> usize {
    (k / 2) * VECTOR_BYTES + row * 4 + (k % 2) * 2
}

/// Where the scale of element `k` of `row` lies in a chunk.
pub(super) const fn scale_offset(row: usize, k: usize) -> usize {
    ((k / BLOCK) * GROUP_ROWS + row) * 2
}

/// Where element `k` of `row` lies in a chunk of q8_0.
const fn q8_0_offset(row: usize, k: usize) -> usize {
    SCALES_BYTES + (k / 4) * VECTOR_BYTES + row * 4 + k % 4
}

/// Where element `k` of `row` lies in a chunk of q4_0, and its shift.
const fn q4_0_offset(row: usize, k: usize) -> (usize, u32) {
    let (block, within) = (k / BLOCK, k % BLOCK);
    let quad = within / 4;
    let vector = block * 4 + quad % 4;
    let shift = if quad < 4 { 0 } else { 4 };
    (
        SCALES_BYTES + vector * VECTOR_BYTES + row * 4 + within % 4,
        shift,
    )
}

/// The scale of element `k` of `row`.
pub(super) fn scale(chunk: &[u8], row: usize, k: usize) -> f32 {
    let at = scale_offset(row, k);
    f16::from_le_bytes([chunk[at], chunk[at + 1]]).to_f32()
}

/// Element `k` of `row` of a q8_0 chunk, without its scale.
#[expect(clippy::cast_possible_wrap, reason = "u - 128 as a signed byte")]
pub(super) fn q8_0(chunk: &[u8], row: usize, k: usize) -> i8 {
    (chunk[q8_0_offset(row, k)] ^ 0x80) as i8
}

/// Element `k` of `row` of a q4_0 chunk, without its scale.
#[expect(clippy::cast_possible_wrap, reason = "0 to 15")]
pub(super) fn q4_0(chunk: &[u8], row: usize, k: usize) -> i8 {
    let (at, shift) = q4_0_offset(row, k);
    ((chunk[at] >> shift) & 0x0f) as i8 - 8
}

/// `value` as bf16, to the nearest, ties to even; tiny ones as zero.
pub(super) fn to_bf16(value: f32) -> bf16 {
    if value.abs() < BF16_MAGNITUDE_MIN {
        bf16::ZERO
    } else {
        bf16::from_f32(value)
    }
}

fn pack_bf16(row: usize, elements: &[f32], chunk: &mut [u8]) -> Result<(), PackError> {
    for (k, &element) in elements.iter().enumerate() {
        let value = to_bf16(element);
        if !value.is_finite() {
            return Err(PackError { row });
        }
        let at = bf16_offset(row, k);
        chunk[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    Ok(())
}

/// Writes a block's scale and returns what its elements are multiplied by: 0
/// where the stored scale is 0, so that no quantity overflows.
fn put_scale(row: usize, block: usize, scale: f32, chunk: &mut [u8]) -> Result<f32, PackError> {
    let stored = f16::from_f32(scale);
    if !stored.is_finite() {
        return Err(PackError { row });
    }
    let at = scale_offset(row, block * BLOCK);
    chunk[at..at + 2].copy_from_slice(&stored.to_le_bytes());
    Ok(if stored.to_f32() == 0.0 {
        0.0
    } else {
        1.0 / scale
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within -127..=127 after rounding, within 1..=255 after the offset"
)]
fn pack_q8_0(row: usize, elements: &[f32], chunk: &mut [u8]) -> Result<(), PackError> {
    for (block, elements) in elements.chunks(BLOCK).enumerate() {
        if elements.iter().any(|element| !element.is_finite()) {
            return Err(PackError { row });
        }
        let most = elements.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let scale = most / 127.0;
        let inverse = put_scale(row, block, scale, chunk)?;
        for (k, element) in elements.iter().enumerate() {
            let value = (element * inverse).round() as i32 + 128;
            chunk[q8_0_offset(row, block * BLOCK + k)] = value as u8;
        }
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 0..=15 after the clamp"
)]
fn pack_q4_0(row: usize, elements: &[f32], chunk: &mut [u8]) -> Result<(), PackError> {
    for (block, elements) in elements.chunks(BLOCK).enumerate() {
        if elements.iter().any(|element| !element.is_finite()) {
            return Err(PackError { row });
        }
        let most = elements.iter().fold(
            0.0_f32,
            |most, &x| if x.abs() > most.abs() { x } else { most },
        );
        let scale = most / -8.0;
        let inverse = put_scale(row, block, scale, chunk)?;
        for (k, element) in elements.iter().enumerate() {
            let value = ((element * inverse + 8.5) as i32).clamp(0, 15) as u8;
            let (at, shift) = q4_0_offset(row, block * BLOCK + k);
            chunk[at] = (chunk[at] & !(0x0f << shift)) | (value << shift);
        }
    }
    Ok(())
}
