//! Lockstep: how far work may run ahead of what the submitter acknowledged.
//!
//! Law: a stage never works on more than `window_tokens` completion tokens, or
//! on more than two chunks of prompt tokens, that are not acknowledged. So
//! nobody loses more than that to a silent partner. This file counts; it does
//! not sign, send or wait.

use talkoot_protocol::Policy;

/// How far a job has come: prompt tokens and completion tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Prompt tokens done.
    pub prompt: u32,
    /// Completion tokens done.
    pub completion: u32,
}

impl Progress {
    /// Both numbers together; it only grows within a job.
    #[must_use]
    pub fn total(self) -> u64 {
        u64::from(self.prompt).saturating_add(u64::from(self.completion))
    }

    /// Whether neither number is above the other's.
    #[must_use]
    pub const fn within(self, other: Self) -> bool {
        self.prompt <= other.prompt && self.completion <= other.completion
    }

    /// The smaller of both numbers each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            prompt: self.prompt.min(other.prompt),
            completion: self.completion.min(other.completion),
        }
    }
}

/// What a stage works towards when it has taken the rows before `position`:
/// the row of the last prompt token gives the first completion token.
#[must_use]
pub fn progress_at(rows_done: u32, prompt_tokens: u32) -> Progress {
    match rows_done.checked_sub(prompt_tokens) {
        None => Progress {
            prompt: rows_done,
            completion: 0,
        },
        Some(fed) => Progress {
            prompt: prompt_tokens,
            completion: fed.saturating_add(1),
        },
    }
}

/// The window of one job, seen from one stage or from the submitter.
#[derive(Debug, Clone, Copy)]
pub struct Lockstep {
    window_tokens: u32,
    prompt_window_tokens: u32,
    acked: Progress,
}

impl Lockstep {
    /// A window in which nothing is acknowledged yet.
    #[must_use]
    pub const fn new(window_tokens: u32, chunk_tokens: u32) -> Self {
        Self {
            window_tokens,
            prompt_window_tokens: chunk_tokens.saturating_mul(2),
            acked: Progress {
                prompt: 0,
                completion: 0,
            },
        }
    }

    /// The window that a network's policy gives.
    #[must_use]
    pub const fn from_policy(policy: &Policy) -> Self {
        Self::new(policy.window_tokens, policy.chunk_tokens)
    }

    /// Whether work that leads to `after` stays within the window.
    #[must_use]
    pub const fn allows(&self, after: Progress) -> bool {
        after.prompt.saturating_sub(self.acked.prompt) <= self.prompt_window_tokens
            && after.completion.saturating_sub(self.acked.completion) <= self.window_tokens
    }

    /// Notes an acknowledgement; numbers never go down.
    pub fn ack(&mut self, acked: Progress) {
        self.acked.prompt = self.acked.prompt.max(acked.prompt);
        self.acked.completion = self.acked.completion.max(acked.completion);
    }

    /// The highest numbers acknowledged.
    #[must_use]
    pub const fn acked(&self) -> Progress {
        self.acked
    }
}

/// When the last stage attests: every `attest_tokens`, at the end of the prompt
/// and at the finish.
#[derive(Debug, Clone, Copy)]
pub struct AttestRule {
    attest_tokens: u32,
    prompt_tokens: u32,
    attested: Option<Progress>,
}

impl AttestRule {
    /// The rule of a job of which nothing is attested yet.
    #[must_use]
    pub const fn new(attest_tokens: u32, prompt_tokens: u32) -> Self {
        Self {
            attest_tokens,
            prompt_tokens,
            attested: None,
        }
    }

    /// Whether `done` should be attested now. Nothing is attested twice, but
    /// the very beginning is: that attestation lets a job be settled that ends
    /// before its first chunk.
    #[must_use]
    pub fn is_due(&self, done: Progress, is_finished: bool) -> bool {
        let Some(attested) = self.attested else {
            return true;
        };
        if done == attested {
            return false;
        }
        let prompt_ended =
            done.prompt == self.prompt_tokens && attested.prompt < self.prompt_tokens;
        is_finished
            || prompt_ended
            || done.total().saturating_sub(attested.total()) >= u64::from(self.attest_tokens)
    }

    /// Notes that `done` was attested.
    pub const fn attested(&mut self, done: Progress) {
        self.attested = Some(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_prompt_row_gives_the_first_token() {
        let at = |rows| progress_at(rows, 10);
        assert_eq!(at(9).completion, 0);
        assert_eq!(
            at(10),
            Progress {
                prompt: 10,
                completion: 1
            }
        );
        assert_eq!(at(12).completion, 3);
    }

    #[test]
    fn the_window_ends_exactly_at_its_limits() {
        let mut lockstep = Lockstep::new(32, 256);
        let tokens = |completion| Progress {
            prompt: 512,
            completion,
        };
        assert!(lockstep.allows(tokens(32)));
        assert!(!lockstep.allows(tokens(33)));
        assert!(!lockstep.allows(Progress {
            prompt: 513,
            completion: 0
        }));
        lockstep.ack(tokens(8));
        assert!(lockstep.allows(tokens(40)));
        lockstep.ack(Progress::default());
        assert_eq!(lockstep.acked(), tokens(8), "acks never go down");
    }

    #[test]
    fn attestations_come_every_eight_at_the_prompt_end_and_at_the_finish() {
        let mut rule = AttestRule::new(8, 300);
        let mut attested = Vec::new();
        let steps = [(0, 0), (256, 0), (300, 1)]
            .into_iter()
            .chain((2..=20).map(|completion| (300, completion)));
        for (prompt, completion) in steps {
            let done = Progress { prompt, completion };
            if rule.is_due(done, completion == 20) {
                rule.attested(done);
                attested.push((prompt, completion));
            }
            assert!(!rule.is_due(done, false) || rule.attested != Some(done));
        }
        assert_eq!(
            attested,
            [(0, 0), (256, 0), (300, 1), (300, 9), (300, 17), (300, 20)]
        );
    }
}
