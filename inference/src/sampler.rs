//! Logits -> a token, reproducibly.
//!
//! The random number of a position is a function of (seed, position), and all
//! arithmetic is plain IEEE or our own, so a resumed job draws the same tokens
//! on any machine. Order: bias, repetition penalty, frequency and presence
//! penalty, what a grammar allows, then (for a temperature above 0)
//! temperature, top-k, top-p, min-p and the draw. Log-probabilities are those of
//! the model itself: of the raw logits, before bias, penalties, grammar and
//! temperature.
//!
//! Logits may come from a broken or hostile stage: not-a-number counts as the
//! least likely, and nothing here panics.

use crate::constraint::{Allowed, Constraint, ConstraintError};
use crate::kernels::scalar::exp;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::control::SamplingParams;

/// A token and its log-probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLogprob {
    /// The id.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

/// What a sampler picked.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The id.
    pub id: u32,
    /// Its log-probability, if asked for.
    pub logprob: Option<f32>,
    /// The most likely tokens, most likely first, as many as asked for.
    pub top: Vec<TokenLogprob>,
}

/// Picks tokens for one completion.
pub trait Sampler {
    /// Picks the token that follows the row at `position`, and remembers it.
    ///
    /// # Errors
    /// [`ConstraintError`] when a grammar cannot be followed any further.
    fn sample(&mut self, position: u32, logits: &[f32]) -> Result<Sampled, ConstraintError>;

    /// Remembers a token of the completion that was picked elsewhere.
    ///
    /// # Errors
    /// [`ConstraintError`] when it breaks the grammar.
    fn observe(&mut self, id: u32) -> Result<(), ConstraintError>;
}

/// The sampler of [`SamplingParams`].
#[derive(Debug, Clone)]
pub struct TokenSampler {
    params: SamplingParams,
    seen: BTreeSet<u32>,
    completion_counts: BTreeMap<u32, u32>,
    scores: Vec<f32>,
    constraint: Option<Constraint>,
}

impl TokenSampler {
    /// For a completion of `prompt_ids`. The parameters passed their own check.
    #[must_use]
    pub fn new(params: SamplingParams, prompt_ids: &[u32]) -> Self {
        // Without a penalty the prompt is never looked at again.
        let seen = if params.repetition_penalty == 1.0 {
            BTreeSet::new()
        } else {
            prompt_ids.iter().copied().collect()
        };
        Self {
            params,
            seen,
            completion_counts: BTreeMap::new(),
            scores: Vec::new(),
            constraint: None,
        }
    }

    /// The same, for a completion that follows a grammar.
    #[must_use]
    pub fn constrained(self, constraint: Option<Constraint>) -> Self {
        Self { constraint, ..self }
    }

    /// Bias and penalties, in place.
    fn adjust(&mut self) {
        for &(id, bias) in &self.params.logit_bias {
            if let Some(score) = self.scores.get_mut(id as usize) {
                *score += bias;
            }
        }
        let penalty = self.params.repetition_penalty;
        if penalty != 1.0 {
            for &id in &self.seen {
                if let Some(score) = self.scores.get_mut(id as usize) {
                    *score = if *score > 0.0 {
                        *score / penalty
                    } else {
                        *score * penalty
                    };
                }
            }
        }
        let (frequency, presence) = (self.params.frequency_penalty, self.params.presence_penalty);
        if frequency != 0.0 || presence != 0.0 {
            for (&id, &count) in &self.completion_counts {
                if let Some(score) = self.scores.get_mut(id as usize) {
                    *score -= frequency * count as f32 + presence;
                }
            }
        }
    }

    /// Draws from the adjusted scores.
    fn draw(&self, position: u32) -> u32 {
        let most = largest(&self.scores);
        let mut candidates: Vec<Candidate> = self
            .scores
            .iter()
            .zip(0_u32..)
            .filter(|(score, _)| **score > f32::NEG_INFINITY)
            .map(|(score, id)| Candidate {
                id,
                weight: exp((score - most) / self.params.temperature),
            })
            .collect();
        self.keep_top_k(&mut candidates);
        self.keep_top_p(&mut candidates);
        let heaviest = candidates
            .iter()
            .map(|candidate| candidate.weight)
            .fold(0.0, f32::max);
        let least = self.params.min_p * heaviest;
        candidates.retain(|candidate| candidate.weight >= least);
        let total: f64 = candidates
            .iter()
            .map(|candidate| f64::from(candidate.weight))
            .sum();
        let target = unit_random(self.params.seed, position) * total;
        let mut sum = 0.0;
        for candidate in &candidates {
            sum += f64::from(candidate.weight);
            if sum > target {
                return candidate.id;
            }
        }
        candidates.last().map_or(0, |candidate| candidate.id)
    }

    fn keep_top_k(&self, candidates: &mut Vec<Candidate>) {
        let k = self.params.top_k as usize;
        if k > 0 && k < candidates.len() {
            candidates.select_nth_unstable_by(k, Candidate::compare);
            candidates.truncate(k);
            candidates.sort_unstable_by(Candidate::compare);
        }
    }

