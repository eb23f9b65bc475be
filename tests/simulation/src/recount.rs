//! The books of a set of entries, counted again from nothing: every rule as
//! plainly as it can be written, for sets of any size and entries of any kind.
//!
//! Nothing of the ledger is used but its types: no graph, no cache, no order of
//! arrival. Entries are judged from the oldest on, each from its past alone, and
//! then folded once.

mod form;
mod set;

use crate::craft::E;
use form::Route;
use set::Set;
use std::collections::{BTreeMap, BTreeSet};
use talkoot_ledger::kinds::{Admit, Frontier};
use talkoot_ledger::{HOLD_GRACE_MS, Outcome, Payload, Reason, Ugft, entry, id_of};
use talkoot_protocol::{Genesis, Hash, HashContext, Wallet};

/// What an entry says.
#[derive(Debug)]
enum Words {
    Unknown,
    Malformed,
    Known(Box<Payload>),
}

#[derive(Debug)]
struct One {
    entry: E,
    id: Hash,
    words: Words,
    /// For a `Reserve`: its route, or what is wrong with it by itself.
    route: Option<Result<Route, Reason>>,
    past: Set,
    /// Its log before it, the oldest first.
    log: Vec<usize>,
    ok: Result<(), Reason>,
    /// Entries of founders that confirm it.
    by: Vec<usize>,
}

/// All entries, judged, and what they come to.
#[derive(Debug)]
pub(crate) struct Recount {
    genesis: Genesis,
    all: Vec<One>,
    ids: BTreeMap<Hash, usize>,
    logs: BTreeMap<Wallet, Vec<usize>>,
    whole: Set,
    pub(crate) outcomes: Vec<(Hash, Outcome, bool)>,
    pub(crate) balances: BTreeMap<Wallet, i128>,
    pub(crate) lines: BTreeMap<Wallet, i128>,
    pub(crate) held: BTreeMap<Wallet, i128>,
    pub(crate) commons: i128,
}

impl Recount {
    /// Counts a set that holds the parents of its entries.
    pub(crate) fn new(genesis: &Genesis, entries: &[E]) -> Self {
        let mut sorted: Vec<E> = entries.to_vec();
        sorted.sort_by_key(|entry| (entry.lamport, entry.author, entry.seq, id_of(entry)));
        let mut recount = Self {
            genesis: genesis.clone(),
            all: Vec::new(),
            ids: BTreeMap::new(),
            logs: BTreeMap::new(),
            whole: Set::default(),
            outcomes: Vec::new(),
            balances: BTreeMap::new(),
            lines: BTreeMap::new(),
            held: BTreeMap::new(),
            commons: 0,
        };
        for entry in sorted {
            recount.add(entry);
        }
        recount.fold();
        recount
    }

    fn add(&mut self, entry: E) {
        let (i, id, author) = (self.all.len(), id_of(&entry), entry.author);
        let mut past = Set::default();
        for parent in entry::parents(&entry).map(|id| self.ids[&id]) {
            past.join(&self.all[parent].past);
            past.add(parent);
        }
        let mut log = Vec::new();
        if entry.seq > 0 {
            let prev = self.ids[&entry.prev];
            log.clone_from(&self.all[prev].log);
            log.push(prev);
        }
        let words = match Payload::decode(entry.kind, &entry.payload) {
            Ok(Some(payload)) => Words::Known(Box::new(payload)),
            Ok(None) => Words::Unknown,
            Err(_) => Words::Malformed,
        };
        let route = match &words {
            Words::Known(payload) => match payload.as_ref() {
                Payload::Reserve(reserve) => Some(form::route(author, reserve, &self.genesis)),
                _ => None,
            },
            _ => None,
        };
        self.all.push(One {
            entry,
            id,
            words,
            route,
            past,
            log,
            ok: Ok(()),
            by: Vec::new(),
        });
        self.ids.insert(id, i);
        self.logs.entry(author).or_default().push(i);
        self.whole.add(i);
        self.all[i].ok = self.judge(i);
        if self.genesis.line_ugft(author) > 0 {
            self.confirm_by(i);
        }
    }

    fn payload(&self, i: usize) -> Option<&Payload> {
        match &self.all[i].words {
            Words::Known(payload) => Some(payload),
            _ => None,
        }
    }

