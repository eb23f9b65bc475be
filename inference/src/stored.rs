//! The number formats in which checkpoints store tensors, and their values.
//!
//! Floats have one element to a block; the others are GGUF's blocks, whose layout
//! is stated here to the byte. This file turns stored bytes into f32, exactly: every
//! product of a scale and a whole number is rounded once, as GGUF's reference does.
//! It reads no file.

mod k_quants;

use bincode::{Decode, Encode};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use talkoot_protocol::model::DType;

/// How the elements of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum StoredFormat {
    /// 32-bit float.
    F32,
    /// 16-bit brain float.
    Bf16,
    /// 16-bit IEEE float.
    F16,
    /// Blocks of 32: an f16 scale, 32 signed bytes.
    Q8_0,
    /// Blocks of 32: an f16 scale, 16 bytes, element i in the low half of byte i,
    /// element i + 16 in its high half, each plus 8.
    Q4_0,
    /// Blocks of 256 of 4 bits: scales and offsets of 6 bits for 32 elements each.
    Q4K,
    /// Blocks of 256 of 5 bits: scales and offsets of 6 bits for 32 elements each.
    Q5K,
    /// Blocks of 256 of 6 bits: scales of 8 bits for 16 elements each.
    Q6K,
    /// Blocks of 32: an f16 scale, an f16 offset, 16 bytes as in [`Self::Q4_0`], but
    /// without the 8.
    Q4_1,
    /// Blocks of 32: an f16 scale, 32 fifth bits, 16 bytes as in [`Self::Q4_0`]; each
    /// number plus 16.
    Q5_0,
    /// Blocks of 32: an f16 scale, an f16 offset, 32 fifth bits, 16 bytes as in
    /// [`Self::Q4_1`].
    Q5_1,
}

impl StoredFormat {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::Bf16,
        Self::F16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
    ];

    /// The name in listings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4K => "q4_k",
            Self::Q5K => "q5_k",
            Self::Q6K => "q6_k",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
        }
    }

    /// The format of the same name that cards know and that is computed with as it
    /// is; `None` for those that are converted.
    #[must_use]
    pub const fn dtype(self) -> Option<DType> {
        match self {
            Self::F32 => Some(DType::F32),
            Self::Bf16 => Some(DType::Bf16),
            Self::F16 => Some(DType::F16),
            Self::Q8_0 => Some(DType::Q8_0),
            Self::Q4_0 => Some(DType::Q4_0),
            Self::Q4K | Self::Q5K | Self::Q6K | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => None,
        }
    }

    /// Whether elements are plain floats.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::Bf16 | Self::F16)
    }

    /// Elements of a block.
    #[must_use]
    pub const fn block(self) -> usize {
        match self {
            Self::F32 | Self::Bf16 | Self::F16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => k_quants::BLOCK,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
            Self::Q8_0 => 2 + 32,
            Self::Q4_0 => 2 + 16,
            Self::Q4K => k_quants::Q4_K_BYTES,
            Self::Q5K => k_quants::Q5_K_BYTES,
            Self::Q6K => k_quants::Q6_K_BYTES,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
        }
    }

    /// Bytes of a row of `inner` elements; `None` if that is no whole number of
    /// blocks.
    #[must_use]
    pub const fn row_bytes(self, inner: usize) -> Option<usize> {
        if !inner.is_multiple_of(self.block()) {
            return None;
        }
        (inner / self.block()).checked_mul(self.block_bytes())
    }

    /// Appends the values of whole blocks; what is left of `stored` counts nothing.
    pub fn widen(self, stored: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F32 => {
                let (quads, _) = stored.as_chunks::<4>();
                values.extend(quads.iter().map(|quad| f32::from_le_bytes(*quad)));
            }
            Self::Bf16 => {
                let (pairs, _) = stored.as_chunks::<2>();
                values.extend(pairs.iter().map(|pair| bf16::from_le_bytes(*pair).to_f32()));
            }
            Self::F16 => {
                let (pairs, _) = stored.as_chunks::<2>();
                let halves: Vec<f16> = pairs.iter().map(|pair| f16::from_le_bytes(*pair)).collect();
                let start = values.len();
                values.resize(start + halves.len(), 0.0);
                halves.convert_to_f32_slice(&mut values[start..]);
            }
            Self::Q8_0 => {
                for block in stored.as_chunks::<34>().0 {
                    let scale = half_at(block, 0);
                    let elements = block[2..].iter();
                    values.extend(elements.map(|byte| scale * f32::from(byte.cast_signed())));
                }
            }
            Self::Q4_0 => {
                for block in stored.as_chunks::<18>().0 {
                    let scale = half_at(block, 0);
                    let value = |nibble: u8| scale * (f32::from(nibble) - 8.0);
                    values.extend(block[2..].iter().map(|byte| value(byte & 0x0f)));
                    values.extend(block[2..].iter().map(|byte| value(byte >> 4)));
                }
            }
            Self::Q4K => k_quants::q4_k(stored, values),
            Self::Q5K => k_quants::q5_k(stored, values),
            Self::Q6K => k_quants::q6_k(stored, values),
            Self::Q4_1 => {
                for block in stored.as_chunks::<20>().0 {
                    let (scale, offset) = (half_at(block, 0), half_at(block, 2));
                    numbers(&block[4..], &[0; 4], values, |number| {
                        scale * number + offset
                    });
                }
            }
            Self::Q5_0 => {
                for block in stored.as_chunks::<22>().0 {
                    let scale = half_at(block, 0);
                    let value = |number: f32| scale * (number - 16.0);
                    numbers(&block[6..], &block[2..6], values, value);
                }
            }
            Self::Q5_1 => {
                for block in stored.as_chunks::<24>().0 {
                    let (scale, offset) = (half_at(block, 0), half_at(block, 2));
                    let value = |number: f32| scale * number + offset;
                    numbers(&block[8..], &block[4..8], values, value);
                }
            }
        }
    }
}

