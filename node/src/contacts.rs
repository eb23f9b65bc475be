//! What the owner says of peers: names for them, whom to keep out, whom to dial
//! first. A file of the owner, `peers.json`.
//!
//! The file is replaced whole, so whoever reads it sees its old or its new form.
//! A running node reads it at start and when it is told that it changed. Who a
//! peer is by what it announced stands elsewhere; nothing is dialled here.

use crate::exit::{Exit, Failure};
use crate::home::{self, Home};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use talkoot_protocol::Wallet;

/// Labels, bans and first contacts at most, of each.
pub const CONTACTS_MAX: usize = 1000;

/// Characters of a label or a reason at most.
const TEXT_MAX: usize = 64;
/// Bytes of the file at most, more than so many contacts take.
const FILE_BYTES_MAX: u64 = 2 << 20;
const SCHEMA: u32 = 1;

/// A peer that the owner keeps out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Who, in hexadecimal.
    pub wallet: String,
    /// When it ends, milliseconds since 1970; none: when the owner ends it.
    pub until_ms: Option<u64>,
    /// Why, for the owner.
    #[serde(default)]
    pub reason: String,
}

impl Ban {
    /// Whether it holds at a time.
    #[must_use]
    pub fn holds(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until_ms| now_ms < until_ms)
    }
}

/// All that the owner says of peers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contacts {
    /// Wallets in hexadecimal by label.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Who is kept out.
    #[serde(default)]
    pub bans: Vec<Ban>,
    /// Multiaddrs to dial first, beside those of the command line.
    #[serde(default)]
    pub bootstrap: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ContactsFile {
    schema: u32,
    #[serde(flatten)]
    contacts: Contacts,
}

/// Why a contact cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// Not a label.
    #[error(
        "{0:?} cannot be a label: 1 to {TEXT_MAX} letters of a to z, digits, '.', '_' and '-', \
         and not the beginning of an id"
    )]
    Label(String),
    /// The label names another.
    #[error("{label} is the label of {wallet} already")]
    Taken {
        /// The label.
        label: String,
        /// Whose it is.
        wallet: String,
    },
    /// There are too many.
    #[error("there are {CONTACTS_MAX} already")]
    Full,
}

impl From<ContactError> for Failure {
    fn from(error: ContactError) -> Self {
        let exit = match error {
            ContactError::Label(_) => Exit::Usage,
            ContactError::Taken { .. } | ContactError::Full => Exit::BadConfig,
        };
        Self::new(exit, error.to_string())
    }
}

impl Contacts {
    /// Reads the file of a home; empty where there is none.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn read(home: &Home) -> Result<Self, Failure> {
        let path = path(home);
        let damaged = |what: String| {
            Failure::new(Exit::BadConfig, format!("{}: {what}", path.display()))
                .hint("mend it or move it away: it holds labels, bans and first contacts")
        };
        let length = match std::fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(damaged(error.to_string())),
        };
        if length > FILE_BYTES_MAX {
            return Err(damaged(format!("{length} bytes are too many")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| damaged(error.to_string()))?;
        let file: ContactsFile =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if file.schema != SCHEMA {
            return Err(damaged(format!(
                "schema {} is of another version",
                file.schema
            )));
        }
        Ok(file.contacts)
    }

    /// Labels by wallet.
    #[must_use]
    pub fn names(&self) -> BTreeMap<String, String> {
        let pairs = self.labels.iter();
        pairs
            .map(|(label, wallet)| (wallet.clone(), label.clone()))
            .collect()
    }

    /// Replaces the file of a home.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, home: &Home) -> Result<(), Failure> {
        let file = ContactsFile {
            schema: SCHEMA,
            contacts: self.clone(),
        };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        home::write_atomic(&path(home), text.as_bytes())
    }

    /// The label of a wallet, the first by the alphabet.
    #[must_use]
    pub fn label_of(&self, wallet: &Wallet) -> Option<&str> {
        let wallet = wallet.to_string();
        let mut labels = self.labels.iter();
        labels
            .find(|(_, labelled)| **labelled == wallet)
            .map(|(label, _)| label.as_str())
    }

    /// Whom a label names.
    #[must_use]
    pub fn labelled(&self, label: &str) -> Option<Wallet> {
        self.labels.get(label)?.parse().ok()
    }

    /// Gives a wallet a label, and takes its old ones away.
    ///
    /// # Errors
    /// [`ContactError`].
    pub fn label(&mut self, wallet: &Wallet, label: &str) -> Result<(), ContactError> {
        if !is_label(label) {
            return Err(ContactError::Label(label.to_owned()));
        }
        let wallet = wallet.to_string();
        if let Some(other) = self.labels.get(label).filter(|other| **other != wallet) {
            return Err(ContactError::Taken {
                label: label.to_owned(),
                wallet: other.clone(),
            });
        }
        self.labels.retain(|_, labelled| *labelled != wallet);
        if self.labels.len() >= CONTACTS_MAX {
            return Err(ContactError::Full);
        }
        self.labels.insert(label.to_owned(), wallet);
        Ok(())
    }

    /// Keeps a peer out from now on; a ban of it before is replaced, and those
    /// that are over are forgotten.
    ///
    /// # Errors
    /// [`ContactError::Full`].
    pub fn ban(&mut self, mut ban: Ban, now_ms: u64) -> Result<(), ContactError> {
        self.bans
            .retain(|old| old.holds(now_ms) && old.wallet != ban.wallet);
        if self.bans.len() >= CONTACTS_MAX {
            return Err(ContactError::Full);
        }
        ban.reason = ban.reason.chars().take(TEXT_MAX).collect();
        self.bans.push(ban);
        Ok(())
    }

    /// Lets a peer in again; false when it was not kept out.
    pub fn unban(&mut self, wallet: &Wallet) -> bool {
        let wallet = wallet.to_string();
        let before = self.bans.len();
        self.bans.retain(|ban| ban.wallet != wallet);
        self.bans.len() < before
    }

    /// The bans that hold now.
    pub fn bans_now(&self, now_ms: u64) -> impl Iterator<Item = (Wallet, &Ban)> {
        let holding = self.bans.iter().filter(move |ban| ban.holds(now_ms));
        holding.filter_map(|ban| Some((ban.wallet.parse().ok()?, ban)))
    }

    /// Adds a first contact; false when it is there already.
    ///
    /// # Errors
    /// [`ContactError::Full`].
    pub fn add_bootstrap(&mut self, address: &str) -> Result<bool, ContactError> {
        if self.bootstrap.iter().any(|known| known == address) {
            return Ok(false);
        }
        if self.bootstrap.len() >= CONTACTS_MAX {
            return Err(ContactError::Full);
        }
        self.bootstrap.push(address.to_owned());
        Ok(true)
    }
}

