//! What an entry says, read once: the numbers that judging and folding need.
//!
//! Everything here follows from the entry's own bytes and the network's policy,
//! so it is the same on every node. Embedded signatures are checked here, or
//! taken as a journal has them; that they are wrong is a reason, never a
//! refusal.

use crate::amount::Ugft;
use crate::entry::Entry;
use crate::kinds::{Equivocation, Frontier, Payload, Proof, Reserve};
use crate::outcome::Reason;
use crate::split::{JobSize, Split, SplitError};
use std::collections::BTreeSet;
use talkoot_protocol::{
    Genesis, Hash, JobId, ModelCard, ModelId, NetworkId, Offer, Signable, Signed, Wallet, limits,
};

/// What an entry says.
#[derive(Debug)]
pub(crate) enum Facts {
    /// A kind of a later version.
    Unknown,
    /// A known kind that does not decode.
    Malformed,
    /// Nothing but what was seen.
    Witness,
    /// A card, or none that decodes.
    Model(Option<Box<ModelCard>>),
    /// A proof, or none.
    Equivocation(Option<Proof>),
    /// The end of an own job's holds.
    Release(Hash),
    /// A line passed on.
    Admit {
        wallet: Wallet,
        line: Ugft,
    },
    Reserve(Box<ReserveFacts>),
    Frontier(Box<FrontierFacts>),
}

/// The terms of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTerms {
    /// Who ordered it.
    pub submitter: Wallet,
    /// Which model.
    pub model: ModelId,
    /// Layers of the model.
    pub layers: u32,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
    /// Price of one token, µGFT.
    pub price_ugft_per_token: u64,
    /// When the submitter gives up, milliseconds since 1970.
    pub deadline_ms: u64,
    /// The job it carries on.
    pub continues: Option<JobId>,
}

#[derive(Debug)]
pub(crate) struct ReserveFacts {
    pub(crate) terms: JobTerms,
    /// Worker and nonce of each offer, right or wrong.
    pub(crate) offers: Vec<(Wallet, u64)>,
    /// The split, or the first thing wrong with the entry by itself.
    pub(crate) split: Result<Split, Reason>,
}

#[derive(Debug)]
pub(crate) struct FrontierFacts {
    pub(crate) frontier: Frontier,
    /// A signature or a field that contradicts, whatever the job is.
    pub(crate) form: Result<(), Reason>,
}

impl FrontierFacts {
    pub(crate) fn job(&self) -> Hash {
        self.frontier.job.0
    }

    pub(crate) fn prompt_done(&self) -> u32 {
        self.frontier.ack.claimed().prompt_done
    }

    pub(crate) fn completion_done(&self) -> u32 {
        self.frontier.ack.claimed().completion_done
    }
}

/// What became of the signatures inside an entry, of those that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedded {
    /// None was wrong.
    Right,
    /// The first was wrong.
    FirstWrong,
    /// The first was right, a later one was not.
    LaterWrong,
}

/// Judges the signatures inside one entry, in order.
struct Signatures {
    network: NetworkId,
    known: Option<Embedded>,
    is_first: bool,
    found: Embedded,
}

impl Signatures {
    fn is_right<T: Signable>(&mut self, signed: &Signed<T>) -> bool {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let is_right = match self.known {
            None => signed.is_right(self.network),
            Some(Embedded::Right) => true,
            Some(Embedded::FirstWrong) => !is_first,
            Some(Embedded::LaterWrong) => is_first,
        };
        if !is_right {
            self.found = if is_first {
                Embedded::FirstWrong
            } else {
                Embedded::LaterWrong
            };
        }
        is_right
    }
}

/// Reads an entry. What is `known` of its embedded signatures is taken as it
/// is; else they are checked.
pub(crate) fn read(
    entry: &Entry,
    genesis: &Genesis,
    network: NetworkId,
    known: Option<Embedded>,
) -> (Facts, Embedded) {
    let mut signatures = Signatures {
        network,
        known,
        is_first: true,
        found: Embedded::Right,
    };
    let facts = read_with(entry, genesis, &mut signatures);
    (facts, signatures.found)
}

fn read_with(entry: &Entry, genesis: &Genesis, signatures: &mut Signatures) -> Facts {
    match Payload::decode(entry.kind, &entry.payload) {
        Err(_) => Facts::Malformed,
        Ok(None) => Facts::Unknown,
        Ok(Some(Payload::Witness)) => Facts::Witness,
        Ok(Some(Payload::Model(model))) => {
            Facts::Model(ModelCard::decode(&model.card).ok().map(Box::new))
        }
        Ok(Some(Payload::Release(release))) => Facts::Release(release.job.0),
        Ok(Some(Payload::Equivocation(pair))) => Facts::Equivocation(read_proof(&pair, signatures)),
        Ok(Some(Payload::Admit(admit))) => Facts::Admit {
            wallet: admit.wallet,
            line: admit.line_ugft,
        },
        Ok(Some(Payload::Reserve(reserve))) => {
            Facts::Reserve(Box::new(read_reserve(entry, *reserve, genesis, signatures)))
        }
        Ok(Some(Payload::Frontier(frontier))) => {
            let form = check_frontier(&frontier, signatures);
            Facts::Frontier(Box::new(FrontierFacts {
                frontier: *frontier,
                form,
            }))
        }
    }
}

