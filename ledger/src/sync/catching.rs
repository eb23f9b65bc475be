//! Catching up: the plan meets the peers and the ledger.
//!
//! Every entry is fetched once, from whoever is idle. A peer is held to what it
//! listed: who gives less than that is at fault, who has less than others
//! listed is not asked in this plan again, and what it left out is asked of the
//! lister. What has come is kept whatever becomes of its sender.

use super::answer::Answer;
use super::peer::{Ask, Peer};
use super::plan::{Draft, Fetched, Plan, Task, Work, is_slice_of};
use super::progress::Meter;
use super::span::{self, DIGEST_COUNT_MAX};
use super::{Admitting, At, SyncCore, SyncFault, SyncOutput, is_here};
use crate::entry::{Entry, id_of};
use crate::ledger::Admission;
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::sync::{KeyRange, Listing, SyncRequest, Want};
use talkoot_protocol::{Hash, Verified, Wallet, limits};

/// Entries that are admitted at once, about.
const BATCH: usize = 4096;
/// Entries that wait to be vouched for.
pub(super) const UNVOUCHED_MAX: usize = 4096;
/// With more than this to come, more peers are asked to help.
const LONG: u64 = 512;
/// What is listed at once is fetched in about this many parts, none of them
/// smaller than the least.
const PARTS: u64 = 32;
const SLICE_LEAST: u64 = 256;
/// A plan that nothing comes of for so long is given up.
const STALL_MS: u64 = 30_000;
/// Entries without a token that are remembered.
const LATER_MAX: usize = 16_384;
/// How long such an entry is not asked for, at first and at most.
const LATER_MS: u64 = 10_000;
const LATER_MS_MAX: u64 = 320_000;
/// How long nothing long is begun after a plan that ran out of tokens, at first
/// and at most.
const SLOWED_MS: u64 = 5_000;
const SLOWED_MS_MAX: u64 = 60_000;

/// Whether a listing can be one of a range, by its own bounds and, if its
/// lister named a number before, by that.
pub(super) fn is_listing_of(range: &KeyRange, listing: &Listing, count: Option<u64>) -> bool {
    if count.is_some_and(|count| listing.count() < count) {
        return false;
    }
    match listing {
        Listing::Ids(_) => true,
        Listing::Spans(spans) => spans.iter().all(|span| {
            // Dividing ends: each step at least halves.
            let most = count.map_or(u64::MAX, |count| (count / 2).saturating_add(LONG));
            range.contains(&span.last) && span.count <= most
        }),
    }
}

impl Plan {
    /// Whether much is still to come.
    pub(super) fn is_long(&self) -> bool {
        self.remaining() > LONG
    }
}

impl SyncCore {
    /// What of a listing we lack, as parts to fetch.
    pub(super) fn lacking(
        &self,
        lister: Wallet,
        range: KeyRange,
        listing: &Listing,
        at: At<'_>,
    ) -> Vec<Draft> {
        let mut works: Vec<Work> = Vec::new();
        match listing {
            Listing::Ids(ids) => {
                let mut ids: Vec<Hash> = ids.clone();
                ids.retain(|id| !is_here(at.ledger, id) && !self.is_later(id, at.now_ms));
                let kept = self.kept();
                ids.retain(|id| !kept.contains(id));
                if !ids.is_empty() {
                    works.push(Work::Entries(ids));
                }
            }
            Listing::Spans(spans) => {
                let mut after = range.after;
                // Small enough that there is something for everybody.
                let slice_max =
                    (listing.count() / PARTS).clamp(SLICE_LEAST, limits::SYNC_SLICE_MAX.into());
                for span in spans {
                    let range = KeyRange {
                        after,
                        until: Some(span.last),
                    };
                    after = range.until;
                    let ours = span::part(at.ledger, &range);
                    let is_equal = ours.count() == span.count
                        && span.count <= DIGEST_COUNT_MAX
                        && span.digest.is_some()
                        && span.digest == span::digest(at.ledger, ours);
                    if is_equal {
                        continue;
                    }
                    let count = span.count;
                    let work = if ours.count() == 0 && self.later.is_empty() {
                        Work::Slice { range, count }
                    } else {
                        Work::List { range, count }
                    };
                    let list_max = limits::SYNC_ITEMS_MAX as u64;
                    let last = works.last_mut();
                    if !last.is_some_and(|last| last.join(&work, slice_max, list_max)) {
                        works.push(work);
                    }
                }
            }
        }
        let draft = |work| Draft {
            is_pinned: matches!(work, Work::List { .. }),
            work,
            lister,
        };
        works.into_iter().map(draft).collect()
    }

