//! First contacts and tickets: who answers at each address, in which network, and
//! whether a ticket can be used here.

use super::{Finding, Scene};
use crate::commands::join;
use crate::exit::Failure;
use crate::home::{self, Home};
use crate::observe::Contact;
use crate::swarm::identity::peer_id_of;
use crate::swarm::scout::{self, ScoutError};
use futures::future::join_all;
use std::net::ToSocketAddrs;
use std::time::Duration;
use talkoot_protocol::ticket;
use talkoot_protocol::{Genesis, Keypair, NetworkId};

/// How long one address may take.
const DIAL: Duration = Duration::from_secs(5);
/// The same with `--fast`.
const DIAL_FAST: Duration = Duration::from_secs(2);
/// Addresses that are dialled at most.
const ADDRESSES_MAX: usize = 32;

/// What came of dialling one address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// A node of this network.
    Network(NetworkId, String),
    /// This node itself.
    Ourselves,
    /// Somebody with this node's identity, while no node runs here.
    Twin,
    /// The name has no address.
    Unresolved(String),
    /// Nobody speaks there.
    Nobody(String),
    /// Somebody speaks there, and not as this version does.
    OtherVersion(String),
    /// Somebody else than the address names.
    OtherPeer(String),
}

/// One contact: an address that was typed, or a ticket with several.
#[derive(Debug, Clone)]
struct Dialled {
    name: String,
    answers: Vec<(String, Answer)>,
}

/// `bootstrap`.
pub(super) fn bootstrap(scene: &Scene<'_>) -> Finding {
    let contacts = match contacts(scene) {
        Ok(contacts) if contacts.is_empty() => {
            return Finding::skip("no first contact is named (--bootstrap, --join or a ticket)");
        }
        Ok(contacts) => contacts,
        Err(failure) => {
            return Finding::of(&failure, "give an address with a peer id, or a ticket");
        }
    };
    let meant = meant_network(scene);
    match dial_all(scene, contacts) {
        Ok(dialled) => judge_contacts(&dialled, meant),
        Err(failure) => Finding::skip(format!("could not dial: {failure}")),
    }
}

fn judge_contacts(dialled: &[Dialled], meant: Option<NetworkId>) -> Finding {
    let mut lines = Vec::new();
    let (mut alive, mut wrong) = (0_usize, None);
    for Dialled { name, answers } in dialled {
        let mut is_alive = false;
        let mut reasons = Vec::new();
        for (address, answer) in answers {
            match answer {
                Answer::Network(id, peer) if meant.is_none_or(|meant| meant == *id) => {
                    is_alive = true;
                    reasons.push(format!("{address} answers as {peer}"));
                }
                Answer::Network(id, _) => {
                    reasons.push(format!("{address} is of the network {id}, another one"));
                    wrong.get_or_insert(
                        "that node is in another network: ask its owner for a ticket, or use another home",
                    );
                }
                Answer::Ourselves => {
                    is_alive = true;
                    reasons.push(format!("{address} is this node"));
                }
                Answer::Twin => {
                    reasons.push(format!("{address} answers with this node's own identity"));
                    wrong.get_or_insert(
                        "no node runs here, so this identity runs elsewhere: never start it in two places",
                    );
                }
                Answer::Unresolved(reason) => {
                    reasons.push(format!("{address}: the name does not resolve ({reason})"));
                }
                Answer::Nobody(reason) => {
                    reasons.push(format!("{address}: nobody answers ({reason})"))
                }
                Answer::OtherVersion(reason) => {
                    reasons.push(format!("{address}: somebody answers, but {reason}"));
                    wrong.get_or_insert(
                        "it is no Talkoot node, or one of another version: compare `talkoot --version`",
                    );
                }
                Answer::OtherPeer(peer) => {
                    reasons.push(format!("{address}: another node answers there, {peer}"));
                    wrong.get_or_insert(
                        "the address has moved to another node: ask its owner for `talkoot status`",
                    );
                }
            }
        }
        alive += usize::from(is_alive);
        lines.push(format!("{name}: {}", reasons.join(", ")));
    }
    let evidence = lines.join("; ");
    let lost = "is it running, and does its firewall let udp in? `talkoot doctor` there tells; \
                `talkoot status` there lists its addresses";
    match (wrong, alive) {
        (Some(fix), _) => Finding::fail(evidence, fix),
        (None, 0) => Finding::fail(evidence, lost),
        (None, alive) if alive < dialled.len() => Finding::warn(evidence, lost),
        (None, _) => Finding::pass(evidence),
    }
}

