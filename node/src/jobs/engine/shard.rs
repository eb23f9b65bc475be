//! The engine over `talkoot_inference::Shard`, with a sampler for each session
//! that ends at the last layer.

use super::{Engine, EngineError, SessionSpec};
use crate::core::stage::{Computed, Work, WorkInput};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use talkoot_inference::{
    Sampler, SessionConfig, SessionId, Shard, ShardError, StepInput, StepItem, StepOutput,
    TokenSampler, Wanted,
};
use talkoot_protocol::frame::TokenLogprob;

impl From<ShardError> for EngineError {
    fn from(error: ShardError) -> Self {
        match error {
            ShardError::Memory { .. } => Self::NoMemory(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The engine over a shard.
#[derive(Debug)]
pub struct ShardEngine {
    shard: Shard,
    samplers: BTreeMap<u64, TokenSampler>,
    session_bytes: Arc<AtomicU64>,
}

impl ShardEngine {
    /// Wraps a loaded shard.
    #[must_use]
    pub fn new(shard: Shard) -> Self {
        Self::counted(shard, Arc::default())
    }

    /// Wraps a loaded shard and keeps the bytes of its open sessions in
    /// `session_bytes`, for others to read.
    #[must_use]
    pub const fn counted(shard: Shard, session_bytes: Arc<AtomicU64>) -> Self {
        Self {
            shard,
            samplers: BTreeMap::new(),
            session_bytes,
        }
    }

    fn count(&self) {
        self.session_bytes
            .store(self.shard.session_bytes(), Ordering::Relaxed);
    }

    fn finish(&mut self, session: u64, work: &Work, output: StepOutput) -> Computed {
        match output {
            StepOutput::Nothing => Computed::Nothing,
            StepOutput::Hidden(bytes) => Computed::Hidden(bytes),
            StepOutput::Logits(logits) => {
                let Some(sampler) = self.samplers.get_mut(&session) else {
                    return Computed::Nothing;
                };
                let last_row = work.position.saturating_add(work.rows).saturating_sub(1);
                let sampled = sampler.sample(last_row, &logits);
                let top = sampled.top.into_iter().map(|one| TokenLogprob {
                    token: one.id,
                    logprob: one.logprob,
                });
                Computed::Token {
                    token: sampled.id,
                    logprob: sampled.logprob,
                    top: top.collect(),
                }
            }
        }
    }

    fn item<'a>(&self, session: u64, work: &'a Work) -> StepItem<'a> {
        let is_last = self.samplers.contains_key(&session);
        StepItem {
            session: SessionId(session),
            position: work.position,
            input: match &work.input {
                WorkInput::Tokens(ids) => StepInput::Tokens(ids),
                WorkInput::Hidden(bytes) => StepInput::Hidden(bytes),
            },
            wanted: match (is_last, work.is_sampled) {
                (false, _) => Wanted::Hidden,
                (true, false) => Wanted::Nothing,
                (true, true) => Wanted::LastLogits,
            },
        }
    }
}

impl Engine for ShardEngine {
    fn open(&mut self, session: u64, spec: SessionSpec) -> Result<(), EngineError> {
        let config = SessionConfig {
            range: spec.range,
            capacity_tokens: spec.tokens_max,
            hidden_dtype: spec.hidden_dtype,
        };
        self.shard.open(SessionId(session), config)?;
        self.count();
        if let Some((params, prompt_ids)) = spec.sampling {
            self.samplers
                .insert(session, TokenSampler::new(params, &prompt_ids));
        }
        Ok(())
    }

    fn close(&mut self, session: u64) {
        self.shard.close(SessionId(session));
        self.count();
        self.samplers.remove(&session);
    }

    fn step(&mut self, batch: &[(u64, Work)]) -> Vec<Result<Computed, EngineError>> {
        let items: Vec<StepItem<'_>> = batch
            .iter()
            .map(|(session, work)| self.item(*session, work))
            .collect();
        let stepped = self.shard.step(&items);
        drop(items);
        match stepped {
            Ok(outputs) => batch
                .iter()
                .zip(outputs)
                .map(|((session, work), output)| Ok(self.finish(*session, work, output)))
                .collect(),
            // A refused step has moved no session, so each can be tried alone:
            // one bad item must not fail the others.
            Err(error) if batch.len() == 1 => vec![Err(error.into())],
            Err(_) => batch
                .iter()
                .flat_map(|one| self.step(std::slice::from_ref(one)))
                .collect(),
        }
    }
}
