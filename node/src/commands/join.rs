//! `talkoot join TICKET`: tries a ticket, and puts this home into its network.
//!
//! A home changes its network only while its books hold nobody else's entries:
//! then nothing that others rely on is left behind. The old ledger stays on
//! disk under its own network id.

mod lan;

use super::output;
use crate::api::SCHEMA;
use crate::cli::JoinArgs;
use crate::clock;
use crate::commands::ledger::offline;
use crate::exit::{Exit, Failure};
use crate::home::{self, Home};
use crate::probe::{self, Attempt, Expected, Outcome};
use crate::units;
use serde::Serialize;
use std::io::Read;
use std::time::Duration;
use talkoot_protocol::ticket::{self, Ticket, TicketError};
use talkoot_protocol::{Genesis, Keypair, Verified};

/// Bytes of stdin that are looked at: several tickets.
const STDIN_BYTES_MAX: u64 = 64 << 10;

/// What `join` came to, for `--json`.
#[derive(Debug, Serialize)]
struct JoinedView {
    schema: u32,
    network: String,
    network_id: String,
    /// Whether the home is in the network now; else from the next start on.
    joined: bool,
    attempts: Vec<Attempt>,
}

/// Tries the ticket, then adopts its network now, or at the next `up` if a node
/// runs.
///
/// # Errors
/// When the ticket is bad, the home is bound to another network, or nobody of
/// the network answers.
pub fn run(args: &JoinArgs, home: &Home) -> Result<(), Failure> {
    if let Some(asked) = &args.lan {
        return lan::run(args, asked, home);
    }
    let text = ticket_text(args.ticket.as_deref().unwrap_or_default())?;
    let (ticket, genesis) = read(&text, clock::now_ms())?;
    home.create()?;
    check_may_adopt(home, &genesis)?;
    let attempts = if args.no_dial {
        Vec::new()
    } else {
        try_addresses(args, home, &ticket, &genesis)?
    };
    finish(args, home, &genesis, text.trim(), attempts)
}

/// The ticket, or what stdin says.
fn ticket_text(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(STDIN_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn try_addresses(
    args: &JoinArgs,
    home: &Home,
    ticket: &Ticket,
    genesis: &Genesis,
) -> Result<Vec<Attempt>, Failure> {
    let expected = Expected {
        peer: ticket.inviter,
        network: genesis.id(),
    };
    let timeout = wait(args)?;
    let key = scout_key(home)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let attempts = runtime.block_on(probe::probe(&key, &ticket.addresses, expected, timeout));
    for attempt in &attempts {
        let time = output::micros(attempt.elapsed_us);
        let words = attempt.outcome.words();
        output::note(&format!("{}\n    {time}  {words}\n", attempt.address));
    }
    check_attempts(&attempts, genesis)?;
    Ok(attempts)
}

fn wait(args: &JoinArgs) -> Result<Duration, Failure> {
    units::parse_duration(&args.wait)
        .map_err(|error| Failure::new(Exit::Usage, format!("--wait: {error}")))
}

/// The home's identity where there is one: a node that keeps us out says so now.
fn scout_key(home: &Home) -> Result<Keypair, Failure> {
    home.existing_identity().or_else(|_| {
        let mut seed = [0; 32];
        home::fill_random(&mut seed)?;
        Ok(Keypair::from_seed(&seed))
    })
}

/// Whether anybody of the network answered.
fn check_attempts(attempts: &[Attempt], genesis: &Genesis) -> Result<(), Failure> {
    if attempts.iter().any(|attempt| attempt.outcome.is_good()) {
        return Ok(());
    }
    let strange = attempts
        .iter()
        .find(|attempt| matches!(attempt.outcome, Outcome::OtherNetwork { .. }));
    if let Some(strange) = strange {
        let message = format!(
            "the ticket is for {} ({}), but at {} {}",
            genesis.name,
            genesis.id(),
            strange.address,
            strange.outcome.words()
        );
        return Err(Failure::new(Exit::VerifyFailed, message)
            .hint("the inviter's addresses changed hands: ask for a new ticket"));
    }
    let count = attempts.len();
    let message = format!(
        "nobody of {} answers at any of the ticket's {count} addresses; nothing was changed",
        genesis.name
    );
    Err(Failure::new(Exit::NotRunning, message).hint(
        "see above for each; `--wait 30s` waits longer; `--no-dial` joins all the same, \
         and the node keeps trying",
    ))
}

/// Adopts, or leaves the word for the running node's next start.
fn finish(
    args: &JoinArgs,
    home: &Home,
    genesis: &Genesis,
    word: &str,
    attempts: Vec<Attempt>,
) -> Result<(), Failure> {
    let joined = !home.is_locked();
    if joined {
        let _lock = home.lock()?;
        adopt(home, word)?;
    } else {
        home::write_atomic(&home.pending_join_path(), word.as_bytes())?;
    }
    let (name, id) = (&genesis.name, genesis.id());
    if args.json {
        return output::print_json(&JoinedView {
            schema: SCHEMA,
            network: name.clone(),
            network_id: id.to_string(),
            joined,
            attempts,
        });
    }
    output::print(&if joined {
        format!("joined {name} ({id}); `talkoot up` starts there\n")
    } else {
        format!(
            "the running node joins {name} ({id}) when it starts again:\n\
             `talkoot down`, then `talkoot up`\n"
        )
    })
}

/// Makes the ticket's network the current one; the caller holds the lock.
///
/// # Errors
/// As [`run`].
pub fn adopt(home: &Home, text: &str) -> Result<Genesis, Failure> {
    if let Some(genesis) = lan::genesis_of(text)? {
        check_may_adopt(home, &genesis)?;
        home.set_network(&genesis)?;
        let _ = std::fs::remove_file(home.pending_join_path());
        return Ok(genesis);
    }
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
        let hint = match error {
            TicketError::Expired => "ask for a new one: `talkoot invite` on a node of the network",
            TicketError::Prefix => "give what `talkoot invite` printed, from talkoot1 to its end",
            _ => "copy all of it again: line breaks and spaces do not matter, letters do",
        };
        Failure::new(exit, error.to_string()).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use talkoot_protocol::{Founder, Policy};

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

    fn believing(ticket: String) -> JoinArgs {
        JoinArgs {
            ticket: Some(ticket),
            lan: None,
            no_dial: true,
            wait: "1s".to_owned(),
            json: false,
        }
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
        let args = believing(text);
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
        run(&believing(text), &home).unwrap();
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
