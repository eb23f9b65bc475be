//! Machines: starting, ticking, losing power, being wiped and restored; and
//! partitions of the network.

use super::{Event, World};
use crate::disk::{Fate, nowhere};
use crate::invariants::{self, Lawful, Violation};
use crate::links::{at, index};
use talkoot_ledger::Books;
use talkoot_ledger::duties::Duties;
use talkoot_ledger::signer::{EndReason, SigningState};
use talkoot_ledger::sync::{SyncCore, SyncInput};

/// How far a crash may be in the future of a start, in calls to the disk.
const CALLS_TO_CRASH: u64 = 40;

impl World {
    pub(crate) fn start_machine(&mut self, who: u32, is_new: bool) -> Lawful {
        if self.nodes[at(who)].is_up() {
            return Ok(());
        }
        let (genesis, seed) = (self.genesis.clone(), self.random.next());
        let has_disks = self.settings.has_disks;
        let node = &mut self.nodes[at(who)];
        let files = if has_disks {
            node.disk.files()
        } else {
            nowhere()
        };
        let (books, report) = match Books::with_files(files, genesis, node.wallet, is_new) {
            Ok(opened) => opened,
            Err(_) if !node.disk.is_lasting() => {
                self.crash(who);
                return Ok(());
            }
            Err(error) => return Err(Violation(format!("books do not open: {error}"))),
        };
        if report.unusable > 0 {
            return Err(Violation(format!(
                "{} records of a journal are unusable",
                report.unusable
            )));
        }
        let held: Vec<_> = std::mem::take(&mut node.held);
        if !node.is_liar {
            invariants::survived(&held, books.ledger())?;
        }
        let ids: Vec<_> = books.ledger().links(0).map(|link| link.id).collect();
        node.print = [0; 32];
        node.note(&ids, has_disks);
        node.books = Some(books);
        node.sync = SyncCore::new(seed);
        node.seen.clear();
        node.settled.clear();
        node.busy_until_us = 0;
        node.duties = Duties::new(node.wallet);
        let life = node.life;
        if !is_new {
            self.counts.one("restarts");
        }
        self.compare(who)?;
        let delay_us = self.random.between(1, self.settings.tick_us);
        self.after(delay_us, Event::Tick { who, life });
        self.connect(who)
    }

    fn connect(&mut self, who: u32) -> Lawful {
        let me = self.nodes[at(who)].wallet;
        for peer in self.links.peers(who).to_vec() {
            if self.nodes[at(peer)].is_up() {
                let other = self.nodes[at(peer)].wallet;
                self.sync(who, SyncInput::PeerConnected(other))?;
                self.sync(peer, SyncInput::PeerGone(me))?;
                self.sync(peer, SyncInput::PeerConnected(me))?;
            }
        }
        Ok(())
    }

    /// The machine loses its power and starts again after a while.
    pub(crate) fn crash(&mut self, who: u32) {
        self.counts.one("crashes");
        let fate = match self.random.below(10) {
            _ if self.is_calm => Fate::Lasting,
            0 | 1 => Fate::OffAt(self.random.between(0, CALLS_TO_CRASH)),
            2 => Fate::SyncFailsAt(self.random.between(0, CALLS_TO_CRASH)),
            _ => Fate::Lasting,
        };
        let node = &mut self.nodes[at(who)];
        node.books = None;
        node.life += 1;
        node.disk.lose_power(fate, &mut self.random);
        let delay_us = self.random.between(200_000, 8_000_000);
        self.after(delay_us, Event::Restart { who });
    }

    /// A write or sync came to nothing: the operator starts the node again.
    pub(super) fn disk_failed(&mut self, who: u32) {
        self.counts.one("disks_failed");
        self.crash(who);
    }

