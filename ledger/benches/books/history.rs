//! A history of the stated size, written once to a file and read from it.
//!
//! The mix, by entries: founders name and admit the other authors; then 32 jobs
//! run at a time, each a `Reserve` of 1 to 4 foreign stages, 0 to 2 `Frontier`s
//! of its last stage on the way and a final one of every stage; after every 24
//! entries one `Witness` of a founder. An author cites what it must and the
//! newest entry of another that has reached it, up to 8 entries ago. All of it
//! follows from the numbers of entries and authors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use talkoot_ledger::kinds::{Admit, Frontier, Reserve, WITNESS};
use talkoot_ledger::{Entry, Payload, Ugft, id_of};
use talkoot_protocol::{
    Ack, ArithmeticId, Attestation, Founder, Genesis, Hash, JobId, Keypair, LayerRange, ModelId,
    Offer, Policy, Signed, Verified, Wallet,
};

pub(crate) const FOUNDERS: usize = 7;
/// Authors that are named beside the others and write nothing.
pub(crate) const SILENT: usize = 109;
const JOBS_AT_ONCE: usize = 32;
const WITNESS_EVERY: usize = 24;
const LAG_MAX: usize = 8;
const DEADLINE_MS: u64 = 3_600_000;
const PROMPT_TOKENS: u32 = 100;
const COMPLETION_TOKENS: u32 = 400;

/// One entry of a history.
pub(crate) struct Item {
    pub(crate) bytes: Vec<u8>,
    /// Signatures in it, its own included.
    pub(crate) signatures: u64,
    pub(crate) is_of_job: bool,
}

/// `SplitMix64`.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

pub(crate) fn key(number: usize) -> Keypair {
    Keypair::from_seed(Hash::of_blob(&number.to_le_bytes()).as_bytes())
}

pub(crate) fn genesis() -> Genesis {
    let founder = |number| Founder {
        wallet: key(number).wallet(),
        line_ugft: 1 << 56,
    };
    let founders = (0..FOUNDERS).map(founder).collect();
    Genesis::new("bench", 1, Policy::default(), founders).unwrap()
}

#[derive(Clone, Copy)]
struct Seen {
    id: Hash,
    author: usize,
    lamport: u64,
}

struct Job {
    submitter: usize,
    stages: Vec<usize>,
    reserve: Option<Seen>,
    mids_left: usize,
    mids_all: usize,
    finals_left: usize,
    last: Option<(Signed<Attestation>, Signed<Ack>)>,
}

struct Writer<'a> {
    genesis: Genesis,
    keys: Vec<Keypair>,
    tips: BTreeMap<usize, (Seen, u64)>,
    newest: Vec<Seen>,
    named_by: BTreeMap<usize, Seen>,
    nonces: Vec<u64>,
    random: Random,
    out: &'a mut dyn FnMut(Item),
    written: usize,
}

/// Writes a history to a file, unless it is there.
pub(crate) fn generate(path: &Path, entries: usize, authors: usize) {
    if path.exists() {
        return;
    }
    let draft = path.with_extension("draft");
    let mut file = BufWriter::new(File::create(&draft).unwrap());
    let mut out = |item: Item| {
        let head = [
            u8::try_from(item.signatures).unwrap(),
            u8::from(item.is_of_job),
        ];
        let length = u32::try_from(item.bytes.len()).unwrap();
        file.write_all(&length.to_le_bytes()).unwrap();
        file.write_all(&head).unwrap();
        file.write_all(&item.bytes).unwrap();
    };
    let mut writer = Writer {
        genesis: genesis(),
        keys: (0..authors).map(key).collect(),
        tips: BTreeMap::new(),
        newest: Vec::new(),
        named_by: BTreeMap::new(),
        nonces: vec![0; authors],
        random: Random(1),
        out: &mut out,
        written: 0,
    };
    writer.set_up();
    writer.run(entries);
    file.into_inner().unwrap().sync_all().unwrap();
    std::fs::rename(draft, path).unwrap();
}