    /// What has come and is not in the ledger yet.
    fn kept(&self) -> BTreeSet<Hash> {
        let given = match &self.admitting {
            Some(Admitting::Plan(given)) => given.as_slice(),
            _ => &[],
        };
        let kept = self.plan.iter().flat_map(Plan::kept);
        kept.chain(given.iter().map(|(_, id)| *id)).collect()
    }

    fn is_later(&self, id: &Hash, now_ms: u64) -> bool {
        let later = self.later.get(id);
        later.is_some_and(|(until_ms, _)| now_ms < *until_ms)
    }

    /// Begins to catch up; `false` when that has to wait for tokens.
    pub(super) fn start(&mut self, drafts: Vec<Draft>, at: At<'_>) -> bool {
        let mut plan = Plan::new(at.now_ms);
        plan.append(drafts);
        if plan.is_long() && at.now_ms < self.slowed.0 {
            return false;
        }
        self.plan = Some(plan);
        self.meter = Meter::begin(at.now_ms);
        true
    }

    /// When much is lacking, everybody is asked whether it can help.
    pub(super) fn call_helpers(&mut self, at: At<'_>, out: &mut Vec<SyncOutput>) {
        if self.plan.as_ref().is_some_and(Plan::is_long) {
            for peer in self.those(|state| state.is_idle(at.now_ms) && !state.is_helper) {
                self.begin(peer, at, out);
            }
        }
    }

    /// Does what can be done now.
    pub(super) fn advance(&mut self, at: At<'_>, out: &mut Vec<SyncOutput>) {
        self.ask_parents(at, out);
        if self.admitting.is_none()
            && let Some((peer, entries)) = self.came.pop_front()
        {
            self.admitting = Some(Admitting::Parents(peer));
            out.push(SyncOutput::Admit { peer, entries });
        }
        self.assign(at, out);
        while self.admitting.is_none()
            && let Some(plan) = &self.plan
        {
            let helps =
                |(peer, state): (&Wallet, &Peer)| state.is_helper && !plan.excluded.contains(peer);
            let is_over = plan.is_empty()
                || at.now_ms.saturating_sub(plan.moved_ms) > STALL_MS
                || (!plan.is_waiting() && !self.peers.iter().any(helps));
            if !is_over && !plan.has_ready() {
                return;
            }
            self.admit(is_over, at, out);
        }
    }

    /// Gives every idle helper something to do.
    fn assign(&mut self, at: At<'_>, out: &mut Vec<SyncOutput>) {
        let idle = self.those(|state| state.is_helper && state.is_idle(at.now_ms));
        for peer in idle {
            let (Some(plan), Some(state)) = (&mut self.plan, self.peers.get(&peer)) else {
                return;
            };
            if plan.excluded.contains(&peer) {
                continue;
            }
            let is_there = |lister: &Wallet| is_askable(&self.peers, plan, lister, at.now_ms);
            let Some(number) = plan.next_for(&peer, is_there, at.now_ms) else {
                continue;
            };
            let Some(task) = plan.find(number) else {
                continue;
            };
            let entries_max = state.slice();
            let request = match &task.work {
                Work::List { range, .. } => SyncRequest::List(*range),
                Work::Slice { range, .. } => SyncRequest::Slice {
                    range: *range,
                    entries_max,
                },
                Work::Entries(ids) => SyncRequest::Entries { wants: wants(ids) },
            };
            plan.asked(number, peer, at.now_ms);
            let ask = Ask::Task {
                number,
                entries_max,
            };
            self.ask(peer, ask, request, at, out);
        }
    }