    fn frontier(&self, i: usize) -> Option<&Frontier> {
        match self.payload(i) {
            Some(Payload::Frontier(frontier)) => Some(frontier),
            _ => None,
        }
    }

    fn author(&self, i: usize) -> Wallet {
        self.all[i].entry.author
    }

    fn is_ok(&self, i: usize) -> bool {
        self.all[i].ok.is_ok()
    }

    fn route(&self, job: usize) -> Option<&Route> {
        self.all[job].route.as_ref()?.as_ref().ok()
    }

    /// The job of an ok frontier.
    fn paid_job(&self, i: usize) -> Option<usize> {
        let frontier = self.frontier(i).filter(|_| self.is_ok(i))?;
        self.ids.get(&frontier.job.0).copied()
    }

    /// The job of an ok release.
    fn released_job(&self, i: usize) -> Option<usize> {
        match self.payload(i) {
            Some(Payload::Release(release)) if self.is_ok(i) => {
                self.ids.get(&release.job.0).copied()
            }
            _ => None,
        }
    }

    /// The lowest number at which an author has two entries in a set.
    fn fork(&self, author: Wallet, set: &Set) -> Option<u64> {
        let mut seen = BTreeSet::new();
        let log = self.logs.get(&author).into_iter().flatten().copied();
        let numbers = log.filter(|&i| set.has(i)).map(|i| self.all[i].entry.seq);
        numbers.filter(|&seq| !seen.insert(seq)).min()
    }

    fn is_clean(&self, i: usize, set: &Set) -> bool {
        let fork = self.fork(self.author(i), set);
        fork.is_none_or(|fork| fork > self.all[i].entry.seq)
    }

    /// Notes what a founder's new entry confirms.
    fn confirm_by(&mut self, by: usize) {
        let mut seen = self.all[by].past.clone();
        seen.add(by);
        let forks: BTreeMap<Wallet, Option<u64>> = self
            .logs
            .keys()
            .map(|author| (*author, self.fork(*author, &seen)))
            .collect();
        let is_clean =
            |i: usize| forks[&self.author(i)].is_none_or(|fork| fork > self.all[i].entry.seq);
        let confirms = |i: usize| {
            seen.has(i)
                && is_clean(i)
                && self
                    .paid_job(i)
                    .is_none_or(|job| is_clean(job) && !self.came_late(by, i, job))
        };
        let confirmed: Vec<usize> = (0..=by).filter(|&i| confirms(i)).collect();
        for i in confirmed {
            self.all[i].by.push(by);
        }
    }

    /// Whether an entry says that a job's deadline and grace are over.
    fn says_over(&self, i: usize, job: usize) -> bool {
        let deadline_ms = match self.payload(job) {
            Some(Payload::Reserve(reserve)) => reserve.deadline_ms,
            _ => return false,
        };
        matches!(self.payload(i), Some(Payload::Witness))
            && self.all[i].entry.time_ms >= deadline_ms.saturating_add(HOLD_GRACE_MS)
            && self.all[i].past.has(job)
    }

    /// Whether the log before `by` said that the job is over before it saw `i`.
    fn came_late(&self, by: usize, i: usize, job: usize) -> bool {
        let mut said = self.all[by].log.iter().filter(|&&c| self.says_over(c, job));
        said.any(|&c| !self.all[c].past.has(i))
    }

    fn weigh(&self, founders: &BTreeSet<Wallet>) -> bool {
        let have: u128 = founders
            .iter()
            .map(|founder| u128::from(self.genesis.line_ugft(*founder)))
            .sum();
        3 * have > 2 * self.genesis.lines_ugft()
    }

    fn is_confirmed(&self, i: usize, set: &Set) -> bool {
        let by = self.all[i].by.iter().filter(|by| set.has(**by));
        self.weigh(&by.map(|by| self.author(*by)).collect())
    }

    fn is_live(&self, i: usize, set: &Set) -> bool {
        self.is_clean(i, set) || self.is_confirmed(i, set)
    }

    /// Whether an effective release shuts a frontier out.
    fn is_shut_out(&self, i: usize, job: usize, set: &Set) -> bool {
        let submitter = self
            .logs
            .get(&self.author(job))
            .into_iter()
            .flatten()
            .copied();
        let mut releases = submitter.filter(|&r| set.has(r) && self.released_job(r) == Some(job));
        releases.any(|r| !self.all[r].past.has(i) && self.is_live(r, set))
            && !self.is_confirmed(i, set)
    }

