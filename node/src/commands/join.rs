//! `talkoot join TICKET`: puts this home into the network of a ticket.
//!
//! A home changes its network only while its books hold nobody else's entries:
//! then nothing that others rely on is left behind. The old ledger stays on
//! disk under its own network id.

use super::output;
use crate::cli::JoinArgs;
use crate::clock;
use crate::commands::ledger::offline;
use crate::exit::{Exit, Failure};
use crate::home::{self, Home};
use talkoot_protocol::ticket::{self, Ticket, TicketError};
use talkoot_protocol::{Genesis, Verified};

/// Adopts the ticket's network now, or at the next `up` if a node runs.
///
/// # Errors
/// When the ticket is bad, or the home is bound to another network.
pub fn run(args: &JoinArgs, home: &Home) -> Result<(), Failure> {
    let (_, genesis) = read(&args.ticket, clock::now_ms())?;
    home.create()?;
    let name = &genesis.name;
    let id = genesis.id();
    if home.is_locked() {
        check_may_adopt(home, &genesis)?;
        home::write_atomic(&home.pending_join_path(), args.ticket.trim().as_bytes())?;
        return output::print(&format!(
            "the running node joins {name} ({id}) when it starts again:\n\
             `talkoot down`, then `talkoot up`\n"
        ));
    }
    let _lock = home.lock()?;
    adopt(home, &args.ticket)?;
    output::print(&format!(
        "joined {name} ({id}); `talkoot up` starts there\n"
    ))
}

/// Makes the ticket's network the current one; the caller holds the lock.
///
/// # Errors
/// As [`run`].
pub fn adopt(home: &Home, text: &str) -> Result<Genesis, Failure> {
    let (_, genesis) = read(text, clock::now_ms())?;
    check_may_adopt(home, &genesis)?;
    home.set_network(&genesis)?;
    home::write_atomic(&home.ticket_path(genesis.id()), text.trim().as_bytes())?;
    let _ = std::fs::remove_file(home.pending_join_path());
    Ok(genesis)
}

/// The ticket by which the home came into `genesis`; also one whose time is
/// over, since its addresses still help to find the network.
#[must_use]
pub fn stored_ticket(home: &Home, genesis: &Genesis) -> Option<Verified<Ticket>> {
    let text = std::fs::read_to_string(home.ticket_path(genesis.id())).ok()?;
    let (ticket, of) = ticket::from_text(&text, 0).ok()?;
    (of == *genesis).then_some(ticket)
}

/// Whether the home may change to this network.
///
/// # Errors
/// When its books hold entries of others in another one.
pub(crate) fn check_may_adopt(home: &Home, genesis: &Genesis) -> Result<(), Failure> {
    let Some(current) = home.current_genesis()? else {
        return Ok(());
    };
    let (from, to) = (current.id(), genesis.id());
    if from == to {
        return Ok(());
    }
    let foreign = offline::foreign_entries(home, &current)?;
    if foreign == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::BadConfig,
        format!(
            "this node is in the network {} ({from}) and holds {foreign} entries of others; \
             the ticket is for {} ({to})",
            current.name, genesis.name
        ),
    )
    .hint("use another home for the other network: `talkoot up --instance 1 --join TICKET`"))
}

fn read(text: &str, now_ms: u64) -> Result<(Verified<Ticket>, Genesis), Failure> {
    ticket::from_text(text, now_ms).map_err(|error| {
        let exit = match error {
            TicketError::Prefix | TicketError::Text => Exit::Usage,
            TicketError::Checksum | TicketError::Verify(_) => Exit::VerifyFailed,
            TicketError::Expired => Exit::TimedOut,
        };
        Failure::new(exit, error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use talkoot_protocol::{Founder, Keypair, Policy};

    fn ticket(expires_ms: u64) -> (String, Genesis) {
        let key = Keypair::from_seed(&[9; 32]);
        let founder = Founder {
            wallet: key.wallet(),
            line_ugft: 1,
        };
        let genesis = Genesis::new("village", 7, Policy::default(), vec![founder]).unwrap();
        let ticket = Ticket {
            inviter: key.wallet(),
            genesis: genesis.to_bytes(),
            addresses: vec!["/ip4/127.0.0.1/udp/1/quic-v1".to_owned()],
            expires_ms,
            nonce: 1,
            line_ugft: 0,
        };
        let signed = Verified::sign(ticket, &key, genesis.id()).unwrap();
        (ticket::to_text(&signed), genesis)
    }

    fn new_home(root: &Path) -> Home {
        let home = Home::at(root);
        home.create().unwrap();
        home
    }

    #[test]
    fn a_fresh_home_adopts_and_keeps_the_ticket() {
        let directory = tempfile::tempdir().unwrap();
        let home = new_home(directory.path());
        let (text, genesis) = ticket(0);
        let args = JoinArgs { ticket: text };
        run(&args, &home).unwrap();
        assert_eq!(home.current_genesis().unwrap(), Some(genesis.clone()));
        assert!(stored_ticket(&home, &genesis).is_some());
        // Again is fine: it is the same network.
        run(&args, &home).unwrap();
    }

    #[test]
    fn a_running_node_joins_at_its_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let home = new_home(directory.path());
        let lock = home.lock().unwrap();
        let (text, genesis) = ticket(0);
        run(&JoinArgs { ticket: text }, &home).unwrap();
        assert_eq!(home.current_genesis().unwrap(), None);
        drop(lock);
        let pending = std::fs::read_to_string(home.pending_join_path()).unwrap();
        assert_eq!(adopt(&home, &pending).unwrap(), genesis);
        assert!(!home.pending_join_path().exists());
    }

    #[test]
    fn bad_tickets_say_why() {
        let directory = tempfile::tempdir().unwrap();
        let home = new_home(directory.path());
        let (good, _) = ticket(0);
        let mut cut = good.clone();
        cut.pop();
        let mut typo = good.into_bytes();
        typo[20] = if typo[20] == b'a' { b'b' } else { b'a' };
        for (text, exit) in [
            ("hello".to_owned(), Exit::Usage),
            (cut, Exit::Usage),
            (String::from_utf8(typo).unwrap(), Exit::VerifyFailed),
            (ticket(1).0, Exit::TimedOut),
        ] {
            assert_eq!(adopt(&home, &text).unwrap_err().exit, exit, "{text}");
        }
        assert_eq!(home.current_genesis().unwrap(), None);
    }
}