    /// Takes what a peer gave for a part.
    pub(super) fn receive(
        &mut self,
        peer: Wallet,
        (number, entries_max): (u64, u32),
        (answer, took_ms): (Answer, u64),
        at: At<'_>,
    ) -> Result<(), SyncFault> {
        let (Some(plan), Some(state)) = (&self.plan, self.peers.get_mut(&peer)) else {
            return Ok(());
        };
        // Somebody else was faster.
        let Some(task) = plan.find(number).cloned() else {
            return Ok(());
        };
        if !matches!(answer, Answer::List(_)) {
            state.gave(took_ms);
        }
        match (&task.work, answer) {
            (Work::List { range, count }, Answer::List(listing)) => {
                let own_claim = task.is_pinned.then_some(*count);
                if !is_listing_of(range, &listing, own_claim) {
                    return Err(SyncFault::BadListing);
                }
                let drafts = self.lacking(peer, *range, &listing, at);
                self.done(number, Vec::new(), drafts, at)
            }
            (
                Work::Slice { .. },
                Answer::Slice {
                    entries,
                    bytes,
                    more,
                },
            ) => {
                let is_full = entries.len() >= entries_max as usize
                    || bytes.saturating_add(limits::ENTRY_BYTES_MAX)
                        > limits::SYNC_ENTRIES_BYTES_MAX;
                let is_crumb = more && !is_full;
                self.receive_slice(peer, &task, (entries, more), at)?;
                if is_crumb {
                    Err(SyncFault::Crumbs)
                } else {
                    Ok(())
                }
            }
            (Work::Entries(ids), Answer::Entries { entries, .. }) => {
                self.receive_entries(peer, &task, (ids, entries), at)
            }
            _ => Err(SyncFault::WrongKind),
        }
    }

    fn receive_slice(
        &mut self,
        peer: Wallet,
        task: &Task,
        (entries, more): (Vec<Verified<Entry>>, bool),
        at: At<'_>,
    ) -> Result<(), SyncFault> {
        let (Work::Slice { range, count }, Some(state)) = (&task.work, self.peers.get(&peer))
        else {
            return Ok(());
        };
        let keys = is_slice_of(range, &entries).ok_or(SyncFault::Unasked)?;
        let got = entries.len() as u64;
        let is_short = !more && got < *count;
        let is_broken = !more && (got < state.promised(range) || is_short && peer == task.lister);
        let work = if more {
            let range = KeyRange {
                after: keys.last().copied(),
                ..*range
            };
            // At least one more, by this peer's word.
            let count = count.saturating_sub(got).max(1);
            Some(Work::Slice { range, count })
        } else {
            let (range, count) = (*range, *count);
            is_short.then_some(Work::List { range, count })
        };
        let rest = work.map(|work| Draft {
            is_pinned: !more,
            work,
            lister: if more && *count <= got {
                peer
            } else {
                task.lister
            },
        });
        if is_short
            && got == 0
            && let Some(plan) = &mut self.plan
        {
            plan.excluded.insert(peer);
        }
        let came = keys.into_iter().map(|key| key.id).zip(entries);
        let came = came.map(|(id, entry)| Fetched {
            id,
            entry,
            from: peer,
        });
        self.done(task.number, came.collect(), rest.into_iter().collect(), at)?;
        if is_broken {
            Err(SyncFault::NotServed)
        } else {
            Ok(())
        }
    }

    fn receive_entries(
        &mut self,
        peer: Wallet,
        task: &Task,
        (ids, entries): (&[Hash], Vec<Verified<Entry>>),
        at: At<'_>,
    ) -> Result<(), SyncFault> {
        let given: BTreeSet<Hash> = entries.iter().map(id_of).collect();
        let asked: BTreeSet<Hash> = ids.iter().copied().collect();
        if !given.is_subset(&asked) || given.len() < entries.len() {
            return Err(SyncFault::Unasked);
        }
        let mut left: Vec<Hash> = ids.to_vec();
        left.retain(|id| !given.contains(id) && !is_here(at.ledger, id));
        if given.is_empty() && !left.is_empty() && peer == task.lister {
            return Err(SyncFault::NotServed);
        }
        // Nobody is asked in vain again and again.
        let can_go_on = !given.is_empty()
            || self
                .plan
                .as_ref()
                .is_some_and(|plan| is_askable(&self.peers, plan, &task.lister, at.now_ms));
        let rest = (!left.is_empty() && can_go_on).then_some(Draft {
            work: Work::Entries(left),
            lister: task.lister,
            is_pinned: true,
        });
        let came = entries.into_iter().map(|entry| Fetched {
            id: id_of(&entry),
            entry,
            from: peer,
        });
        self.done(task.number, came.collect(), rest.into_iter().collect(), at)
    }

    fn done(
        &mut self,
        number: u64,
        entries: Vec<Fetched>,
        rest: Vec<Draft>,
        at: At<'_>,
    ) -> Result<(), SyncFault> {
        let Some(plan) = &mut self.plan else {
            return Ok(());
        };
        if !entries.is_empty() {
            plan.moved_ms = at.now_ms;
        }
        self.meter.count(entries.len() as u64, at.now_ms);
        if plan.done(number, entries, rest) {
            Ok(())
        } else {
            Err(SyncFault::BadListing)
        }
    }

