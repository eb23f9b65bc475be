//! `ok`: whether an entry may have effect, judged from its own past alone.
//!
//! Nothing that arrives later, and nothing that happens to sort before, changes
//! a verdict. Forks and confirmation are not judged here.

use crate::amount::{Balance, Ugft};
use crate::core::{Core, Pay};
use crate::facts::{Facts, FrontierFacts, ReserveFacts};
use crate::graph::Ix;
use crate::outcome::Reason;
use crate::past::Past;
use crate::spending::LogMoney;
use talkoot_protocol::Wallet;

/// The verdict on an entry, with the numbers it rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) result: Result<(), Reason>,
    /// For entries that spend: what was available.
    pub(crate) available: Option<Balance>,
    /// For a right `Frontier`: what it claims in all.
    pub(crate) pay: Option<Pay>,
    /// For a right `Release`: the job, and what it frees.
    pub(crate) release: Option<(Ix, Ugft)>,
}

impl Verdict {
    const fn of(result: Result<(), Reason>) -> Self {
        Self {
            result,
            available: None,
            pay: None,
            release: None,
        }
    }

    const fn inert(reason: Reason) -> Self {
        Self::of(Err(reason))
    }
}

/// Judges an entry of `author`; `money` is its log before, settled in `past`.
pub(crate) fn judge(
    core: &Core,
    author: Wallet,
    facts: &Facts,
    past: &Past,
    money: &LogMoney,
) -> Verdict {
    match facts {
        Facts::Unknown => Verdict::inert(Reason::UnknownKind),
        Facts::Malformed => Verdict::inert(Reason::Malformed),
        Facts::Witness | Facts::Model(Some(_)) | Facts::Equivocation(Some(_)) => {
            Verdict::of(Ok(()))
        }
        Facts::Model(None) => Verdict::inert(Reason::MalformedCard),
        Facts::Equivocation(None) => Verdict::inert(Reason::NoProof),
        Facts::Admit(admit) => judge_admit(author, admit.wallet, admit.line, money),
        Facts::Reserve(reserve) => judge_reserve(core, reserve, money),
        Facts::Frontier(frontier) => match judge_frontier(core, author, frontier, past, money) {
            Ok(pay) => Verdict {
                pay: Some(pay),
                ..Verdict::of(Ok(()))
            },
            Err(reason) => Verdict::inert(reason),
        },
        Facts::Release(job) => match core.judge_release(job, past, money) {
            Ok(release) => Verdict {
                release: Some(release),
                ..Verdict::of(Ok(()))
            },
            Err(reason) => Verdict::inert(reason),
        },
    }
}

fn judge_admit(author: Wallet, wallet: Wallet, line: Ugft, money: &LogMoney) -> Verdict {
    let available = money.available();
    let result = if wallet == author {
        Err(Reason::ToSelf)
    } else if line == Ugft::ZERO {
        Err(Reason::ZeroLine)
    } else if !available.covers(line) {
        Err(Reason::TooLittle)
    } else if !money.line_left().covers(line) {
        Err(Reason::AboveLine)
    } else {
        Ok(())
    };
    Verdict {
        available: Some(available),
        ..Verdict::of(result)
    }
}

fn judge_reserve(core: &Core, reserve: &ReserveFacts, money: &LogMoney) -> Verdict {
    let available = money.available();
    let result = match &reserve.split {
        Err(reason) => Err(*reason),
        Ok(_) if reserve.offers.iter().any(|offer| money.has_offer(offer)) => {
            Err(Reason::OfferUsed)
        }
        Ok(_) if !continues_own(core, reserve, money) => Err(Reason::ContinuesUnknown),
        Ok(split) if !available.covers(split.cap) => Err(Reason::TooLittle),
        Ok(_) => Ok(()),
    };
    Verdict {
        available: Some(available),
        ..Verdict::of(result)
    }
}

fn continues_own(core: &Core, reserve: &ReserveFacts, money: &LogMoney) -> bool {
    reserve.terms.continues.is_none_or(|job| {
        core.graph()
            .find(&job.0)
            .is_some_and(|ix| money.has_reserve(ix))
    })
}

fn judge_frontier(
    core: &Core,
    author: Wallet,
    facts: &FrontierFacts,
    past: &Past,
    money: &LogMoney,
) -> Result<Pay, Reason> {
    let job = core
        .reserve_in(past, &facts.job)
        .ok_or(Reason::JobUnknown)?;
    let record = core.record(job);
    let Facts::Reserve(reserve) = &record.facts else {
        return Err(Reason::JobUnknown);
    };
    let (Ok(()), Ok(split)) = (record.verdict, &reserve.split) else {
        return Err(Reason::JobInert);
    };
    let stage = split
        .stages
        .iter()
        .position(|share| share.worker == author && !share.is_own)
        .ok_or(Reason::NotAStage)?;
    facts.form?;
    let last = split.stages.last().map(|share| share.worker);
    if Some(facts.stage) != last {
        return Err(Reason::Attestation);
    }
    if facts.submitter != reserve.terms.submitter {
        return Err(Reason::Ack);
    }
    if facts.prompt_done > reserve.terms.prompt_tokens {
        return Err(Reason::PromptAbove);
    }
    if facts.completion_done > reserve.terms.completion_tokens_max {
        return Err(Reason::CompletionAbove);
    }
    if money.is_final(job) {
        return Err(Reason::AfterFinal);
    }
    let gross = split
        .gross(stage, facts.prompt_done, facts.completion_done)
        .ok_or(Reason::OutOfRange)?;
    let earned = split.earned(stage, gross).ok_or(Reason::OutOfRange)?;
    Ok(Pay {
        job,
        stage,
        gross,
        earned,
    })
}
