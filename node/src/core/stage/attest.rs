//! The last stage's attestations: a numbered chain of signed frontiers.

use crate::core::job::JobShape;
use crate::core::lockstep::{AttestRule, Progress};
use talkoot_protocol::frame::StageTime;
use talkoot_protocol::{
    ArithmeticId, Attestation, Hash, Keypair, NetworkId, Transcript, Verified, VerifyError,
};

/// What the last stage keeps to attest the frontier.
#[derive(Debug)]
pub(super) struct Attestor {
    rule: AttestRule,
    transcript: Transcript,
    prompt_ids: Vec<u32>,
    done: Progress,
    number: u32,
    previous: Hash,
    stage_compute_us: Vec<u64>,
}

impl Attestor {
    pub(super) fn new(shape: &JobShape, prompt_ids: Vec<u32>) -> Self {
        Self {
            rule: AttestRule::new(shape.policy.attest_tokens, shape.prompt_tokens),
            transcript: Transcript::new(shape.job),
            prompt_ids,
            done: Progress::default(),
            number: 0,
            previous: Hash::ZERO,
            stage_compute_us: vec![0; shape.count()],
        }
    }

    /// Adds the times that a frame's rows took in all stages.
    pub(super) fn add_times(&mut self, times: &[StageTime]) {
        for (sum, time) in self.stage_compute_us.iter_mut().zip(times) {
            *sum = sum.saturating_add(u64::from(time.compute_us));
        }
    }

    /// Prompt rows up to `end` are computed.
    pub(super) fn prompt_done(&mut self, end: u32) {
        let from = self.done.prompt as usize;
        for &id in self.prompt_ids.get(from..end as usize).unwrap_or_default() {
            self.transcript.push(id);
        }
        self.done.prompt = self.done.prompt.max(end);
    }

    /// A token was picked.
    pub(super) fn token(&mut self, token: u32) {
        self.transcript.push(token);
        self.done.completion = self.done.completion.saturating_add(1);
    }

    /// What is done so far.
    pub(super) const fn done(&self) -> Progress {
        self.done
    }

    /// Signs the frontier if it is due.
    pub(super) fn attest_if_due(
        &mut self,
        shape: &JobShape,
        signer: (&Keypair, NetworkId, ArithmeticId),
        is_finished: bool,
    ) -> Result<Option<Verified<Attestation>>, VerifyError> {
        if !self.rule.is_due(self.done, is_finished) {
            return Ok(None);
        }
        let (key, network, arithmetic) = signer;
        let attestation = Attestation {
            stage: key.wallet(),
            job: shape.job,
            number: self.number,
            previous: self.previous,
            prompt_done: self.done.prompt,
            completion_done: self.done.completion,
            transcript: self.transcript.hash(),
            stage_compute_us: self.stage_compute_us.clone(),
            arithmetic,
        };
        let signed = Verified::sign(attestation, key, network)?;
        self.rule.attested(self.done);
        self.number = self.number.saturating_add(1);
        self.previous = signed.id();
        Ok(Some(signed))
    }
}