    /// What a frontier claims in all: (burned, earned).
    fn claim(&self, i: usize, job: usize) -> (i128, i128) {
        let (Some(frontier), Some(route)) = (self.frontier(i), self.route(job)) else {
            return (0, 0);
        };
        let ack = frontier.ack.claimed();
        route.claim(
            self.author(i),
            u128::from(ack.prompt_done) + u128::from(ack.completion_done),
        )
    }

    /// The most that a worker claims of a job in a set.
    fn most(&self, worker: Wallet, job: usize, set: &Set) -> i128 {
        let log = self.logs.get(&worker).into_iter().flatten().copied();
        let own = log.filter(|&f| set.has(f) && self.paid_job(f) == Some(job));
        own.map(|f| self.claim(f, job).0).max().unwrap_or(0)
    }

    /// What is available to an entry, and what is left of its line.
    fn available(&self, i: usize) -> (i128, i128) {
        let (one, me) = (&self.all[i], self.author(i));
        let mut line = i128::from(self.genesis.line_ugft(me));
        for j in (0..i).filter(|&j| one.past.has(j) && self.is_ok(j)) {
            if let Some(Payload::Admit(Admit { wallet, line_ugft })) = self.payload(j)
                && *wallet == me
                && self.is_confirmed(j, &one.past)
            {
                line += i128::from(line_ugft.0);
            }
        }
        let mut earned: BTreeMap<usize, i128> = BTreeMap::new();
        let mut held = 0;
        for &j in one.log.iter().filter(|&&j| self.is_ok(j)) {
            match self.payload(j) {
                Some(Payload::Admit(admit)) => line -= i128::from(admit.line_ugft.0),
                Some(Payload::Reserve(_)) => held += self.holds(i, j),
                Some(Payload::Frontier(_)) if self.is_confirmed(j, &one.past) => {
                    if let Some(job) = self.paid_job(j) {
                        let most = earned.entry(job).or_default();
                        *most = self.claim(j, job).1.max(*most);
                    }
                }
                _ => {}
            }
        }
        (line + earned.values().sum::<i128>() - held, line)
    }

    /// What an own job still holds, as an entry sees it.
    fn holds(&self, i: usize, job: usize) -> i128 {
        let one = &self.all[i];
        let Some(route) = self.route(job) else {
            return 0;
        };
        let hold = |worker: Wallet| {
            let mut hold = route.hold(worker);
            let log = self.logs.get(&worker).into_iter().flatten().copied();
            for last in log.filter(|&f| one.past.has(f) && self.is_final(f, job)) {
                if self.is_confirmed(last, &one.past) {
                    let own = self.all[last].log.iter().copied().chain([last]);
                    let paid = own.filter(|&o| self.paid_job(o) == Some(job));
                    hold = hold.min(paid.map(|o| self.claim(o, job).0).max().unwrap_or(0));
                }
            }
            let releases = one
                .log
                .iter()
                .filter(|&&r| self.released_job(r) == Some(job));
            releases.fold(hold, |hold, &r| {
                hold.min(self.most(worker, job, &self.all[r].past))
            })
        };
        route.foreign().map(hold).sum()
    }

    fn is_final(&self, i: usize, job: usize) -> bool {
        self.paid_job(i) == Some(job) && self.frontier(i).is_some_and(|frontier| frontier.is_final)
    }

