//! The rules, written as plainly as they can be: sets of at most 128 entries as
//! bits, everything computed again for each question, nothing kept but
//! verdicts. The ledger must agree with this on every set.

// The path holds however this file is included.
#[path = "oracle/release.rs"]
mod release;

use super::E;
use std::collections::{BTreeMap, BTreeSet};
use talkoot_ledger::kinds::{Frontier, Reserve};
use talkoot_ledger::{Outcome, Payload, Reason, Ugft, id_of};
use talkoot_protocol::{Genesis, Hash, HashContext, Wallet};

/// A set of entries.
pub type Set = u128;

pub fn bits(set: Set) -> impl DoubleEndedIterator<Item = usize> {
    (0..128).filter(move |i| set >> i & 1 == 1)
}

/// What a set comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fold {
    pub balances: BTreeMap<Wallet, i128>,
    pub commons: i128,
    pub lines: BTreeMap<Wallet, i128>,
    pub held: BTreeMap<Wallet, i128>,
    pub outcomes: BTreeMap<usize, Outcome>,
    /// Burned and earned in all for each stage of a job.
    pub stages: BTreeMap<(usize, Wallet), (i128, i128)>,
}

#[derive(Debug)]
pub struct Oracle {
    pub genesis: Genesis,
    pub entries: Vec<E>,
    pub payloads: Vec<Option<Payload>>,
    pub ids: BTreeMap<Hash, usize>,
    pub past: Vec<Set>,
    pub ok: Vec<Result<(), Reason>>,
    attests: Vec<BTreeMap<Wallet, Set>>,
}

impl Oracle {
    pub fn new(genesis: Genesis) -> Self {
        Self {
            genesis,
            entries: Vec::new(),
            payloads: Vec::new(),
            ids: BTreeMap::new(),
            past: Vec::new(),
            ok: Vec::new(),
            attests: Vec::new(),
        }
    }

    pub fn all(&self) -> Set {
        if self.entries.len() == 128 {
            !0
        } else {
            (1 << self.entries.len()) - 1
        }
    }

    pub fn closure(&self, i: usize) -> Set {
        self.past[i] | 1 << i
    }

    fn author(&self, i: usize) -> Wallet {
        self.entries[i].author
    }

    fn seq(&self, i: usize) -> u64 {
        self.entries[i].seq
    }

    fn reserve(&self, i: usize) -> Option<&Reserve> {
        match &self.payloads[i] {
            Some(Payload::Reserve(reserve)) => Some(reserve),
            _ => None,
        }
    }

    fn frontier(&self, i: usize) -> Option<&Frontier> {
        match &self.payloads[i] {
            Some(Payload::Frontier(frontier)) => Some(frontier),
            _ => None,
        }
    }

    fn job(&self, i: usize) -> Option<usize> {
        let job = self.ids.get(&self.frontier(i)?.job.0).copied()?;
        self.reserve(job).map(|_| job)
    }

    /// The job of an ok frontier.
    fn paid_job(&self, i: usize) -> Option<usize> {
        self.job(i).filter(|_| self.ok[i].is_ok())
    }

    /// Adds an entry after its parents; gives its place.
    pub fn add(&mut self, entry: E) -> usize {
        if let Some(&known) = self.ids.get(&id_of(&entry)) {
            return known;
        }
        let i = self.entries.len();
        assert!(i < 128);
        let parents = talkoot_ledger::entry::parents(&entry).map(|id| self.ids[&id]);
        self.past.push(
            parents
                .map(|parent| self.closure(parent))
                .fold(0, |a, b| a | b),
        );
        self.payloads
            .push(Payload::decode(entry.kind, &entry.payload).unwrap());
        self.ids.insert(id_of(&entry), i);
        self.entries.push(entry);
        self.attests.push(BTreeMap::new());
        self.ok.push(Ok(()));
        self.ok[i] = self.judge(i);
        let founder = self.author(i);
        if self.genesis.line_ugft(founder) > 0 {
            let seen = self.closure(i);
            for j in bits(seen) {
                let is_sound = |job| self.clean(job, seen) && !self.is_late(i, j, job);
                if self.clean(j, seen) && self.paid_job(j).is_none_or(is_sound) {
                    *self.attests[j].entry(founder).or_default() |= 1 << i;
                }
            }
        }
        i
    }

    pub fn fork_seq(&self, author: Wallet, set: Set) -> Option<u64> {
        let mut seen = BTreeSet::new();
        let own = bits(set)
            .filter(|&i| self.author(i) == author)
            .map(|i| self.seq(i));
        own.filter(|&seq| !seen.insert(seq)).min()
    }