/// The network that the contacts should be of: that of a ticket which would be
/// used, else that of the home, unless nobody else is in it yet.
fn meant_network(scene: &Scene<'_>) -> Option<NetworkId> {
    if let Some((text, _)) = tickets(scene).first() {
        return ticket::from_text(text, 0)
            .ok()
            .map(|(_, genesis)| genesis.id());
    }
    let genesis = scene.genesis.as_ref().ok()?.as_ref()?;
    Some(genesis.id())
}

/// Names and addresses.
fn contacts(scene: &Scene<'_>) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let mut contacts = Vec::new();
    for text in &scene.wishes.bootstrap {
        let contact = Contact::parse(text)?;
        contacts.push((text.clone(), contact.addresses()));
    }
    for (text, name) in tickets(scene) {
        // A ticket that cannot be read is the business of the check `ticket`.
        if let Ok((ticket, _)) = ticket::from_text(&text, 0) {
            contacts.push((name.to_owned(), ticket.addresses.clone()));
        }
    }
    Ok(contacts)
}

/// Tickets that would be used, the given one first, and what each is called.
fn tickets(scene: &Scene<'_>) -> Vec<(String, &'static str)> {
    let mut tickets = Vec::new();
    if let Some(text) = &scene.wishes.ticket {
        tickets.push((text.clone(), "--join"));
    }
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).ok();
    if let Some(text) = read(scene.home.pending_join_path()) {
        tickets.push((text, "the ticket given to `join`"));
    }
    if let Ok(Some(genesis)) = &scene.genesis
        && let Some(text) = read(scene.home.ticket_path(genesis.id()))
    {
        tickets.push((text, "the ticket of this network"));
    }
    tickets
}

fn dial_all(
    scene: &Scene<'_>,
    contacts: Vec<(String, Vec<String>)>,
) -> Result<Vec<Dialled>, Failure> {
    let mut seed = [0; 32];
    home::fill_random(&mut seed)?;
    let key = Keypair::from_seed(&seed);
    let timeout = if scene.wishes.is_fast {
        DIAL_FAST
    } else {
        DIAL
    };
    let own = own_peer_id(scene.home);
    let is_running = scene.home.is_locked();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let dialled = runtime.block_on(join_all(contacts.into_iter().map(|(name, addresses)| {
        let (key, own) = (&key, own.as_deref());
        async move {
            let addresses = addresses.into_iter().take(ADDRESSES_MAX);
            let answers = join_all(addresses.map(|address| async move {
                let answer = dial(key, &address, timeout).await;
                let answer = as_seen(answer, &address, own, is_running);
                (address, answer)
            }));
            Dialled {
                name,
                answers: answers.await,
            }
        }
    })));
    runtime.shutdown_background();
    Ok(dialled)
}

fn own_peer_id(home: &Home) -> Option<String> {
    let wallet = home.existing_identity().ok()?.wallet();
    peer_id_of(&wallet).map(|peer| peer.to_string())
}

async fn dial(key: &Keypair, address: &str, timeout: Duration) -> Answer {
    if let Err(reason) = resolve(address) {
        return Answer::Unresolved(reason);
    }
    match scout::genesis_at(key, address, timeout).await {
        Ok(found) => {
            let peer = peer_id_of(&found.peer).map_or_else(String::new, |peer| peer.to_string());
            Answer::Network(found.genesis.id(), peer)
        }
        Err(ScoutError::OtherPeer(peer)) => Answer::OtherPeer(peer),
        Err(error @ (ScoutError::NoGenesis(_) | ScoutError::Malformed(_))) => {
            Answer::OtherVersion(error.to_string())
        }
        Err(error) => Answer::Nobody(error.to_string()),
    }
}

/// What an answer means to a node whose own peer id may be in it: its own address
/// need not answer while it is not running, and must not answer then.
fn as_seen(answer: Answer, address: &str, own: Option<&str>, is_running: bool) -> Answer {
    let is_own = |peer: &str| own == Some(peer);
    match &answer {
        Answer::Network(_, peer) | Answer::OtherPeer(peer) if is_own(peer) => {
            if is_running {
                Answer::Ourselves
            } else {
                Answer::Twin
            }
        }
        Answer::Nobody(_) if own.is_some_and(|own| address.ends_with(own)) => Answer::Ourselves,
        _ => answer,
    }
}