    fn judge(&self, i: usize) -> Result<(), Reason> {
        let payload = match &self.all[i].words {
            Words::Unknown => return Err(Reason::UnknownKind),
            Words::Malformed => return Err(Reason::Malformed),
            Words::Known(payload) => payload.as_ref(),
        };
        let need = |holds: bool, reason| if holds { Ok(()) } else { Err(reason) };
        match payload {
            Payload::Witness => Ok(()),
            Payload::Model(model) => need(
                talkoot_protocol::ModelCard::decode(&model.card).is_ok(),
                Reason::MalformedCard,
            ),
            Payload::Equivocation(pair) => {
                need(pair.proof(self.genesis.id()).is_ok(), Reason::NoProof)
            }
            Payload::Admit(admit) => {
                let ((available, left), line) = (self.available(i), i128::from(admit.line_ugft.0));
                need(admit.wallet != self.author(i), Reason::ToSelf)?;
                need(line != 0, Reason::ZeroLine)?;
                need(available >= line, Reason::TooLittle)?;
                need(left >= line, Reason::AboveLine)
            }
            Payload::Reserve(reserve) => {
                let route = self.all[i].route.as_ref().ok_or(Reason::Malformed)?;
                let route = route.as_ref().map_err(|reason| *reason)?;
                need(!self.offers_used(i, reserve), Reason::OfferUsed)?;
                let known = |job: Hash| {
                    self.all[i]
                        .log
                        .iter()
                        .any(|&o| self.all[o].id == job && self.all[o].route.is_some())
                };
                need(
                    reserve.continues.is_none_or(|job| known(job.0)),
                    Reason::ContinuesUnknown,
                )?;
                need(self.available(i).0 >= route.cap, Reason::TooLittle)
            }
            Payload::Frontier(frontier) => self.judge_frontier(i, frontier),
            Payload::Release(release) => self.judge_release(i, release.job.0),
        }
    }

    fn offers_used(&self, i: usize, reserve: &talkoot_ledger::kinds::Reserve) -> bool {
        let keys = |reserve: &talkoot_ledger::kinds::Reserve| {
            let claimed = reserve.offers.iter().map(|offer| offer.claimed());
            claimed
                .map(|offer| (offer.worker, offer.nonce))
                .collect::<BTreeSet<_>>()
        };
        let mine = keys(reserve);
        self.all[i].log.iter().any(|&o| match self.payload(o) {
            Some(Payload::Reserve(earlier)) => !mine.is_disjoint(&keys(earlier)),
            _ => false,
        })
    }

    fn judge_frontier(&self, i: usize, frontier: &Frontier) -> Result<(), Reason> {
        let job = self.ids.get(&frontier.job.0).copied();
        let job = job.filter(|&job| self.all[i].past.has(job) && self.all[job].route.is_some());
        let job = job.ok_or(Reason::JobUnknown)?;
        let route = self
            .route(job)
            .filter(|_| self.is_ok(job))
            .ok_or(Reason::JobInert)?;
        if !route.foreign().any(|worker| worker == self.author(i)) {
            return Err(Reason::NotAStage);
        }
        form::frontier(frontier, self.genesis.id())?;
        if frontier.attestation.claimed().stage != route.last {
            return Err(Reason::Attestation);
        }
        let (ack, Some(Payload::Reserve(reserve))) = (frontier.ack.claimed(), self.payload(job))
        else {
            return Err(Reason::JobUnknown);
        };
        if ack.submitter != self.author(job) {
            Err(Reason::Ack)
        } else if ack.prompt_done > reserve.prompt_tokens {
            Err(Reason::PromptAbove)
        } else if ack.completion_done > reserve.completion_tokens_max {
            Err(Reason::CompletionAbove)
        } else if self.all[i].log.iter().any(|&o| self.is_final(o, job)) {
            Err(Reason::AfterFinal)
        } else {
            Ok(())
        }
    }

    fn judge_release(&self, i: usize, id: Hash) -> Result<(), Reason> {
        let one = &self.all[i];
        let job = self
            .ids
            .get(&id)
            .copied()
            .filter(|job| one.log.contains(job));
        let job = job
            .filter(|&job| self.route(job).is_some() && self.is_ok(job))
            .ok_or(Reason::NotOwnJob)?;
        if one.log.iter().any(|&o| self.released_job(o) == Some(job)) {
            return Err(Reason::ReleasedBefore);
        }
        let says = (0..i).filter(|&c| one.past.has(c) && self.says_over(c, job));
        let founders: BTreeSet<Wallet> = says.map(|c| self.author(c)).collect();
        if self.weigh(&founders) {
            Ok(())
        } else {
            Err(Reason::NotDue)
        }
    }