fn read_proof(pair: &Equivocation, signatures: &mut Signatures) -> Option<Proof> {
    let network = signatures.network;
    pair.proof_by(network, &mut |entry| signatures.is_right(entry))
        .ok()
}

fn read_reserve(
    entry: &Entry,
    reserve: Reserve,
    genesis: &Genesis,
    signatures: &mut Signatures,
) -> ReserveFacts {
    let terms = JobTerms {
        submitter: entry.author,
        model: reserve.model,
        layers: reserve.layers,
        prompt_tokens: reserve.prompt_tokens,
        completion_tokens_max: reserve.completion_tokens_max,
        price_ugft_per_token: reserve.price_ugft_per_token,
        deadline_ms: reserve.deadline_ms,
        continues: reserve.continues,
    };
    let claimed: Vec<&Offer> = reserve.offers.iter().map(Signed::claimed).collect();
    let offers = claimed
        .iter()
        .map(|offer| (offer.worker, offer.nonce))
        .collect();
    let split = check_route(&terms, &claimed)
        .and_then(|()| check_offers(&terms, &claimed))
        .and_then(|()| check_signatures(&reserve.offers, signatures))
        .and_then(|()| split(&terms, &claimed, genesis));
    ReserveFacts {
        terms,
        offers,
        split,
    }
}

fn check_route(terms: &JobTerms, offers: &[&Offer]) -> Result<(), Reason> {
    if offers.len() > limits::STAGES_MAX {
        return Err(Reason::TooManyStages);
    }
    let mut next = 0;
    for offer in offers {
        if offer.range.start() != next {
            return Err(Reason::NotTiled);
        }
        next = offer.range.end();
    }
    if next != terms.layers {
        return Err(Reason::NotTiled);
    }
    let workers: BTreeSet<Wallet> = offers.iter().map(|offer| offer.worker).collect();
    if workers.len() == offers.len() {
        Ok(())
    } else {
        Err(Reason::WalletTwice)
    }
}

fn check_offers(terms: &JobTerms, offers: &[&Offer]) -> Result<(), Reason> {
    for offer in offers {
        if offer.submitter != terms.submitter {
            return Err(Reason::OfferSubmitter);
        }
        if offer.model != terms.model {
            return Err(Reason::OfferModel);
        }
        if offer.price_ugft_per_token != terms.price_ugft_per_token {
            return Err(Reason::PricesDiffer);
        }
        let fits = terms.prompt_tokens <= offer.prompt_tokens_max
            && terms.completion_tokens_max <= offer.completion_tokens_max;
        if !fits {
            return Err(Reason::AboveOffer);
        }
    }
    Ok(())
}

fn check_signatures(offers: &[Signed<Offer>], signatures: &mut Signatures) -> Result<(), Reason> {
    if offers.iter().all(|offer| signatures.is_right(offer)) {
        Ok(())
    } else {
        Err(Reason::OfferSignature)
    }
}

fn split(terms: &JobTerms, offers: &[&Offer], genesis: &Genesis) -> Result<Split, Reason> {
    let size = JobSize {
        price_ugft_per_token: terms.price_ugft_per_token,
        prompt_tokens: terms.prompt_tokens,
        completion_tokens_max: terms.completion_tokens_max,
    };
    Split::new(terms.submitter, offers, size, &genesis.policy).map_err(|error| match error {
        SplitError::NoMemory => Reason::NoMemory,
        SplitError::OutOfRange => Reason::OutOfRange,
    })
}

fn check_frontier(frontier: &Frontier, signatures: &mut Signatures) -> Result<(), Reason> {
    let attestation = frontier.attestation.claimed();
    if !signatures.is_right(&frontier.attestation) || attestation.job != frontier.job {
        return Err(Reason::Attestation);
    }
    let ack = frontier.ack.claimed();
    if !signatures.is_right(&frontier.ack)
        || ack.job != frontier.job
        || ack.attestation != frontier.attestation.named()
    {
        return Err(Reason::Ack);
    }
    if ack.prompt_done > attestation.prompt_done
        || ack.completion_done > attestation.completion_done
    {
        return Err(Reason::AckAbove);
    }
    Ok(())
}
