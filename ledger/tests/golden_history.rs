//! A whole history with its final books, pinned: the journal as a node keeps it
//! and what must come out of it. Another implementation reads the same files.
//!
//! `TALKOOT_BLESS=1` writes the files anew.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::oracle::{Oracle, bits};
use common::{E, Kit, OfferTerms, model_card, wallet};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use talkoot_ledger::books::{BooksFiles, verify};
use talkoot_ledger::journal::faulty::{FaultyFile, Power};
use talkoot_ledger::journal::{self, RecordKind};
use talkoot_ledger::kinds::{self, Admit, Equivocation, Model, Release};
use talkoot_ledger::store::memory::MemoryIndex;
use talkoot_ledger::{Books, HOLD_GRACE_MS, Ledger, Outcome, Payload, Source, Ugft, id_of};
use talkoot_protocol::{Genesis, Hash, JobId, Verified, Wallet};

/// Names of the wallets: the seed of each is the blake3 of its name.
const FOUNDERS: [(&str, u64); 4] = [
    ("ada", 1_000_000),
    ("bo", 1_000_000),
    ("cy", 1_000_000),
    ("di", 500_000),
];
const OTHERS: [&str; 3] = ["eve", "fay", "gus"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/history")
}

fn name_of(who: Wallet) -> &'static str {
    let founders = FOUNDERS.iter().map(|founder| founder.0);
    let mut names = founders.chain(OTHERS);
    names.find(|name| wallet(name) == who).unwrap()
}

/// The history in the making.
struct Writer {
    kit: Kit,
    tips: BTreeMap<Wallet, E>,
    all: Vec<E>,
}

impl Writer {
    /// The next entry of an author, which has seen `refs`.
    fn post(&mut self, author: &str, refs: &[&E], payload: &Payload) -> E {
        self.post_raw(author, refs, payload.kind(), payload.to_bytes(), &[])
    }

    fn post_raw(
        &mut self,
        author: &str,
        refs: &[&E],
        kind: u16,
        payload: Vec<u8>,
        names: &[Wallet],
    ) -> E {
        let author = wallet(author);
        let prev = self.tips.get(&author);
        let entry = self.kit.raw(author, prev, refs, kind, payload, names);
        self.tips.insert(author, entry.clone());
        self.all.push(entry.clone());
        entry
    }

    fn witness(&mut self, author: &str, refs: &[&E]) -> E {
        self.post(author, refs, &Payload::Witness)
    }

    /// A witness at a time of the author's own.
    fn claim(&mut self, author: &str, refs: &[&E], time_ms: u64) -> E {
        let author = wallet(author);
        let prev = self.tips.get(&author);
        let entry = self.kit.witness(author, prev, refs, time_ms);
        self.tips.insert(author, entry.clone());
        self.all.push(entry.clone());
        entry
    }

    /// Founders with more than two thirds of the lines have seen these.
    fn confirm(&mut self, seen: &[&E]) -> [E; 3] {
        ["bo", "cy", "di"].map(|founder| self.witness(founder, seen))
    }

    fn admit(&mut self, author: &str, refs: &[&E], to: &str, line: u64) -> E {
        let payload = Payload::Admit(Admit {
            wallet: wallet(to),
            line_ugft: Ugft(line),
        });
        self.post(author, refs, &payload)
    }

    fn reserve(&mut self, author: &str, refs: &[&E], stages: &[Stage], tokens: (u32, u32)) -> E {
        let stages: Vec<_> = stages
            .iter()
            .map(|stage| (wallet(stage.0), stage.1, stage.2))
            .collect();
        let reserve = self
            .kit
            .reserve_payload(wallet(author), &stages, tokens.0, tokens.1);
        self.post(author, refs, &Payload::Reserve(Box::new(reserve)))
    }

    fn frontier(&mut self, author: &str, refs: &[&E], job: &E, done: (u32, u32), end: bool) -> E {
        let payload = self.kit.frontier_payload(job, done.0, done.1, end);
        self.post(author, refs, &Payload::Frontier(Box::new(payload)))
    }
}