    fn clean(&self, i: usize, set: Set) -> bool {
        self.fork_seq(self.author(i), set)
            .is_none_or(|fork| fork > self.seq(i))
    }

    pub fn confirmed(&self, i: usize, set: Set) -> bool {
        let by = self.attests[i].iter().filter(|(_, at)| *at & set != 0);
        let have: u128 = by
            .map(|(founder, _)| u128::from(self.genesis.line_ugft(*founder)))
            .sum();
        3 * have > 2 * self.genesis.lines_ugft()
    }

    fn live(&self, i: usize, set: Set) -> bool {
        self.clean(i, set) || self.confirmed(i, set)
    }

    fn effective(&self, i: usize, set: Set) -> bool {
        self.ok[i].is_ok()
            && self.live(i, set)
            && self
                .paid_job(i)
                .is_none_or(|job| self.effective(job, set) && !self.shut_out(i, job, set))
    }

    /// The log before an entry.
    fn own(&self, i: usize) -> Vec<usize> {
        let mut out = Vec::new();
        let mut here = i;
        while self.seq(here) > 0 {
            here = self.ids[&self.entries[here].prev];
            out.push(here);
        }
        out.reverse();
        out
    }

    fn weights(&self, job: usize) -> Vec<(Wallet, u128)> {
        let offers: Vec<_> = self
            .reserve(job)
            .unwrap()
            .offers
            .iter()
            .map(|offer| offer.claimed())
            .collect();
        let mut rates: Vec<u128> = offers
            .iter()
            .map(|o| u128::from(o.service_rate))
            .filter(|&rate| rate > 0)
            .collect();
        rates.sort_unstable();
        let median = if rates.is_empty() {
            0
        } else {
            rates[(rates.len() - 1) / 2]
        };
        let weight = |o: &&talkoot_protocol::Offer| {
            let rate = if o.service_rate == 0 {
                median
            } else {
                u128::from(o.service_rate)
            };
            let t = (rate * 1_000_000)
                .checked_div(median)
                .map_or(1_000_000, |t| t.clamp(500_000, 1_500_000));
            let p = 850_000
                + 300_000 * u128::from(o.shard_bytes.min(o.memory_bytes))
                    / u128::from(o.memory_bytes);
            (
                o.worker,
                (u128::from(o.share_kflop) * t * p * 1_000_000 / 10_u128.pow(18)).max(1),
            )
        };
        offers.iter().map(weight).collect()
    }

    fn part(&self, job: usize, worker: Wallet, tokens: u32) -> i128 {
        let weights = self.weights(job);
        let total: u128 = weights.iter().map(|(_, w)| w).sum();
        let own = weights.iter().find(|(w, _)| *w == worker).unwrap().1;
        let price = u128::from(self.reserve(job).unwrap().price_ugft_per_token);
        i128::try_from(u128::from(tokens) * price * own / total).unwrap()
    }

    fn gross(&self, i: usize) -> i128 {
        let ack = self.frontier(i).unwrap().ack.claimed();
        self.part(
            self.job(i).unwrap(),
            self.author(i),
            ack.prompt_done + ack.completion_done,
        )
    }

    fn earned(&self, job: usize, worker: Wallet, gross: i128) -> i128 {
        let offers = &self.reserve(job).unwrap().offers;
        let offer = offers
            .iter()
            .map(|offer| offer.claimed())
            .find(|offer| offer.worker == worker)
            .unwrap();
        gross * i128::from(offer.reliability_ppm) / 1_000_000
    }

    fn tokens_max(&self, job: usize) -> u32 {
        let reserve = self.reserve(job).unwrap();
        reserve.prompt_tokens + reserve.completion_tokens_max
    }

    pub fn hold(&self, job: usize, worker: Wallet) -> i128 {
        self.part(job, worker, self.tokens_max(job))
    }

    pub fn cap(&self, job: usize) -> i128 {
        i128::from(self.tokens_max(job))
            * i128::from(self.reserve(job).unwrap().price_ugft_per_token)
    }

    fn foreign(&self, job: usize) -> Vec<Wallet> {
        let workers = self.weights(job).into_iter().map(|(worker, _)| worker);
        workers
            .filter(|worker| *worker != self.author(job))
            .collect()
    }

