//! What a question would cost: today's route, its stages' offers, the split
//! they give, and the reference accounting's figures beside it.

use super::{Asker, COMPLETION_TOKENS_DEFAULT, tokens};
use crate::api::quote::{QuoteCredits, QuotePart, QuoteRequest, QuoteStage, QuoteView};
use crate::api::{AskError, ErrorCode, SCHEMA};
use crate::jobs::submit::{JobRequest, RouteStage, quote};
use talkoot_ledger::divy::{self, ConsumptionQuoteInput, Receipt, StageWork};
use talkoot_ledger::split::{self, Factors, JobSize, Split, StageShare};
use talkoot_protocol::control::SamplingParams;
use talkoot_protocol::{DType, LayerRange, ModelCard, Offer, Policy, Pricing, Wallet};

/// What is quoted, and for whom.
struct Subject<'a> {
    me: Wallet,
    policy: &'a Policy,
    card: &'a ModelCard,
    tokens: (u32, u32),
    route: &'a [RouteStage],
}

impl Asker {
    /// What a job of this size would cost now. Stages are asked for offers and
    /// let go; nothing is reserved.
    ///
    /// # Errors
    /// [`AskError`]: an unknown model, tokens beyond its context, layers that
    /// nobody serves, a stage that does not answer or is busy.
    pub async fn quote(&self, request: &QuoteRequest) -> Result<QuoteView, AskError> {
        let id = self.find_model(request.model.as_deref())?;
        let model = self.know_model(id).await?;
        let prompt_tokens = match &request.prompt {
            Some(prompt) => tokens::count(&tokens::prompt_ids(&model, prompt, &[])?),
            None => request.prompt_tokens,
        };
        let card = model.card;
        let asked = request.completion_tokens_max;
        let completion_tokens_max = asked.unwrap_or_else(|| {
            let room = card.shape.context.saturating_sub(prompt_tokens);
            COMPLETION_TOKENS_DEFAULT.min(room.max(1))
        });
        let tokens = (prompt_tokens, completion_tokens_max);
        check_tokens(&card, tokens)?;
        let route = self.route(id, &card)?;
        let job = JobRequest {
            card: card.clone(),
            route: route.clone(),
            // Only how many there are matters for an offer.
            prompt_ids: vec![0; tokens.0 as usize],
            completion_tokens_max: tokens.1,
            sampling: SamplingParams::default(),
            stop_ids: Vec::new(),
            hidden_dtype: DType::F32,
            request_id: String::new(),
        };
        let offers = quote(&self.data, job).await?;
        let me = self.ctx.wallet();
        let available = self
            .ctx
            .books
            .with(move |books| books.ledger().available(me));
        let subject = Subject {
            me,
            policy: &self.ctx.genesis.policy,
            card: &card,
            tokens,
            route: &route,
        };
        let offers: Option<Vec<&Offer>> = offers
            .as_ref()
            .map(|offers| offers.iter().map(|offer| &**offer).collect());
        view(&subject, offers.as_deref(), available.await?.0).ok_or_else(|| {
            let message = "the quote is out of range: ask for fewer tokens";
            AskError::new(ErrorCode::InvalidRequest, message)
        })
    }
}

fn check_tokens(card: &ModelCard, tokens: (u32, u32)) -> Result<(), AskError> {
    let context = card.shape.context;
    if u64::from(tokens.0) + u64::from(tokens.1) <= u64::from(context) {
        return Ok(());
    }
    Err(AskError::new(
        ErrorCode::ContextLengthExceeded,
        format!(
            "{} prompt and {} completion tokens exceed the context of {context} tokens of {}",
            tokens.0, tokens.1, card.name
        ),
    ))
}

/// `None` when a number does not fit.
fn view(
    subject: &Subject<'_>,
    offers: Option<&[&Offer]>,
    available_ugft: i128,
) -> Option<QuoteView> {
    let Subject {
        policy,
        card,
        tokens,
        ..
    } = subject;
    let flops_per_token = flops(card, LayerRange::whole(card.shape.layers).ok()?)?;
    let consumption = divy::quote_consumption(ConsumptionQuoteInput {
        prompt_tokens: tokens.0,
        requested_completion_tokens: tokens.1,
        total_model_bytes: card.weight_bytes,
    });
    let free = QuoteView {
        schema: SCHEMA,
        model: card.id().to_string(),
        model_name: card.name.clone(),
        dtype: card.dtype.name().to_owned(),
        prompt_tokens: tokens.0,
        completion_tokens_max: tokens.1,
        context: card.shape.context,
        flops_per_token,
        flops: u128::from(flops_per_token) * (u128::from(tokens.0) + u128::from(tokens.1)),
        pricing: policy.pricing.name().to_owned(),
        precision_ppm: (policy.pricing == Pricing::Flops).then(|| policy.precision_ppm(card.dtype)),
        free: Some(if policy.accounting {
            "all stages are our own".to_owned()
        } else {
            "accounting is off in this network".to_owned()
        }),
        price_ugft_per_token: 0,
        cap_ugft: 0,
        held_ugft: 0,
        available_ugft,
        weight_total: 0,
        stages: stages(subject)?,
        divy: QuoteCredits {
            model_bytes: card.weight_bytes,
            model_size_factor: consumption.model_size_factor,
            prompt_credits: consumption.prompt_credits,
            completion_credits: consumption.completion_credits,
            total_credits: consumption.total_credits,
        },
    };
    match offers {
        None => Some(free),
        Some(offers) => paid(free, subject, offers),
    }
}

