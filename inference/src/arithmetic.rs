//! Which arithmetic a shard computes with, and the ids that name it.
//!
//! Two shards with the same [`ArithmeticId`] give the same bits for the same
//! weights and inputs. All instruction sets of our kernels share one id: sums
//! run in 16 lanes with separate multiply and add, and every function beyond
//! IEEE's exact ones is our own, so a machine without wide registers gives the
//! same bits, only later. An id is never given to other arithmetic; a kernel
//! that contracts, reorders or quantises needs a new one here.

use talkoot_protocol::model::ArithmeticId;

/// Our kernels: f32 activations, 16-lane sums, no fused multiply-add.
pub const ARITHMETIC_KERNELS_F32: ArithmeticId = ArithmeticId(1);

/// Stock burn operations on its processor backend, f32 activations. The
/// summation order of its matrix product may depend on the number of rows in a
/// step, so its bits are equal only for equal chunks and batches.
pub const ARITHMETIC_BURN_FLEX_F32: ArithmeticId = ArithmeticId(2);

/// Who computes the coarse operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backend {
    /// The processor kernels of this crate.
    #[default]
    Kernels,
    /// Stock burn operations: portable, right, and slow.
    Burn,
}

impl Backend {
    /// The id of its arithmetic.
    #[must_use]
    pub const fn arithmetic(self) -> ArithmeticId {
        match self {
            Self::Kernels => ARITHMETIC_KERNELS_F32,
            Self::Burn => ARITHMETIC_BURN_FLEX_F32,
        }
    }
}