    /// (available, what is left of the line).
    fn available(&self, i: usize) -> (i128, i128) {
        let (past, me, own) = (self.past[i], self.author(i), self.own(i));
        let mut line = i128::from(self.genesis.line_ugft(me));
        for j in bits(past) {
            if let Some(Payload::Admit(admit)) = &self.payloads[j]
                && admit.wallet == me
                && self.ok[j].is_ok()
                && self.confirmed(j, past)
            {
                line += i128::from(admit.line_ugft.0);
            }
        }
        let mut best: BTreeMap<usize, i128> = BTreeMap::new();
        for &j in &own {
            if let Some(job) = self.paid_job(j).filter(|_| self.confirmed(j, past)) {
                let most = best.entry(job).or_default();
                *most = self.gross(j).max(*most);
            }
        }
        let mut available = best
            .iter()
            .map(|(&job, &gross)| self.earned(job, me, gross))
            .sum::<i128>();
        for &j in own.iter().filter(|&&j| self.ok[j].is_ok()) {
            match &self.payloads[j] {
                Some(Payload::Admit(admit)) => line -= i128::from(admit.line_ugft.0),
                Some(Payload::Reserve(_)) => {
                    available -= self
                        .foreign(j)
                        .into_iter()
                        .map(|w| self.still_held(j, w, past).min(self.left(i, j, w)))
                        .sum::<i128>();
                }
                _ => {}
            }
        }
        (available + line, line)
    }

    fn still_held(&self, job: usize, worker: Wallet, past: Set) -> i128 {
        let mut hold = self.hold(job, worker);
        for f in bits(past) {
            let is_last = self.paid_job(f) == Some(job)
                && self.author(f) == worker
                && self.frontier(f).unwrap().is_final
                && self.confirmed(f, past);
            if is_last {
                let before = self
                    .own(f)
                    .into_iter()
                    .filter(|&o| self.paid_job(o) == Some(job));
                let paid = before.chain([f]).map(|o| self.gross(o)).max().unwrap();
                hold = hold.min(paid);
            }
        }
        hold
    }

    fn check_offers(&self, reserve: &Reserve, me: Wallet, own: &[usize]) -> Result<(), Reason> {
        let keys = |reserve: &Reserve| -> BTreeSet<(Wallet, u64)> {
            let claimed = reserve.offers.iter().map(|offer| offer.claimed());
            claimed.map(|offer| (offer.worker, offer.nonce)).collect()
        };
        let earlier = own.iter().filter_map(|&o| self.reserve(o)).flat_map(keys);
        let mut offers = reserve.offers.iter();
        if offers.any(|offer| offer.claimed().submitter != me) {
            return Err(Reason::OfferSubmitter);
        }
        if keys(reserve).is_disjoint(&earlier.collect()) {
            Ok(())
        } else {
            Err(Reason::OfferUsed)
        }
    }

    fn judge(&self, i: usize) -> Result<(), Reason> {
        let (past, me, own) = (self.past[i], self.author(i), self.own(i));
        match self.payloads[i].as_ref() {
            None => Err(Reason::UnknownKind),
            Some(Payload::Admit(admit)) => {
                let (available, line_left) = self.available(i);
                let line = i128::from(admit.line_ugft.0);
                if admit.wallet == me {
                    Err(Reason::ToSelf)
                } else if line == 0 {
                    Err(Reason::ZeroLine)
                } else if available < line {
                    Err(Reason::TooLittle)
                } else if line_left < line {
                    Err(Reason::AboveLine)
                } else {
                    Ok(())
                }
            }
            Some(Payload::Reserve(reserve)) => {
                self.check_offers(reserve, me, &own)?;
                if self.available(i).0 < self.cap(i) {
                    Err(Reason::TooLittle)
                } else {
                    Ok(())
                }
            }
            Some(Payload::Frontier(frontier)) => {
                let job = self
                    .job(i)
                    .filter(|&job| past >> job & 1 == 1)
                    .ok_or(Reason::JobUnknown)?;
                self.ok[job].map_err(|_| Reason::JobInert)?;
                if !self.foreign(job).contains(&me) {
                    return Err(Reason::NotAStage);
                }
                let (ack, reserve) = (frontier.ack.claimed(), self.reserve(job).unwrap());
                if ack.prompt_done > reserve.prompt_tokens {
                    return Err(Reason::PromptAbove);
                }
                if ack.completion_done > reserve.completion_tokens_max {
                    return Err(Reason::CompletionAbove);
                }
                let over = |&o: &usize| {
                    self.paid_job(o) == Some(job) && self.frontier(o).unwrap().is_final
                };
                if own.iter().any(over) {
                    Err(Reason::AfterFinal)
                } else {
                    Ok(())
                }
            }
            Some(Payload::Release(release)) => self.judge_release(i, &release.job.0),
            Some(Payload::Witness | Payload::Equivocation(_) | Payload::Model(_)) => Ok(()),
        }
    }

    fn chain_key(&self, i: usize) -> (u64, Wallet, u64, Hash) {
        let entry = &self.entries[i];
        (entry.lamport, entry.author, entry.seq, id_of(entry))
    }

