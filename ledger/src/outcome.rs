//! What an entry came to: its effect with amounts, or why it has none.
//!
//! The digest of an outcome goes into the chain, so two nodes whose arithmetic
//! differs part at the very entry. The numbers of reasons are never changed.

use crate::amount::Ugft;
use bincode::Encode;
use talkoot_protocol::codec;
use talkoot_protocol::{Hash, HashContext, Wallet};

/// Why an entry has no effect. It stays in the set and in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[repr(u16)]
#[non_exhaustive]
pub enum Reason {
    /// A kind of a later version.
    #[error("unknown kind")]
    UnknownKind = 1,
    /// A known kind whose payload does not decode.
    #[error("malformed payload")]
    Malformed = 2,
    /// Its author has signed two entries at one number not above this one's.
    #[error("its author's log is forked here, and it is not confirmed")]
    Fork = 3,
    /// The `Reserve` it names has no effect for that reason.
    #[error("the log of the job's submitter is forked, and the reserve is not confirmed")]
    ReserveFork = 4,
    /// The author has less than this would hold or pass on.
    #[error("too little is available")]
    TooLittle = 5,
    /// More than the own line and lines received, less lines passed on.
    #[error("more than the part of the line that is still the author's")]
    AboveLine = 6,
    /// A line passed on to oneself.
    #[error("a line passed on to its owner")]
    ToSelf = 7,
    /// A line of nothing.
    #[error("a line of nothing")]
    ZeroLine = 8,
    /// The offers do not cover each layer exactly once, in order.
    #[error("the stages do not tile the layers")]
    NotTiled = 9,
    /// More stages than a route may have.
    #[error("too many stages")]
    TooManyStages = 10,
    /// One wallet in two stages.
    #[error("a wallet stands twice in the route")]
    WalletTwice = 11,
    /// An offer's signature is not its worker's.
    #[error("the signature of an offer does not verify")]
    OfferSignature = 12,
    /// An offer to somebody else.
    #[error("an offer is for another submitter")]
    OfferSubmitter = 13,
    /// An offer for another model.
    #[error("an offer is for another model")]
    OfferModel = 14,
    /// An offer that an earlier `Reserve` of this log carried.
    #[error("an offer was carried by an earlier reserve")]
    OfferUsed = 15,
    /// An offer at another price than the `Reserve`'s.
    #[error("the prices differ")]
    PricesDiffer = 16,
    /// More tokens than an offer accepts.
    #[error("more tokens than an offer accepts")]
    AboveOffer = 17,
    /// An offer that lends no memory.
    #[error("an offer lends no memory")]
    NoMemory = 18,
    /// An amount does not fit.
    #[error("an amount is out of range")]
    OutOfRange = 19,
    /// `continues` is no earlier `Reserve` of this log.
    #[error("the job it continues is not an earlier one of this log")]
    ContinuesUnknown = 20,
    /// The job is not a `Reserve` in the past of this entry.
    #[error("the job is not in its past")]
    JobUnknown = 21,
    /// The job's `Reserve` is inert.
    #[error("the job's reserve is inert")]
    JobInert = 22,
    /// The author is not a foreign stage of the job.
    #[error("the author is no stage of the job")]
    NotAStage = 23,
    /// The attestation is not the last stage's for this job.
    #[error("the attestation is not the last stage's for this job")]
    Attestation = 24,
    /// The ack is not the submitter's for this attestation.
    #[error("the ack is not the submitter's for this attestation")]
    Ack = 25,
    /// The ack accepts more than was attested.
    #[error("the ack exceeds the attestation")]
    AckAbove = 26,
    /// More prompt tokens than the `Reserve` has.
    #[error("more prompt tokens than reserved")]
    PromptAbove = 27,
    /// More completion tokens than the `Reserve` allows.
    #[error("more completion tokens than reserved")]
    CompletionAbove = 28,
    /// This log has said its last word about the job.
    #[error("after the stage's final frontier")]
    AfterFinal = 29,
    /// The pair proves nothing.
    #[error("the pair is no proof")]
    NoProof = 30,
    /// The card does not decode.
    #[error("malformed model card")]
    MalformedCard = 31,
    /// The submitter has released the job without this frontier in its past,
    /// and it is not confirmed.
    #[error("the job was released before founders saw this frontier")]
    Released = 32,
    /// A release of what is no ok `Reserve` of the author's own log.
    #[error("the job is not an ok reserve of this log")]
    NotOwnJob = 33,
    /// Too few founders claim that the job's deadline has passed.
    #[error("founders with more than two thirds of the lines do not say that the deadline is over")]
    NotDue = 34,
    /// The log has released the job before.
    #[error("the job was released before")]
    ReleasedBefore = 35,
}

impl Reason {
    /// The number of the reason in effect digests.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// What an entry came to in a set of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, with the reason.
    Inert(Reason),
    /// A witness, a proof or a card: in force, and no money moves.
    Noted,
    /// A line was passed on.
    Admitted {
        /// To whom.
        wallet: Wallet,
        /// How much.
        line: Ugft,
    },
    /// Money is held for a job.
    Reserved {
        /// For all foreign stages together.
        held: Ugft,
    },
    /// A stage was paid.
    Paid {
        /// Burned by the submitter through this entry.
        burned: Ugft,
        /// Earned by the stage through this entry.
        earned: Ugft,
        /// Whether it frees the rest of the hold.
        is_final: bool,
    },
    /// The holds of a job have ended.
    Released {
        /// What no stage can be paid any more and no final frontier had freed.
        freed: Ugft,
    },
}

#[derive(Encode)]
struct Digested {
    reason: u16,
    tag: u16,
    wallet: [u8; 32],
    amounts: [u64; 2],
    is_final: bool,
}

impl Outcome {
    /// The reason, when there is no effect.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Inert(reason) => Some(*reason),
            _ => None,
        }
    }

    /// Whether the entry has effect.
    #[must_use]
    pub const fn is_effective(&self) -> bool {
        !matches!(self, Self::Inert(_))
    }

    /// The digest that the chain's link covers.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let plain = Digested {
            reason: 0,
            tag: 0,
            wallet: [0; 32],
            amounts: [0; 2],
            is_final: false,
        };
        let digested = match *self {
            Self::Inert(reason) => Digested {
                reason: reason.code(),
                ..plain
            },
            Self::Noted => Digested { tag: 1, ..plain },
            Self::Admitted { wallet, line } => Digested {
                tag: 2,
                wallet: *wallet.as_bytes(),
                amounts: [line.0, 0],
                ..plain
            },
            Self::Reserved { held } => Digested {
                tag: 3,
                amounts: [held.0, 0],
                ..plain
            },
            Self::Paid {
                burned,
                earned,
                is_final,
            } => Digested {
                tag: 4,
                amounts: [burned.0, earned.0],
                is_final,
                ..plain
            },
            Self::Released { freed } => Digested {
                tag: 5,
                amounts: [freed.0, 0],
                ..plain
            },
        };
        Hash::of(HashContext::Effect, &codec::encode(&digested))
    }
}
