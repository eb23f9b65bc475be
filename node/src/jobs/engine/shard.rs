//! The engine over `talkoot_inference::Shard`, with a sampler for each session
//! that ends at the last layer.

use super::{Engine, EngineError, Picking, SessionSpec};
use crate::core::stage::{Computed, Work, WorkInput};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use talkoot_inference::{
    Sampler, SessionConfig, SessionId, Shard, ShardError, StepInput, StepItem, StepOutput,
    TokenSampler, Wanted, score,
};
use talkoot_protocol::frame::{TokenLogprob, TokenScore};

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
    pickers: BTreeMap<u64, Picker>,
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
            pickers: BTreeMap::new(),
            session_bytes,
        }
    }

    fn count(&self) {
        self.session_bytes
            .store(self.shard.session_bytes(), Ordering::Relaxed);
    }

    fn finish(
        &mut self,
        session: u64,
        work: &Work,
        output: StepOutput,
    ) -> Result<Computed, EngineError> {
        let logits = match output {
            StepOutput::Nothing => return Ok(Computed::Read { scores: Vec::new() }),
            StepOutput::Hidden(bytes) => return Ok(Computed::Hidden(bytes)),
            StepOutput::Logits(logits) => logits,
        };
        let Some(picker) = self.pickers.get_mut(&session) else {
            return Ok(Computed::Read { scores: Vec::new() });
        };
        let vocabulary = self.shard.config().shape.vocabulary as usize;
        let scores = picker.scores(work, &logits, vocabulary);
        if !work.is_sampled {
            return Ok(Computed::Read { scores });
        }
        let row = logits.chunks_exact(vocabulary).next_back();
        let last_row = work.position.saturating_add(work.rows).saturating_sub(1);
        let sampled = picker
            .sampler
            .sample(last_row, row.unwrap_or_default())
            .map_err(|error| EngineError::Failed(error.to_string()))?;
        Ok(Computed::Token {
            scores,
            token: sampled.id,
            logprob: sampled.logprob,
            top: on_the_wire(sampled.top),
        })
    }

    fn item<'a>(&self, session: u64, work: &'a Work) -> StepItem<'a> {
        let picker = self.pickers.get(&session);
        let is_scored = picker.is_some_and(|picker| picker.has_score(work));
        StepItem {
            session: SessionId(session),
            position: work.position,
            input: match &work.input {
                WorkInput::Tokens(ids) => StepInput::Tokens(ids),
                WorkInput::Hidden(bytes) => StepInput::Hidden(bytes),
            },
            wanted: match (picker.is_some(), work.is_sampled) {
                (false, _) => Wanted::Hidden,
                (true, _) if is_scored => Wanted::AllLogits,
                (true, false) => Wanted::Nothing,
                (true, true) => Wanted::LastLogits,
            },
        }
    }
}

/// What picks tokens for one session, and scores those of its prompt.
#[derive(Debug)]
struct Picker {
    sampler: TokenSampler,
    /// The prompt, where its scores are wanted.
    scored_ids: Vec<u32>,
    alternatives: usize,
}

impl Picker {
    fn new(picking: Picking) -> Self {
        let Picking {
            params,
            prompt_ids,
            constraint,
        } = picking;
        let alternatives = usize::from(params.top_logprobs);
        let has_scores = params.prompt_logprobs;
        Self {
            sampler: TokenSampler::new(params, &prompt_ids).constrained(constraint),
            scored_ids: if has_scores { prompt_ids } else { Vec::new() },
            alternatives,
        }
    }

    /// The tokens of the prompt that follow the rows, as far as there are any.
    fn followers(&self, work: &Work) -> &[u32] {
        let from = work.position.saturating_add(1) as usize;
        let to = from.saturating_add(work.rows as usize);
        let to = to.min(self.scored_ids.len());
        self.scored_ids.get(from..to).unwrap_or_default()
    }

    fn has_score(&self, work: &Work) -> bool {
        !self.followers(work).is_empty()
    }

    /// A score for each token of the prompt that follows one of the rows.
    fn scores(&self, work: &Work, logits: &[f32], vocabulary: usize) -> Vec<TokenScore> {
        let rows = logits.chunks_exact(vocabulary);
        self.followers(work)
            .iter()
            .zip(rows)
            .map(|(&id, row)| {
                let scored = score(row, id, self.alternatives);
                TokenScore {
                    logprob: scored.logprob,
                    top: on_the_wire(scored.top),
                }
            })
            .collect()
    }
}

fn on_the_wire(top: Vec<talkoot_inference::TokenLogprob>) -> Vec<TokenLogprob> {
    top.into_iter()
        .map(|one| TokenLogprob {
            token: one.id,
            logprob: one.logprob,
        })
        .collect()
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
        if let Some(picking) = spec.picking {
            self.pickers.insert(session, Picker::new(picking));
        }
        Ok(())
    }

    fn close(&mut self, session: u64) {
        self.shard.close(SessionId(session));
        self.count();
        self.pickers.remove(&session);
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
                .map(|((session, work), output)| self.finish(*session, work, output))
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
