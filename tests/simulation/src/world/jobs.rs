//! Jobs: what honest wallets do all day. Offers, a `Reserve`, attestations and
//! acks while the work goes on, frontiers now and then and at the end.
//!
//! Parties talk directly, over the same network as everything else: nothing
//! passes between machines that are off or parted.

use super::{Event, World};
use crate::craft::{self, Acked, Progress, Terms};
use crate::invariants::{Lawful, Violation};
use crate::links::{at, index};
use talkoot_ledger::kinds::Admit;
use talkoot_ledger::{Draft, Outcome, Payload, Ugft, id_of};
use talkoot_protocol::{Hash, JobId, Signed, Verified};

/// After so long without progress a job is given up.
const PATIENCE_US: u64 = 4_000_000;
/// How long a job may take before its hold may be released.
pub(crate) const DEADLINE_MS: u64 = 8_000;

/// A job that runs or ran.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) submitter: u32,
    pub(crate) stages: Vec<u32>,
    pub(crate) size: (u32, u32),
    pub(crate) deadline_ms: u64,
    /// What really was done.
    pub(crate) done: (u32, u32),
    pub(crate) target: u32,
    /// Every ack of it with its attestation, in order.
    pub(crate) acks: Vec<Acked>,
    number: u32,
    previous: Hash,
    progress_us: u64,
    pub(crate) is_over: bool,
}

impl World {
    pub(super) fn new_job(&mut self) -> Lawful {
        if self.is_calm {
            return Ok(());
        }
        let delay_us = self.random.between(
            self.settings.job_every_us / 2,
            self.settings.job_every_us * 3 / 2,
        );
        self.after(delay_us, Event::NewJob);
        let all: Vec<u32> = (0..index(self.nodes.len()))
            .filter(|&who| self.nodes[at(who)].is_up())
            .collect();
        let honest: Vec<u32> = all
            .iter()
            .copied()
            .filter(|&who| !self.nodes[at(who)].is_liar)
            .collect();
        let Some(submitter) = self.random.pick(&honest) else {
            return Ok(());
        };
        if self.random.chance(12) {
            return self.pass_line_on(submitter);
        }
        if self.random.chance(4) {
            let draft = Draft::new(&card(self.random.next()), self.clock_ms(submitter));
            return self.author(submitter, draft).map(|_| ());
        }
        let Some(ledger) = self.ledger(submitter) else {
            return Ok(());
        };
        let forked = ledger.forked_authors();
        let fit = |who: &u32| {
            let wallet = self.nodes[at(*who)].wallet;
            self.links.is_open(submitter, *who)
                && !forked.contains(&wallet)
                && ledger.is_member(&wallet)
        };
        let others: Vec<u32> = all
            .into_iter()
            .filter(|who| *who != submitter && fit(who))
            .collect();
        let count = 1 + self.random.below(3);
        let mut stages = self.random.sample(&others, count);
        if self.random.chance(20) && !stages.is_empty() {
            let place = self.random.below(stages.len());
            stages.insert(place, submitter);
        }
        if stages.iter().any(|who| *who != submitter) {
            let size = (self.random.tokens(0, 20), self.random.tokens(1, 60));
            self.order(submitter, stages, size)?;
        }
        Ok(())
    }

    fn pass_line_on(&mut self, who: u32) -> Lawful {
        let to = self.random.below(self.nodes.len());
        let line = self.genesis.line_ugft(self.nodes[at(who)].wallet);
        let admit = Admit {
            wallet: self.nodes[to].wallet,
            line_ugft: Ugft(line / self.random.between(4, 20) + 1),
        };
        let draft = Draft::new(&Payload::Admit(admit), self.clock_ms(who));
        self.author(who, draft).map(|_| ())
    }

