//! `doctor`: what is wrong with this node and its surroundings, by what evidence,
//! and what to do.
//!
//! Each check gathers facts and judges them: the judging is a function of the
//! facts alone, the gathering is thin. It works with and without a running node,
//! and changes nothing. What it prints is the command's business.

mod api;
mod books;
mod contacts;
mod hardware;
mod home;
mod network;
mod ports;
mod running;

pub use running::NodeState;

use crate::api::SCHEMA;
use crate::clock;
use crate::exit::Failure;
use crate::home::Home;
use serde::Serialize;
use std::net::IpAddr;
use std::path::PathBuf;
use talkoot_protocol::Genesis;

/// What a check came to; the later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Not looked at, or nothing to look at.
    Skip,
    /// As it should be.
    Pass,
    /// It works, and will perhaps not go on.
    Warn,
    /// Something does not work.
    Fail,
}

impl Verdict {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    verdict: Verdict,
    evidence: String,
    fix: Option<String>,
}

impl Finding {
    fn skip(evidence: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Skip,
            evidence: evidence.into(),
            fix: None,
        }
    }

    fn pass(evidence: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Pass,
            ..Self::skip(evidence)
        }
    }

    fn warn(evidence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            evidence: evidence.into(),
            fix: Some(fix.into()),
        }
    }

    fn fail(evidence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(evidence, fix)
        }
    }

    /// What a failure says, with its hint or, where it has none, `fix`.
    fn of(failure: &Failure, fix: &str) -> Self {
        let fix = failure.hint.clone().unwrap_or_else(|| fix.to_owned());
        Self::fail(&failure.message, fix)
    }
}

/// One check and what it found.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was measured.
    pub evidence: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// All checks.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The worst of all.
    pub verdict: Verdict,
    /// In the order of [`CHECKS`].
    pub checks: Vec<Check>,
}

/// What shall be looked at; mostly what `up` would be given.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Where libp2p and the data plane listen.
    pub listen: IpAddr,
    /// Port of libp2p; 0 is any.
    pub p2p_port: u16,
    /// Port of the data plane; 0 is any.
    pub data_port: u16,
    /// Port of HTTP; 0 is any.
    pub http_port: u16,
    /// Where HTTP listens.
    pub http_listen: IpAddr,
    /// Peers to dial first.
    pub bootstrap: Vec<String>,
    /// A ticket that would be used.
    pub ticket: Option<String>,
    /// Where else models are.
    pub model_dirs: Vec<PathBuf>,
    /// Room on the disk below which it is too little, bytes.
    pub min_free_bytes: u64,
    /// Only these checks; all when empty.
    pub only: Vec<String>,
    /// Leave out what takes seconds.
    pub is_fast: bool,
    /// Check every signature.
    pub is_full: bool,
}

/// What all checks see.
#[derive(Debug)]
pub struct Scene<'a> {
    home: &'a Home,
    wishes: &'a Wishes,
    node: NodeState,
    genesis: Result<Option<Genesis>, Failure>,
    now_ms: u64,
}

impl<'a> Scene<'a> {
    /// Looks whether a node runs in the home, and which network it is in.
    #[must_use]
    pub fn of(home: &'a Home, wishes: &'a Wishes) -> Self {
        Self {
            home,
            wishes,
            node: NodeState::of(home),
            genesis: home.current_genesis(),
            now_ms: clock::now_ms(),
        }
    }
}

/// A check as it is listed.
#[derive(Debug)]
pub struct Item {
    /// Its name.
    pub name: &'static str,
    /// What it looks at.
    pub what: &'static str,
    is_slow: bool,
    run: fn(&Scene<'_>) -> Finding,
}

const fn quick(name: &'static str, what: &'static str, run: fn(&Scene<'_>) -> Finding) -> Item {
    Item {
        name,
        what,
        is_slow: false,
        run,
    }
}

const fn slow(name: &'static str, what: &'static str, run: fn(&Scene<'_>) -> Finding) -> Item {
    Item {
        is_slow: true,
        ..quick(name, what, run)
    }
}

/// All checks, in the order in which they are made.
pub const CHECKS: &[Item] = &[
    quick(
        "home",
        "the directories of the home can be written and are private",
        home::directories,
    ),
    quick(
        "identity",
        "the seed is there, whole, and readable by its owner alone",
        home::identity,
    ),
    quick(
        "node",
        "whether a node runs here, and answers",
        running::node,
    ),
    quick("twin", "no other node has this identity", home::twin),
    quick("disk", "room where ledger and cache are", home::disk),
    quick(
        "ports",
        "the ports are free, or this node's own",
        ports::ports,
    ),
    quick(
        "udp",
        "datagrams arrive, on loopback and on the address of the network",
        network::udp,
    ),
    quick(
        "inbound",
        "peers that came to us by themselves; firewalls",
        network::inbound,
    ),
    quick(
        "bootstrap",
        "each first contact: resolve, dial, identity, network",
        contacts::bootstrap,
    ),
    quick(
        "ticket",
        "the ticket is whole, in time, and for this network",
        contacts::ticket,
    ),
    quick(
        "clock",
        "this clock beside those of the peers",
        network::clock,
    ),
    slow(
        "processor",
        "instruction set, threads, measured speed beside the announced",
        hardware::processor,
    ),
    quick(
        "memory",
        "free memory beside what sessions may still take",
        hardware::memory,
    ),
    quick(
        "models",
        "the files of imported models are there, with the size they had",
        hardware::models,
    ),
    quick(
        "coverage",
        "every layer of every model is served by somebody",
        network::coverage,
    ),
    slow(
        "ledger",
        "the journal verifies from its bytes (every signature with `--full`)",
        books::ledger,
    ),
    quick(
        "sync",
        "peers have nothing that this node lacks",
        books::sync,
    ),
    slow(
        "tips",
        "the chains of peers end where this one does",
        books::tips,
    ),
    quick(
        "api",
        "the HTTP port answers its own machine, and refuses a foreign `Host`",
        api::port,
    ),
    slow(
        "answer",
        "one token comes through `/v1/chat/completions`",
        api::answer,
    ),
    quick(
        "config",
        "the file of settings, where there is one",
        home::config,
    ),
    quick("keys", "nobody else may ask without a key", api::keys),
    quick(
        "limits",
        "whether lending is paused, and why",
        running::limits,
    ),
];

/// Makes the checks that are wished for; `tell` hears of each as it is done.
pub fn examine(scene: &Scene<'_>, mut tell: impl FnMut(&Check)) -> Report {
    let only = &scene.wishes.only;
    let mut checks = Vec::new();
    for item in CHECKS {
        if !only.is_empty() && !only.iter().any(|name| name == item.name) {
            continue;
        }
        let finding = if item.is_slow && scene.wishes.is_fast {
            Finding::skip("left out by --fast")
        } else {
            (item.run)(scene)
        };
        let check = Check {
            name: item.name,
            verdict: finding.verdict,
            evidence: finding.evidence,
            fix: finding.fix,
        };
        tell(&check);
        checks.push(check);
    }
    Report {
        schema: SCHEMA,
        verdict: checks
            .iter()
            .map(|check| check.verdict)
            .max()
            .unwrap_or(Verdict::Skip),
        checks,
    }
}

#[cfg(test)]
mod tests;
