//! What each key has burned today, kept beside the running node.
//!
//! A restart must not reset a spending cap. The file is written whole, every few
//! seconds while something changes and at an orderly stop: a process that is
//! killed forgets what its keys burned in the last of those seconds. Only the
//! day of the last write is kept.

use crate::core::rates::{self, Spending};
use crate::exit::{Exit, Failure};
use crate::home;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const SCHEMA: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct UsageFile {
    schema: u32,
    /// Days since 1970.
    day: u64,
    /// By the hash of the key, µGFT.
    burned_ugft: BTreeMap<String, u64>,
}

/// Reads the file; nothing was burned where there is none. A damaged one is said
/// and left aside: it must not keep a node from starting.
#[must_use]
pub fn read(path: &Path) -> BTreeMap<String, Spending> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!("{}: {error}; spending begins at 0", path.display());
            }
            return BTreeMap::new();
        }
    };
    match serde_json::from_str::<UsageFile>(&text) {
        Ok(file) if file.schema == SCHEMA => {
            let spending = |(hash, ugft)| (hash, Spending::on(file.day, ugft));
            file.burned_ugft.into_iter().map(spending).collect()
        }
        Ok(file) => {
            let schema = file.schema;
            tracing::warn!("{}: schema {schema}; spending begins at 0", path.display());
            BTreeMap::new()
        }
        Err(error) => {
            tracing::warn!("{}: {error}; spending begins at 0", path.display());
            BTreeMap::new()
        }
    }
}

/// Writes what was burned today.
///
/// # Errors
/// When the file cannot be written.
pub fn write(
    path: &Path,
    spending: &BTreeMap<String, Spending>,
    now_ms: u64,
) -> Result<(), Failure> {
    let today = spending
        .iter()
        .map(|(hash, spending)| (hash.clone(), spending.today_ugft(now_ms)))
        .filter(|(_, ugft)| *ugft > 0);
    let file = UsageFile {
        schema: SCHEMA,
        day: rates::day(now_ms),
        burned_ugft: today.collect(),
    };
    let text = serde_json::to_string(&file)
        .map_err(|error| Failure::new(Exit::Failure, format!("key-usage.json: {error}")))?;
    home::write_atomic(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_burned_today_survives_and_yesterday_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key-usage.json");
        assert!(read(&path).is_empty());
        let (today, tomorrow) = (86_400_000 * 20, 86_400_000 * 21);
        let mut spending = BTreeMap::new();
        let mut alice = Spending::default();
        alice.add(40, today);
        spending.insert("a".to_owned(), alice);
        spending.insert("b".to_owned(), Spending::on(19, 7));
        write(&path, &spending, today).unwrap();
        let held = read(&path);
        assert_eq!(held.len(), 1);
        assert_eq!(held["a"].today_ugft(today), 40);
        assert_eq!(held["a"].today_ugft(tomorrow), 0);
        std::fs::write(&path, "{").unwrap();
        assert!(read(&path).is_empty());
    }
}
