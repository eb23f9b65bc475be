//! One job: its terms, the split with every factor, its frontier over time, who
//! has confirmed what, and whether neighbours agree.

use super::chain;
use super::describe::{effect, outcome};
use super::entries::job_id;
use crate::api::{
    AskError, DivyView, ErrorCode, FrontierStepView, JobFounderView, JobStageView, JobView,
    NeighbourView, SCHEMA,
};
use std::collections::BTreeMap;
use talkoot_ledger::divy::Receipt;
use talkoot_ledger::explore::Placed;
use talkoot_ledger::kinds::{Frontier, Payload, Reserve};
use talkoot_ledger::split::{Factors, factors};
use talkoot_ledger::{Ledger, Outcome, views};
use talkoot_protocol::{Hash, Offer, Signed, Wallet};

/// Frontiers of one job that are shown.
const FRONTIERS_MAX: usize = 1000;

/// A stage's newest effective frontier: what it says of the bytes around it.
#[derive(Debug, Clone, Copy)]
struct Word {
    received: Hash,
    sent: Hash,
    is_final: bool,
}

/// One job by its id or a unique beginning of it.
pub(super) fn job(ledger: &Ledger, asked: &str) -> Result<JobView, AskError> {
    let id = job_id(ledger, asked)?;
    let lost = || AskError::new(ErrorCode::Internal, "the chain lost a job");
    let job = ledger.job(id).ok_or_else(lost)?;
    let reserve = ledger.view(&id.0).ok_or_else(lost)?;
    let about: Vec<(Placed<'_>, Frontier)> = ledger
        .about_job(id)
        .filter_map(|placed| frontier(&placed).map(|frontier| (placed, frontier)))
        .collect();
    let frontiers = steps(ledger, &job, &about);
    let founders = founders(ledger, &reserve.confirmed_by, &about);
    let words = words(&about);
    let skipped = frontiers.len().saturating_sub(FRONTIERS_MAX);
    let terms = &job.terms;
    Ok(JobView {
        schema: SCHEMA,
        id: id.to_string(),
        index: ledger.position(&id.0).unwrap_or(0) as u64,
        submitter: terms.submitter.to_string(),
        time_ms: reserve.entry.time_ms,
        model: terms.model.to_string(),
        model_name: ledger.card(terms.model).map(|card| card.name.clone()),
        layers: terms.layers,
        prompt_tokens: terms.prompt_tokens,
        completion_tokens_max: terms.completion_tokens_max,
        price_ugft_per_token: terms.price_ugft_per_token,
        deadline_ms: terms.deadline_ms,
        over_from_ms: job.over_from_ms,
        released_by: job.released_by.map(|id| id.to_string()),
        continues: terms.continues.map(|job| job.to_string()),
        effect: effect(&job.outcome),
        confirmed: job.is_confirmed,
        state: state(&job).to_owned(),
        cap_ugft: job.cap.0,
        burned_ugft: job.burned.0,
        earned_ugft: job.earned.0,
        commons_ugft: job.commons.0,
        held_ugft: job.held.0,
        stages: stages(ledger, &job, &offers(reserve.entry)),
        frontiers_total: frontiers.len() as u64,
        frontiers: frontiers.into_iter().skip(skipped).collect(),
        founders,
        neighbours: neighbours(&job, &words),
        divy: ledger.divy_receipt(id).as_ref().map(divy),
        chain: chain(ledger),
    })
}

fn divy(receipt: &Receipt) -> DivyView {
    let stages = receipt.contribution.assignments.iter();
    DivyView {
        quoted_credits: receipt.quote.total_credits,
        settled_credits: receipt.settlement.total_credits,
        stage_credits: stages.map(|stage| stage.credits).collect(),
    }
}

fn state(job: &views::JobView) -> &'static str {
    if !job.outcome.is_effective() {
        return "inert";
    }
    if job.released_by.is_some() {
        return "released";
    }
    let mut foreign = job.stages.iter().filter(|stage| !stage.is_own);
    if foreign.all(|stage| stage.is_final) {
        "done"
    } else {
        "open"
    }
}

fn frontier(placed: &Placed<'_>) -> Option<Frontier> {
    match Payload::decode(placed.entry.kind, &placed.entry.payload) {
        Ok(Some(Payload::Frontier(frontier))) => Some(*frontier),
        _ => None,
    }
}

fn offers(entry: &talkoot_ledger::Entry) -> Vec<Offer> {
    let reserve = match Payload::decode(entry.kind, &entry.payload) {
        Ok(Some(Payload::Reserve(reserve))) => *reserve,
        _ => return Vec::new(),
    };
    let Reserve { offers, .. } = reserve;
    offers.iter().map(Signed::claimed).cloned().collect()
}

/// The stages of a route that is one; none else.
fn stages(ledger: &Ledger, job: &views::JobView, offers: &[Offer]) -> Vec<JobStageView> {
    let lent: Vec<&Offer> = offers.iter().collect();
    let factors = factors(&lent, &ledger.genesis().policy).unwrap_or_default();
    let rows = job.stages.iter().zip(offers).zip(factors);
    rows.map(|((stage, offer), factors)| stage_view(stage, offer, factors))
        .collect()
}

