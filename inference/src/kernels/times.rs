//! Where the time of a step goes, by kind of kernel: off unless somebody asks.
//!
//! The caller's clock is handed in, because this crate reads none; without a
//! [`KernelTimes`] no clock is read at all. Times are those of the calling
//! thread, which works along and waits for the others, so their sum and what
//! else a step takes are the step's duration.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a kernel call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KernelKind {
    /// Products of the layers, with the prologue of their rows.
    Linear,
    /// The product that gives logits, with its norm.
    Head,
    /// Norms that are no prologue.
    Norm,
    /// Turned queries and keys, and the cache they are written to.
    Rope,
    /// Attention over the cache.
    Attention,
    /// `silu(gate) * up` that is no prologue.
    Gate,
}

impl KernelKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Linear,
        Self::Head,
        Self::Norm,
        Self::Rope,
        Self::Attention,
        Self::Gate,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Head => "head",
            Self::Norm => "norm",
            Self::Rope => "rope",
            Self::Attention => "attention",
            Self::Gate => "gate",
        }
    }
}

/// Time spent since it was last taken.
#[derive(Debug)]
pub struct KernelTimes {
    clock: fn() -> u64,
    spent_ns: [AtomicU64; KernelKind::ALL.len()],
}

impl KernelTimes {
    /// `clock` gives nanoseconds since any fixed moment.
    #[must_use]
    pub fn new(clock: fn() -> u64) -> Self {
        Self {
            clock,
            spent_ns: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Nanoseconds of each kind, and begins again at none.
    #[must_use]
    pub fn take(&self) -> [(KernelKind, u64); KernelKind::ALL.len()] {
        KernelKind::ALL.map(|kind| {
            let spent_ns = self.spent_ns[kind as usize].swap(0, Ordering::Relaxed);
            (kind, spent_ns)
        })
    }

    /// Counts until what it returns is dropped.
    pub(super) fn start(&self, kind: KernelKind) -> Running<'_> {
        Running {
            times: self,
            kind,
            since_ns: (self.clock)(),
        }
    }
}

/// A call that is being timed.
pub(super) struct Running<'a> {
    times: &'a KernelTimes,
    kind: KernelKind,
    since_ns: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let spent_ns = (self.times.clock)().saturating_sub(self.since_ns);
        self.times.spent_ns[self.kind as usize].fetch_add(spent_ns, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every look is ten nanoseconds after the one before.
    fn ticking() -> u64 {
        static NOW_NS: AtomicU64 = AtomicU64::new(0);
        NOW_NS.fetch_add(10, Ordering::Relaxed)
    }

    #[test]
    fn times_go_to_their_kind_and_are_taken_once() {
        let times = KernelTimes::new(ticking);
        drop(times.start(KernelKind::Rope));
        drop(times.start(KernelKind::Rope));
        drop(times.start(KernelKind::Head));
        let of = |wanted: KernelKind, taken: &[(KernelKind, u64)]| {
            taken.iter().find(|(kind, _)| *kind == wanted).unwrap().1
        };
        let taken = times.take();
        assert_eq!(of(KernelKind::Rope, &taken), 20);
        assert_eq!(of(KernelKind::Head, &taken), 10);
        assert_eq!(of(KernelKind::Linear, &taken), 0);
        assert!(times.take().iter().all(|(_, spent_ns)| *spent_ns == 0));
    }
}
