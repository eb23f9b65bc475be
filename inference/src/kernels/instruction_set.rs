//! Which instruction sets have bodies of their own, and which this machine has.
//!
//! A set stands for all before it of its architecture: a processor that lacks
//! one step of the chain is used as the step before. Every set gives the same
//! bits, so the choice is one of speed only.

/// Instruction sets with a body of their own, each with all before it of its
/// architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InstructionSet {
    /// What the compiler may assume everywhere.
    Baseline,
    /// 128-bit registers of 64-bit Arm.
    Neon,
    /// Dot products of bytes in them.
    NeonDotprod,
    /// 256-bit registers, fused multiply-add, conversions of half floats.
    Avx2,
    /// 512-bit registers.
    Avx512,
    /// Products of bytes in them.
    Avx512Vnni,
    /// Products of brain floats in them.
    Avx512Bf16,
}

impl InstructionSet {
    /// All that this machine has, best last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Features::of_this_machine().sets()
    }

    /// The best that this machine has.
    #[must_use]
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::Baseline)
    }

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Neon => "neon",
            Self::NeonDotprod => "neon+dotprod",
            Self::Avx2 => "avx2+fma",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512+vnni",
            Self::Avx512Bf16 => "avx512+vnni+bf16",
        }
    }
}

/// What the processor and the system offer, each by itself.
#[derive(Debug, Default, Clone, Copy)]
struct Features {
    neon: bool,
    neon_dotprod: bool,
    avx2_fma_f16c: bool,
    avx512: bool,
    avx512_vnni: bool,
    avx512_bf16: bool,
}

impl Features {
    #[cfg(target_arch = "x86_64")]
    fn of_this_machine() -> Self {
        use std::arch::is_x86_feature_detected as has;
        Self {
            avx2_fma_f16c: has!("avx2") && has!("fma") && has!("f16c"),
            avx512: has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq"),
            avx512_vnni: has!("avx512vnni"),
            avx512_bf16: has!("avx512bf16"),
            ..Self::default()
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn of_this_machine() -> Self {
        use std::arch::is_aarch64_feature_detected as has;
        Self {
            neon: has!("neon"),
            neon_dotprod: has!("dotprod"),
            ..Self::default()
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn of_this_machine() -> Self {
        Self::default()
    }

    /// The unbroken part of the architecture's chain, best last.
    fn sets(self) -> Vec<InstructionSet> {
        let arm = [
            (InstructionSet::Neon, self.neon),
            (InstructionSet::NeonDotprod, self.neon_dotprod),
        ];
        let intel = [
            (InstructionSet::Avx2, self.avx2_fma_f16c),
            (InstructionSet::Avx512, self.avx512),
            (InstructionSet::Avx512Vnni, self.avx512_vnni),
            (InstructionSet::Avx512Bf16, self.avx512_bf16),
        ];
        let arm = arm.into_iter().take_while(|(_, is_there)| *is_there);
        let intel = intel.into_iter().take_while(|(_, is_there)| *is_there);
        std::iter::once(InstructionSet::Baseline)
            .chain(arm.chain(intel).map(|(set, _)| set))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_step_hides_what_follows() {
        let all = Features {
            avx2_fma_f16c: true,
            avx512: true,
            avx512_vnni: true,
            avx512_bf16: true,
            ..Features::default()
        };
        assert_eq!(all.sets().last(), Some(&InstructionSet::Avx512Bf16));
        assert_eq!(Features::default().sets(), [InstructionSet::Baseline]);
        let without_fma = Features {
            avx2_fma_f16c: false,
            ..all
        };
        assert_eq!(without_fma.sets(), [InstructionSet::Baseline]);
        let without_vnni = Features {
            avx512_vnni: false,
            ..all
        };
        assert_eq!(without_vnni.sets().last(), Some(&InstructionSet::Avx512));
    }

    #[test]
    fn dot_products_come_after_plain_neon() {
        let arm = Features {
            neon: true,
            ..Features::default()
        };
        let plain = [InstructionSet::Baseline, InstructionSet::Neon];
        assert_eq!(arm.sets(), plain);
        let newer = Features {
            neon_dotprod: true,
            ..arm
        };
        assert_eq!(newer.sets().last(), Some(&InstructionSet::NeonDotprod));
    }

    #[test]
    fn sets_are_listed_in_their_order() {
        let sets = InstructionSet::available();
        assert_eq!(sets.first(), Some(&InstructionSet::Baseline));
        assert!(sets.is_sorted());
    }
}