impl std::fmt::Display for StoredFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Appends the values of 32 numbers: low halves, high halves, and a fifth bit each.
fn numbers(halves: &[u8], fifths: &[u8], values: &mut Vec<f32>, value: impl Fn(f32) -> f32) {
    let fifth = |index: usize| (fifths[index / 8] >> (index % 8) & 1) << 4;
    let low = halves.iter().enumerate();
    values.extend(low.map(|(index, byte)| value((byte & 0x0f | fifth(index)).into())));
    let high = halves.iter().enumerate();
    values.extend(high.map(|(index, byte)| value((byte >> 4 | fifth(index + 16)).into())));
}

/// The f16 that begins at `start`.
fn half_at(block: &[u8], start: usize) -> f32 {
    f16::from_le_bytes([block[start], block[start + 1]]).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkoot_protocol::codec;

    /// The list of tensors is hashed into cards: names and places are forever.
    #[test]
    fn formats_that_cards_know_are_written_as_they_always_were() {
        for format in StoredFormat::ALL {
            if let Some(dtype) = format.dtype() {
                assert_eq!(format.name(), dtype.name());
                assert_eq!(codec::encode(&format), codec::encode(&dtype));
            }
        }
    }

    #[test]
    fn rows_are_whole_blocks() {
        assert_eq!(StoredFormat::F16.row_bytes(3), Some(6));
        assert_eq!(StoredFormat::Q8_0.row_bytes(64), Some(68));
        assert_eq!(StoredFormat::Q4_0.row_bytes(33), None);
        assert_eq!(StoredFormat::Q6K.row_bytes(512), Some(420));
        assert_eq!(StoredFormat::F32.row_bytes(usize::MAX), None);
    }

    #[test]
    fn blocks_of_32_are_scale_times_number() {
        let mut block = f16::from_f32(0.5).to_le_bytes().to_vec();
        block.extend((0..32).map(|i| (i - 16_i8).cast_unsigned()));
        let mut values = Vec::new();
        StoredFormat::Q8_0.widen(&block, &mut values);
        assert_eq!((values[0], values[31]), (-8.0, 7.5));
        block.truncate(2);
        block.extend([0x1f; 16]);
        values.clear();
        StoredFormat::Q4_0.widen(&block, &mut values);
        assert_eq!((values[0], values[16], values.len()), (3.5, -3.5, 32));
    }
}
