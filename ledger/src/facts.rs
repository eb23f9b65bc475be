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
use std::collections::{BTreeSet, VecDeque};
use talkoot_protocol::{
    Genesis, Hash, JobId, ModelCard, ModelId, NetworkId, Offer, Signable, Signed, Wallet, limits,
};

/// What an entry says: small, since one is kept of each.
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
    Equivocation(Option<Box<Proof>>),
    /// The end of an own job's holds.
    Release(Box<Hash>),
    /// A line passed on.
    Admit(Box<AdmitFacts>),
    Reserve(Box<ReserveFacts>),
    Frontier(Box<FrontierFacts>),
}

/// A line that is passed on.
#[derive(Debug)]
pub(crate) struct AdmitFacts {
    pub(crate) wallet: Wallet,
    pub(crate) line: Ugft,
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

/// What of a `Frontier` is looked at again; the rest stands in its entry.
#[derive(Debug)]
pub(crate) struct FrontierFacts {
    pub(crate) job: Hash,
    pub(crate) is_final: bool,
    /// Who signed the attestation, and who the ack.
    pub(crate) stage: Wallet,
    pub(crate) submitter: Wallet,
    /// What the ack accepts.
    pub(crate) prompt_done: u32,
    pub(crate) completion_done: u32,
    /// Tokens that the attestation claims.
    pub(crate) attested_tokens: u64,
    /// Compute time of each stage that it claims, in order.
    pub(crate) stage_compute_us: Box<[u64]>,
    /// A signature or a field that contradicts, whatever the job is.
    pub(crate) form: Result<(), Reason>,
}

impl FrontierFacts {
    fn new(frontier: &Frontier, form: Result<(), Reason>) -> Self {
        let (attestation, ack) = (frontier.attestation.claimed(), frontier.ack.claimed());
        Self {
            job: frontier.job.0,
            is_final: frontier.is_final,
            stage: attestation.stage,
            submitter: ack.submitter,
            prompt_done: ack.prompt_done,
            completion_done: ack.completion_done,
            attested_tokens: u64::from(attestation.prompt_done)
                .saturating_add(u64::from(attestation.completion_done)),
            stage_compute_us: attestation.stage_compute_us.as_slice().into(),
            form,
        }
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

/// Signatures that were found right not long ago. The stages of a job post the
/// same attestation and ack, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    right: BTreeSet<Hash>,
    oldest_first: VecDeque<Hash>,
}

/// How many of them are kept.
const RECENT_MAX: usize = 512;

impl Recent {
    fn note(&mut self, proof: Hash) {
        if self.right.insert(proof) {
            self.oldest_first.push_back(proof);
        }
        if self.oldest_first.len() > RECENT_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.right.remove(&oldest);
        }
    }
}

/// Judges the signatures inside one entry, in order.
struct Signatures<'a> {
    network: NetworkId,
    known: Option<Embedded>,
    recent: &'a mut Recent,
    is_first: bool,
    found: Embedded,
}

impl Signatures<'_> {
    fn is_right<T: Signable>(&mut self, signed: &Signed<T>) -> bool {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let is_right = match self.known {
            None => self.check(signed),
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

    fn check<T: Signable>(&mut self, signed: &Signed<T>) -> bool {
        let proof = signed.proof(self.network);
        let is_right = self.recent.right.contains(&proof) || signed.is_right(self.network);
        if is_right {
            self.recent.note(proof);
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
    recent: &mut Recent,
) -> (Facts, Embedded) {
    let mut signatures = Signatures {
        network,
        known,
        recent,
        is_first: true,
        found: Embedded::Right,
    };
    let facts = read_with(entry, genesis, &mut signatures);
    (facts, signatures.found)
}

fn read_with(entry: &Entry, genesis: &Genesis, signatures: &mut Signatures<'_>) -> Facts {
    match Payload::decode(entry.kind, &entry.payload) {
        Err(_) => Facts::Malformed,
        Ok(None) => Facts::Unknown,
        Ok(Some(Payload::Witness)) => Facts::Witness,
        Ok(Some(Payload::Model(model))) => {
            Facts::Model(ModelCard::decode(&model.card).ok().map(Box::new))
        }
        Ok(Some(Payload::Release(release))) => Facts::Release(Box::new(release.job.0)),
        Ok(Some(Payload::Equivocation(pair))) => {
            Facts::Equivocation(read_proof(&pair, signatures).map(Box::new))
        }
        Ok(Some(Payload::Admit(admit))) => Facts::Admit(Box::new(AdmitFacts {
            wallet: admit.wallet,
            line: admit.line_ugft,
        })),
        Ok(Some(Payload::Reserve(reserve))) => {
            Facts::Reserve(Box::new(read_reserve(entry, *reserve, genesis, signatures)))
        }
        Ok(Some(Payload::Frontier(frontier))) => {
            let form = check_frontier(&frontier, signatures);
            Facts::Frontier(Box::new(FrontierFacts::new(&frontier, form)))
        }
    }
}

fn read_proof(pair: &Equivocation, signatures: &mut Signatures<'_>) -> Option<Proof> {
    let network = signatures.network;
    pair.proof_by(network, &mut |entry| signatures.is_right(entry))
        .ok()
}

fn read_reserve(
    entry: &Entry,
    reserve: Reserve,
    genesis: &Genesis,
    signatures: &mut Signatures<'_>,
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

fn check_signatures(
    offers: &[Signed<Offer>],
    signatures: &mut Signatures<'_>,
) -> Result<(), Reason> {
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

fn check_frontier(frontier: &Frontier, signatures: &mut Signatures<'_>) -> Result<(), Reason> {
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
