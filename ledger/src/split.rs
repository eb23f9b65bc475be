//! How the price of a job is split among its stages.
//!
//! Everything is known before the first token: the factors stand in the offers
//! that the `Reserve` carries. Law: what is earned and what goes to the commons
//! is together what is burned, which is at most the cap, at every frontier; all
//! of it grows with the frontier, so deltas add up to the one-shot total. Only
//! integers, 128 bits inside; what does not fit is an error and makes the entry
//! inert. The fold never reads a model card: [`check_price`] is for stages.

use crate::amount::Ugft;
use talkoot_protocol::genesis::PPM;
use talkoot_protocol::{LayerRange, ModelCard, Offer, Policy, Wallet};

const PPM_WIDE: u128 = PPM as u128;
const THROUGHPUT_MIN_PPM: u128 = 500_000;
const THROUGHPUT_MAX_PPM: u128 = 1_500_000;
const PRESSURE_BASE_PPM: u128 = 850_000;
const PRESSURE_SPAN_PPM: u128 = 300_000;

/// Why offers cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// An offer lends no memory, so its memory pressure is undefined.
    #[error("an offer lends no memory")]
    NoMemory,
    /// A number does not fit.
    #[error("an amount is out of range")]
    OutOfRange,
}

/// The part of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageShare {
    /// Who.
    pub worker: Wallet,
    /// Which layers.
    pub range: LayerRange,
    /// Its part of [`Split::weight_total`].
    pub weight: u64,
    /// What the offer says of a token's FLOPs, in kFLOP.
    pub share_kflop: u64,
    /// Which part of the gross is earned, parts per million.
    pub reliability_ppm: u32,
    /// Whether the stage is the submitter itself: neither held nor burned.
    pub is_own: bool,
    /// Held until the stage's final `Frontier`.
    pub hold: Ugft,
}

/// The split of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Price of one token, µGFT.
    pub price_ugft_per_token: u64,
    /// (prompt + completion maximum) · price.
    pub cap: Ugft,
    /// Σ of the weights, own stages included.
    pub weight_total: u128,
    /// The stages, in the order of the layers.
    pub stages: Vec<StageShare>,
}

/// The size of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobSize {
    /// Price of one token, µGFT.
    pub price_ugft_per_token: u64,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
}

impl JobSize {
    /// (prompt + completion maximum) · price, or `None` beyond 64 bits.
    #[must_use]
    pub fn cap(&self) -> Option<Ugft> {
        tokens_price(
            self.prompt_tokens,
            self.completion_tokens_max,
            self.price_ugft_per_token,
        )
    }
}

fn tokens_price(prompt: u32, completion: u32, price: u64) -> Option<Ugft> {
    u64::from(prompt)
        .checked_add(u64::from(completion))?
        .checked_mul(price)
        .map(Ugft)
}

/// The lower median of the service rates that are known; 0 when none is.
fn median_rate(offers: &[&Offer]) -> u128 {
    let mut rates: Vec<u32> = offers
        .iter()
        .map(|offer| offer.service_rate)
        .filter(|&rate| rate > 0)
        .collect();
    rates.sort_unstable();
    let middle = rates.len().saturating_sub(1).checked_div(2).unwrap_or(0);
    rates.get(middle).copied().map_or(0, u128::from)
}

fn throughput_ppm(rate: u32, median: u128) -> u128 {
    // A worker without history stands at the route's median.
    let Some(ratio) = u128::from(rate)
        .saturating_mul(PPM_WIDE)
        .checked_div(median)
    else {
        return PPM_WIDE;
    };
    if rate == 0 {
        PPM_WIDE
    } else {
        ratio.clamp(THROUGHPUT_MIN_PPM, THROUGHPUT_MAX_PPM)
    }
}

fn pressure_ppm(shard_bytes: u64, memory_bytes: u64) -> Result<u128, SplitError> {
    PRESSURE_SPAN_PPM
        .saturating_mul(u128::from(shard_bytes.min(memory_bytes)))
        .checked_div(u128::from(memory_bytes))
        .map(|part| part.saturating_add(PRESSURE_BASE_PPM))
        .ok_or(SplitError::NoMemory)
}

/// What makes the weight of one offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factors {
    /// Its part of a token's FLOPs, in kFLOP.
    pub share_kflop: u64,
    /// T: its service rate against the route's median, parts per million.
    pub throughput_ppm: u64,
    /// P: how full its memory is, parts per million.
    pub pressure_ppm: u64,
    /// M: its hardware, parts per million; one unless the genesis counts it.
    pub hardware_ppm: u64,
    /// `max(1, ⌊share · T · P · M / 10^18⌋)`.
    pub weight: u64,
}

