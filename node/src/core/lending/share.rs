//! The share of the processor that is lent: how many threads compute, and for
//! which part of the time.
//!
//! Fewer threads come first, because they leave the others free all the time;
//! what is still too much is taken off by rests between steps. What is announced
//! is scaled by the rests, so that routes count on what is there.

/// The least share that can be lent, percent: below it a step and its rest take
/// longer than others wait.
pub const PERCENT_MIN: u32 = 5;

const ONE_PPM: u64 = 1_000_000;

/// Which part of the time is computed, in parts per million, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duty(u32);

impl Default for Duty {
    fn default() -> Self {
        Self::FULL
    }
}

impl Duty {
    /// All of the time.
    pub const FULL: Self = Self(1_000_000);

    /// How long to rest after so long a work, µs.
    #[must_use]
    pub fn rest_us(self, busy_us: u64) -> u64 {
        let duty = u64::from(self.0.max(1));
        busy_us.saturating_mul(ONE_PPM.saturating_sub(duty)) / duty
    }

    /// In parts per million of the time.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// A speed without rests, as it is with them; at least one.
    #[must_use]
    pub fn scale(self, per_second: u32) -> u32 {
        let scaled = u64::from(per_second).saturating_mul(u64::from(self.0)) / ONE_PPM;
        u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
    }
}

/// How a share is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuPlan {
    /// Threads that compute a step together.
    pub threads: usize,
    /// The part of the time in which they do.
    pub duty: Duty,
}

/// How `percent` of `cores` processors are lent; `threads` where the owner
/// named a number.
#[must_use]
pub fn plan(percent: u32, cores: usize, threads: Option<usize>) -> CpuPlan {
    let cores = cores.max(1);
    let lent = (cores as u64).saturating_mul(u64::from(percent.clamp(PERCENT_MIN, 100)));
    let enough = usize::try_from(lent.div_ceil(100)).unwrap_or(cores);
    let threads = threads.unwrap_or(enough).max(1);
    // More threads than processors take no more than all of them.
    let used = threads.min(cores) as u64;
    let duty = lent.saturating_mul(ONE_PPM / 100) / used;
    CpuPlan {
        threads,
        duty: Duty(u32::try_from(duty.clamp(1, ONE_PPM)).unwrap_or(1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn threads_come_before_rests() {
        let half = plan(50, 8, None);
        assert_eq!((half.threads, half.duty), (4, Duty::FULL));
        let tenth = plan(10, 8, None);
        assert_eq!((tenth.threads, tenth.duty), (1, Duty(800_000)));
        let named = plan(50, 8, Some(8));
        assert_eq!((named.threads, named.duty), (8, Duty(500_000)));
        assert_eq!(plan(100, 3, None).duty, Duty::FULL);
        assert_eq!(Duty(250_000).rest_us(1_000), 3_000);
        assert_eq!(Duty::FULL.rest_us(u64::MAX), 0);
        assert_eq!(Duty(250_000).scale(1_000), 250);
        assert_eq!(Duty(1).scale(1), 1);
    }

    proptest! {
        /// Steps and rests together never take more than the share.
        #[test]
        fn the_share_is_kept(
            percent in PERCENT_MIN..=100,
            cores in 1_usize..256,
            threads in proptest::option::of(1_usize..300),
            busy_us in 1_000_u64..10_000_000,
        ) {
            let plan = plan(percent, cores, threads);
            let used = plan.threads.min(cores) as u128 * u128::from(busy_us);
            let whole = cores as u128 * u128::from(busy_us + plan.duty.rest_us(busy_us));
            // A rest is rounded down by less than a microsecond, a duty up by none.
            let lent = whole * u128::from(percent) + cores as u128 * 100;
            prop_assert!(used * 100 <= lent, "{plan:?}");
        }
    }
}
