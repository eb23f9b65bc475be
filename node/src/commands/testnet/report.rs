//! The books of all nodes after the question, and whether they hold.
//!
//! The network is new and carried one job, so every balance is this job's.

use super::nodes::Nodes;
use super::tiles;
use crate::api::{AskDone, BalancesView, StageView, StatusView};
use crate::commands::output::{self, Align, Table};
use crate::commands::status::gft_of;
use crate::exit::{Exit, Failure};
use crate::units;
use serde::Serialize;

/// One node's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Chain {
    peer: String,
    length: u64,
    tip: String,
}

/// What the nodes' books say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Books {
    chains: Vec<Chain>,
    /// By stage, in order.
    earned_ugft: Vec<i128>,
    burned_ugft: i128,
    commons_ugft: u128,
    held_ugft: u128,
    sum_ugft: i128,
}

/// The object of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    answer: &'a str,
    prompt_tokens: u32,
    completion_tokens: u32,
    time_to_first_token_us: u64,
    tokens_per_second: f64,
    overhead_us_per_token_hop: f64,
    stages: Vec<Stage<'a>>,
    burned_ugft: i128,
    commons_ugft: u128,
    held_ugft: u128,
    sum_ugft: i128,
    chains: &'a [Chain],
}

#[derive(Debug, Serialize)]
struct Stage<'a> {
    peer: &'a str,
    layers: [u32; 2],
    compute_us_per_token: f64,
    hop_us_per_token: f64,
    earned_ugft: i128,
}

impl Books {
    /// Asks every node for its chain and the asker for the balances.
    pub(super) fn read(nodes: &Nodes, done: &AskDone) -> Result<Self, Failure> {
        let mut chains = Vec::new();
        for node in nodes.all() {
            let status: StatusView = node.client()?.get("status")?;
            chains.push(Chain {
                peer: node.wallet.clone(),
                length: status.chain.length,
                tip: status.chain.tip,
            });
        }
        let balances: BalancesView = nodes.asker()?.get("ledger/balances")?;
        let asker = nodes.all().first().map_or("", |node| node.wallet.as_str());
        Ok(Self::of(chains, &balances, done, asker))
    }

    fn of(chains: Vec<Chain>, balances: &BalancesView, done: &AskDone, asker: &str) -> Self {
        let row = |wallet: &str| balances.balances.iter().find(|row| row.wallet == wallet);
        let balance = |wallet: &str| row(wallet).map_or(0, |row| row.balance_ugft);
        Self {
            chains,
            earned_ugft: done
                .stages
                .iter()
                .map(|stage| balance(&stage.peer))
                .collect(),
            burned_ugft: balance(asker).saturating_neg(),
            commons_ugft: balances.commons_ugft,
            held_ugft: row(asker).map_or(0, |row| row.held_ugft),
            sum_ugft: balances.sum_ugft,
        }
    }

    /// Whether all chains agree and nothing is held.
    pub(super) fn is_settled(&self) -> bool {
        self.held_ugft == 0 && self.chains_agree()
    }

    fn chains_agree(&self) -> bool {
        self.chains
            .windows(2)
            .all(|pair| pair[0].length == pair[1].length && pair[0].tip == pair[1].tip)
    }

    /// The books for people.
    pub(super) fn text(&self) -> String {
        let earned: i128 = self.earned_ugft.iter().sum();
        let mut table = Table::new(&[
            ("CHAIN OF", Align::Left),
            ("LENGTH", Align::Right),
            ("TIP", Align::Left),
        ]);
        for (index, chain) in self.chains.iter().enumerate() {
            let role = if index == 0 { "asker " } else { "worker" };
            table.row(vec![
                format!("{role} {}", output::short(&chain.peer)),
                chain.length.to_string(),
                chain.tip.clone(),
            ]);
        }
        format!(
            "books: burned {} = earned {} + commons {} GFT; held {}; Σ balances + commons = {}\n{}",
            units::gft(self.burned_ugft),
            units::gft(earned),
            gft_of(self.commons_ugft),
            gft_of(self.held_ugft),
            self.sum_ugft,
            table.render(),
        )
    }

    /// Fails naming the first thing that does not hold.
    pub(super) fn check(&self, done: &AskDone, layers: u32) -> Result<(), Failure> {
        let earned: i128 = self.earned_ugft.iter().sum();
        let commons = i128::try_from(self.commons_ugft).unwrap_or(i128::MAX);
        let billed: Vec<i128> = done
            .stages
            .iter()
            .map(|stage: &StageView| stage.earned_ugft.into())
            .collect();
        let laws = [
            // A token may have no text, so the text may be empty.
            (done.completion_tokens > 0, "the answer has no tokens"),
            (tiles(done, layers), "the route does not tile the model"),
            (
                self.burned_ugft > 0 || !done.accounting,
                "nothing was burned",
            ),
            (
                self.burned_ugft == 0 || done.accounting,
                "credits were burned though accounting is off",
            ),
            (
                self.burned_ugft == earned + commons,
                "burned is not earned + commons",
            ),
            (
                !done.settled
                    || (self.burned_ugft == done.burned_ugft.into() && self.earned_ugft == billed),
                "the books and the bill differ",
            ),
            (
                self.sum_ugft == 0,
                "balances and commons do not sum to zero",
            ),
            (self.held_ugft == 0, "credits are still held for the job"),
            (self.chains_agree(), "the nodes hold different chains"),
        ];
        match laws.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, broken)) => Err(Failure::new(Exit::VerifyFailed, *broken)),
        }
    }

    /// The object of `--json`.
    pub(super) fn report<'a>(&'a self, done: &'a AskDone, answer: &'a str) -> Report<'a> {
        Report {
            answer,
            prompt_tokens: done.prompt_tokens,
            completion_tokens: done.completion_tokens,
            time_to_first_token_us: done.time_to_first_token_us,
            tokens_per_second: done.tokens_per_second,
            overhead_us_per_token_hop: done.overhead_us_per_token_hop,
            stages: done
                .stages
                .iter()
                .zip(&self.earned_ugft)
                .map(|(stage, earned)| Stage {
                    peer: &stage.peer,
                    layers: stage.layers,
                    compute_us_per_token: stage.compute_us_per_token,
                    hop_us_per_token: stage.hop_us_per_token,
                    earned_ugft: *earned,
                })
                .collect(),
            burned_ugft: self.burned_ugft,
            commons_ugft: self.commons_ugft,
            held_ugft: self.held_ugft,
            sum_ugft: self.sum_ugft,
            chains: &self.chains,
        }
    }
}

#[cfg(test)]
mod tests;