fn flops(card: &ModelCard, range: LayerRange) -> Option<u64> {
    card.shape.flops_per_token(range)
}

fn stages(subject: &Subject<'_>) -> Option<Vec<QuoteStage>> {
    let stage = |stage: &RouteStage| {
        Some(QuoteStage {
            peer: stage.wallet.to_string(),
            layers: [stage.range.start(), stage.range.end()],
            own: stage.wallet == subject.me,
            flops_per_token: flops(subject.card, stage.range)?,
            part: None,
        })
    };
    subject.route.iter().map(stage).collect()
}

/// Fills in what the offers come to.
fn paid(free: QuoteView, subject: &Subject<'_>, offers: &[&Offer]) -> Option<QuoteView> {
    let (policy, card, tokens) = (subject.policy, subject.card, subject.tokens);
    let size = JobSize {
        price_ugft_per_token: policy.price_ugft_per_token(card)?,
        prompt_tokens: tokens.0,
        completion_tokens_max: tokens.1,
    };
    let split = Split::new(subject.me, offers, size, policy).ok()?;
    let factors = split::factors(offers, policy).ok()?;
    let works: Vec<StageWork<'_>> = works(offers, tokens);
    let receipt = Receipt::new(tokens, tokens, Some(card.weight_bytes), &works);
    let credits = receipt.contribution.assignments.iter();
    let mut stages = free.stages;
    let shares = split.stages.iter().zip(&factors);
    for (((stage, offer), (share, factors)), credits) in
        stages.iter_mut().zip(offers).zip(shares).zip(credits)
    {
        stage.part = Some(part(offer, share, factors, credits.credits)?);
    }
    Some(QuoteView {
        free: None,
        price_ugft_per_token: split.price_ugft_per_token,
        cap_ugft: split.cap.0,
        held_ugft: split.held_total().0,
        weight_total: split.weight_total,
        stages,
        ..free
    })
}

fn part(
    offer: &Offer,
    share: &StageShare,
    factors: &Factors,
    divy_credits: f64,
) -> Option<QuotePart> {
    let reliability = u128::from(share.reliability_ppm);
    Some(QuotePart {
        share_kflop: factors.share_kflop,
        service_rate: offer.service_rate,
        throughput_ppm: factors.throughput_ppm,
        shard_bytes: offer.shard_bytes,
        memory_bytes: offer.memory_bytes,
        pressure_ppm: factors.pressure_ppm,
        hardware_ppm: factors.hardware_ppm,
        reliability_ppm: share.reliability_ppm,
        weight: factors.weight,
        hold_ugft: share.hold.0,
        earned_ugft: share.hold.try_scale(reliability, 1_000_000)?.0,
        divy_credits,
    })
}

/// How long each stage would compute at its service rate. One without history
/// stands at the route's lower median, as in the split.
fn works<'a>(offers: &[&'a Offer], tokens: (u32, u32)) -> Vec<StageWork<'a>> {
    let mut known: Vec<u32> = offers
        .iter()
        .map(|offer| offer.service_rate)
        .filter(|rate| *rate > 0)
        .collect();
    known.sort_unstable();
    let median = known.get(known.len().saturating_sub(1) / 2).copied();
    let tokens = u128::from(tokens.0) + u128::from(tokens.1);
    let work = |offer: &&'a Offer| {
        let rate = match offer.service_rate {
            0 => median.unwrap_or(1),
            rate => rate,
        };
        let compute_us = u128::from(offer.share_kflop) * tokens * 1000 / u128::from(rate);
        StageWork {
            offer,
            compute_us: u64::try_from(compute_us).unwrap_or(u64::MAX),
        }
    };
    offers.iter().map(work).collect()
}

#[cfg(test)]
mod tests;
