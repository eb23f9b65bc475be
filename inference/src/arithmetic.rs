//! Which arithmetic a shard computes with, and the ids that name it.
//!
//! Two shards with the same [`ArithmeticId`] give the same bits for the same
//! weights and inputs. All instruction sets of our kernels share one id: sums
//! run in 16 lanes with separate multiply and add, and every function beyond
//! IEEE's exact ones is our own, so a machine without wide registers gives the
//! same bits, only later. An id is never given to other arithmetic; a kernel
//! that contracts, reorders or quantises needs a new one here.

use crate::kernels::PackedFormat;
use talkoot_protocol::model::ArithmeticId;

/// Our kernels: f32 activations, 16-lane sums, no fused multiply-add.
pub const ARITHMETIC_KERNELS_F32: ArithmeticId = ArithmeticId(1);

/// Stock burn operations on its processor backend, f32 activations. The
/// summation order of its matrix product may depend on the number of rows in a
/// step, so its bits are equal only for equal chunks and batches.
pub const ARITHMETIC_BURN_FLEX_F32: ArithmeticId = ArithmeticId(2);

/// Our kernels on bf16 weights: activations of a product rounded to bf16, sums
/// in f32, of each pair the second first (`kernels::linear`).
pub const ARITHMETIC_KERNELS_BF16: ArithmeticId = ArithmeticId(3);

/// Our kernels on q8_0 and q4_0 weights: activations of a product as signed
/// bytes in blocks of 32, whole-number dots, fused sums of scaled blocks in
/// rising order (`kernels::linear`).
pub const ARITHMETIC_KERNELS_INT8: ArithmeticId = ArithmeticId(4);

/// Stock burn operations on an NVIDIA card, f32 activations and weights. The
/// card and burn's timing of its kernels choose how sums run (and whether the
/// factors of a product are rounded to the tensor cores' tf32), so its bits are
/// not promised to be equal anywhere, not even on the same card: what was
/// computed with it cannot be recomputed bit for bit.
pub const ARITHMETIC_BURN_CUDA_F32: ArithmeticId = ArithmeticId(5);

/// Who computes the coarse operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backend {
    /// The processor kernels of this crate.
    #[default]
    Kernels,
    /// Stock burn operations: portable, right, and slow.
    Burn,
    /// Stock burn operations on the first NVIDIA card, where the crate was built
    /// with the feature `cuda`; loading a shard is refused elsewhere.
    Cuda,
}

impl Backend {
    /// Whether stock burn operations compute, on weights as plain floats.
    #[must_use]
    pub const fn is_stock(self) -> bool {
        match self {
            Self::Kernels => false,
            Self::Burn | Self::Cuda => true,
        }
    }

    /// The id of its arithmetic on weights as stored, or packed as `format`.
    #[must_use]
    pub const fn arithmetic(self, format: Option<PackedFormat>) -> ArithmeticId {
        match (self, format) {
            (Self::Kernels, None) => ARITHMETIC_KERNELS_F32,
            (Self::Kernels, Some(PackedFormat::Bf16)) => ARITHMETIC_KERNELS_BF16,
            (Self::Kernels, Some(PackedFormat::Q8_0 | PackedFormat::Q4_0)) => {
                ARITHMETIC_KERNELS_INT8
            }
            (Self::Burn, _) => ARITHMETIC_BURN_FLEX_F32,
            (Self::Cuda, _) => ARITHMETIC_BURN_CUDA_F32,
        }
    }
}