    pub fn outcome(&self, i: usize, set: Set) -> Outcome {
        if let Err(reason) = self.ok[i] {
            return Outcome::Inert(reason);
        }
        if !self.live(i, set) {
            return Outcome::Inert(Reason::Fork);
        }
        match self.payloads[i].as_ref().unwrap() {
            Payload::Admit(admit) => Outcome::Admitted {
                wallet: admit.wallet,
                line: admit.line_ugft,
            },
            Payload::Reserve(_) => {
                let held: i128 = self.foreign(i).into_iter().map(|w| self.hold(i, w)).sum();
                Outcome::Reserved {
                    held: Ugft(u64::try_from(held).unwrap()),
                }
            }
            Payload::Frontier(frontier) => {
                if !self.effective(self.job(i).unwrap(), set) {
                    return Outcome::Inert(Reason::ReserveFork);
                }
                if self.shut_out(i, self.job(i).unwrap(), set) {
                    return Outcome::Inert(Reason::Released);
                }
                let (job, me) = (self.job(i).unwrap(), self.author(i));
                let same = |&o: &usize| self.paid_job(o) == Some(job) && self.author(o) == me;
                let before = bits(set)
                    .filter(same)
                    .filter(|&o| self.chain_key(o) < self.chain_key(i));
                let most = before
                    .filter(|&o| self.effective(o, set))
                    .map(|o| self.gross(o))
                    .max()
                    .unwrap_or(0);
                let now = self.gross(i).max(most);
                let amount = |value: i128| Ugft(u64::try_from(value).unwrap());
                Outcome::Paid {
                    burned: amount(now - most),
                    earned: amount(self.earned(job, me, now) - self.earned(job, me, most)),
                    is_final: frontier.is_final,
                }
            }
            Payload::Release(_) => {
                let freed = self.freed(self.released_job(i).unwrap(), self.past[i]);
                Outcome::Released {
                    freed: Ugft(u64::try_from(freed).unwrap()),
                }
            }
            Payload::Witness | Payload::Equivocation(_) | Payload::Model(_) => Outcome::Noted,
        }
    }

    pub fn fold(&self, set: Set) -> Fold {
        let mut fold = Fold::default();
        for founder in &self.genesis.founders {
            fold.lines
                .insert(founder.wallet, i128::from(founder.line_ugft));
        }
        let mut finals = BTreeSet::new();
        for i in bits(set) {
            let outcome = self.outcome(i, set);
            fold.outcomes.insert(i, outcome);
            match outcome {
                Outcome::Admitted { wallet, line } => {
                    *fold.lines.entry(self.author(i)).or_default() -= i128::from(line.0);
                    *fold.lines.entry(wallet).or_default() += i128::from(line.0);
                }
                Outcome::Paid {
                    burned,
                    earned,
                    is_final,
                } => {
                    let (job, burned, earned) = (
                        self.job(i).unwrap(),
                        i128::from(burned.0),
                        i128::from(earned.0),
                    );
                    *fold.balances.entry(self.author(job)).or_default() -= burned;
                    *fold.balances.entry(self.author(i)).or_default() += earned;
                    fold.commons += burned - earned;
                    let stage = fold.stages.entry((job, self.author(i))).or_default();
                    *stage = (stage.0 + burned, stage.1 + earned);
                    if is_final {
                        finals.insert((job, self.author(i)));
                    }
                }
                _ => {}
            }
        }
        let released: BTreeSet<usize> = bits(set)
            .filter(|i| matches!(fold.outcomes[i], Outcome::Released { .. }))
            .filter_map(|i| self.released_job(i))
            .collect();
        for i in bits(set).filter(|i| matches!(fold.outcomes[i], Outcome::Reserved { .. })) {
            for worker in self.foreign(i) {
                let paid = fold.stages.get(&(i, worker)).map_or(0, |stage| stage.0);
                assert!(paid <= self.hold(i, worker), "more was paid than held");
                if !finals.contains(&(i, worker)) && !released.contains(&i) {
                    *fold.held.entry(self.author(i)).or_default() += self.hold(i, worker) - paid;
                }
            }
        }
        fold
    }

    pub fn tip(&self, set: Set, fold: &Fold) -> Hash {
        let mut order: Vec<usize> = bits(set).collect();
        order.sort_by_key(|&i| self.chain_key(i));
        order.into_iter().fold(self.genesis.id().0, |before, i| {
            let effect = fold.outcomes[&i].digest();
            let id = id_of(&self.entries[i]);
            Hash::of_parts(
                HashContext::Link,
                &[before.as_bytes(), id.as_bytes(), effect.as_bytes()],
            )
        })
    }
}
