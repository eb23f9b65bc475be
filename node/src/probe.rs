//! Who answers at the addresses of an invitation, before anything is changed
//! for it.
//!
//! Dials each address, asks for the genesis and compares identity and network
//! with what the ticket says. Whether to join is the caller's decision.

use crate::core::dials::DialFailure;
use crate::swarm::scout::{self, Found, ScoutError};
use crate::{clock, swarm};
use futures::future::join_all;
use serde::Serialize;
use std::time::Duration;
use talkoot_protocol::{Keypair, NetworkId, Wallet};

/// Whom an address should lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Who answers there.
    pub peer: Wallet,
    /// In which network.
    pub network: NetworkId,
}

/// What an address came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The one that is expected answers.
    Answers,
    /// Another node of the same network answers: it is as good a beginning.
    OtherPeer {
        /// Who.
        wallet: String,
    },
    /// A node of another network answers.
    OtherNetwork {
        /// Its name.
        network: String,
        /// Its id.
        network_id: String,
    },
    /// Nobody of use answers.
    Fails {
        /// Why.
        reason: String,
        /// What to do about it.
        advice: String,
    },
}

impl Outcome {
    /// Whether the network is reached there.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Answers | Self::OtherPeer { .. })
    }

    /// One line about it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Answers => "answers".to_owned(),
            Self::OtherPeer { wallet } => {
                format!("another node of the network answers there: {wallet}")
            }
            Self::OtherNetwork {
                network,
                network_id,
            } => format!("a node of another network answers there: {network} ({network_id})"),
            Self::Fails { reason, advice } => format!("{reason} ({advice})"),
        }
    }
}

/// One address tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Where.
    pub address: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// From dialling to the answer or the failure, µs.
    pub elapsed_us: u64,
}

/// Tries all addresses at once, each for `timeout` at most.
pub async fn probe(
    key: &Keypair,
    addresses: &[String],
    expected: Expected,
    timeout: Duration,
) -> Vec<Attempt> {
    let tries = addresses.iter().map(|address| async move {
        let began = clock::monotonic();
        // Whoever answers shall say who it is; a wrong peer id would only fail.
        let bare = swarm::without_peer_id(address);
        let found = scout::genesis_at(key, &bare, timeout).await;
        Attempt {
            address: address.clone(),
            outcome: judge(found, expected),
            elapsed_us: u64::from(clock::elapsed_us(began)),
        }
    });
    join_all(tries).await
}

fn judge(found: Result<Found, ScoutError>, expected: Expected) -> Outcome {
    let failed = |failure: &DialFailure| Outcome::Fails {
        reason: failure.to_string(),
        advice: failure.advice().to_owned(),
    };
    match found {
        Ok(found) if found.genesis.id() != expected.network => Outcome::OtherNetwork {
            network: found.genesis.name.clone(),
            network_id: found.genesis.id().to_string(),
        },
        Ok(found) if found.peer != expected.peer => Outcome::OtherPeer {
            wallet: found.peer.to_string(),
        },
        Ok(_) => Outcome::Answers,
        Err(ScoutError::Unreachable(failure)) => failed(&failure),
        Err(ScoutError::Timeout) => failed(&DialFailure::Silent),
        Err(error @ (ScoutError::NoGenesis(_) | ScoutError::Malformed(_))) => Outcome::Fails {
            reason: error.to_string(),
            advice: "is it a Talkoot node, and of this version?".to_owned(),
        },
        Err(ScoutError::OtherPeer(_)) => failed(&DialFailure::OtherPeer(None)),
        Err(error @ ScoutError::Address(_)) => Outcome::Fails {
            reason: error.to_string(),
            advice: "ask for a new ticket".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkoot_protocol::{Founder, Genesis, Policy};

    fn genesis(name: &str) -> Genesis {
        let founder = Founder {
            wallet: Keypair::from_seed(&[1; 32]).wallet(),
            line_ugft: 1,
        };
        Genesis::new(name, 1, Policy::default(), vec![founder]).unwrap()
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let (peer, other) = (Wallet::from_bytes([1; 32]), Wallet::from_bytes([2; 32]));
        let home = genesis("home");
        let expected = Expected {
            peer,
            network: home.id(),
        };
        let found = |genesis: &Genesis, peer: Wallet| {
            let genesis = genesis.clone();
            judge(Ok(Found { genesis, peer }), expected)
        };
        assert_eq!(found(&home, peer), Outcome::Answers);
        assert!(matches!(found(&home, other), Outcome::OtherPeer { .. }));
        assert!(found(&home, other).is_good());
        let away = found(&genesis("away"), peer);
        assert!(matches!(&away, Outcome::OtherNetwork { network, .. } if network == "away"));
        for error in [
            ScoutError::Timeout,
            ScoutError::Unreachable(DialFailure::Refused),
            ScoutError::NoGenesis("x".to_owned()),
            ScoutError::Malformed("x".to_owned()),
            ScoutError::Address("x".to_owned()),
            ScoutError::OtherPeer("x".to_owned()),
        ] {
            let outcome = judge(Err(error), expected);
            assert!(!outcome.is_good() && matches!(&outcome, Outcome::Fails { .. }));
            assert!(!outcome.words().is_empty());
        }
    }

    #[tokio::test]
    async fn network_nobody_at_an_address_is_said_so() {
        // A port that was free a moment ago, on the tcp side of loopback.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let expected = Expected {
            peer: Wallet::from_bytes([1; 32]),
            network: genesis("home").id(),
        };
        let addresses = [format!("/ip4/127.0.0.1/tcp/{port}"), "nonsense".to_owned()];
        let key = Keypair::from_seed(&[3; 32]);
        let tried = probe(&key, &addresses, expected, Duration::from_secs(5)).await;
        let words = |index: usize| tried[index].outcome.words();
        assert!(words(0).contains("nobody listens there"), "{}", words(0));
        assert!(words(1).contains("no multiaddr"), "{}", words(1));
    }
}