fn stage_view(stage: &views::StageView, offer: &Offer, factors: Factors) -> JobStageView {
    JobStageView {
        worker: stage.worker.to_string(),
        layers: [stage.range.start(), stage.range.end()],
        own: stage.is_own,
        share_kflop: offer.share_kflop,
        service_rate: offer.service_rate,
        shard_bytes: offer.shard_bytes,
        memory_bytes: offer.memory_bytes,
        throughput_ppm: factors.throughput_ppm,
        pressure_ppm: factors.pressure_ppm,
        hardware_ppm: factors.hardware_ppm,
        reliability_ppm: offer.reliability_ppm,
        weight: stage.weight,
        hold_ugft: stage.hold.0,
        held_ugft: stage.held.0,
        burned_ugft: stage.burned.0,
        earned_ugft: stage.earned.0,
        frontier: stage
            .frontier
            .map(|(prompt, completion)| [prompt, completion]),
        is_final: stage.is_final,
        confirmed: stage.is_confirmed,
        compute_us: stage.compute_us,
    }
}

fn steps(
    ledger: &Ledger,
    job: &views::JobView,
    about: &[(Placed<'_>, Frontier)],
) -> Vec<FrontierStepView> {
    let mut burned_total_ugft = 0_u64;
    let step = |(placed, frontier): &(Placed<'_>, Frontier)| {
        if let Outcome::Paid { burned, .. } = placed.outcome {
            burned_total_ugft = burned_total_ugft.saturating_add(burned.0);
        }
        let held = ledger.view(&placed.id);
        let ack = frontier.ack.claimed();
        FrontierStepView {
            id: placed.id.to_string(),
            index: placed.position as u64,
            stage: job
                .stages
                .iter()
                .position(|stage| stage.worker == placed.entry.author),
            author: placed.entry.author.to_string(),
            time_ms: placed.entry.time_ms,
            prompt: ack.prompt_done,
            completion: ack.completion_done,
            burned_total_ugft,
            effect: effect(&placed.outcome),
            outcome: outcome(&placed.outcome),
            confirmed: held.as_ref().is_some_and(|held| held.is_confirmed),
            confirmed_by: held.map_or_else(Vec::new, |held| {
                held.confirmed_by.iter().map(ToString::to_string).collect()
            }),
        }
    };
    about.iter().map(step).collect()
}

/// What each founder has confirmed.
fn founders(
    ledger: &Ledger,
    reserve: &[Wallet],
    about: &[(Placed<'_>, Frontier)],
) -> Vec<JobFounderView> {
    let mut counts: BTreeMap<Wallet, usize> = BTreeMap::new();
    let effective = about
        .iter()
        .filter(|(placed, _)| placed.outcome.is_effective());
    for founder in effective
        .filter_map(|(placed, _)| ledger.view(&placed.id))
        .flat_map(|held| held.confirmed_by)
    {
        *counts.entry(founder).or_default() += 1;
    }
    let founders = ledger.genesis().founders.iter();
    founders
        .map(|founder| JobFounderView {
            wallet: founder.wallet.to_string(),
            line_ugft: founder.line_ugft,
            reserve: reserve.contains(&founder.wallet),
            frontiers: counts.get(&founder.wallet).copied().unwrap_or(0),
        })
        .collect()
}

/// The newest effective frontier of each wallet.
fn words(about: &[(Placed<'_>, Frontier)]) -> BTreeMap<Wallet, Word> {
    about
        .iter()
        .filter(|(placed, _)| placed.outcome.is_effective())
        .map(|(placed, frontier)| {
            let word = Word {
                received: frontier.received,
                sent: frontier.sent,
                is_final: frontier.is_final,
            };
            (placed.entry.author, word)
        })
        .collect()
}

/// For each two stages in a row, whether one received what the other sent. The
/// hashes run with the bytes, so they can be compared at the last word only.
fn neighbours(job: &views::JobView, words: &BTreeMap<Wallet, Word>) -> Vec<NeighbourView> {
    let pairs = job.stages.iter().zip(job.stages.iter().skip(1));
    pairs
        .enumerate()
        .map(|(index, (sender, receiver))| {
            let (sender, receiver) = (words.get(&sender.worker), words.get(&receiver.worker));
            let verdict = match (sender, receiver) {
                (Some(sender), Some(receiver)) if sender.is_final && receiver.is_final => {
                    if sender.sent == receiver.received {
                        "agree"
                    } else {
                        "differ"
                    }
                }
                _ => "unknown",
            };
            NeighbourView {
                sender: index,
                receiver: index + 1,
                sent: sender.map(|word| word.sent.to_string()),
                received: receiver.map(|word| word.received.to_string()),
                verdict: verdict.to_owned(),
            }
        })
        .collect()
}
