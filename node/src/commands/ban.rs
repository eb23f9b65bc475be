//! `talkoot ban` and `unban`: whom this node keeps out.

use super::contacts;
use super::output::{self, Align, Table};
use crate::api::SCHEMA;
use crate::cli::{BanArgs, BanVerb, ReadArgs, UnbanArgs};
use crate::clock;
use crate::contacts::{Ban, Contacts};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::units;
use serde::Serialize;
use talkoot_protocol::Wallet;

#[derive(Debug, Serialize)]
struct BansView {
    schema: u32,
    bans: Vec<Ban>,
}

/// Bans a peer, or lists those that are banned.
///
/// # Errors
/// When nobody is meant, or the owner's file cannot be used.
pub fn run(args: &BanArgs, home: &Home) -> Result<(), Failure> {
    if let Some(BanVerb::Ls(args)) = &args.verb {
        return list(args, home);
    }
    let asked = args.peer.as_deref().unwrap_or_default();
    let wallet = contacts::find(home, asked)?;
    let now_ms = clock::now_ms();
    let until_ms = match &args.duration {
        Some(text) => {
            let duration = units::parse_duration(text)
                .map_err(|error| Failure::new(Exit::Usage, format!("--for: {error}")))?;
            let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            Some(now_ms.saturating_add(ms))
        }
        None => None,
    };
    let ban = Ban {
        wallet: wallet.to_string(),
        until_ms,
        reason: args.reason.clone(),
    };
    let runs = contacts::change(home, |contacts| Ok(contacts.ban(ban, now_ms)?))?;
    output::note(&format!(
        "banned {wallet} {}; {}\n",
        until(until_ms),
        if runs {
            "the running node has hung up"
        } else {
            "holds from the next `talkoot up` on"
        }
    ));
    Ok(())
}

/// Lets a peer in again.
///
/// # Errors
/// [`Exit::NotFound`] when it is not banned.
pub fn unban(args: &UnbanArgs, home: &Home) -> Result<(), Failure> {
    let held = Contacts::read(home)?;
    let wallet = banned(&held, &args.peer)?;
    contacts::change(home, |contacts| {
        contacts.unban(&wallet);
        Ok(())
    })?;
    output::note(&format!("{wallet} may come again\n"));
    Ok(())
}

/// The banned wallet that a label or its first digits mean.
fn banned(contacts: &Contacts, asked: &str) -> Result<Wallet, Failure> {
    let labelled = contacts.labelled(asked);
    let is_meant = |ban: &&Ban| match &labelled {
        Some(wallet) => ban.wallet == wallet.to_string(),
        None => !asked.is_empty() && ban.wallet.starts_with(asked),
    };
    let mut matching = contacts.bans.iter().filter(is_meant);
    match (matching.next(), matching.next()) {
        (Some(ban), None) => ban
            .wallet
            .parse()
            .map_err(|_| Failure::new(Exit::BadConfig, format!("{} is no wallet", ban.wallet))),
        (Some(_), Some(_)) => Err(Failure::new(
            Exit::Usage,
            format!("several banned wallets begin with {asked:?}"),
        )),
        (None, _) => Err(
            Failure::new(Exit::NotFound, format!("{asked:?} is not banned"))
                .hint("`talkoot ban ls` lists who is; marks end by themselves"),
        ),
    }
}

fn list(args: &ReadArgs, home: &Home) -> Result<(), Failure> {
    let held = Contacts::read(home)?;
    let bans = held.bans_now(clock::now_ms());
    let bans: Vec<(Wallet, Ban)> = bans.map(|(wallet, ban)| (wallet, ban.clone())).collect();
    if args.json {
        return output::print_json(&BansView {
            schema: SCHEMA,
            bans: bans.into_iter().map(|(_, ban)| ban).collect(),
        });
    }
    if bans.is_empty() {
        output::note("nobody is banned; `talkoot ban PEER` keeps one out\n");
        return Ok(());
    }
    let mut table = Table::new(&[
        ("WALLET", Align::Left),
        ("LABEL", Align::Left),
        ("UNTIL", Align::Left),
        ("REASON", Align::Left),
    ]);
    for (wallet, ban) in &bans {
        table.row(vec![
            output::id(&ban.wallet),
            held.label_of(wallet).unwrap_or("-").to_owned(),
            until(ban.until_ms),
            if ban.reason.is_empty() {
                "-".to_owned()
            } else {
                ban.reason.clone()
            },
        ]);
    }
    output::print(&table.render())
}

fn until(until_ms: Option<u64>) -> String {
    until_ms.map_or_else(
        || "until `talkoot unban`".to_owned(),
        |until_ms| format!("until {} UTC", units::utc(until_ms)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_banned_can_be_let_in() {
        let mut contacts = Contacts::default();
        let wallet = Wallet::from_bytes([0xab; 32]);
        let ban = Ban {
            wallet: wallet.to_string(),
            until_ms: None,
            reason: String::new(),
        };
        contacts.ban(ban, 0).unwrap();
        contacts.label(&wallet, "anna").unwrap();
        assert_eq!(banned(&contacts, "anna"), Ok(wallet));
        assert_eq!(banned(&contacts, "abab"), Ok(wallet));
        for nobody in ["", "cd", "bert"] {
            assert_eq!(banned(&contacts, nobody).unwrap_err().exit, Exit::NotFound);
        }
    }
}
