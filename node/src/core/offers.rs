//! What a fair offer is: made by the stage, judged by the submitter and by the
//! other stages, all by the same numbers from the card and the policy.

use talkoot_protocol::genesis::PPM;
use talkoot_protocol::{LayerRange, ModelCard, Offer, Policy, Wallet};

/// What an offer is for.
#[derive(Debug, Clone, Copy)]
pub struct OfferWish<'a> {
    /// The network's numbers.
    pub policy: &'a Policy,
    /// The model.
    pub card: &'a ModelCard,
    /// Who asks.
    pub submitter: Wallet,
    /// Who offers.
    pub worker: Wallet,
    /// Which layers.
    pub range: LayerRange,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
}

/// What is wrong with an offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferProblem {
    /// It is from, to or for something else.
    #[error("the offer's {0} is another")]
    Another(&'static str),
    /// It does not accept the job's tokens.
    #[error("the offer accepts {prompt} prompt and {completion} completion tokens")]
    TooSmall {
        /// Prompt tokens it accepts.
        prompt: u32,
        /// Completion tokens it accepts.
        completion: u32,
    },
    /// A number that card and policy fix is another.
    #[error("the offer's {field} is {got}, by card and policy it is {expected}")]
    Number {
        /// Which.
        field: &'static str,
        /// In the offer.
        got: u64,
        /// By the rules.
        expected: u64,
    },
    /// Card and policy give no price.
    #[error("the model has no price: its numbers are out of range")]
    NoPrice,
    /// Its time is over.
    #[error("the offer ended")]
    Expired,
    /// Its service rate is not what the ledger shows.
    #[error("the offer's service rate is {got}, the ledger shows {expected}")]
    Rate {
        /// In the offer.
        got: u32,
        /// In our ledger.
        expected: u32,
    },
}

/// A range's part of the FLOPs of one token, kFLOP.
#[must_use]
pub fn share_kflop(card: &ModelCard, range: LayerRange) -> Option<u64> {
    Some(card.shape.flops_per_token(range)? / 1000)
}

/// (prompt + completion maximum) · price.
#[must_use]
pub fn cap_ugft(prompt_tokens: u32, completion_tokens_max: u32, price: u64) -> u128 {
    u128::from(prompt_tokens)
        .saturating_add(u128::from(completion_tokens_max))
        .saturating_mul(u128::from(price))
}

/// Whether an offer is what its stage must offer for this wish.
///
/// # Errors
/// [`OfferProblem`].
pub fn check_offer(offer: &Offer, wish: &OfferWish<'_>) -> Result<(), OfferProblem> {
    let same = [
        (offer.worker == wish.worker, "worker"),
        (offer.submitter == wish.submitter, "submitter"),
        (offer.model == wish.card.id(), "model"),
        (offer.range == wish.range, "layer range"),
    ];
    for (is_same, what) in same {
        if !is_same {
            return Err(OfferProblem::Another(what));
        }
    }
    if offer.prompt_tokens_max < wish.prompt_tokens
        || offer.completion_tokens_max < wish.completion_tokens_max
    {
        return Err(OfferProblem::TooSmall {
            prompt: offer.prompt_tokens_max,
            completion: offer.completion_tokens_max,
        });
    }
    let price = wish
        .policy
        .price_ugft_per_token(wish.card)
        .ok_or(OfferProblem::NoPrice)?;
    let share = share_kflop(wish.card, wish.range).ok_or(OfferProblem::NoPrice)?;
    number("price", offer.price_ugft_per_token, price)?;
    number("share", offer.share_kflop, share)?;
    number("reliability", u64::from(offer.reliability_ppm), PPM)?;
    number("hardware multiplier", u64::from(offer.hardware_ppm), PPM)?;
    let window = u64::from(wish.policy.window_tokens);
    number("window", u64::from(offer.window_tokens), window)?;
    if offer.memory_bytes == 0 {
        return number("memory", 0, 1);
    }
    Ok(())
}

fn number(field: &'static str, got: u64, expected: u64) -> Result<(), OfferProblem> {
    if got == expected {
        Ok(())
    } else {
        Err(OfferProblem::Number {
            field,
            got,
            expected,
        })
    }
}

/// Whether a claimed service rate fits what our own ledger shows. To claim less
/// costs only the claimant. Two honest ledgers differ by the newest jobs, and a
/// rate of few jobs moves much, so a factor of four is let pass; the split
/// itself clamps the rate to half and one and a half of the median.
///
/// # Errors
/// [`OfferProblem::Rate`].
pub fn check_rate(claimed: u32, shown: u32) -> Result<(), OfferProblem> {
    if claimed <= shown.saturating_mul(4) {
        Ok(())
    } else {
        Err(OfferProblem::Rate {
            got: claimed,
            expected: shown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_may_be_modest_or_a_little_new_but_not_come_from_nothing() {
        assert!(check_rate(0, 0).is_ok());
        assert!(check_rate(1, 1_000).is_ok());
        assert!(check_rate(400, 100).is_ok());
        assert!(check_rate(401, 100).is_err());
        assert!(check_rate(1, 0).is_err());
    }

    #[test]
    fn the_cap_does_not_wrap() {
        assert_eq!(cap_ugft(3, 4, 10), 70);
        assert!(cap_ugft(u32::MAX, u32::MAX, u64::MAX) > u128::from(u64::MAX));
    }
}
