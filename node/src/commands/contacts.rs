//! What the verbs about peers share: the owner's file, whom a name means, and
//! telling a running node that the file changed.

use crate::api::{ContactsView, PeersView};
use crate::client::Client;
use crate::contacts::Contacts;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use talkoot_protocol::Wallet;

/// Changes the owner's file, then tells the running node, if there is one.
/// True when one runs.
///
/// # Errors
/// When the change is refused, or the file cannot be used.
pub fn change(
    home: &Home,
    change: impl FnOnce(&mut Contacts) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    home.create()?;
    let mut contacts = Contacts::read(home)?;
    change(&mut contacts)?;
    contacts.write(home)?;
    match Client::connect(home) {
        Ok(client) => match client.post::<ContactsView>("contacts", &serde_json::json!({})) {
            Ok(_) => Ok(true),
            Err(failure) if failure.exit == Exit::NotRunning => Ok(false),
            Err(failure) => Err(failure),
        },
        Err(_) => Ok(false),
    }
}

/// Whom a label, the beginning of a connected peer's wallet or peer id, or a
/// whole wallet id means. Without a running node nobody is connected.
///
/// # Errors
/// [`Exit::NotFound`] when nobody, [`Exit::Usage`] when several begin so.
pub fn find(home: &Home, asked: &str) -> Result<Wallet, Failure> {
    if let Some(wallet) = Contacts::read(home)?.labelled(asked) {
        return Ok(wallet);
    }
    if let Ok(wallet) = asked.parse() {
        return Ok(wallet);
    }
    let peers = Client::connect(home)
        .and_then(|client| client.get::<PeersView>("peers"))
        .map_err(|failure| {
            let message = format!("{asked:?} is no label and no whole wallet id: {failure}");
            Failure::new(Exit::NotFound, message)
                .hint("shortened ids need a running node, which knows its peers")
        })?;
    let ids = peers.peers.iter().map(|peer| {
        let wallet = peer.wallet.as_str();
        (wallet, peer.peer_id.as_str())
    });
    let wallet = one_of(asked, ids)?;
    wallet
        .parse()
        .map_err(|_| Failure::new(Exit::Failure, format!("the node names no wallet: {wallet}")))
}

/// The wallet that a label of the owner's means, or else the text as it is: the
/// beginning of an id.
///
/// # Errors
/// When the owner's file cannot be used.
pub fn wallet_or_text(home: &Home, text: &str) -> Result<String, Failure> {
    let labelled = Contacts::read(home)?.labelled(text);
    Ok(labelled.map_or_else(|| text.to_owned(), |wallet| wallet.to_string()))
}

/// The only wallet whose id or peer id begins so.
fn one_of<'a>(
    asked: &str,
    ids: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<&'a str, Failure> {
    let mut matching = ids.filter(|(wallet, peer_id)| {
        asked.len() >= 2 && (wallet.starts_with(asked) || peer_id.starts_with(asked))
    });
    match (matching.next(), matching.next()) {
        (Some((wallet, _)), None) => Ok(wallet),
        (Some(_), Some(_)) => {
            let message = format!("several peers begin with {asked:?}: give more of the id");
            Err(Failure::new(Exit::Usage, message))
        }
        (None, _) => {
            let message = format!("no connected peer begins with {asked:?}, and it is no label");
            Err(Failure::new(Exit::NotFound, message).hint(
                "`talkoot peers` and `talkoot label` list them; a whole wallet id always works",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_peer_or_the_error_says_why_not() {
        let ids = [
            ("aa11", "12D3KooA"),
            ("aa22", "12D3KooB"),
            ("bb33", "12D3KooC"),
        ];
        let find = |asked: &str| one_of(asked, ids.iter().copied());
        assert_eq!(find("bb").unwrap(), "bb33");
        assert_eq!(find("12D3KooB").unwrap(), "aa22");
        assert_eq!(find("aa").unwrap_err().exit, Exit::Usage);
        assert_eq!(find("a").unwrap_err().exit, Exit::NotFound);
        assert_eq!(find("cc").unwrap_err().exit, Exit::NotFound);
    }

    #[test]
    fn without_a_node_labels_and_whole_ids_are_known() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        let wallet = Wallet::from_bytes([7; 32]);
        let labelled = change(&home, |contacts| Ok(contacts.label(&wallet, "seven")?));
        assert_eq!(labelled, Ok(false), "no node runs");
        assert_eq!(find(&home, "seven"), Ok(wallet));
        assert_eq!(wallet_or_text(&home, "seven"), Ok(wallet.to_string()));
        assert_eq!(wallet_or_text(&home, "07"), Ok("07".to_owned()));
        assert_eq!(find(&home, &wallet.to_string()), Ok(wallet));
        assert_eq!(find(&home, "0707").unwrap_err().exit, Exit::NotFound);
    }
}
