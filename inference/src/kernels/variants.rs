//! One copy of every body for each instruction set, and the choice between them.
//!
//! The copies differ only in which instructions the compiler may use; Rust
//! never fuses a multiplication and an addition on its own, so their bits are
//! equal.

#![expect(
    unsafe_code,
    reason = "calling a function compiled for detected features"
)]

use super::{AttentionShape, Columns, InstructionSet, Matrix, body};

#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx512() -> bool {
    has_avx2()
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512dq")
}

#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx512_vnni() -> bool {
    has_avx512() && std::arch::is_x86_feature_detected!("avx512vnni")
}

#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx512_bf16() -> bool {
    has_avx512_vnni() && std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn has_avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn has_avx512_vnni() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn has_avx512_bf16() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn has_avx512() -> bool {
    false
}

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
                match set {
                    InstructionSet::Baseline => {}
                    InstructionSet::Avx2 => {
                        // SAFETY: `Kernels` is only made with a set that
                        // `InstructionSet::available` found on this machine.
                        unsafe { avx2($($argument),*) };
                        return;
                    }
                    InstructionSet::Avx512
                    | InstructionSet::Avx512Vnni
                    | InstructionSet::Avx512Bf16 => {
                        // SAFETY: as above.
                        unsafe { avx512($($argument),*) };
                        return;
                    }
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
    body::silu_mul(input: &[f32], width: usize, out: &mut [f32]);
    body::attention(shape: &AttentionShape, queries: &[f32], keys: &[f32], values: &[f32], out: &mut [f32]);
}