fn path(home: &Home) -> PathBuf {
    home.config.join("peers.json")
}

/// A label must not be taken for an id: those are shortened to a beginning.
fn is_label(text: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (1..=TEXT_MAX).contains(&text.len())
        && text.bytes().all(plain)
        && !is_hex
        && !text.starts_with("12d3koo")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wallet(byte: u8) -> Wallet {
        Wallet::from_bytes([byte; 32])
    }

    fn ban(byte: u8, until_ms: Option<u64>) -> Ban {
        Ban {
            wallet: wallet(byte).to_string(),
            until_ms,
            reason: "r".repeat(200),
        }
    }

    #[test]
    fn labels_name_one_wallet_each_and_no_id_can_be_one() {
        let mut contacts = Contacts::default();
        contacts.label(&wallet(1), "anna").unwrap();
        contacts.label(&wallet(1), "anna-2").unwrap();
        assert_eq!(contacts.label_of(&wallet(1)), Some("anna-2"));
        assert_eq!(contacts.labelled("anna"), None);
        let names = [(wallet(1).to_string(), "anna-2".to_owned())];
        assert_eq!(contacts.names(), names.into());
        assert_eq!(contacts.labelled("anna-2"), Some(wallet(1)));
        let taken = contacts.label(&wallet(2), "anna-2");
        assert!(matches!(taken, Err(ContactError::Taken { .. })));
        for wrong in ["", "Anna", "a b", "cafe", "12", "12d3koox"] {
            let refused = contacts.label(&wallet(2), wrong);
            assert_eq!(refused, Err(ContactError::Label(wrong.to_owned())));
        }
    }

    #[test]
    fn bans_end_by_time_or_by_word() {
        let mut contacts = Contacts::default();
        contacts.ban(ban(1, Some(100)), 0).unwrap();
        contacts.ban(ban(2, None), 0).unwrap();
        let held = |contacts: &Contacts, now_ms| {
            let bans = contacts.bans_now(now_ms);
            bans.map(|(wallet, _)| wallet).collect::<Vec<_>>()
        };
        assert_eq!(held(&contacts, 99), [wallet(1), wallet(2)]);
        assert_eq!(held(&contacts, 100), [wallet(2)]);
        contacts.ban(ban(2, Some(500)), 100).unwrap();
        assert_eq!(contacts.bans.len(), 1, "the old ones are forgotten");
        assert_eq!(contacts.bans[0].reason.len(), TEXT_MAX);
        assert!(contacts.unban(&wallet(2)) && !contacts.unban(&wallet(2)));
    }

    #[test]
    fn the_file_comes_back_as_it_was_and_damage_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        home.create().unwrap();
        assert_eq!(Contacts::read(&home).unwrap(), Contacts::default());
        let mut contacts = Contacts::default();
        contacts.label(&wallet(7), "seven").unwrap();
        contacts.ban(ban(8, None), 0).unwrap();
        assert!(contacts.add_bootstrap("/ip4/1.2.3.4/udp/1").unwrap());
        assert!(!contacts.add_bootstrap("/ip4/1.2.3.4/udp/1").unwrap());
        contacts.write(&home).unwrap();
        assert_eq!(Contacts::read(&home).unwrap(), contacts);
        for wrong in ["{", "{\"schema\":2}", "[]"] {
            std::fs::write(path(&home), wrong).unwrap();
            let failure = Contacts::read(&home).unwrap_err();
            assert_eq!(failure.exit, Exit::BadConfig);
            assert!(failure.message.contains("peers.json"), "{failure}");
        }
    }
}
