//! One copy of every body for each instruction set, and the choice between them.
//!
//! The copies differ only in which instructions the compiler may use; Rust
//! never fuses a multiplication and an addition on its own, so their bits are
//! equal.

#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling a function compiled for detected features"
    )
)]

use super::turn::Turn;
use super::{Columns, InstructionSet, Matrix, body, turn};
use std::ops::Range;

/// Defines `name(set, arguments)` that runs `home::name` compiled for `set`.
macro_rules! variants {
    ($($home:ident::$name:ident($($argument:ident: $type:ty),* $(,)?);)*) => {$(
        pub(super) fn $name(set: InstructionSet, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) {
                    $home::$name($($argument),*);
                }
                #[target_feature(enable = "avx2,avx512f,avx512vl,avx512bw,avx512dq")]
                fn avx512($($argument: $type),*) {
                    $home::$name($($argument),*);
                }
                if set >= InstructionSet::Avx512 {
                    // SAFETY: `Kernels` is only made with a set that
                    // `InstructionSet::available` found on this machine.
                    return unsafe { avx512($($argument),*) };
                }
                if set == InstructionSet::Avx2 {
                    // SAFETY: as above.
                    return unsafe { avx2($($argument),*) };
                }
            }
            let _ = set;
            $home::$name($($argument),*);
        }
    )*};
}

variants! {
    body::linear(input: &[f32], inner: usize, weights: Matrix<'_>, out: &mut [f32], columns: Columns);
    body::rms_norm(input: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]);
    turn::rope_append(task: Turn<'_>, rows: Range<usize>);
    body::silu_mul(input: &[f32], width: usize, out: &mut [f32]);
}
