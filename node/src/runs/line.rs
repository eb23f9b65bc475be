//! One job as a line of JSON, and back. Which lines there are, and where, is the
//! file's.

use crate::core::hop_times::HopTime;
use crate::core::runs::{Phase, Role, Run, RunStart, TokenSample};
use serde::{Deserialize, Serialize};
use talkoot_protocol::{Hash, JobId, LayerRange, Wallet};

const SCHEMA: u32 = 1;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedRole {
    Asker,
    Worker,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedPhase {
    Running,
    Done,
    Cancelled,
    Failed(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedSample {
    at_us: u64,
    interval_us: u64,
    /// Wait, compute and wire of each hop, µs.
    hops: Vec<(u32, u32, u32)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedRun {
    schema: u32,
    job: String,
    request_id: String,
    role: SavedRole,
    model: String,
    model_name: String,
    /// Wallet, first layer, layer after the last.
    stages: Vec<(String, u32, u32)>,
    prompt_tokens: u32,
    completion_tokens_max: u32,
    price_ugft_per_token: u64,
    started_ms: u64,
    phase: SavedPhase,
    ended_ms: Option<u64>,
    prompt_done: u32,
    completion_tokens: u32,
    acked_tokens: u32,
    /// Since it began.
    first_us: Option<u64>,
    /// Since it began.
    last_us: u64,
    samples: Vec<SavedSample>,
}

/// Why a line is no job.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// Not what this program writes.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Written by another version.
    #[error("schema {0} is of another version")]
    Schema(u32),
    /// A field means nothing.
    #[error("{0} is not valid")]
    Field(&'static str),
}

/// A job as one line, with its end.
pub(super) fn write(run: &Run) -> Result<String, LineError> {
    let start = &run.start;
    let since_start = |us: u64| us.saturating_sub(start.started_us);
    let saved = SavedRun {
        schema: SCHEMA,
        job: start.job.to_string(),
        request_id: start.request_id.clone(),
        role: match start.role {
            Role::Asker => SavedRole::Asker,
            Role::Worker => SavedRole::Worker,
        },
        model: start.model.clone(),
        model_name: start.model_name.clone(),
        stages: start
            .stages
            .iter()
            .map(|(wallet, range)| (wallet.to_string(), range.start(), range.end()))
            .collect(),
        prompt_tokens: start.prompt_tokens,
        completion_tokens_max: start.completion_tokens_max,
        price_ugft_per_token: start.price_ugft_per_token,
        started_ms: start.started_ms,
        phase: match &run.phase {
            Phase::Prompt | Phase::Answering => SavedPhase::Running,
            Phase::Done => SavedPhase::Done,
            Phase::Cancelled => SavedPhase::Cancelled,
            Phase::Failed(reason) => SavedPhase::Failed(reason.clone()),
        },
        ended_ms: run.ended_ms,
        prompt_done: run.prompt_done,
        completion_tokens: run.completion_tokens,
        acked_tokens: run.acked_tokens,
        first_us: run.first_us.map(since_start),
        last_us: since_start(run.last_us),
        samples: run.samples.iter().map(saved_sample).collect(),
    };
    let mut line = serde_json::to_string(&saved)?;
    line.push('\n');
    Ok(line)
}

/// The job of a line. One that ran when it was written is one that its process
/// never ended.
pub(super) fn read(line: &str) -> Result<Run, LineError> {
    let saved: SavedRun = serde_json::from_str(line)?;
    if saved.schema != SCHEMA {
        return Err(LineError::Schema(saved.schema));
    }
    let stage = |(wallet, from, to): (String, u32, u32)| {
        let wallet = wallet.parse::<Wallet>();
        let wallet = wallet.map_err(|_| LineError::Field("a wallet"))?;
        let range = LayerRange::new(from, to).map_err(|_| LineError::Field("a range"))?;
        Ok((wallet, range))
    };
    let stages: Result<Vec<(Wallet, LayerRange)>, LineError> =
        saved.stages.into_iter().map(stage).collect();
    let job = saved.job.parse::<Hash>();
    Ok(Run {
        start: RunStart {
            job: job.map(JobId).map_err(|_| LineError::Field("the job"))?,
            request_id: saved.request_id,
            role: match saved.role {
                SavedRole::Asker => Role::Asker,
                SavedRole::Worker => Role::Worker,
            },
            model: saved.model,
            model_name: saved.model_name,
            stages: stages?,
            prompt_tokens: saved.prompt_tokens,
            completion_tokens_max: saved.completion_tokens_max,
            price_ugft_per_token: saved.price_ugft_per_token,
            started_ms: saved.started_ms,
            started_us: 0,
        },
        phase: match saved.phase {
            SavedPhase::Running => Phase::Failed("the node ended before the job".to_owned()),
            SavedPhase::Done => Phase::Done,
            SavedPhase::Cancelled => Phase::Cancelled,
            SavedPhase::Failed(reason) => Phase::Failed(reason),
        },
        // Whatever ran then runs no more; when it ended nobody knows.
        ended_ms: saved.ended_ms.or(Some(saved.started_ms)),
        prompt_done: saved.prompt_done,
        completion_tokens: saved.completion_tokens,
        acked_tokens: saved.acked_tokens,
        samples: saved.samples.into_iter().map(sample).collect(),
        first_us: saved.first_us,
        last_us: saved.last_us,
    })
}

fn saved_sample(sample: &TokenSample) -> SavedSample {
    let hops = sample.hops.iter();
    SavedSample {
        at_us: sample.at_us,
        interval_us: sample.interval_us,
        hops: hops
            .map(|hop| (hop.wait_us, hop.compute_us, hop.wire_us))
            .collect(),
    }
}

fn sample(saved: SavedSample) -> TokenSample {
    let hop = |(wait_us, compute_us, wire_us)| HopTime {
        wait_us,
        compute_us,
        wire_us,
    };
    TokenSample {
        at_us: saved.at_us,
        interval_us: saved.interval_us,
        hops: saved.hops.into_iter().map(hop).collect(),
    }
}
