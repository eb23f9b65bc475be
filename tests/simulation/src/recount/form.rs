//! What is right or wrong with an order or a frontier by itself, and the split
//! of an order, from the formulas.

use std::collections::BTreeSet;
use talkoot_ledger::Reason;
use talkoot_ledger::kinds::{Frontier, Reserve};
use talkoot_protocol::{Genesis, NetworkId, Offer, Wallet};

const PPM: u128 = 1_000_000;

#[derive(Debug)]
struct Stage {
    worker: Wallet,
    weight: u128,
    reliability_ppm: u128,
}

/// An order whose form is right.
#[derive(Debug)]
pub(super) struct Route {
    submitter: Wallet,
    stages: Vec<Stage>,
    price: u128,
    pub(super) cap: i128,
    pub(super) last: Wallet,
}

impl Route {
    /// The stages that are paid.
    pub(super) fn foreign(&self) -> impl Iterator<Item = Wallet> + '_ {
        let workers = self.stages.iter().map(|stage| stage.worker);
        workers.filter(|worker| *worker != self.submitter)
    }

    fn part(&self, amount: u128, stage: &Stage) -> u128 {
        let total: u128 = self.stages.iter().map(|stage| stage.weight).sum();
        amount * stage.weight / total
    }

    fn stage(&self, worker: Wallet) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.worker == worker)
    }

    pub(super) fn hold(&self, worker: Wallet) -> i128 {
        let cap = self.cap.unsigned_abs();
        self.stage(worker)
            .map_or(0, |stage| signed(self.part(cap, stage)))
    }

    /// What a stage's work costs and earns at so many tokens.
    pub(super) fn claim(&self, worker: Wallet, tokens: u128) -> (i128, i128) {
        let Some(stage) = self.stage(worker) else {
            return (0, 0);
        };
        let gross = self.part(tokens * self.price, stage);
        (signed(gross), signed(gross * stage.reliability_ppm / PPM))
    }
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).expect("within bounds")
}

/// Reads an order.
pub(super) fn route(
    submitter: Wallet,
    reserve: &Reserve,
    genesis: &Genesis,
) -> Result<Route, Reason> {
    let offers: Vec<&Offer> = reserve.offers.iter().map(|offer| offer.claimed()).collect();
    check(submitter, reserve, &offers)?;
    for offer in &reserve.offers {
        offer
            .clone()
            .verify(genesis.id())
            .map_err(|_| Reason::OfferSignature)?;
    }
    let mut rates: Vec<u128> = offers
        .iter()
        .map(|offer| u128::from(offer.service_rate))
        .filter(|rate| *rate > 0)
        .collect();
    rates.sort_unstable();
    let median = rates.get(rates.len().saturating_sub(1) / 2).copied();
    let mut stages = Vec::new();
    for offer in &offers {
        let memory = u128::from(offer.memory_bytes);
        if memory == 0 {
            return Err(Reason::NoMemory);
        }
        let throughput = match (median, u128::from(offer.service_rate)) {
            (None, _) | (_, 0) => PPM,
            (Some(median), rate) => (rate * PPM / median).clamp(500_000, 1_500_000),
        };
        let pressure = 850_000 + 300_000 * u128::from(offer.shard_bytes).min(memory) / memory;
        let hardware = if genesis.policy.hardware_multiplier {
            u128::from(offer.hardware_ppm)
        } else {
            PPM
        };
        let weight =
            u128::from(offer.share_kflop) * throughput * pressure * hardware / 10_u128.pow(18);
        stages.push(Stage {
            worker: offer.worker,
            weight: weight.max(1),
            reliability_ppm: u128::from(offer.reliability_ppm),
        });
    }
    let price = u128::from(reserve.price_ugft_per_token);
    let tokens = u128::from(reserve.prompt_tokens) + u128::from(reserve.completion_tokens_max);
    Ok(Route {
        submitter,
        stages,
        price,
        cap: signed(tokens * price),
        last: offers.last().map_or(submitter, |offer| offer.worker),
    })
}

fn check(submitter: Wallet, reserve: &Reserve, offers: &[&Offer]) -> Result<(), Reason> {
    if offers.len() > 64 {
        return Err(Reason::TooManyStages);
    }
    let ends = offers.iter().map(|offer| offer.range.end());
    let begins = [0].into_iter().chain(ends);
    let tiles = begins
        .zip(offers)
        .all(|(begin, offer)| offer.range.start() == begin);
    if !tiles || offers.last().map(|offer| offer.range.end()) != Some(reserve.layers) {
        return Err(Reason::NotTiled);
    }
    let workers: BTreeSet<Wallet> = offers.iter().map(|offer| offer.worker).collect();
    if workers.len() < offers.len() {
        return Err(Reason::WalletTwice);
    }
    for offer in offers {
        if offer.submitter != submitter {
            return Err(Reason::OfferSubmitter);
        }
        if offer.model != reserve.model {
            return Err(Reason::OfferModel);
        }
        if offer.price_ugft_per_token != reserve.price_ugft_per_token {
            return Err(Reason::PricesDiffer);
        }
        let is_above = reserve.prompt_tokens > offer.prompt_tokens_max
            || reserve.completion_tokens_max > offer.completion_tokens_max;
        if is_above {
            return Err(Reason::AboveOffer);
        }
    }
    Ok(())
}

/// What is wrong with a frontier, whatever its job is.
pub(super) fn frontier(frontier: &Frontier, network: NetworkId) -> Result<(), Reason> {
    let attestation = frontier
        .attestation
        .clone()
        .verify(network)
        .map_err(|_| Reason::Attestation)?;
    if attestation.job != frontier.job {
        return Err(Reason::Attestation);
    }
    let ack = frontier
        .ack
        .clone()
        .verify(network)
        .map_err(|_| Reason::Ack)?;
    if ack.job != frontier.job || ack.attestation != attestation.id() {
        return Err(Reason::Ack);
    }
    let is_above = ack.prompt_done > attestation.prompt_done
        || ack.completion_done > attestation.completion_done;
    if is_above {
        Err(Reason::AckAbove)
    } else {
        Ok(())
    }
}
