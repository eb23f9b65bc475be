//! How long a batch waits for those who are about to come.
//!
//! After a step its answers go out one by one, and the next tokens come back a
//! moment later. Started with the first of them, the next step would leave all
//! others to the step after, and two half batches would take turns for ever,
//! although a whole one costs little more than one row. So a batch waits for the
//! sessions that lately had a token computed here: a twentieth of the last
//! step at most, and not for a while after nobody came.
//!
//! Only sessions that run all layers here are waited for. Those of a pipeline
//! come back after a whole round; gathered into one batch, they would keep one
//! stage busy while all others idle. No clock and no queue here.

use std::collections::BTreeSet;

/// A batch waits for at most this part of the last step's time.
const PATIENCE_DIVISOR: u64 = 20;
/// And never longer, µs.
const PATIENCE_MAX_US: u64 = 5_000;
/// A shorter wait is none: a thread does not wake that exactly, µs.
const PATIENCE_MIN_US: u64 = 200;
/// Steps without waiting after nobody came.
const STEPS_OFF: u32 = 8;

/// Who had tokens computed lately, and whether waiting pays.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// Open sessions whose next token comes back at once.
    whole: BTreeSet<u64>,
    /// Sessions with a token in the last step, and in the one before.
    recent: [BTreeSet<u64>; 2],
    step_us: u64,
    steps_off: u32,
}

impl Gather {
    /// A session opened that runs all layers here.
    pub(super) fn expect(&mut self, session: u64) {
        self.whole.insert(session);
    }

    /// A step ended that computed tokens of `sessions`.
    pub(super) fn stepped(&mut self, sessions: impl Iterator<Item = u64>, took_us: u64) {
        self.recent.swap(0, 1);
        let whole = |session: &u64| self.whole.contains(session);
        self.recent[0] = sessions.filter(whole).collect();
        self.step_us = took_us;
        self.steps_off = self.steps_off.saturating_sub(1);
    }

    /// A session is over.
    pub(super) fn forget(&mut self, session: u64) {
        self.whole.remove(&session);
        for recent in &mut self.recent {
            recent.remove(&session);
        }
    }

    /// Whether somebody who is expected is not among those who wait.
    pub(super) fn lacks_any(&self, waiting: impl Iterator<Item = u64>) -> bool {
        let waiting: BTreeSet<u64> = waiting.collect();
        let mut expected = self.recent.iter().flatten();
        expected.any(|session| !waiting.contains(session))
    }

    /// How long the next step may wait, µs.
    pub(super) fn patience_us(&self) -> u64 {
        if self.steps_off > 0 {
            return 0;
        }
        let patience_us = (self.step_us / PATIENCE_DIVISOR).min(PATIENCE_MAX_US);
        if patience_us < PATIENCE_MIN_US {
            return 0;
        }
        patience_us
    }

    /// It was waited, and nobody came.
    pub(super) const fn waited_in_vain(&mut self) {
        self.steps_off = STEPS_OFF;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expecting(sessions: &[u64]) -> Gather {
        let mut gather = Gather::default();
        for &session in sessions {
            gather.expect(session);
        }
        gather
    }

    fn lacks(gather: &Gather, waiting: &[u64]) -> bool {
        gather.lacks_any(waiting.iter().copied())
    }

    #[test]
    fn the_sessions_of_two_steps_are_expected_until_they_end() {
        let mut gather = expecting(&[1, 2, 3]);
        assert!(!lacks(&gather, &[7]));
        gather.stepped([1, 2].into_iter(), 10_000);
        gather.stepped([3].into_iter(), 10_000);
        assert!(lacks(&gather, &[1, 2]));
        assert!(!lacks(&gather, &[3, 1, 2, 9]));
        gather.forget(3);
        assert!(!lacks(&gather, &[1, 2]));
        gather.stepped([1].into_iter(), 10_000);
        gather.stepped([1].into_iter(), 10_000);
        assert!(!lacks(&gather, &[1]));
    }

    #[test]
    fn a_session_of_a_pipeline_is_not_waited_for() {
        let mut gather = expecting(&[1]);
        gather.stepped([1, 2].into_iter(), 10_000);
        assert!(!lacks(&gather, &[1]));
        assert!(lacks(&gather, &[2]));
    }

    #[test]
    fn patience_is_short_and_ends_when_nobody_comes() {
        let mut gather = Gather::default();
        assert_eq!(gather.patience_us(), 0);
        gather.stepped([1].into_iter(), 40_000);
        assert_eq!(gather.patience_us(), 2_000);
        gather.stepped([1].into_iter(), 1_000);
        assert_eq!(gather.patience_us(), 0);
        gather.stepped([1].into_iter(), 4_000_000);
        assert_eq!(gather.patience_us(), PATIENCE_MAX_US);
        gather.waited_in_vain();
        for _ in 0..STEPS_OFF {
            assert_eq!(gather.patience_us(), 0);
            gather.stepped([1].into_iter(), 40_000);
        }
        assert_eq!(gather.patience_us(), 2_000);
    }
}