    /// Collects offers and reserves, by the rules.
    pub(crate) fn order(&mut self, submitter: u32, stages: Vec<u32>, size: (u32, u32)) -> Lawful {
        let offers = self.offers(submitter, &stages);
        let deadline_ms = self.clock_ms(submitter) + DEADLINE_MS;
        let mut reserve = craft::reserve(offers, size, deadline_ms);
        if self.random.chance(15) {
            let mine = self
                .jobs
                .iter()
                .rev()
                .find(|job| job.submitter == submitter);
            reserve.continues = mine.map(|job| job.id);
        }
        let draft = Draft::new(
            &Payload::Reserve(Box::new(reserve)),
            self.clock_ms(submitter),
        );
        let entry = self.author(submitter, draft)?;
        if let Some(entry) = entry {
            self.begin_job(JobId(id_of(&entry)), submitter, stages, size);
        }
        Ok(())
    }

    pub(crate) fn terms(&mut self) -> Terms {
        Terms {
            price: self.settings.price,
            share_kflop: self.random.between(1000, 5_000_000),
            service_rate: self.random.tokens(0, 4),
            reliability_ppm: if self.random.chance(50) {
                1_000_000
            } else {
                self.random.tokens(500_000, 1_000_000)
            },
            shard_bytes: self.random.between(0, 120),
            memory_bytes: 100,
        }
    }

    /// One offer of each stage, signed.
    pub(crate) fn offers(
        &mut self,
        submitter: u32,
        stages: &[u32],
    ) -> Vec<Signed<talkoot_protocol::Offer>> {
        let to = self.nodes[at(submitter)].wallet;
        let mut offers = Vec::new();
        for (layer, worker) in (0..).zip(stages) {
            self.nonce += 1;
            let terms = self.terms();
            let key = &self.nodes[at(*worker)].key;
            let offer = craft::offer(key.wallet(), to, self.nonce, layer, terms);
            offers.push(craft::sign_offer(self.network, key, offer));
        }
        offers
    }

    pub(crate) fn begin_job(
        &mut self,
        id: JobId,
        submitter: u32,
        stages: Vec<u32>,
        size: (u32, u32),
    ) {
        self.counts.one("jobs");
        self.jobs.push(Job {
            id,
            submitter,
            stages,
            size,
            deadline_ms: self.clock_ms(submitter) + DEADLINE_MS,
            done: (0, 0),
            target: self.random.tokens(0, size.1),
            acks: Vec::new(),
            number: 0,
            previous: Hash::ZERO,
            progress_us: self.now_us,
            is_over: false,
        });
        let delay_us = self.random.between(100_000, 400_000);
        self.after(delay_us, Event::Job(self.jobs.len() - 1));
    }

    pub(super) fn step_job(&mut self, number: usize) -> Lawful {
        let job = self.jobs[number].clone();
        if job.is_over {
            return Ok(());
        }
        if self.now_us > job.progress_us + PATIENCE_US {
            return self.end_job(number);
        }
        let can_talk =
            |who: &u32| self.nodes[at(*who)].is_up() && self.links.is_open(*who, job.submitter);
        let is_whole = can_talk(&job.submitter) && job.stages.iter().all(can_talk);
        if is_whole && job.stages.iter().all(|who| self.may_work(*who, &job)) {
            self.work(number)?;
            if self.jobs[number].is_over {
                return Ok(());
            }
        }
        let delay_us = self.random.between(100_000, 500_000);
        self.after(delay_us, Event::Job(number));
        Ok(())
    }

    /// Whether a stage holds the order and trusts whom it is from.
    fn may_work(&self, who: u32, job: &Job) -> bool {
        let wallet = self.nodes[at(job.submitter)].wallet;
        let now_ms = self.clock_ms(who);
        self.nodes[at(who)].is_liar
            || self.ledger(who).is_some_and(|ledger| {
                ledger.job(job.id).is_some_and(|view| {
                    matches!(view.outcome, Outcome::Reserved { .. })
                        && now_ms < view.terms.deadline_ms
                }) && !ledger.forked_authors().contains(&wallet)
            })
    }

