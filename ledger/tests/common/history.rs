//! Random histories with cheaters: the adversary that the rules were designed
//! against. Cheaters fork, hide entries, replay offers, claim too much, admit
//! each other and cite at will; honest actors follow the rules on what they
//! have seen.

use super::oracle::{Oracle, Set, bits};
use super::{E, Kit, OfferTerms, Rng, wallet};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_ledger::kinds::Release;
use talkoot_ledger::{HOLD_GRACE_MS, Payload, id_of};
use talkoot_protocol::{JobId, Wallet};

/// A history and who cheated in it.
#[derive(Debug)]
pub struct History {
    pub kit: Kit,
    pub oracle: Oracle,
    pub cheaters: BTreeSet<Wallet>,
    /// What each honest submitter acknowledged of each job.
    pub acked: BTreeMap<usize, u32>,
}

struct Writer<'a> {
    history: History,
    random: &'a mut Rng,
    founders: Vec<Wallet>,
    everybody: Vec<Wallet>,
    view: BTreeMap<Wallet, Set>,
    tip: BTreeMap<Wallet, usize>,
    hidden: BTreeSet<usize>,
    nonce: u64,
    /// What a cheating founder says of the time next.
    lie_ms: Option<u64>,
}

pub const FOUNDERS: [&str; 4] = ["f0", "f1", "f2", "f3"];
pub const OTHERS: [&str; 5] = ["w0", "w1", "w2", "x0", "x1"];

/// Writes a history of about `length` entries; the first `cheating_founders` of
/// four founders cheat, and x0 and x1 do.
pub fn write(random: &mut Rng, cheating_founders: usize, length: usize) -> History {
    write_with(random, [100; 4], cheating_founders, length)
}

/// The same with these lines of the founders.
pub fn write_with(
    random: &mut Rng,
    lines: [u64; 4],
    cheating_founders: usize,
    length: usize,
) -> History {
    let lines: Vec<(&str, u64)> = FOUNDERS.into_iter().zip(lines).collect();
    let kit = Kit::new(&lines, &OTHERS);
    let founders: Vec<Wallet> = FOUNDERS.iter().map(|name| wallet(name)).collect();
    let others: Vec<Wallet> = OTHERS.iter().map(|name| wallet(name)).collect();
    let mut oracle = Oracle::new(kit.genesis.clone());
    let first = oracle.add(kit.naming(founders[3], &others));
    let everybody: Vec<Wallet> = founders.iter().chain(&others).copied().collect();
    let cheaters = founders
        .iter()
        .take(cheating_founders)
        .chain(&others[3..])
        .copied()
        .collect();
    let mut writer = Writer {
        history: History {
            kit,
            oracle,
            cheaters,
            acked: BTreeMap::new(),
        },
        view: everybody.iter().map(|who| (*who, 1)).collect(),
        tip: [(founders[3], first)].into(),
        random,
        founders,
        everybody,
        hidden: BTreeSet::new(),
        nonce: 0,
        lie_ms: None,
    };
    let mut idle = 0;
    while writer.history.oracle.entries.len() < length && idle < 1000 {
        let before = writer.history.oracle.entries.len();
        writer.step();
        idle = if writer.history.oracle.entries.len() == before {
            idle + 1
        } else {
            0
        };
    }
    writer.history
}

