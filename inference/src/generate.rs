//! A completion in one process: the reference that the network must equal.
//!
//! The prompt goes through the shards in chunks, then one row for each token.
//! Text, stop strings and streams are the caller's.

use crate::constraint::ConstraintError;
use crate::sampler::{Sampled, Sampler};
use crate::session::{SessionConfig, SessionId};
use crate::shard::{Shard, ShardError, StepInput, StepItem, StepOutput, Wanted};
use talkoot_protocol::model::DType;

/// Rows of one prefill step.
pub const PREFILL_CHUNK_TOKENS: usize = 256;

/// Why a completion cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A shard refuses.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A grammar cannot be followed any further.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// The shards do not follow each other from layer 0 to the last.
    #[error("the shards do not tile the layers: layer {layer} is missing or doubled")]
    Tiling {
        /// The first layer that is wrong.
        layer: u32,
    },
    /// There is nothing to continue.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
}

/// How a completion is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerateOptions {
    /// Session id used on every shard.
    pub session: SessionId,
    /// Tokens at most.
    pub tokens_max: u32,
    /// Ids that end the completion; they are not part of it.
    pub stop_ids: Vec<u32>,
    /// Number format between shards.
    pub hidden_dtype: DType,
    /// Rows of one prefill step.
    pub chunk_tokens: usize,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            session: SessionId(0),
            tokens_max: 128,
            stop_ids: Vec::new(),
            hidden_dtype: DType::F32,
            chunk_tokens: PREFILL_CHUNK_TOKENS,
        }
    }
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// A stop id was picked.
    StopId(u32),
    /// The limit of tokens was reached.
    Length,
    /// The caller had enough.
    Caller,
}

/// A completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Continues `prompt` through `shards`, which tile the layers in order.
/// `on_token` sees each token and says whether to go on.
///
/// # Errors
/// [`GenerateError`]. The sessions are closed in any case.
pub fn generate(
    shards: &mut [Shard],
    prompt: &[u32],
    options: &GenerateOptions,
    sampler: &mut dyn Sampler,
    on_token: &mut dyn FnMut(&Sampled) -> bool,
) -> Result<Generated, GenerateError> {
    check_tiling(shards)?;
    if prompt.is_empty() {
        return Err(GenerateError::EmptyPrompt);
    }
    let config = SessionConfig {
        range: shards[0].range(),
        capacity_tokens: u32::try_from(prompt.len())
            .unwrap_or(u32::MAX)
            .saturating_add(options.tokens_max),
        hidden_dtype: options.hidden_dtype,
    };
    open_all(shards, options.session, config)?;
    let result = run(shards, prompt, options, sampler, on_token);
    for shard in shards {
        shard.close(options.session);
    }
    result
}

fn check_tiling(shards: &[Shard]) -> Result<(), GenerateError> {
    let mut layer = 0;
    for shard in shards {
        if shard.range().start() != layer {
            return Err(GenerateError::Tiling { layer });
        }
        layer = shard.range().end();
    }
    match shards.last() {
        Some(last) if last.range().is_last(last.config().shape.layers) => Ok(()),
        _ => Err(GenerateError::Tiling { layer }),
    }
}

/// Opens the session on every shard, or on none.
fn open_all(
    shards: &mut [Shard],
    session: SessionId,
    config: SessionConfig,
) -> Result<(), ShardError> {
    for index in 0..shards.len() {
        let range = shards[index].range();
        if let Err(error) = shards[index].open(session, SessionConfig { range, ..config }) {
            for opened in &mut shards[..index] {
                opened.close(session);
            }
            return Err(error);
        }
    }
    Ok(())
}

fn run(
    shards: &mut [Shard],
    prompt: &[u32],
    options: &GenerateOptions,
    sampler: &mut dyn Sampler,
    on_token: &mut dyn FnMut(&Sampled) -> bool,
) -> Result<Generated, GenerateError> {
    let mut position = 0;
    let mut logits = Vec::new();
    for chunk in prompt.chunks(options.chunk_tokens.max(1)) {
        logits = forward(shards, options.session, position, chunk)?;
        position += u32::try_from(chunk.len()).unwrap_or(u32::MAX);
    }
    let mut ids = Vec::new();
    while (ids.len() as u64) < u64::from(options.tokens_max) {
        let sampled = sampler.sample(position - 1, &logits)?;
        if options.stop_ids.contains(&sampled.id) {
            return Ok(Generated {
                ids,
                finish: Finish::StopId(sampled.id),
            });
        }
        ids.push(sampled.id);
        if !on_token(&sampled) {
            return Ok(Generated {
                ids,
                finish: Finish::Caller,
            });
        }
        if (ids.len() as u64) < u64::from(options.tokens_max) {
            logits = forward(shards, options.session, position, &[sampled.id])?;
            position += 1;
        }
    }
    Ok(Generated {
        ids,
        finish: Finish::Length,
    })
}

/// Some rows through all shards; the logits of the last.
fn forward(
    shards: &mut [Shard],
    session: SessionId,
    position: u32,
    ids: &[u32],
) -> Result<Vec<f32>, ShardError> {
    let mut hidden = Vec::new();
    let count = shards.len();
    for (index, shard) in shards.iter_mut().enumerate() {
        let input = if index == 0 {
            StepInput::Tokens(ids)
        } else {
            StepInput::Hidden(&hidden)
        };
        let wanted = if index + 1 == count {
            Wanted::LastLogits
        } else {
            Wanted::Hidden
        };
        match shard
            .step(&[StepItem {
                session,
                position,
                input,
                wanted,
            }])?
            .pop()
        {
            Some(StepOutput::Logits(logits)) => return Ok(logits),
            Some(StepOutput::Hidden(rows)) => hidden = rows,
            Some(StepOutput::Nothing) | None => {}
        }
    }
    Ok(Vec::new())
}
