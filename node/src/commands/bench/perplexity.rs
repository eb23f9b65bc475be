//! How well a model in some format predicts a text, in a way that other programs
//! can repeat: every line that is not empty is a document with a cache of its
//! own, encoded with nothing added (the text carries its special tokens), cut at
//! the context; every token but the first is scored.

use super::{load, plan::Plan};
use crate::cli::BenchArgs;
use crate::commands::output;
use crate::exit::{Exit, Failure};
use crate::units;
use serde::Serialize;
use std::path::Path;
use talkoot_inference::{
    Checkpoint, SessionConfig, SessionId, Shard, ShardError, StepInput, StepItem, StepOutput,
    Wanted, session_bytes,
};
use talkoot_protocol::DType;

/// Rows whose logits are in memory at the same time.
const CHUNK_TOKENS: usize = 128;
const SESSION: SessionId = SessionId(0);

#[derive(Debug, Serialize)]
struct Predicted {
    perplexity: f64,
    /// How many were scored.
    tokens: u64,
}

/// Scores `file` and prints what it comes to.
pub(super) fn run(args: &BenchArgs, checkpoint: &Checkpoint, file: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::BadConfig, format!("{}: {error}", file.display())))?;
    let plan = Plan::new(
        &BenchArgs {
            prompt: 1,
            decode: 1,
            ..args.clone()
        },
        checkpoint.config(),
    )?;
    let documents = documents(checkpoint, &text)?;
    let longest = documents.iter().map(Vec::len).max().unwrap_or(0);
    if longest == 0 {
        let message = format!("{}: no line of two tokens or more", file.display());
        return Err(Failure::new(Exit::BadConfig, message));
    }
    let session = SessionConfig {
        range: plan.range,
        capacity_tokens: u32::try_from(longest).unwrap_or(u32::MAX),
        hidden_dtype: DType::F32,
    };
    let cache_bytes = session_bytes(&checkpoint.config().shape, &session);
    let mut shard = load::load(checkpoint, plan.range, cache_bytes, args)?.shard;
    let mut nats = 0.0;
    let mut tokens = 0;
    for ids in &documents {
        nats += score(&mut shard, session, ids)
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        tokens += ids.len() as u64 - 1;
    }
    let predicted = Predicted {
        perplexity: (nats / tokens as f64).exp(),
        tokens,
    };
    if args.json {
        return output::print_json(&predicted);
    }
    output::print(&format!(
        "perplexity {:.5} over {} tokens of {} documents\n",
        predicted.perplexity,
        units::thousands(tokens.into()),
        units::thousands(documents.len() as u128)
    ))
}

/// The ids of every document that has something to predict.
fn documents(checkpoint: &Checkpoint, text: &str) -> Result<Vec<Vec<u32>>, Failure> {
    let wrong = |error: String| Failure::new(Exit::BadConfig, error);
    let asker = checkpoint
        .asker()
        .map_err(|error| wrong(error.to_string()))?;
    let context = checkpoint.config().shape.context as usize;
    let mut documents = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut ids = asker
            .tokenizer()
            .encode(line, false)
            .map_err(|error| wrong(error.to_string()))?;
        ids.truncate(context);
        if ids.len() > 1 {
            documents.push(ids);
        }
    }
    Ok(documents)
}

/// What predicting `ids[1..]` costs, in nats.
fn score(shard: &mut Shard, session: SessionConfig, ids: &[u32]) -> Result<f64, ShardError> {
    shard.open(SESSION, session)?;
    let mut nats = Ok(0.0);
    // The last id predicts nothing.
    let asked = &ids[..ids.len() - 1];
    for (index, chunk) in asked.chunks(CHUNK_TOKENS).enumerate() {
        let first = index * CHUNK_TOKENS;
        let step = shard.step(&[StepItem {
            session: SESSION,
            position: u32::try_from(first).unwrap_or(u32::MAX),
            input: StepInput::Tokens(chunk),
            wanted: Wanted::AllLogits,
        }]);
        nats = nats.and_then(|sum| Ok(sum + chunk_nats(&step?, &ids[first + 1..])));
    }
    shard.close(SESSION);
    nats
}

fn chunk_nats(outputs: &[StepOutput], following: &[u32]) -> f64 {
    let Some(StepOutput::Logits(logits)) = outputs.first() else {
        return f64::NAN;
    };
    let rows = following.len().min(CHUNK_TOKENS);
    logits
        .chunks_exact(logits.len() / rows.max(1))
        .zip(following)
        .map(|(row, &id)| token_nats(row, id))
        .sum()
}

/// `ln Σ exp(logits) − logits[id]`.
fn token_nats(logits: &[f32], id: u32) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let most = f64::from(most);
    let sum: f64 = logits
        .iter()
        .map(|logit| (f64::from(*logit) - most).exp())
        .sum();
    let found = logits.get(id as usize).copied().unwrap_or(f32::NAN);
    most + sum.ln() - f64::from(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkoot_inference::ShardOptions;

    #[test]
    fn nats_are_those_of_the_distribution() {
        let logits = [0.0, 2.0_f32.ln(), f32::NEG_INFINITY];
        assert!((token_nats(&logits, 0) - 3.0_f64.ln()).abs() < 1e-6);
        assert!((token_nats(&logits, 1) - 1.5_f64.ln()).abs() < 1e-6);
        assert_eq!(token_nats(&logits, 2), f64::INFINITY);
        assert!(token_nats(&[1e30, 1e30], 0).is_finite());
    }

    #[test]
    fn documents_are_lines_with_nothing_added() {
        let checkpoint = crate::models::demo_checkpoint().unwrap();
        let tokenizer = checkpoint.asker().unwrap().tokenizer().clone();
        let text = "<|begin|>Once, a fox.\n\n  \n<|begin|>\n<|begin|>The end.";
        let found = documents(&checkpoint, text).unwrap();
        let expected = ["<|begin|>Once, a fox.", "<|begin|>The end."]
            .map(|line| tokenizer.encode(line, false).unwrap());
        assert_eq!(found, expected);
        let long = "a fox ".repeat(3000);
        assert_eq!(documents(&checkpoint, &long).unwrap()[0].len(), 1024);
    }

    #[test]
    fn chunks_change_nothing_and_every_token_but_the_first_counts() {
        let checkpoint = crate::models::demo_checkpoint().unwrap();
        let range = checkpoint.config().layers();
        let mut shard = Shard::load(&checkpoint, range, &ShardOptions::default()).unwrap();
        let ids: Vec<u32> = (0..u32::try_from(CHUNK_TOKENS).unwrap() * 2 + 3)
            .map(|index| (index * 7919 + 13) % 2048)
            .collect();
        let session = SessionConfig {
            range,
            capacity_tokens: 1024,
            hidden_dtype: DType::F32,
        };
        let chunked = score(&mut shard, session, &ids).unwrap();
        shard.open(SESSION, session).unwrap();
        let whole = shard.step(&[StepItem {
            session: SESSION,
            position: 0,
            input: StepInput::Tokens(&ids),
            wanted: Wanted::AllLogits,
        }]);
        let Some(StepOutput::Logits(logits)) = whole.unwrap().pop() else {
            panic!("logits were asked for");
        };
        let expected: f64 = logits
            .chunks_exact(2048)
            .zip(&ids[1..])
            .map(|(row, &id)| token_nats(row, id))
            .sum();
        assert!((chunked - expected).abs() < 1e-9, "{chunked} {expected}");
    }
}