/// Whether the name in an address, if it has one, is known to the resolver.
fn resolve(address: &str) -> Result<(), String> {
    let mut parts = address.split('/').skip(1);
    let is_name = parts.next().is_some_and(|kind| kind.starts_with("dns"));
    let Some(name) = parts.next().filter(|_| is_name) else {
        return Ok(());
    };
    match (name, 0).to_socket_addrs() {
        Ok(mut found) => found
            .next()
            .map(drop)
            .ok_or_else(|| "no address".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// `ticket`.
pub(super) fn ticket(scene: &Scene<'_>) -> Finding {
    let tickets = tickets(scene);
    let mut passed = Vec::new();
    for (text, name) in &tickets {
        let is_used = *name == "the ticket of this network";
        // One that was used before only tells where others are: it may be old.
        let now_ms = if is_used { 0 } else { scene.now_ms };
        let genesis = match ticket::from_text(text, now_ms) {
            Ok((_, genesis)) => genesis,
            Err(error) => {
                return Finding::fail(
                    format!("{name}: {error}"),
                    "ask whoever invited you for a new one: `talkoot invite`",
                );
            }
        };
        if let Some(finding) = judge_ticket(name, is_used, &genesis, scene) {
            return finding;
        }
        passed.push(format!("{name}: for {} ({})", genesis.name, genesis.id()));
    }
    if passed.is_empty() {
        return Finding::skip("no ticket is given or kept");
    }
    Finding::pass(passed.join("; "))
}

/// What is wrong with a ticket that can be read, if anything is.
fn judge_ticket(
    name: &str,
    is_used: bool,
    genesis: &Genesis,
    scene: &Scene<'_>,
) -> Option<Finding> {
    if is_used {
        let current = scene.genesis.as_ref().ok()?.as_ref()?;
        return (current != genesis).then(|| {
            Finding::fail(
                format!(
                    "{name} is for {}, and the home is in {}",
                    genesis.id(),
                    current.id()
                ),
                "remove it, and join again with a ticket of this network",
            )
        });
    }
    let failure = join::check_may_adopt(scene.home, genesis).err()?;
    Some(Finding::of(
        &failure,
        "use another home for the other network",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use talkoot_protocol::Hash;

    fn contact(answers: Vec<Answer>) -> Dialled {
        Dialled {
            name: "x".to_owned(),
            answers: answers
                .into_iter()
                .map(|answer| ("a".to_owned(), answer))
                .collect(),
        }
    }

    #[test]
    fn a_contact_lives_when_one_of_its_addresses_does() {
        let id = NetworkId(Hash::ZERO);
        let other = NetworkId(Hash::of_blob(b"x"));
        let alive = Answer::Network(id, "p".to_owned());
        let nobody = Answer::Nobody("timeout".to_owned());
        let moved = Answer::OtherPeer("q".to_owned());
        let unknown = Answer::Unresolved("no".to_owned());
        let older = Answer::OtherVersion("it tells no genesis".to_owned());
        let judged = |contacts: &[Dialled]| judge_contacts(contacts, Some(id)).verdict;
        assert_eq!(
            judged(&[contact(vec![nobody.clone(), alive.clone()])]),
            Verdict::Pass
        );
        assert_eq!(judged(&[contact(vec![Answer::Ourselves])]), Verdict::Pass);
        assert_eq!(judged(&[contact(vec![nobody.clone()])]), Verdict::Fail);
        assert_eq!(judged(&[contact(vec![unknown])]), Verdict::Fail);
        assert_eq!(judged(&[contact(vec![older])]), Verdict::Fail);
        let both = [contact(vec![nobody]), contact(vec![alive.clone()])];
        assert_eq!(judged(&both), Verdict::Warn);
        assert_eq!(
            judged(&[contact(vec![moved]), contact(vec![alive.clone()])]),
            Verdict::Fail
        );
        assert_eq!(
            judge_contacts(&[contact(vec![alive.clone()])], Some(other)).verdict,
            Verdict::Fail
        );
        assert_eq!(
            judge_contacts(&[contact(vec![alive])], None).verdict,
            Verdict::Pass
        );
    }

    #[test]
    fn our_own_identity_at_an_address_is_us_or_a_twin() {
        let id = NetworkId(Hash::ZERO);
        let seen =
            |answer: Answer, is_running| as_seen(answer, "/x/p2p/me", Some("me"), is_running);
        let answers = || Answer::Network(id, "me".to_owned());
        assert_eq!(seen(answers(), true), Answer::Ourselves);
        assert_eq!(seen(answers(), false), Answer::Twin);
        assert_eq!(
            seen(Answer::OtherPeer("me".to_owned()), false),
            Answer::Twin
        );
        assert_eq!(
            seen(Answer::Nobody("x".to_owned()), false),
            Answer::Ourselves
        );
        let other = Answer::Network(id, "you".to_owned());
        assert_eq!(seen(other.clone(), false), other);
        assert_eq!(
            judge_contacts(&[contact(vec![Answer::Twin])], None).verdict,
            Verdict::Fail
        );
    }

    #[test]
    fn only_names_are_resolved() {
        assert_eq!(resolve("/ip4/192.0.2.1/udp/1/quic-v1"), Ok(()));
        assert_eq!(resolve("/dns/localhost/udp/1/quic-v1"), Ok(()));
        assert!(resolve("/dns/nowhere.invalid/udp/1/quic-v1").is_err());
    }
}
