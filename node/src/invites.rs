//! Invitations: making tickets, and honouring each once.
//!
//! The inviter signs a ticket; the newcomer presents it after it has connected.
//! The inviter then names the newcomer in its own log, which lets the newcomer
//! write, and passes on the ticket's line. Which ticket was honoured for whom
//! is remembered in a small file, so that one ticket admits one wallet. Moving
//! the messages is not done here.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use talkoot_protocol::ticket::{self, Ticket, TicketError};
use talkoot_protocol::{Genesis, Keypair, Verified, Wallet};

/// Why a presented ticket is not honoured.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// It is no valid ticket.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// Somebody else invited.
    #[error("this ticket was made by {0}; present it to that node")]
    OtherInviter(Wallet),
    /// It is for another network.
    #[error("this ticket is for another network")]
    OtherNetwork,
    /// It was used by another wallet.
    #[error("this ticket was used already, by {0}; ask for a new one (`talkoot invite`)")]
    Used(Wallet),
    /// The memory of used tickets cannot be written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Makes a ticket.
///
/// # Errors
/// [`TicketError::Verify`] when the addresses are too many or too long.
pub fn make_ticket(
    key: &Keypair,
    genesis: &Genesis,
    addresses: Vec<String>,
    expires_ms: u64,
    nonce: u64,
    line_ugft: u64,
) -> Result<String, TicketError> {
    let ticket = Ticket {
        inviter: key.wallet(),
        genesis: genesis.to_bytes(),
        addresses,
        expires_ms,
        nonce,
        line_ugft,
    };
    Ok(ticket::to_text(&Verified::sign(ticket, key, genesis.id())?))
}

/// A ticket that holds for the newcomer who presents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The line to pass on, µGFT (0: name it only).
    pub line_ugft: u64,
    /// Whether the same wallet presented it before: then it may have been named
    /// already.
    pub is_repeat: bool,
}

/// The memory of used tickets.
#[derive(Debug)]
pub struct Invites {
    path: PathBuf,
    used: BTreeMap<u64, Wallet>,
}

impl Invites {
    /// Reads the memory; a missing file is an empty one.
    ///
    /// # Errors
    /// [`InviteError::Io`].
    pub fn open(path: &Path) -> Result<Self, InviteError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(InviteError::Io {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let used = text
            .lines()
            .filter_map(|line| {
                let (nonce, wallet) = line.split_once(' ')?;
                Some((nonce.parse().ok()?, wallet.parse().ok()?))
            })
            .collect();
        Ok(Self {
            path: path.to_owned(),
            used,
        })
    }

    /// Judges a ticket that `newcomer` presents, and remembers it as used.
    ///
    /// # Errors
    /// [`InviteError`]: the text goes back to the newcomer.
    pub fn redeem(
        &mut self,
        text: &str,
        newcomer: Wallet,
        me: Wallet,
        genesis: &Genesis,
        now_ms: u64,
    ) -> Result<Welcome, InviteError> {
        let (ticket, of) = ticket::from_text(text, now_ms)?;
        if of.id() != genesis.id() {
            return Err(InviteError::OtherNetwork);
        }
        if ticket.inviter != me {
            return Err(InviteError::OtherInviter(ticket.inviter));
        }
        let line_ugft = ticket.line_ugft;
        match self.used.get(&ticket.nonce) {
            Some(wallet) if *wallet == newcomer => {
                return Ok(Welcome {
                    line_ugft,
                    is_repeat: true,
                });
            }
            Some(wallet) => return Err(InviteError::Used(*wallet)),
            None => {}
        }
        self.remember(ticket.nonce, newcomer)
            .map_err(|source| InviteError::Io {
                path: self.path.clone(),
                source,
            })?;
        Ok(Welcome {
            line_ugft,
            is_repeat: false,
        })
    }

    fn remember(&mut self, nonce: u64, newcomer: Wallet) -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)?;
        file.write_all(format!("{nonce} {newcomer}\n").as_bytes())?;
        file.sync_data()?;
        self.used.insert(nonce, newcomer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkoot_protocol::{Founder, Policy};

    fn network(name: &str) -> (Keypair, Genesis) {
        let key = Keypair::from_seed(&[7; 32]);
        let founder = Founder {
            wallet: key.wallet(),
            line_ugft: 1000,
        };
        (
            key,
            Genesis::new(name, 1, Policy::default(), vec![founder]).unwrap(),
        )
    }

    #[test]
    fn a_ticket_admits_one_wallet_once_and_this_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("invites");
        let (key, genesis) = network("home");
        let me = key.wallet();
        let text = make_ticket(
            &key,
            &genesis,
            vec!["/ip4/127.0.0.1/udp/1".into()],
            100,
            5,
            10,
        )
        .unwrap();
        let [first, second] = [1, 2].map(|byte| Wallet::from_bytes([byte; 32]));
        let mut invites = Invites::open(&path).unwrap();
        assert_eq!(
            invites.redeem(&text, first, me, &genesis, 50).unwrap(),
            Welcome {
                line_ugft: 10,
                is_repeat: false
            }
        );
        let mut invites = Invites::open(&path).unwrap();
        assert_eq!(
            invites.redeem(&text, first, me, &genesis, 50).unwrap(),
            Welcome {
                line_ugft: 10,
                is_repeat: true
            }
        );
        assert!(
            matches!(invites.redeem(&text, second, me, &genesis, 50), Err(InviteError::Used(by)) if by == first)
        );
        assert!(matches!(
            invites.redeem(&text, first, me, &genesis, 100),
            Err(InviteError::Ticket(TicketError::Expired))
        ));
    }

    #[test]
    fn a_ticket_of_another_node_or_network_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut invites = Invites::open(&directory.path().join("invites")).unwrap();
        let (key, genesis) = network("home");
        let (_, other) = network("elsewhere");
        let text =
            make_ticket(&key, &genesis, vec!["/ip4/127.0.0.1/udp/1".into()], 0, 5, 0).unwrap();
        let newcomer = Wallet::from_bytes([1; 32]);
        let refused = invites.redeem(&text, newcomer, newcomer, &genesis, 0);
        assert!(matches!(refused, Err(InviteError::OtherInviter(_))));
        let refused = invites.redeem(&text, newcomer, key.wallet(), &other, 0);
        assert!(matches!(refused, Err(InviteError::OtherNetwork)));
        let cut = &text[..text.len() - 3];
        assert!(
            invites
                .redeem(cut, newcomer, key.wallet(), &genesis, 0)
                .is_err()
        );
    }
}