impl Writer<'_> {
    /// Founders name and admit everybody, and confirm it.
    fn set_up(&mut self) {
        let others: Vec<usize> = (FOUNDERS..self.keys.len()).collect();
        let silent = self.keys.len()..self.keys.len() + SILENT;
        let named: Vec<usize> = others.iter().copied().chain(silent).collect();
        for group in named.chunks(16) {
            let names = group.iter().map(|&who| key(who).wallet()).collect();
            let seen = self.write(0, &[], WITNESS, Vec::new(), names);
            self.named_by.extend(group.iter().map(|&who| (who, seen)));
        }
        for (count, &who) in others.iter().enumerate() {
            let payload = Payload::Admit(Admit {
                wallet: self.keys[who].wallet(),
                line_ugft: Ugft(1 << 40),
            });
            self.post(count % FOUNDERS, &[], &payload);
        }
        for founder in (0..FOUNDERS).chain(0..FOUNDERS) {
            self.witness(founder);
        }
    }

    fn run(&mut self, entries: usize) {
        let mut jobs: Vec<Job> = (0..JOBS_AT_ONCE).map(|_| self.new_job()).collect();
        let mut founder = 0;
        while self.written < entries {
            if self.written.is_multiple_of(WITNESS_EVERY) {
                self.witness(founder);
                founder = (founder + 1) % FOUNDERS;
                continue;
            }
            let slot = self.random.below(JOBS_AT_ONCE);
            self.step(&mut jobs[slot]);
            if jobs[slot].finals_left == 0 {
                jobs[slot] = self.new_job();
            }
        }
    }

    fn new_job(&mut self) -> Job {
        let count = self.keys.len();
        let submitter = self.random.below(count);
        let mut stages: Vec<usize> = Vec::new();
        let wanted = 1 + self.random.below(4);
        while stages.len() < wanted {
            let who = self.random.below(count);
            if who != submitter && !stages.contains(&who) {
                stages.push(who);
            }
        }
        let mids = self.random.below(3);
        Job {
            submitter,
            finals_left: stages.len(),
            stages,
            reserve: None,
            mids_left: mids,
            mids_all: mids,
            last: None,
        }
    }

    fn step(&mut self, job: &mut Job) {
        let Some(reserve) = job.reserve else {
            let payload = self.reserve(job);
            job.reserve = Some(self.post(job.submitter, &[], &payload));
            return;
        };
        let last_stage = *job.stages.last().unwrap();
        if job.mids_left > 0 {
            job.mids_left -= 1;
            let part = u32::try_from(job.mids_all - job.mids_left).unwrap();
            let done = COMPLETION_TOKENS * part / 4;
            let signed = self.sign_frontier(job, reserve.id, done, false);
            let payload = frontier(reserve.id, &signed, false);
            self.post(last_stage, &[reserve], &payload);
            return;
        }
        let signed = match &job.last {
            Some(signed) => signed.clone(),
            None => {
                let done = COMPLETION_TOKENS - u32::try_from(self.random.below(100)).unwrap();
                self.sign_frontier(job, reserve.id, done, true)
            }
        };
        job.last = Some(signed.clone());
        job.finals_left -= 1;
        let stage = job.stages[job.finals_left];
        self.post(stage, &[reserve], &frontier(reserve.id, &signed, true));
    }

    fn reserve(&mut self, job: &Job) -> Payload {
        let mut offers = Vec::new();
        for (layer, &worker) in job.stages.iter().enumerate() {
            self.nonces[worker] += 1;
            let layer = u32::try_from(layer).unwrap();
            let offer = Offer {
                worker: self.keys[worker].wallet(),
                submitter: self.keys[job.submitter].wallet(),
                nonce: self.nonces[worker],
                model: ModelId(Hash::ZERO),
                range: LayerRange::new(layer, layer + 1).unwrap(),
                shard_bytes: 1 << 30,
                arithmetic: ArithmeticId(1),
                price_ugft_per_token: 1000,
                prompt_tokens_max: 4096,
                completion_tokens_max: 4096,
                window_tokens: 32,
                share_kflop: 500_000,
                service_rate: 40_000 + u32::try_from(worker % 100).unwrap() * 100,
                hardware_ppm: 1_000_000,
                reliability_ppm: 1_000_000,
                memory_bytes: 1 << 33,
                expires_ms: 5000,
            };
            let network = self.genesis.id();
            let signed = Verified::sign(offer, &self.keys[worker], network).unwrap();
            offers.push(signed.into());
        }
        Payload::Reserve(Box::new(Reserve {
            model: ModelId(Hash::ZERO),
            layers: u32::try_from(job.stages.len()).unwrap(),
            prompt_tokens: PROMPT_TOKENS,
            completion_tokens_max: COMPLETION_TOKENS,
            price_ugft_per_token: 1000,
            // Far ahead: what is late is never confirmed.
            deadline_ms: self.written as u64 + DEADLINE_MS,
            continues: None,
            offers,
        }))
    }

    fn sign_frontier(
        &self,
        job: &Job,
        id: Hash,
        completion_done: u32,
        is_final: bool,
    ) -> (Signed<Attestation>, Signed<Ack>) {
        let network = self.genesis.id();
        let last = &self.keys[*job.stages.last().unwrap()];
        let attestation = Attestation {
            stage: last.wallet(),
            job: JobId(id),
            number: completion_done,
            previous: Hash::ZERO,
            prompt_done: PROMPT_TOKENS,
            completion_done,
            transcript: Hash::of_blob(&completion_done.to_le_bytes()),
            stage_compute_us: vec![7_000_000; job.stages.len()],
            arithmetic: ArithmeticId(1),
        };
        let attestation = Verified::sign(attestation, last, network).unwrap();
        let submitter = &self.keys[job.submitter];
        let ack = Ack {
            submitter: submitter.wallet(),
            job: JobId(id),
            attestation: attestation.id(),
            prompt_done: PROMPT_TOKENS,
            completion_done,
            is_final,
        };
        let ack = Verified::sign(ack, submitter, network).unwrap();
        (attestation.into(), ack.into())
    }

    fn witness(&mut self, founder: usize) {
        let newest: Vec<Seen> = self.newest.iter().rev().take(4).copied().collect();
        self.write(founder, &newest, WITNESS, Vec::new(), Vec::new());
    }

    fn post(&mut self, author: usize, cites: &[Seen], payload: &Payload) -> Seen {
        let lag = self.random.below(LAG_MAX);
        let visible = self.newest.len().saturating_sub(lag);
        let of_others = self.newest[..visible].iter().rev();
        let newest = of_others.copied().find(|seen| seen.author != author);
        let cites: Vec<Seen> = cites.iter().copied().chain(newest).collect();
        let (kind, bytes) = (payload.kind(), payload.to_bytes());
        let signatures = match payload {
            Payload::Reserve(reserve) => reserve.offers.len() as u64,
            Payload::Frontier(_) => 2,
            _ => 0,
        };
        self.write_counted((author, signatures), &cites, kind, bytes, Vec::new())
    }

    fn write(
        &mut self,
        author: usize,
        cites: &[Seen],
        kind: u16,
        payload: Vec<u8>,
        names: Vec<Wallet>,
    ) -> Seen {
        self.write_counted((author, 0), cites, kind, payload, names)
    }

    fn write_counted(
        &mut self,
        (author, embedded): (usize, u64),
        cites: &[Seen],
        kind: u16,
        payload: Vec<u8>,
        mut names: Vec<Wallet>,
    ) -> Seen {
        let prev = self.tips.get(&author).copied();
        let naming = self.named_by.get(&author).filter(|_| prev.is_none());
        let refs: BTreeMap<Hash, u64> = cites
            .iter()
            .chain(naming)
            .filter(|seen| seen.author != author)
            .map(|seen| (seen.id, seen.lamport))
            .collect();
        let above = refs
            .values()
            .copied()
            .chain(prev.map(|(prev, _)| prev.lamport));
        let lamport = above.max().unwrap_or(0) + 1;
        names.sort_unstable();
        let entry = Entry {
            network: self.genesis.id(),
            author: self.keys[author].wallet(),
            seq: prev.map_or(0, |(_, seq)| seq + 1),
            prev: prev.map_or(Hash::ZERO, |(prev, _)| prev.id),
            refs: refs.keys().copied().collect(),
            lamport,
            time_ms: self.written as u64,
            names,
            kind,
            payload,
        };
        let seq = entry.seq;
        let entry = Verified::sign(entry, &self.keys[author], self.genesis.id()).unwrap();
        let seen = Seen {
            id: id_of(&entry),
            author,
            lamport,
        };
        (self.out)(Item {
            bytes: entry.to_bytes(),
            signatures: 1 + embedded,
            is_of_job: embedded > 0,
        });
        self.tips.insert(author, (seen, seq));
        if self.newest.len() >= 4096 {
            self.newest.drain(..2048);
        }
        self.newest.push(seen);
        self.written += 1;
        seen
    }
}

fn frontier(
    job: Hash,
    (attestation, ack): &(Signed<Attestation>, Signed<Ack>),
    is_final: bool,
) -> Payload {
    Payload::Frontier(Box::new(Frontier {
        job: JobId(job),
        attestation: attestation.clone(),
        ack: ack.clone(),
        is_final,
        received: Hash::of_blob(b"received"),
        sent: Hash::of_blob(b"sent"),
    }))
}

/// A history as it is read back, in batches.
pub(crate) struct Reader(BufReader<File>);

impl Reader {
    pub(crate) fn open(path: &Path) -> Self {
        Self(BufReader::with_capacity(1 << 20, File::open(path).unwrap()))
    }

    fn next(&mut self) -> Option<Item> {
        let mut head = [0; 6];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let mut bytes = vec![0; length as usize];
        self.0.read_exact(&mut bytes).unwrap();
        Some(Item {
            bytes,
            signatures: u64::from(head[4]),
            is_of_job: head[5] == 1,
        })
    }

    pub(crate) fn batch(&mut self, count: usize) -> Vec<Item> {
        std::iter::from_fn(|| self.next()).take(count).collect()
    }
}