    /// Sorts only as many of the most likely as are needed to reach the sum.
    fn keep_top_p(&self, candidates: &mut Vec<Candidate>) {
        if self.params.top_p >= 1.0 {
            return;
        }
        let total: f64 = candidates
            .iter()
            .map(|candidate| f64::from(candidate.weight))
            .sum();
        let enough = f64::from(self.params.top_p) * total;
        let mut sorted = 256;
        loop {
            let count = sorted.min(candidates.len());
            if count < candidates.len() {
                candidates.select_nth_unstable_by(count, Candidate::compare);
            }
            let (head, _) = candidates.split_at_mut(count);
            head.sort_unstable_by(Candidate::compare);
            let mut sum = 0.0;
            let reached = head.iter().position(|candidate| {
                sum += f64::from(candidate.weight);
                sum >= enough
            });
            if let Some(last) = reached {
                candidates.truncate(last + 1);
                return;
            }
            if count == candidates.len() {
                return;
            }
            sorted *= 8;
        }
    }
}

impl Sampler for TokenSampler {
    fn sample(&mut self, position: u32, logits: &[f32]) -> Result<Sampled, ConstraintError> {
        self.scores.clear();
        self.scores.extend_from_slice(logits);
        self.adjust();
        let allowed = match &mut self.constraint {
            Some(constraint) => Some(constraint.allowed()?),
            None => None,
        };
        if let Some(allowed) = &allowed {
            allowed.keep(&mut self.scores);
        }
        let picked = if self.params.temperature == 0.0 {
            greedy(&self.scores)
        } else {
            self.draw(position)
        };
        // Where no allowed token has a number, any of them is as good.
        let breaks = |allowed: &&Allowed| !allowed.contains(picked);
        let id = allowed
            .as_ref()
            .filter(breaks)
            .map_or(picked, Allowed::first);
        self.observe(id)?;
        let wanted = usize::from(self.params.top_logprobs);
        let (mut logprob, mut top) = (None, Vec::new());
        if self.params.logprobs || wanted > 0 {
            let scored = score(logits, id, wanted);
            (logprob, top) = (Some(scored.logprob), scored.top);
        }
        Ok(Sampled { id, logprob, top })
    }

    fn observe(&mut self, id: u32) -> Result<(), ConstraintError> {
        if self.params.repetition_penalty != 1.0 {
            self.seen.insert(id);
        }
        *self.completion_counts.entry(id).or_default() += 1;
        self.constraint
            .as_mut()
            .map_or(Ok(()), |constraint| constraint.advance(id))
    }
}

/// How likely a token is in its place, and which are the most likely there.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// The most likely tokens, most likely first.
    pub top: Vec<TokenLogprob>,
}

/// Scores a token by the row of logits before it; `wanted` alternatives with it.
#[must_use]
pub fn score(logits: &[f32], id: u32, wanted: usize) -> Scored {
    let normaliser = log_sum_exp(logits);
    let of = |id: u32| {
        logits
            .get(id as usize)
            .map_or(f32::NEG_INFINITY, |logit| logit - normaliser)
    };
    let top = most_likely(logits, wanted).into_iter();
    Scored {
        logprob: of(id),
        top: top
            .map(|id| TokenLogprob {
                id,
                logprob: of(id),
            })
            .collect(),
    }
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    weight: f32,
}

impl Candidate {
    /// Most likely first; the lower id of equals.
    fn compare(a: &Self, b: &Self) -> Ordering {
        b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
    }
}

/// The largest number, or 0 when there is none.
fn largest(values: &[f32]) -> f32 {
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if most == f32::NEG_INFINITY { 0.0 } else { most }
}

/// The id of the largest score; the lowest id of equals.
fn greedy(scores: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (id, &score) in (0_u32..).zip(scores) {
        if score > best.1 {
            best = (id, score);
        }
    }
    best.0
}

fn most_likely(logits: &[f32], count: usize) -> Vec<u32> {
    let mut candidates: Vec<Candidate> = (0_u32..)
        .zip(logits)
        .map(|(id, &weight)| {
            let weight = if weight.is_nan() {
                f32::NEG_INFINITY
            } else {
                weight
            };
            Candidate { id, weight }
        })
        .collect();
    if count < candidates.len() {
        candidates.select_nth_unstable_by(count, Candidate::compare);
        candidates.truncate(count);
    }
    candidates.sort_unstable_by(Candidate::compare);
    candidates
        .into_iter()
        .map(|candidate| candidate.id)
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is the point"
)]
fn log_sum_exp(logits: &[f32]) -> f32 {
    let most = largest(logits);
    let sum: f64 = logits
        .iter()
        .filter(|logit| !logit.is_nan())
        .map(|logit| f64::from(exp(logit - most)))
        .sum();
    most + libm::log(sum) as f32
}

/// A number in [0, 1) that depends on seed and position alone.
fn unit_random(seed: u64, position: u32) -> f64 {
    let mixed = mix(mix(seed).wrapping_add(u64::from(position)));
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finaliser of SplitMix64 after its increment.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