/// Worker, nonce, terms.
type Stage = (&'static str, u64, OfferTerms);

fn terms(price: u64, share_kflop: u64, service_rate: u32, reliability_ppm: u32) -> OfferTerms {
    OfferTerms {
        price,
        share_kflop,
        service_rate,
        reliability_ppm,
        shard_bytes: share_kflop * 30,
        memory_bytes: 100_000,
    }
}

fn write() -> Writer {
    let kit = Kit::new(&FOUNDERS, &OTHERS);
    let mut writer = Writer {
        kit,
        tips: BTreeMap::new(),
        all: Vec::new(),
    };
    let names = OTHERS.map(wallet);
    let welcome = writer.post_raw("ada", &[], kinds::WITNESS, Vec::new(), &names);
    let model = Payload::Model(Model {
        card: model_card("golden").to_bytes(),
    });
    writer.post("ada", &[], &model);
    let line = writer.admit("ada", &[], "gus", 50_000);
    let seen = writer.confirm(&[&line]);
    jobs(&mut writer, &welcome, &seen);
    forks(&mut writer);
    nothing(&mut writer);
    writer
}

/// A job of two foreign stages, one with an own stage, and spent earnings.
fn jobs(writer: &mut Writer, welcome: &E, seen: &[E; 3]) {
    let stages = [
        ("eve", 1, terms(700, 1000, 4, 1_000_000)),
        ("fay", 1, terms(700, 3000, 5, 900_000)),
    ];
    let refs = [welcome, &seen[0], &seen[1], &seen[2]];
    let first = writer.reserve("gus", &refs, &stages, (10, 50));
    writer.frontier("fay", &[welcome, &first], &first, (10, 20), false);
    let eve = writer.frontier("eve", &[welcome, &first], &first, (10, 40), true);
    let fay = writer.frontier("fay", &[&eve], &first, (10, 40), true);
    let seen = writer.confirm(&[&eve, &fay]);
    // Its own stage counts in the split and costs nothing.
    let stages = [
        ("bo", 1, terms(300, 2000, 0, 1_000_000)),
        ("eve", 2, terms(300, 1000, 7, 950_000)),
        ("gus", 1, terms(300, 1500, 9, 1_000_000)),
    ];
    let second = writer.reserve("bo", &[&seen[1]], &stages, (0, 100));
    writer.frontier("eve", &[&second, &seen[2]], &second, (0, 64), true);
    writer.frontier("gus", &[&second], &second, (0, 16), false);
    // With no line of her own eve spends what she has earned.
    let stages = [("gus", 2, terms(10, 500, 9, 1_000_000))];
    let third = writer.reserve("eve", &[&seen[0], &seen[1]], &stages, (5, 95));
    let gus = writer.frontier("gus", &[&third], &third, (5, 33), true);
    writer.confirm(&[&gus]);
    // One stage posts in time, one never; founders let the deadline pass.
    let stages = [
        ("gus", 5, terms(50, 500, 9, 1_000_000)),
        ("fay", 5, terms(50, 500, 9, 1_000_000)),
    ];
    let fourth = writer.reserve("cy", &[], &stages, (0, 60));
    let gus = writer.frontier("gus", &[&fourth], &fourth, (0, 12), false);
    writer.confirm(&[&gus]);
    let over_ms = HOLD_GRACE_MS + 9000;
    let claims = ["ada", "bo", "di"].map(|name| writer.claim(name, &[&fourth], over_ms));
    let job = JobId(id_of(&fourth));
    let refs = [&claims[0], &claims[1], &claims[2]];
    let release = writer.post("cy", &refs, &Payload::Release(Release { job }));
    writer.frontier("fay", &[&fourth], &fourth, (0, 12), true);
    writer.frontier("gus", &[&release], &fourth, (0, 60), true);
}

/// Fay signs two entries at one number; gus orders twice at one number, and one
/// of the two is confirmed.
fn forks(writer: &mut Writer) {
    let fay = writer.tips[&wallet("fay")].clone();
    let left = writer.witness("fay", &[]);
    let twin = writer.kit.witness(wallet("fay"), Some(&fay), &[], 2000);
    writer.all.push(twin.clone());
    let pair = Payload::Equivocation(Equivocation::new(&left, &twin));
    writer.post("di", &[&left], &pair);
    let gus = writer.tips[&wallet("gus")].clone();
    let stages = |nonce| [("eve", nonce, terms(20, 500, 9, 1_000_000))];
    let lost = writer.reserve("gus", &[], &stages(10), (0, 30));
    writer.frontier("eve", &[&lost], &lost, (0, 30), true);
    writer.tips.insert(wallet("gus"), gus);
    let kept = writer.reserve("gus", &[], &stages(11), (0, 40));
    let seen = writer.confirm(&[&kept]);
    writer.frontier("eve", &[&kept, &seen[0]], &kept, (0, 7), false);
}

/// Entries that come to nothing, each for another reason.
fn nothing(writer: &mut Writer) {
    writer.admit("ada", &[], "ada", 5);
    writer.admit("ada", &[], "eve", 0);
    writer.admit("ada", &[], "eve", 2_000_000);
    writer.post_raw("cy", &[], 500, vec![1, 2, 3], &[]);
    let stages = [("eve", 20, terms(10, 500, 9, 1_000_000))];
    let job = writer.reserve("cy", &[], &stages, (5, 95));
    let again = writer.reserve("cy", &[], &stages, (5, 95));
    let dear = [("ada", 4, terms(1_000_000, 1, 0, 1_000_000))];
    writer.reserve("cy", &[], &dear, (5, 95));
    writer.frontier("eve", &[], &job, (5, 1), false);
    writer.frontier("eve", &[&job], &job, (6, 1), false);
    writer.frontier("eve", &[], &job, (5, 96), false);
    writer.frontier("eve", &[], &job, (5, 95), true);
    writer.frontier("eve", &[], &job, (5, 95), true);
    writer.frontier("eve", &[&again], &again, (5, 95), true);
    writer.frontier("bo", &[&job], &job, (5, 95), true);
}

/// The journal of a node that was given these entries one by one.
fn journal_of(writer: &Writer) -> Vec<u8> {
    let power = Power::default();
    let journal = FaultyFile::new(&power);
    let files = BooksFiles {
        journal: Box::new(journal.clone()),
        signer: Box::new(FaultyFile::new(&power)),
        index: Box::new(MemoryIndex::default()),
    };
    let genesis = writer.kit.genesis.clone();
    let (mut books, _) = Books::with_files(files, genesis, wallet("ada"), true).unwrap();
    for entry in &writer.all {
        books
            .admit_batch(vec![entry.clone()], Source::Own, 0)
            .unwrap();
    }
    books.flush().unwrap();
    journal.survivor()
}

/// What the books say in the end, as text: the form that is pinned.
struct Said {
    tip: Hash,
    commons: i128,
    /// Balance, line, held.
    wallets: BTreeMap<Wallet, (i128, i128, i128)>,
    /// In the chain's order.
    entries: Vec<(E, Outcome, bool)>,
}

fn describe(outcome: Outcome) -> String {
    match outcome {
        Outcome::Inert(reason) => format!("inert {}", reason.code()),
        Outcome::Noted => "noted".into(),
        Outcome::Admitted { line, .. } => format!("admitted {}", line.0),
        Outcome::Reserved { held } => format!("reserved {}", held.0),
        Outcome::Released { freed } => format!("released {}", freed.0),
        Outcome::Paid {
            burned,
            earned,
            is_final,
        } => {
            let end = if is_final { " final" } else { "" };
            format!("paid {} earned {}{end}", burned.0, earned.0)
        }
    }
}

fn text(network: Hash, said: &Said) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").unwrap();
    line("# What ledger/tests/golden/history/journal.log must come to; see docs/LEDGER.md.".into());
    line("# The seed of each wallet is the blake3 of its name.".into());
    line(format!("network {network}"));
    line(format!("entries {}", said.entries.len()));
    line(format!("tip {}", said.tip));
    line(format!("commons {}", said.commons));
    line("\n# wallet: balance, line, held".into());
    for (wallet, (balance, credit, held)) in &said.wallets {
        let name = name_of(*wallet);
        line(format!("{wallet} {name}: {balance}, {credit}, {held}"));
    }
    line("\n# the chain: id, author, number, kind, effect (inert: the reason's number)".into());
    for (entry, outcome, is_confirmed) in &said.entries {
        let (id, kind) = (id_of(entry), kinds::name(entry.kind));
        let (who, what) = (name_of(entry.author), describe(*outcome));
        let confirmed = if *is_confirmed { ", confirmed" } else { "" };
        line(format!(
            "{id} {who} {} {kind}: {what}{confirmed}",
            entry.seq
        ));
    }
    text
}

