//! A first contact of an observer, as it is typed: a multiaddr, `host:port`, or
//! a ticket, which carries addresses and the genesis.

use crate::exit::{Exit, Failure};
use std::net::{IpAddr, SocketAddr};
use talkoot_protocol::{Genesis, ticket};

/// Where to find a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// Addresses of one node.
    Addresses(Vec<String>),
    /// What a ticket says. That its time is over does not matter here.
    Ticket {
        /// The inviter's addresses.
        addresses: Vec<String>,
        /// The founding document.
        genesis: Box<Genesis>,
    },
}

impl Contact {
    /// Reads what was typed.
    ///
    /// # Errors
    /// [`Exit::Usage`] when it is none of the three.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        if text.starts_with('/') {
            return Ok(Self::Addresses(vec![text.to_owned()]));
        }
        if text.starts_with("talkoot1") {
            let (ticket, genesis) = ticket::from_text(text, 0)
                .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
            return Ok(Self::Ticket {
                addresses: ticket.addresses.clone(),
                genesis: Box::new(genesis),
            });
        }
        let host = host_and_port(text).ok_or_else(|| {
            let message = format!(
                "{text:?} is no address: give a multiaddr such as \
                 /ip4/192.0.2.7/udp/7470/quic-v1, HOST:PORT, or a ticket"
            );
            Failure::new(Exit::Usage, message)
        })?;
        let (name, port) = host;
        Ok(Self::Addresses(vec![format!("/{name}/udp/{port}/quic-v1")]))
    }

    /// Where to dial.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        match self {
            Self::Addresses(addresses) | Self::Ticket { addresses, .. } => addresses.clone(),
        }
    }

    /// The genesis, if it is known.
    #[must_use]
    pub fn genesis(&self) -> Option<&Genesis> {
        match self {
            Self::Addresses(_) => None,
            Self::Ticket { genesis, .. } => Some(genesis),
        }
    }
}

/// The first part of a multiaddr, without its slash, and the port.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let family = match address.ip() {
            IpAddr::V4(_) => "ip4",
            IpAddr::V6(_) => "ip6",
        };
        return Some((format!("{family}/{}", address.ip()), address.port()));
    }
    let (name, port) = text.rsplit_once(':')?;
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    Some((format!("dns/{name}"), port.parse().ok()?)).filter(|_| is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_are_read_and_others_explained() {
        let address = "/ip4/127.0.0.1/udp/1/quic-v1";
        let read = |text: &str| Contact::parse(text).map(|contact| contact.addresses());
        assert_eq!(read(address), Ok(vec![address.to_owned()]));
        assert_eq!(read("127.0.0.1:1"), Ok(vec![address.to_owned()]));
        let six = Ok(vec!["/ip6/::1/udp/7470/quic-v1".to_owned()]);
        assert_eq!(read("[::1]:7470"), six);
        let named = Ok(vec!["/dns/node.example.org/udp/7470/quic-v1".to_owned()]);
        assert_eq!(read("node.example.org:7470"), named);
        for wrong in ["", "node", "node:port", "a b:1", ":7470", "talkoot1xyz"] {
            assert_eq!(read(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
