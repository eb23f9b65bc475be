//! `ledger inspect`: looks into a network from outside and checks it.

use super::reader::Reader;
use super::{list, read, verdict_text};
use crate::api::{GenesisQuestion, InspectView, SCHEMA};
use crate::cli::{InspectArgs, InspectVerb, LedgerLsArgs, ReadArgs};
use crate::commands::output::{self, Align, Table};
use crate::commands::status::gft_of;
use crate::exit::{Exit, Failure};
use crate::observe::{Contact, Observer, ObserverSettings, PeerChain, Progress};
use crate::units;
use crate::views::LedgerQuestion;
use std::time::Duration;

/// Entries shown before those that come in.
const FOLLOW_COUNT: usize = 20;

/// Looks once, or for as long as it is let.
///
/// # Errors
/// When nobody answers, or [`Exit::VerifyFailed`] when something is not right.
pub(super) fn run(args: InspectArgs) -> Result<(), Failure> {
    let settings = settings(&args)?;
    let observer = Observer::start(&settings)?;
    let genesis = observer.genesis();
    output::note(&format!("network {} ({})\n", genesis.name, genesis.id()));
    observer.wait_synced(settings.timeout, teller())?;
    match args.verb {
        None => summary(&observer, args.json),
        Some(InspectVerb::Read(verb)) => read(verb, &Reader::Observed(Box::new(observer))),
        Some(InspectVerb::Follow(follow)) => {
            let args = following(&follow, args.json);
            list::run(&args, &Reader::Observed(Box::new(observer)))
        }
    }
}

fn settings(args: &InspectArgs) -> Result<ObserverSettings, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let network = args.network.as_deref().map(|text| {
        text.parse().map(talkoot_protocol::NetworkId).map_err(|_| {
            usage(format!(
                "--network {text}: give the whole id, 64 hexadecimal digits"
            ))
        })
    });
    let timeout: Duration =
        units::parse_duration(&args.wait).map_err(|error| usage(format!("--wait: {error}")))?;
    let contacts = args.bootstrap.iter();
    Ok(ObserverSettings {
        contacts: contacts
            .map(|text| Contact::parse(text))
            .collect::<Result<_, _>>()?,
        network: network.transpose()?,
        timeout,
    })
}

/// Tells on stderr when something changed.
fn teller() -> impl FnMut(Progress) {
    let mut told = None;
    move |progress: Progress| {
        if progress.peers > 0 && told != Some(progress) {
            let Progress {
                entries,
                to_fetch,
                peers,
            } = progress;
            output::note(&format!(
                "{entries} entries, {to_fetch} to come, {peers} peers\n"
            ));
            told = Some(progress);
        }
    }
}

fn following(args: &ReadArgs, json: bool) -> LedgerLsArgs {
    LedgerLsArgs {
        count: FOLLOW_COUNT,
        before: None,
        from: None,
        author: None,
        kind: None,
        job: None,
        effect: None,
        follow: true,
        json: args.json || json,
    }
}

fn summary(observer: &Observer, json: bool) -> Result<(), Failure> {
    let verify = observer.verify()?;
    let chains = observer.peer_chains()?;
    let (genesis, wallets, forks, commons) = observer.look(|ledger| {
        let forks = ledger.forked_authors().len() as u64;
        let wallets = ledger.wallets().len() as u64;
        let commons = u128::try_from(ledger.commons().0).unwrap_or(0);
        (GenesisQuestion.answer(ledger), wallets, forks, commons)
    })?;
    let view = InspectView {
        schema: SCHEMA,
        genesis: genesis?,
        peers: chains.iter().map(PeerChain::view).collect(),
        wallets,
        forks,
        commons_ugft: commons,
        verify,
    };
    if json {
        output::print_json(&view)?;
    } else {
        output::print(&page(&view))?;
    }
    if view.verify.ok {
        return Ok(());
    }
    let message = format!("{} problems", view.verify.problems.len());
    Err(Failure::new(Exit::VerifyFailed, message))
}

fn page(view: &InspectView) -> String {
    let genesis = &view.genesis;
    let mut text = format!(
        "network   {} ({})\nwritten   {} UTC (a claim), {} founders\n\
         books     {} wallets, {} forked, commons {} GFT\n",
        genesis.name,
        genesis.id,
        units::utc(genesis.created_ms),
        genesis.founders.len(),
        view.wallets,
        view.forks,
        gft_of(view.commons_ugft),
    );
    text.push_str(&verdict_text(&view.verify));
    let mut table = Table::new(&[
        ("PEER", Align::Left),
        ("ADDRESS", Align::Left),
        ("ENTRIES", Align::Right),
        ("TIP", Align::Left),
        ("CHAIN", Align::Left),
    ]);
    for peer in &view.peers {
        let chain = if peer.equal { "the same" } else { "other" };
        table.row(vec![
            output::wallet(&peer.wallet),
            peer.address.clone(),
            peer.length.to_string(),
            output::id(&peer.tip),
            chain.to_owned(),
        ]);
    }
    text.push_str(&format!("\n{}", table.render()));
    text
}