/// The factors of a route's offers, in their order.
///
/// # Errors
/// [`SplitError`].
pub fn factors(offers: &[&Offer], policy: &Policy) -> Result<Vec<Factors>, SplitError> {
    let median = median_rate(offers);
    let narrow = |value: u128| u64::try_from(value).map_err(|_| SplitError::OutOfRange);
    let factors = |offer: &&Offer| {
        let throughput = throughput_ppm(offer.service_rate, median);
        let pressure = pressure_ppm(offer.shard_bytes, offer.memory_bytes)?;
        let hardware = if policy.hardware_multiplier {
            u128::from(offer.hardware_ppm)
        } else {
            PPM_WIDE
        };
        let product = u128::from(offer.share_kflop)
            .checked_mul(throughput)
            .and_then(|product| product.checked_mul(hardware))
            .and_then(|product| product.checked_mul(pressure))
            .ok_or(SplitError::OutOfRange)?;
        let scaled = product.checked_div(1_000_000_000_000_000_000).unwrap_or(0);
        Ok(Factors {
            share_kflop: offer.share_kflop,
            throughput_ppm: narrow(throughput)?,
            pressure_ppm: narrow(pressure)?,
            hardware_ppm: narrow(hardware)?,
            weight: narrow(scaled.max(1))?,
        })
    };
    offers.iter().map(factors).collect()
}

/// The weights of a route's offers: `max(1, ⌊share · T · P · M / 10^18⌋)`.
///
/// # Errors
/// [`SplitError`].
pub fn weights(offers: &[&Offer], policy: &Policy) -> Result<Vec<u64>, SplitError> {
    let weights = factors(offers, policy)?.into_iter();
    Ok(weights.map(|factors| factors.weight).collect())
}

impl Split {
    /// The split that these offers give.
    ///
    /// # Errors
    /// [`SplitError`].
    pub fn new(
        submitter: Wallet,
        offers: &[&Offer],
        size: JobSize,
        policy: &Policy,
    ) -> Result<Self, SplitError> {
        let weights = weights(offers, policy)?;
        let cap = size.cap().ok_or(SplitError::OutOfRange)?;
        let weight_total: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
        let stage = |(offer, &weight): (&&Offer, &u64)| {
            let hold = cap
                .try_scale(u128::from(weight), weight_total)
                .ok_or(SplitError::OutOfRange)?;
            let is_own = offer.worker == submitter;
            Ok(StageShare {
                worker: offer.worker,
                range: offer.range,
                weight,
                share_kflop: offer.share_kflop,
                reliability_ppm: offer.reliability_ppm,
                is_own,
                hold: if is_own { Ugft::ZERO } else { hold },
            })
        };
        let stages = offers
            .iter()
            .zip(&weights)
            .map(stage)
            .collect::<Result<_, SplitError>>()?;
        Ok(Self {
            price_ugft_per_token: size.price_ugft_per_token,
            cap,
            weight_total,
            stages,
        })
    }

    /// What all foreign stages together hold.
    #[must_use]
    pub fn held_total(&self) -> Ugft {
        // Each hold is ⌊cap · w / Σw⌋, so the sum is at most the cap.
        Ugft(
            self.stages
                .iter()
                .fold(0, |sum, stage| sum.saturating_add(stage.hold.0)),
        )
    }

    /// What a stage's work has cost at a frontier; `None` for an own stage, an
    /// unknown stage or an amount out of range.
    #[must_use]
    pub fn gross(&self, stage: usize, prompt_done: u32, completion_done: u32) -> Option<Ugft> {
        let share = self.stages.get(stage).filter(|share| !share.is_own)?;
        tokens_price(prompt_done, completion_done, self.price_ugft_per_token)?
            .try_scale(u128::from(share.weight), self.weight_total)
    }

    /// Which part of a stage's gross it earns; the rest goes to the commons.
    #[must_use]
    pub fn earned(&self, stage: usize, gross: Ugft) -> Option<Ugft> {
        let share = self.stages.get(stage)?;
        gross.try_scale(u128::from(share.reliability_ppm), PPM_WIDE)
    }
}

/// Whether a price is the one that the model card and the network's policy
/// give. A stage checks this before it works; the fold does not.
#[must_use]
pub fn check_price(card: &ModelCard, policy: &Policy, price_ugft_per_token: u64) -> bool {
    policy.price_ugft_per_token(card) == Some(price_ugft_per_token)
}