    pub(super) fn tick(&mut self, who: u32, life: u32) -> Lawful {
        if self.nodes[at(who)].life != life || !self.nodes[at(who)].is_up() {
            return Ok(());
        }
        self.after(self.settings.tick_us, Event::Tick { who, life });
        let now_ms = self.clock_ms(who);
        if let Some(books) = &mut self.nodes[at(who)].books {
            books.tick(now_ms);
            if *books.signing() == SigningState::Ended(EndReason::Disk) {
                self.disk_failed(who);
                return Ok(());
            }
        }
        self.sync(who, SyncInput::Tick)?;
        self.do_duties(who)?;
        self.settle_jobs(who)?;
        let node = &mut self.nodes[at(who)];
        if let Some(books) = node.books.as_mut().filter(|_| node.is_unflushed) {
            node.is_unflushed = false;
            if books.flush().is_err() {
                self.disk_failed(who);
            }
        }
        Ok(())
    }

    /// What the node must post by itself.
    fn do_duties(&mut self, who: u32) -> Lawful {
        let now_ms = self.clock_ms(who);
        let node = &mut self.nodes[at(who)];
        let Some(books) = &node.books else {
            return Ok(());
        };
        if !books.signing().is_active() {
            return Ok(());
        }
        for draft in node.duties.due(books.ledger(), now_ms) {
            self.author(who, draft)?;
        }
        Ok(())
    }

    pub(super) fn fault(&mut self) -> Lawful {
        if self.is_calm {
            return Ok(());
        }
        let honest: Vec<u32> = self.honest().collect();
        let who = self.random.pick(&honest).unwrap_or(0);
        match self.random.below(10) {
            0..4 if self.nodes[at(who)].is_up() => self.crash(who),
            4 | 5 if !self.links.is_parted() => {
                self.links.part(&mut self.random);
                self.counts.one("partitions");
                let delay_us = self.random.between(2_000_000, 12_000_000);
                self.after(delay_us, Event::Heal);
            }
            6 => self.nodes[at(who)].slow_us = self.random.between(0, 40_000),
            7 if self.nodes[at(who)].is_up() => self.nodes[at(who)].disk.back_up(),
            8 => self.lose_disk(who),
            _ => {
                let links = &mut self.links.settings;
                links.loss_percent = self.random.between(0, 30);
                links.double_percent = self.random.between(0, 20);
            }
        }
        let delay_us = self.random.between(1, 2 * self.settings.fault_every_us);
        self.after(delay_us, Event::Fault);
        Ok(())
    }

    /// The disk is wiped or an old copy put back. What only this machine held
    /// is lost then, and no rule can bring it back: so only once a peer that is
    /// up holds all its own entries, and every honest one does.
    fn lose_disk(&mut self, who: u32) {
        if !self.nodes[at(who)].is_up() || !self.is_replicated(who) {
            return;
        }
        self.crash(who);
        let with_signer = self.random.chance(50);
        let is_wiped = self.random.chance(40);
        let node = &mut self.nodes[at(who)];
        if !is_wiped && node.disk.restore(with_signer) {
            self.counts.one("backups_restored");
        } else {
            node.disk.wipe();
            self.counts.one("disks_wiped");
        }
        node.held.clear();
    }

    fn is_replicated(&self, who: u32) -> bool {
        let me = self.nodes[at(who)].wallet;
        let newest = self.ledger(who).and_then(|ledger| ledger.log_tip(&me));
        let holds = |other: u32| {
            self.ledger(other).is_some_and(|ledger| {
                ledger.log_tip(&me).map(|tip| tip.id) == newest.map(|tip| tip.id)
            })
        };
        self.honest().all(holds)
    }

    pub(super) fn heal(&mut self) {
        if self.links.is_parted() {
            self.links.heal();
            self.counts.one("partitions_healed");
        }
    }

    /// The noise ends: the network is whole, all machines run.
    pub(crate) fn calm_down(&mut self) -> Lawful {
        self.is_calm = true;
        self.heal();
        let links = &mut self.links.settings;
        (links.loss_percent, links.double_percent) = (0, 0);
        for who in 0..index(self.nodes.len()) {
            self.nodes[at(who)].slow_us = 0;
            self.start_machine(who, false)?;
        }
        Ok(())
    }
}