fn by_ledger(genesis: &Genesis, entries: &[E]) -> Said {
    let mut ledger = Ledger::new(genesis.clone());
    ledger.admit_batch(entries.to_vec(), Source::Own, 0);
    let chain = ledger.entries(0);
    Said {
        tip: ledger.tip(),
        commons: ledger.commons().0,
        wallets: ledger
            .accounts()
            .into_iter()
            .map(|a| (a.wallet, (a.balance.0, a.line.0, a.held.0)))
            .collect(),
        entries: chain
            .map(|view| (view.entry.clone(), view.outcome, view.is_confirmed))
            .collect(),
    }
}

fn by_oracle(genesis: &Genesis, entries: &[E]) -> Said {
    let mut oracle = Oracle::new(genesis.clone());
    for entry in entries {
        oracle.add(entry.clone());
    }
    let set = oracle.all();
    let fold = oracle.fold(set);
    let of = |map: &BTreeMap<Wallet, i128>, who| map.get(&who).copied().unwrap_or(0);
    let books = |who| {
        let (balance, line) = (of(&fold.balances, who), of(&fold.lines, who));
        (who, (balance, line, of(&fold.held, who)))
    };
    let names = FOUNDERS.iter().map(|founder| founder.0).chain(OTHERS);
    let mut order: Vec<usize> = bits(set).collect();
    order.sort_by_key(|&i| {
        let entry = &oracle.entries[i];
        (entry.lamport, entry.author, entry.seq, id_of(entry))
    });
    let entry = |i: usize| {
        let entry = oracle.entries[i].clone();
        (entry, fold.outcomes[&i], oracle.confirmed(i, set))
    };
    Said {
        tip: oracle.tip(set, &fold),
        commons: fold.commons,
        wallets: names.map(|name| books(wallet(name))).collect(),
        entries: order.into_iter().map(entry).collect(),
    }
}

