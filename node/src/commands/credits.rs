//! `talkoot credits`: what a wallet may spend, why not more, and which jobs it
//! comes from. Asks the running node, or the journal when none answers.
//!
//! It computes nothing about money: parts and sums are the books' own.

mod text;

pub(super) use text::explained;

use super::ledger::reader::Reader;
use super::{contacts, output};
use crate::api::{
    CreditsQuestion, CreditsView, EarningsQuestion, EarningsView, PeersView, StatementQuestion,
};
use crate::cli::{CreditsArgs, HistoryBy};
use crate::client::Client;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::views::{EARNINGS_BUCKETS_MAX, STATEMENT_ROWS_MAX};
use serde::Serialize;

/// An hour, milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// A day, milliseconds.
const DAY_MS: u64 = 24 * HOUR_MS;
/// Hours that "lately" looks back at.
const LATELY_HOURS: usize = 24;
/// How a libp2p peer id of this network's keys begins; a wallet never does.
const PEER_ID_START: &str = "12D3KooW";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Credits<'a> {
    #[serde(flatten)]
    credits: &'a CreditsView,
    /// The last 24 hours.
    lately: &'a EarningsView,
}

/// Prints what is asked for.
///
/// # Errors
/// When there are no books, or none or several wallets are meant.
pub fn run(args: &CreditsArgs, home: &Home) -> Result<(), Failure> {
    let books = Reader::open(home, args.offline)?;
    let wallet = Some(whose(args.of.as_deref(), home)?);
    match (args.history, args.by) {
        (false, _) => now(args, &books, wallet),
        (true, HistoryBy::Job) => jobs(args, &books, wallet),
        (true, HistoryBy::Hour) => buckets(args, &books, wallet, HOUR_MS),
        (true, HistoryBy::Day) => buckets(args, &books, wallet, DAY_MS),
    }
}

/// The wallet that is meant: our own, or the one that a peer has.
fn whose(of: Option<&str>, home: &Home) -> Result<String, Failure> {
    match of {
        None => Ok(home.existing_identity()?.wallet().to_string()),
        Some(asked) if asked.starts_with(PEER_ID_START) => {
            let peers: PeersView = Client::connect(home)?.get("peers")?;
            let mut peers = peers.peers.into_iter();
            let peer = peers.find(|peer| peer.peer_id == asked);
            peer.map(|peer| peer.wallet).ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("no peer {asked} is connected"))
                    .hint("`talkoot peers` lists them; a wallet's id works for everybody")
            })
        }
        Some(asked) => contacts::wallet_or_text(home, asked),
    }
}

fn now(args: &CreditsArgs, books: &Reader, wallet: Option<String>) -> Result<(), Failure> {
    let credits = books.ask(&CreditsQuestion {
        wallet: wallet.clone(),
    })?;
    let lately = books.ask(&EarningsQuestion {
        wallet,
        bucket_ms: Some(HOUR_MS),
        count: Some(LATELY_HOURS),
        until_ms: Some(clock::now_ms()),
    })?;
    if args.json {
        return output::print_json(&Credits {
            credits: &credits,
            lately: &lately,
        });
    }
    output::print(&format!(
        "{}{}{}",
        explained(&credits),
        text::lately(&lately),
        text::NEXT
    ))
}

fn jobs(args: &CreditsArgs, books: &Reader, wallet: Option<String>) -> Result<(), Failure> {
    within(args.count, STATEMENT_ROWS_MAX)?;
    let view = books.ask(&StatementQuestion {
        wallet,
        before: None,
        count: Some(args.count),
    })?;
    if args.json {
        return output::print_json(&view);
    }
    output::print(&text::statement(&view))
}

fn buckets(
    args: &CreditsArgs,
    books: &Reader,
    wallet: Option<String>,
    bucket_ms: u64,
) -> Result<(), Failure> {
    within(args.count, EARNINGS_BUCKETS_MAX)?;
    let view = books.ask(&EarningsQuestion {
        wallet,
        bucket_ms: Some(bucket_ms),
        count: Some(args.count),
        until_ms: Some(clock::now_ms()),
    })?;
    if args.json {
        return output::print_json(&view);
    }
    output::print(&text::by_time(&view))
}

fn within(count: usize, most: usize) -> Result<(), Failure> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!("--count is 1 to {most}, not {count}"),
    ))
}
