//! What became of dialling: for each address that did not answer, the newest
//! reason.
//!
//! A bounded memory for the owner, who asks why a peer is not connected. It
//! decides nothing about dialling. Time comes in as numbers.

use std::collections::BTreeMap;
use talkoot_protocol::Wallet;

/// Addresses remembered; the one that failed longest ago makes room.
const ADDRESSES_MAX: usize = 256;

/// Why an address gave no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialFailure {
    /// Nothing came back.
    Silent,
    /// The machine answers, and nobody listens on the port.
    Refused,
    /// The name has no address.
    Name,
    /// No way to that network from here.
    NoRoute,
    /// Somebody else answers there.
    OtherPeer(Option<Wallet>),
    /// It belongs to another network.
    OtherNetwork,
    /// It answers, and closes.
    Closed,
    /// Something else, in the library's words.
    Other(String),
}

impl DialFailure {
    /// Reads what a transport says. Its types do not tell these apart.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if has(&["refused"]) {
            Self::Refused
        } else if has(&["unreachable", "no route"]) {
            Self::NoRoute
        } else if has(&["timed out", "timeout"]) {
            Self::Silent
        } else if has(&["dns", "resolve", "no such host"]) {
            Self::Name
        } else if has(&["closed", "reset", "aborted", "broken pipe"]) {
            Self::Closed
        } else {
            Self::Other(text.chars().take(200).collect())
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Silent => {
                "is the node up, and are its ports open in its firewall and forwarded by its router?"
            }
            Self::Refused => {
                "the machine is there, but no node listens on that port: start it there"
            }
            Self::Name => "check the spelling of the name, or use the machine's IP address",
            Self::NoRoute => {
                "this machine has no way to that address: is it of another local network?"
            }
            Self::OtherPeer(_) => {
                "the address belongs to another node now: ask for a new ticket or address"
            }
            Self::OtherNetwork => {
                "that node is in another network: ask for a ticket of the one you mean"
            }
            Self::Closed => {
                "it answers and hangs up: does it run another version, or did it ban this node?"
            }
            Self::Other(_) => "`talkoot up --log debug` says more",
        }
    }
}

impl std::fmt::Display for DialFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent => f.write_str("no answer"),
            Self::Refused => f.write_str("nobody listens there"),
            Self::Name => f.write_str("the name has no address"),
            Self::NoRoute => f.write_str("no way there from this machine"),
            Self::OtherPeer(Some(wallet)) => write!(f, "another node answers there: {wallet}"),
            Self::OtherPeer(None) => f.write_str("another node answers there"),
            Self::OtherNetwork => f.write_str("it belongs to another network"),
            Self::Closed => f.write_str("it closed the connection"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// How an address failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDial {
    /// Whom it was dialled for, when that is known.
    pub peer: Option<Wallet>,
    /// The newest reason.
    pub failure: DialFailure,
    /// When that was, milliseconds since 1970.
    pub at_ms: u64,
    /// How often it failed since it last worked.
    pub attempts: u32,
}

/// The memory.
#[derive(Debug, Clone, Default)]
pub struct DialBook {
    failed: BTreeMap<String, FailedDial>,
}

impl DialBook {
    /// Notes a failure at an address (without a peer id).
    pub fn fail(&mut self, address: &str, peer: Option<Wallet>, failure: DialFailure, now_ms: u64) {
        if !self.failed.contains_key(address) && self.failed.len() >= ADDRESSES_MAX {
            let oldest = self.failed.iter().min_by_key(|(_, failed)| failed.at_ms);
            if let Some(oldest) = oldest.map(|(address, _)| address.clone()) {
                self.failed.remove(&oldest);
            }
        }
        let entry = self.failed.entry(address.to_owned());
        let failed = entry.or_insert_with(|| FailedDial {
            peer,
            failure: failure.clone(),
            at_ms: now_ms,
            attempts: 0,
        });
        failed.peer = peer.or(failed.peer);
        failed.failure = failure;
        failed.at_ms = now_ms;
        failed.attempts = failed.attempts.saturating_add(1);
    }

    /// A peer is connected: what failed before matters no more.
    pub fn connected(&mut self, peer: &Wallet, address: &str) {
        self.failed
            .retain(|known, failed| failed.peer != Some(*peer) && known != address);
    }

    /// All that failed, by address.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &FailedDial)> {
        self.failed
            .iter()
            .map(|(address, failed)| (address.as_str(), failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> Wallet {
        Wallet::from_bytes([byte; 32])
    }

    #[test]
    fn the_words_of_transports_are_understood() {
        for (text, failure) in [
            ("Connection refused (os error 111)", DialFailure::Refused),
            ("Handshake with the remote timed out.", DialFailure::Silent),
            ("Timeout has been reached", DialFailure::Silent),
            (
                "Network is unreachable (os error 101)",
                DialFailure::NoRoute,
            ),
            ("No route to host (os error 113)", DialFailure::NoRoute),
            ("failed to lookup: DNS error", DialFailure::Name),
            ("connection reset by peer", DialFailure::Closed),
            ("odd", DialFailure::Other("odd".to_owned())),
        ] {
            assert_eq!(DialFailure::of_text(text), failure, "{text}");
            assert!(!failure.advice().is_empty());
        }
    }

    #[test]
    fn a_connection_forgets_what_failed_before() {
        let mut book = DialBook::default();
        book.fail("/a", Some(peer(1)), DialFailure::Silent, 1);
        book.fail("/a", None, DialFailure::Refused, 2);
        book.fail("/b", Some(peer(1)), DialFailure::Silent, 3);
        book.fail("/c", None, DialFailure::Silent, 3);
        book.fail("/d", Some(peer(2)), DialFailure::Silent, 3);
        let first = book.failed().next().unwrap();
        assert_eq!((first.1.attempts, first.1.peer), (2, Some(peer(1))));
        assert_eq!(first.1.failure, DialFailure::Refused);
        book.connected(&peer(1), "/c");
        let left: Vec<&str> = book.failed().map(|(address, _)| address).collect();
        assert_eq!(left, ["/d"]);
    }

    #[test]
    fn the_book_is_bounded() {
        let mut book = DialBook::default();
        for number in 0..1000_u64 {
            book.fail(&format!("/{number}"), None, DialFailure::Silent, number);
        }
        assert_eq!(book.failed().count(), ADDRESSES_MAX);
        assert!(book.failed().all(|(_, failed)| failed.at_ms >= 744));
    }
}