/// Reading `genesis.bin` and `journal.log` while they are written anew fails.
fn is_blessing() -> bool {
    std::env::var_os("TALKOOT_BLESS").is_some()
}

/// The entries of the committed journal.
fn read() -> (Genesis, Vec<E>) {
    let genesis = std::fs::read(folder().join("genesis.bin")).unwrap();
    let genesis = Genesis::decode(&genesis).unwrap();
    let bytes = std::fs::read(folder().join("journal.log")).unwrap();
    let mut file = FaultyFile::holding(bytes, &Power::default());
    let contents = journal::read(&mut file, genesis.id()).unwrap();
    assert_eq!(contents.torn_bytes, 0);
    let entries = contents.records.iter().map(|record| {
        assert_eq!(record.kind, RecordKind::Entry);
        Verified::from_bytes(&record.payload, genesis.id()).unwrap()
    });
    (genesis.clone(), entries.collect())
}

#[test]
fn the_history_is_written_as_it_was() {
    let writer = write();
    let files = [
        ("genesis.bin", writer.kit.genesis.to_bytes()),
        ("journal.log", journal_of(&writer)),
    ];
    let said = by_ledger(&writer.kit.genesis, &writer.all);
    let said = text(writer.kit.network.0, &said);
    let files = files.into_iter().chain([("books.txt", said.into_bytes())]);
    for (name, bytes) in files {
        let path = folder().join(name);
        if is_blessing() {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        assert!(golden == bytes, "{name} has changed");
    }
}

#[test]
fn the_journal_comes_to_the_books_by_every_reading() {
    if is_blessing() {
        return;
    }
    let golden = std::fs::read_to_string(folder().join("books.txt")).unwrap();
    let (genesis, entries) = read();
    assert!(entries.len() >= 36 && entries.len() <= 128);
    assert_eq!(text(genesis.id().0, &by_ledger(&genesis, &entries)), golden);
    assert_eq!(text(genesis.id().0, &by_oracle(&genesis, &entries)), golden);
    let report = verify(&folder(), true).unwrap();
    assert!(report.is_right(), "{report:?}");
    assert!(golden.contains(&format!("\ntip {}\n", report.tip)));
    assert!(golden.contains(&format!("\nentries {}\n", report.entries)));
}

/// docs/LEDGER.md quotes the tip of this history.
#[test]
fn the_document_quotes_the_tip() {
    let (genesis, entries) = read();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/LEDGER.md");
    let document = std::fs::read_to_string(path).unwrap();
    let tip = by_ledger(&genesis, &entries).tip;
    assert!(document.contains(&format!("\ntip {tip}\n")), "tip {tip}");
}

/// It says something of every kind and of many reasons.
#[test]
fn the_history_leaves_nothing_out() {
    if is_blessing() {
        return;
    }
    let (genesis, entries) = read();
    let said = by_ledger(&genesis, &entries);
    for kind in kinds::ADMIT..=kinds::RELEASE {
        let is_there =
            |(entry, outcome, _): &(E, Outcome, bool)| entry.kind == kind && outcome.is_effective();
        assert!(said.entries.iter().any(is_there), "{}", kinds::name(kind));
    }
    let mut reasons: Vec<_> = said.entries.iter().filter_map(|e| e.1.reason()).collect();
    reasons.sort();
    reasons.dedup();
    assert!(reasons.len() >= 12, "{reasons:?}");
    assert!(said.commons > 0);
    assert!(said.wallets.values().any(|books| books.2 > 0), "no hold");
}