    fn fold(&mut self) {
        for founder in self.genesis.founders.clone() {
            self.lines
                .insert(founder.wallet, i128::from(founder.line_ugft));
        }
        let set = self.whole.clone();
        let mut paid: BTreeMap<(usize, Wallet), (i128, i128)> = BTreeMap::new();
        let mut over: BTreeSet<(usize, Wallet)> = BTreeSet::new();
        for i in 0..self.all.len() {
            let outcome = self.outcome(i, &set, &mut paid);
            let author = self.author(i);
            match outcome {
                Outcome::Admitted { wallet, line } => {
                    *self.lines.entry(author).or_default() -= i128::from(line.0);
                    *self.lines.entry(wallet).or_default() += i128::from(line.0);
                }
                Outcome::Paid {
                    burned,
                    earned,
                    is_final,
                } => {
                    let job = self.paid_job(i).unwrap_or(i);
                    *self.balances.entry(self.author(job)).or_default() -= i128::from(burned.0);
                    *self.balances.entry(author).or_default() += i128::from(earned.0);
                    self.commons += i128::from(burned.0) - i128::from(earned.0);
                    over.extend(is_final.then_some((job, author)));
                }
                Outcome::Released { .. } => {
                    let job = self.released_job(i).unwrap_or(i);
                    over.extend(
                        self.route(job)
                            .into_iter()
                            .flat_map(Route::foreign)
                            .map(|worker| (job, worker)),
                    );
                }
                _ => {}
            }
            self.outcomes
                .push((self.all[i].id, outcome, self.is_confirmed(i, &set)));
        }
        for job in 0..self.all.len() {
            let is_held = matches!(self.outcomes[job].1, Outcome::Reserved { .. });
            let route = self.route(job).filter(|_| is_held);
            let open = route.into_iter().flat_map(|route| {
                let open = route
                    .foreign()
                    .filter(|worker| !over.contains(&(job, *worker)));
                open.map(|worker| {
                    route.hold(worker) - paid.get(&(job, worker)).map_or(0, |paid| paid.0)
                })
            });
            let held: i128 = open.sum();
            *self.held.entry(self.author(job)).or_default() += held;
        }
    }

    fn outcome(
        &self,
        i: usize,
        set: &Set,
        paid: &mut BTreeMap<(usize, Wallet), (i128, i128)>,
    ) -> Outcome {
        if let Err(reason) = self.all[i].ok {
            return Outcome::Inert(reason);
        }
        if !self.is_live(i, set) {
            return Outcome::Inert(Reason::Fork);
        }
        match self.payload(i) {
            Some(Payload::Admit(admit)) => Outcome::Admitted {
                wallet: admit.wallet,
                line: admit.line_ugft,
            },
            Some(Payload::Reserve(_)) => {
                let route = self.route(i);
                let held = route.map_or(0, |route| {
                    route.foreign().map(|worker| route.hold(worker)).sum()
                });
                Outcome::Reserved { held: ugft(held) }
            }
            Some(Payload::Frontier(frontier)) => {
                let job = self.paid_job(i).unwrap_or(i);
                if !self.is_live(job, set) {
                    return Outcome::Inert(Reason::ReserveFork);
                }
                if self.is_shut_out(i, job, set) {
                    return Outcome::Inert(Reason::Released);
                }
                let before = paid.entry((job, self.author(i))).or_default();
                let claim = self.claim(i, job);
                let now = if claim.0 > before.0 { claim } else { *before };
                let (burned, earned) = (ugft(now.0 - before.0), ugft(now.1 - before.1));
                *before = now;
                Outcome::Paid {
                    burned,
                    earned,
                    is_final: frontier.is_final,
                }
            }
            Some(Payload::Release(_)) => {
                let (job, past) = (self.released_job(i).unwrap_or(i), &self.all[i].past);
                let is_open = |worker: &Wallet| {
                    let log = self.logs.get(worker).into_iter().flatten();
                    !log.copied().any(|f| past.has(f) && self.is_final(f, job))
                };
                let route = self.route(job).into_iter();
                let freed = route.flat_map(|route| {
                    let open = route.foreign().filter(is_open);
                    open.map(|worker| (route.hold(worker) - self.most(worker, job, past)).max(0))
                });
                Outcome::Released {
                    freed: ugft(freed.sum()),
                }
            }
            _ => Outcome::Noted,
        }
    }

    /// The chain's last link.
    pub(crate) fn tip(&self) -> Hash {
        self.outcomes
            .iter()
            .fold(self.genesis.id().0, |before, (id, outcome, _)| {
                let effect = outcome.digest();
                Hash::of_parts(
                    HashContext::Link,
                    &[before.as_bytes(), id.as_bytes(), effect.as_bytes()],
                )
            })
    }
}

fn ugft(amount: i128) -> Ugft {
    Ugft(u64::try_from(amount).expect("an amount that a rule allows"))
}