impl Writer<'_> {
    fn step(&mut self) {
        let actors: Vec<Wallet> = self
            .everybody
            .iter()
            .chain(&self.founders)
            .copied()
            .collect();
        let me = self.random.pick(&actors);
        for _ in 0..self.random.between(0, 5) {
            let count = self.history.oracle.entries.len();
            let visible: Vec<usize> = (0..count)
                .filter(|i| !self.hidden.contains(i) || self.random.chance(3))
                .collect();
            let recent = if self.random.chance(70) {
                visible.len().saturating_sub(30)
            } else {
                0
            };
            if let Some(&i) = visible
                .get(recent..)
                .filter(|list| !list.is_empty())
                .map(|list| &list[self.random.below(list.len())])
            {
                *self.view.get_mut(&me).unwrap() |= self.history.oracle.closure(i);
            }
        }
        if self.history.cheaters.contains(&me) {
            self.cheat(me)
        } else {
            self.behave(me)
        }
    }

    fn author(&self, i: usize) -> Wallet {
        self.history.oracle.entries[i].author
    }

    fn all_of(&self, me: Wallet) -> Vec<usize> {
        (0..self.history.oracle.entries.len())
            .filter(|&i| self.author(i) == me)
            .collect()
    }

    /// The entries of others that no other in the view covers.
    fn tips(&mut self, me: Wallet) -> Vec<usize> {
        let foreign: Vec<usize> = bits(self.view[&me])
            .filter(|&i| self.author(i) != me)
            .collect();
        let covered = foreign
            .iter()
            .map(|&i| self.history.oracle.past[i])
            .fold(0, |a, b| a | b);
        let mut tips: Vec<usize> = foreign
            .into_iter()
            .filter(|&i| covered >> i & 1 == 0)
            .collect();
        self.random.shuffle(&mut tips);
        tips
    }

    fn post(
        &mut self,
        me: Wallet,
        prev: Option<usize>,
        refs: &[usize],
        payload: &Payload,
    ) -> usize {
        let oracle = &self.history.oracle;
        let mut refs: Vec<usize> = refs.to_vec();
        if prev.is_none() && !self.founders.contains(&me) {
            refs.insert(0, 0);
        }
        let mut seen = BTreeSet::new();
        refs.retain(|&i| oracle.entries[i].author != me && seen.insert(i));
        refs.truncate(8);
        let refs: Vec<&E> = refs.iter().map(|&i| &oracle.entries[i]).collect();
        let prev = prev.map(|prev| &oracle.entries[prev]);
        let clock_ms = HOLD_GRACE_MS + oracle.entries.len() as u64;
        let mut entry = self
            .history
            .kit
            .entry(me, prev, &refs, payload)
            .into_inner();
        entry.time_ms = self.lie_ms.take().unwrap_or(clock_ms);
        let entry = E::sign(entry, self.history.kit.key(me), self.history.kit.network).unwrap();
        let i = self.history.oracle.add(entry);
        *self.view.get_mut(&me).unwrap() |= self.history.oracle.closure(i);
        i
    }

    fn route(&mut self, me: Wallet) -> Vec<(Wallet, u64, OfferTerms)> {
        let others: Vec<Wallet> = self
            .everybody
            .iter()
            .copied()
            .filter(|who| *who != me)
            .collect();
        let count = self.random.between(1, 3) as usize;
        let mut workers = self.random.sample(&others, count);
        if self.random.chance(20) {
            workers.push(me);
        }
        self.nonce += 1;
        let price = u64::from(self.random.between(1, 2));
        workers
            .into_iter()
            .map(|worker| (worker, self.nonce, self.terms(price)))
            .collect()
    }

    fn terms(&mut self, price: u64) -> OfferTerms {
        OfferTerms {
            price,
            share_kflop: u64::from(self.random.between(1000, 5000)),
            service_rate: self.random.between(0, 4),
            reliability_ppm: if self.random.chance(50) {
                1_000_000
            } else {
                800_000
            },
            shard_bytes: u64::from(self.random.between(0, 120)),
            memory_bytes: 100,
        }
    }

    fn reserve(&mut self, me: Wallet, route: &[(Wallet, u64, OfferTerms)], max: u32) -> Payload {
        let prompt = self.random.between(0, 5);
        let mut reserve = self.history.kit.reserve_payload(me, route, prompt, max);
        // Soon enough that some jobs end by their deadline.
        let now_ms = self.history.oracle.entries.len() as u64;
        reserve.deadline_ms = now_ms + u64::from(self.random.between(3, 50));
        Payload::Reserve(Box::new(reserve))
    }

    /// A release of an own job, whether due or not.
    fn release(&mut self, mine: &[usize]) -> Option<Payload> {
        let jobs = mine.iter().copied();
        let jobs: Vec<usize> = jobs
            .filter(|&i| matches!(self.payload(i), Some(Payload::Reserve(_))))
            .collect();
        let job = *jobs.get(self.random.below(jobs.len().max(1)))?;
        let job = JobId(id_of(&self.history.oracle.entries[job]));
        Some(Payload::Release(Release { job }))
    }

    fn payload(&self, i: usize) -> Option<&Payload> {
        self.history.oracle.payloads[i].as_ref()
    }

    fn is_stage(&self, job: usize, me: Wallet) -> bool {
        matches!(self.payload(job), Some(Payload::Reserve(reserve))
            if reserve.offers.iter().any(|offer| offer.claimed().worker == me))
    }

    fn max_of(&self, job: usize) -> (u32, u32) {
        match self.payload(job) {
            Some(Payload::Reserve(reserve)) => {
                (reserve.prompt_tokens, reserve.completion_tokens_max)
            }
            _ => (0, 0),
        }
    }

    fn frontier(&self, job: usize, done: (u32, u32), is_final: bool) -> Payload {
        let job = &self.history.oracle.entries[job];
        Payload::Frontier(Box::new(
            self.history
                .kit
                .frontier_payload(job, done.0, done.1, is_final),
        ))
    }

    fn admit(&mut self, to: Wallet, lines: &[u64]) -> Payload {
        let line_ugft = talkoot_ledger::Ugft(self.random.pick(lines));
        Payload::Admit(talkoot_ledger::kinds::Admit {
            wallet: to,
            line_ugft,
        })
    }

    fn cheat(&mut self, me: Wallet) {
        let mine = self.all_of(me);
        let tip = self.tip.get(&me).copied();
        let prev = if self.random.chance(65) || mine.is_empty() {
            tip
        } else {
            let any: Vec<Option<usize>> = mine.iter().map(|&i| Some(i)).chain([None]).collect();
            self.random.pick(&any)
        };
        // Cheaters see what other cheaters wrote.
        let cheaters = &self.history.cheaters;
        let oracle = &self.history.oracle;
        let shared =
            (0..oracle.entries.len()).filter(|&i| cheaters.contains(&oracle.entries[i].author));
        let seen = shared
            .map(|i| oracle.closure(i))
            .fold(self.view[&me], |a, b| a | b);
        let refs = if self.random.chance(50) {
            self.tips(me)
        } else {
            let foreign: Vec<usize> = bits(seen).filter(|&i| self.author(i) != me).collect();
            let count = self.random.between(0, 4) as usize;
            self.random.sample(&foreign, count)
        };
        let Some((payload, refs)) = self.cheating_payload(me, &mine, seen, refs) else {
            return;
        };
        let i = self.post(me, prev, &refs, &payload);
        if prev == tip || self.random.chance(30) {
            self.tip.insert(me, i);
        }
        if self.random.chance(25) {
            self.hidden.insert(i);
        }
    }

    fn cheating_payload(
        &mut self,
        me: Wallet,
        mine: &[usize],
        seen: Set,
        refs: Vec<usize>,
    ) -> Option<(Payload, Vec<usize>)> {
        let cheaters: Vec<Wallet> = self.history.cheaters.iter().copied().collect();
        match self.random.between(0, 99) {
            0..35 => {
                let mut route = self.route(me);
                if self.random.chance(50) {
                    let partners: Vec<Wallet> =
                        cheaters.iter().copied().filter(|who| *who != me).collect();
                    let partner = self.random.pick(&partners);
                    let terms = self.terms(1);
                    route = vec![(partner, self.nonce, terms)];
                }
                let olds: Vec<usize> = mine
                    .iter()
                    .copied()
                    .filter(|&i| matches!(self.payload(i), Some(Payload::Reserve(_))))
                    .collect();
                if !olds.is_empty() && self.random.chance(15) {
                    let old = self.random.pick(&olds);
                    return Some((self.payload(old)?.clone(), refs));
                }
                let max = self.random.pick(&[20, 50, 100]);
                Some((self.reserve(me, &route, max), refs))
            }
            35..75 => {
                let any_job = self.random.chance(10);
                let jobs: Vec<usize> = bits(seen)
                    .filter(|&j| matches!(self.payload(j), Some(Payload::Reserve(_))))
                    .filter(|&j| any_job || self.is_stage(j, me))
                    .collect();
                let job = *jobs.get(self.random.below(jobs.len().max(1)))?;
                let (prompt, max) = self.max_of(job);
                let is_partner = self.history.cheaters.contains(&self.author(job));
                let acked = self.history.acked.get(&job).copied().unwrap_or(0);
                let mut done = self
                    .random
                    .between(0, if is_partner { max } else { acked.min(max) });
                if is_partner && self.random.chance(30) {
                    done = self.random.pick(&[0, max, max + 5]);
                }
                let is_final = self.random.chance(50);
                let prompt = if is_partner {
                    prompt + u32::from(self.random.chance(5))
                } else {
                    prompt
                };
                let payload = self.frontier(job, (prompt, done), is_final);
                let refs = if self.author(job) == me {
                    refs
                } else {
                    [vec![job], refs].concat()
                };
                Some((payload, refs))
            }
            75..90 => {
                let to = self.random.pick(&cheaters);
                Some((self.admit(to, &[0, 10, 50, 100]), refs))
            }
            90..94 => Some((self.release(mine)?, refs)),
            94..97 => {
                self.lie_ms = Some(self.random.pick(&[0, u64::MAX]));
                Some((Payload::Witness, refs))
            }
            _ => Some((Payload::Witness, refs)),
        }
    }

    fn behave(&mut self, me: Wallet) {
        let tips = self.tips(me);
        let tip = self.tip.get(&me).copied();
        let oracle = &self.history.oracle;
        let posted = match self.random.between(0, 99) {
            0..25 => {
                let route = self.route(me);
                let max = self.random.pick(&[10, 30, 60]);
                let payload = self.reserve(me, &route, max);
                let i = self.post(me, tip, &tips, &payload);
                let acked = self.random.between(0, max);
                self.history.acked.entry(i).or_insert(acked);
                Some(i)
            }
            25..65 => {
                let is_over = |j: usize| {
                    bits(self.view[&me]).any(|o| match &oracle.payloads[o] {
                        Some(Payload::Frontier(f)) => {
                            oracle.entries[o].author == me
                                && f.is_final
                                && oracle.ids.get(&f.job.0) == Some(&j)
                        }
                        _ => false,
                    })
                };
                let jobs: Vec<usize> = bits(self.view[&me])
                    .filter(|&j| self.is_stage(j, me) && self.author(j) != me)
                    .filter(|&j| oracle.ok[j].is_ok() && !is_over(j))
                    .collect();
                if jobs.is_empty() {
                    None
                } else {
                    let job = self.random.pick(&jobs);
                    let (prompt, max) = self.max_of(job);
                    let done = match self.history.acked.get(&job) {
                        Some(&acked) => acked,
                        None => self.random.between(0, max),
                    };
                    let is_final = self.random.chance(60);
                    let payload = self.frontier(job, (prompt, done), is_final);
                    Some(self.post(me, tip, &[vec![job], tips].concat(), &payload))
                }
            }
            65..70 => {
                let everybody = self.everybody.clone();
                let to = self.random.pick(&everybody);
                let payload = self.admit(to, &[5, 20]);
                Some(self.post(me, tip, &tips, &payload))
            }
            70..80 => {
                let mine = self.all_of(me);
                let payload = self.release(&mine);
                payload.map(|payload| self.post(me, tip, &tips, &payload))
            }
            _ if self.founders.contains(&me) => Some(self.post(me, tip, &tips, &Payload::Witness)),
            _ => None,
        };
        if let Some(i) = posted {
            self.tip.insert(me, i);
        }
    }
}