    /// Some tokens: attested by the last stage, acknowledged by the submitter.
    fn work(&mut self, number: usize) -> Lawful {
        let step = self.random.tokens(1, 16);
        let job = &mut self.jobs[number];
        if job.done.0 < job.size.0 {
            job.done.0 = job.size.0.min(job.done.0 + 16);
        } else {
            job.done.1 = job.target.min(job.done.1 + step);
        }
        job.progress_us = self.now_us;
        let is_last = job.done == (job.size.0, job.target);
        self.acknowledge(number, is_last)?;
        let job = &self.jobs[number];
        if is_last {
            self.jobs[number].is_over = true;
        } else if let Some(pair) = job
            .acks
            .last()
            .cloned()
            .filter(|_| job.number.is_multiple_of(3))
        {
            let last = job.stages.last().copied().unwrap_or(job.submitter);
            if last != job.submitter {
                self.post(last, &pair, false)?;
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, number: usize, is_final: bool) -> Lawful {
        let network = self.network;
        let job = &mut self.jobs[number];
        let Some(last) = job.stages.last().copied() else {
            return Ok(());
        };
        let progress = Progress {
            number: job.number,
            previous: job.previous,
            done: job.done,
            stages: job.stages.len(),
        };
        let attestation = craft::attest(network, &self.nodes[at(last)].key, job.id, progress);
        (job.number, job.previous) = (job.number + 1, attestation.id());
        let submitter = &self.nodes[at(job.submitter)];
        if submitter.habits.withholds_acks && job.number > 1 {
            return Ok(());
        }
        let ack = craft::ack(network, &submitter.key, &attestation, job.done, is_final);
        self.deliver(number, (attestation, ack))
    }

    /// The submitter writes its ack down and hands it to all stages.
    fn deliver(&mut self, number: usize, pair: Acked) -> Lawful {
        let job = self.jobs[number].clone();
        self.jobs[number].acks.push(pair.clone());
        let sent = self.note_ack(job.submitter, |books| books.record_ack_sent(&pair.1));
        if !sent {
            return Ok(());
        }
        for who in job.stages.into_iter().filter(|who| *who != job.submitter) {
            if self.links.is_open(who, job.submitter) {
                self.note_ack(who, |books| books.record_ack_held(&pair.0, &pair.1));
            }
        }
        Ok(())
    }

    fn note_ack(
        &mut self,
        who: u32,
        note: impl FnOnce(
            &mut talkoot_ledger::Books,
        ) -> Result<(), talkoot_ledger::journal::JournalError>,
    ) -> bool {
        let node = &mut self.nodes[at(who)];
        let Some(books) = &mut node.books else {
            return false;
        };
        node.is_unflushed = true;
        let noted = note(books).is_ok();
        if !noted {
            self.disk_failed(who);
        }
        noted
    }

    /// Given up: the submitter acknowledges for the last time what it has.
    fn end_job(&mut self, number: usize) -> Lawful {
        self.counts.one("jobs_given_up");
        self.jobs[number].is_over = true;
        let job = &self.jobs[number];
        let submitter = &self.nodes[at(job.submitter)];
        let Some((attestation, ack)) = job.acks.last().cloned().filter(|_| submitter.is_up())
        else {
            return Ok(());
        };
        let done = (ack.prompt_done, ack.completion_done);
        let last = craft::ack(self.network, &submitter.key, &attestation, done, true);
        self.deliver(number, (attestation, last))
    }

    /// Posts a frontier; tells whether that is done with: posted, or inert for
    /// ever.
    fn post(&mut self, who: u32, pair: &Acked, is_final: bool) -> Result<bool, Violation> {
        let draft =
            Draft::new(&craft::frontier(pair, is_final), self.clock_ms(who)).citing(pair.1.job.0);
        let authored = self.author_or_reason(who, draft)?;
        self.counts.add("frontiers", u64::from(authored.is_ok()));
        Ok(!matches!(authored, Err(None)))
    }

    /// Posts the final frontiers that a stage owes itself, also after a restart.
    pub(super) fn settle_jobs(&mut self, who: u32) -> Lawful {
        let node = &self.nodes[at(who)];
        let (habits, now_ms) = (node.habits, self.now_ms());
        let Some(books) = node
            .books
            .as_ref()
            .filter(|books| books.signing().is_active())
        else {
            return Ok(());
        };
        if habits.withholds_finals {
            return Ok(());
        }
        let open = books
            .acks_held()
            .filter(|(id, _)| !node.settled.contains(id) && books.ledger().holds(&id.0));
        let ended = open.filter(|(id, held)| {
            let job = self.jobs.iter().find(|job| job.id == **id);
            let is_over = held.ack.claimed().is_final || job.is_none_or(|job| job.is_over);
            let late = job.map_or(0, |job| job.deadline_ms) + habits.late_final_ms;
            is_over && (habits.late_final_ms == 0 || now_ms > late)
        });
        let due: Vec<_> = ended.map(|(id, held)| (*id, held.clone())).collect();
        for (id, held) in due {
            let network = self.network;
            let pair = held
                .attestation
                .verify(network)
                .ok()
                .zip(held.ack.verify(network).ok());
            let Some(pair) = pair else {
                return Err(Violation("a held ack does not verify".into()));
            };
            let is_done = self.post(who, &pair, true)?;
            if !self.nodes[at(who)].is_up() {
                return Ok(());
            }
            if is_done {
                self.nodes[at(who)].settled.insert(id);
            }
        }
        Ok(())
    }
}

/// What was acknowledged to a stage that holds the ack is paid to it, when the
/// order has effect: nobody takes from a stage that posted in time.
pub(crate) fn stages_are_paid(world: &World) -> Lawful {
    for job in &world.jobs {
        for who in job.stages.iter().copied() {
            let node = &world.nodes[at(who)];
            let Some(books) = node.books.as_ref().filter(|_| !node.is_liar) else {
                continue;
            };
            let (Some(held), Some(view)) = (books.highest_ack(job.id), books.ledger().job(job.id))
            else {
                continue;
            };
            let ack = held.ack.claimed();
            let stage = view
                .stages
                .iter()
                .find(|stage| stage.worker == node.wallet && !stage.is_own);
            let Some(stage) = stage.filter(|_| view.outcome.is_effective()) else {
                continue;
            };
            let paid = stage.frontier.unwrap_or_default();
            if paid < (ack.prompt_done, ack.completion_done) {
                return Err(Violation(format!(
                    "node {who} holds an ack of {}, {} for job {} and was paid for {paid:?}",
                    ack.prompt_done,
                    ack.completion_done,
                    job.id.short()
                )));
            }
        }
    }
    Ok(())
}

fn card(number: u64) -> Payload {
    use talkoot_protocol::{DType, ModelCard, ModelShape};
    let card = ModelCard {
        name: format!("model-{}", number % 5),
        family: "llama".into(),
        shape: ModelShape {
            layers: 2,
            hidden: 8,
            intermediate: 16,
            heads: 2,
            kv_heads: 1,
            head_dim: 4,
            vocabulary: 32,
            context: 64,
            active_experts: 0,
        },
        dtype: DType::F32,
        quantiser_version: 0,
        settings: Hash::ZERO,
        config: Hash::ZERO,
        tokenizer: Hash::ZERO,
        template: Hash::ZERO,
        tensors: Hash::ZERO,
        weight_bytes: 1234,
    };
    Payload::Model(talkoot_ledger::kinds::Model {
        card: card.to_bytes(),
    })
}

/// A pair as liars copy it from a frontier that they saw.
pub(crate) fn pair_of(
    frontier: &talkoot_ledger::kinds::Frontier,
    network: talkoot_protocol::NetworkId,
) -> Option<Acked> {
    let attestation: Verified<_> = frontier.attestation.clone().verify(network).ok()?;
    Some((attestation, frontier.ack.clone().verify(network).ok()?))
}
