//! `talkoot join --lan NETWORK`: a network that the running node has found on
//! this local network, without a ticket.
//!
//! The newcomer can look, and write once a member has named it (`talkoot
//! welcome` there). What waits for the node's next start is the genesis itself.

use super::{finish, scout_key, wait};
use crate::api::{NeighbourNetworkView, StatusView};
use crate::cli::JoinArgs;
use crate::client::Client;
use crate::commands::{contacts, output};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::swarm::scout;
use talkoot_protocol::Genesis;

/// What the word of a genesis begins with, where a ticket would stand.
const PREFIX: &str = "genesis1";

pub(super) fn run(args: &JoinArgs, asked: &str, home: &Home) -> Result<(), Failure> {
    let status: StatusView = Client::connect(home)?.get("status")?;
    let found = one_of(&status.neighbours, asked)?;
    let timeout = wait(args)?;
    let key = scout_key(home)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let answer = runtime.block_on(scout::genesis_at(&key, &found.address, timeout));
    let genesis = answer
        .map_err(|error| {
            let message = format!("{} does not answer: {error}", found.address);
            Failure::new(Exit::NotRunning, message)
        })?
        .genesis;
    if genesis.id().to_string() != found.network_id {
        let message = format!("{} is in {} now", found.address, genesis.id());
        return Err(Failure::new(Exit::VerifyFailed, message));
    }
    super::check_may_adopt(home, &genesis)?;
    let address = format!("{}/p2p/{}", found.address, found.peer_id);
    contacts::change(home, |contacts| {
        contacts.add_bootstrap(&address)?;
        Ok(())
    })?;
    output::note(&format!(
        "without a ticket this node may look, and cannot spend or earn before a member names it:\n\
         there, `talkoot peers` shows it and `talkoot welcome {}` lets it in\n",
        output::short(&status.wallet)
    ));
    finish(args, home, &genesis, &word(&genesis), Vec::new())
}

/// The only neighbour with this name, or whose id begins so.
fn one_of<'a>(
    found: &'a [NeighbourNetworkView],
    asked: &str,
) -> Result<&'a NeighbourNetworkView, Failure> {
    let mut matching = found.iter().filter(|network| {
        network.network == asked || (asked.len() >= 4 && network.network_id.starts_with(asked))
    });
    match (matching.next(), matching.next()) {
        (Some(network), None) => Ok(network),
        (Some(_), Some(_)) => {
            let message =
                format!("several networks are called {asked:?}: give the first digits of the id");
            Err(Failure::new(Exit::Usage, message))
        }
        (None, _) => {
            let message = format!("no network {asked:?} was found on this local network");
            Err(Failure::new(Exit::NotFound, message)
                .hint("`talkoot status` lists those that were; a ticket works everywhere"))
        }
    }
}

fn word(genesis: &Genesis) -> String {
    let digits = data_encoding::HEXLOWER.encode(&genesis.to_bytes());
    format!("{PREFIX}{digits}")
}

/// The genesis that a word holds; none when it is no such word.
pub(super) fn genesis_of(text: &str) -> Result<Option<Genesis>, Failure> {
    let Some(digits) = text.trim().strip_prefix(PREFIX) else {
        return Ok(None);
    };
    let bad = |what: String| Failure::new(Exit::VerifyFailed, format!("no genesis: {what}"));
    let bytes = data_encoding::HEXLOWER
        .decode(digits.as_bytes())
        .map_err(|error| bad(error.to_string()))?;
    let genesis = Genesis::decode(&bytes).map_err(|error| bad(error.to_string()))?;
    Ok(Some(genesis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkoot_protocol::{Founder, Keypair, Policy};

    #[test]
    fn a_genesis_travels_as_a_word() {
        let founder = Founder {
            wallet: Keypair::from_seed(&[1; 32]).wallet(),
            line_ugft: 1,
        };
        let genesis = Genesis::new("village", 1, Policy::default(), vec![founder]).unwrap();
        assert_eq!(genesis_of(&word(&genesis)), Ok(Some(genesis)));
        assert_eq!(genesis_of("talkoot1abc"), Ok(None));
        let failure = genesis_of("genesis1zz").unwrap_err();
        assert_eq!(failure.exit, Exit::VerifyFailed);
    }

    #[test]
    fn a_neighbour_is_named_by_name_or_id() {
        let view = |network: &str, network_id: &str| NeighbourNetworkView {
            network: network.to_owned(),
            network_id: network_id.to_owned(),
            wallet: String::new(),
            peer_id: String::new(),
            address: String::new(),
        };
        let found = [
            view("solo", "aaaa1"),
            view("solo", "bbbb1"),
            view("club", "cccc1"),
        ];
        assert_eq!(one_of(&found, "club").unwrap().network_id, "cccc1");
        assert_eq!(one_of(&found, "bbbb").unwrap().network_id, "bbbb1");
        assert_eq!(one_of(&found, "solo").unwrap_err().exit, Exit::Usage);
        assert_eq!(one_of(&found, "lab").unwrap_err().exit, Exit::NotFound);
    }
}