    /// Admits what has come. What no founder vouches for waits for the next
    /// batch, in which one may, as long as more is to come.
    fn admit(&mut self, is_over: bool, at: At<'_>, out: &mut Vec<SyncOutput>) {
        let Some(plan) = &mut self.plan else {
            return;
        };
        let mut batch = std::mem::take(&mut plan.unvouched);
        batch.extend(plan.take_ready(BATCH, is_over));
        batch.retain(|fetched| !is_here(at.ledger, &fetched.id));
        let is_last = plan.is_empty();
        if !is_last {
            let entries = batch.iter().map(|fetched| (fetched.id, &fetched.entry));
            let vouched = at.ledger.vouched(entries);
            (batch, plan.unvouched) = batch
                .into_iter()
                .partition(|fetched| vouched.contains(&fetched.id));
            if plan.unvouched.len() > UNVOUCHED_MAX {
                batch.append(&mut plan.unvouched);
            }
        }
        let Some(first) = batch.first() else {
            if is_last {
                self.finish(at, out);
            }
            return;
        };
        let peer = first.from;
        let given = batch.iter().map(|fetched| (fetched.from, fetched.id));
        self.admitting = Some(Admitting::Plan(given.collect()));
        let entries = batch.into_iter().map(|fetched| fetched.entry).collect();
        out.push(SyncOutput::Admit { peer, entries });
    }

    /// Notes what came of a batch.
    pub(super) fn plan_admitted(
        &mut self,
        given: &[(Wallet, Hash)],
        admissions: &[Admission],
        at: At<'_>,
        out: &mut Vec<SyncOutput>,
    ) {
        let mut refused: BTreeMap<Wallet, SyncFault> = BTreeMap::new();
        let (mut is_of_use, mut is_slowed) = (false, false);
        for ((from, id), admission) in given.iter().zip(admissions) {
            match admission {
                Admission::Added { .. } => {
                    is_of_use = true;
                    self.later.remove(id);
                }
                Admission::Later => {
                    is_slowed = true;
                    self.put_off(*id, at.now_ms);
                }
                Admission::Refused(_) => {
                    refused.insert(*from, SyncFault::BadStructure);
                }
                Admission::Known | Admission::Pending { .. } => {}
            }
        }
        if let Some(plan) = &mut self.plan {
            plan.is_of_use |= is_of_use;
            plan.is_slowed |= is_slowed;
            plan.moved_ms = at.now_ms;
        }
        for (peer, fault) in refused {
            self.fault(peer, fault, at, out);
        }
    }

    /// An entry found no token: it is not asked for again for a while.
    fn put_off(&mut self, id: Hash, now_ms: u64) {
        let before = self.later.get(&id).map(|(_, pause_ms)| *pause_ms);
        if before.is_some() || self.later.len() < LATER_MAX {
            let pause_ms = before.map_or(LATER_MS, |before| {
                before.saturating_mul(2).min(LATER_MS_MAX)
            });
            self.later
                .insert(id, (now_ms.saturating_add(pause_ms), pause_ms));
        }
    }

    /// Nothing is left to do: all who helped are asked again whether more is.
    fn finish(&mut self, at: At<'_>, out: &mut Vec<SyncOutput>) {
        let Some(plan) = self.plan.take() else {
            return;
        };
        let pause_ms = if plan.is_slowed {
            let twice = self.slowed.1.saturating_mul(2);
            twice.clamp(SLOWED_MS, SLOWED_MS_MAX)
        } else {
            0
        };
        self.slowed = (at.now_ms.saturating_add(pause_ms), pause_ms);
        for peer in self.those(|state| state.is_helper) {
            self.rest(peer);
            let is_asked = plan.is_of_use && !plan.is_slowed && !plan.excluded.contains(&peer);
            if let Some(state) = self.peers.get_mut(&peer).filter(|_| is_asked) {
                state.is_due = true;
                self.begin(peer, at, out);
            }
        }
    }
}

/// Whether a peer can be asked for parts, now or as soon as it has answered.
fn is_askable(peers: &BTreeMap<Wallet, Peer>, plan: &Plan, peer: &Wallet, now_ms: u64) -> bool {
    let is_there = |state: &Peer| state.is_helper && !state.is_paused(now_ms);
    peers.get(peer).is_some_and(is_there) && !plan.excluded.contains(peer)
}

fn wants(ids: &[Hash]) -> Vec<Want> {
    let distinct: BTreeSet<Hash> = ids.iter().copied().collect();
    let want = |id| Want { id, back: 0 };
    distinct.into_iter().map(want).collect()
}
