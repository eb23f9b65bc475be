//! How commands write: results to stdout, notes to stderr, tables aligned.
//!
//! A closed pipe on stdout ends a command quietly; on stderr it is ignored.

use crate::exit::{Exit, Failure};
use crate::units;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

/// Digits of a shortened id.
const SHORT: usize = 8;

/// Writes to stdout at once.
///
/// # Errors
/// When stdout is gone.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes one JSON object and a newline to stdout.
///
/// # Errors
/// When stdout is gone.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    print(&format!("{text}\n"))
}

/// Writes to stderr.
pub fn note(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// An id as stdout shows it: short for people, whole for programs.
#[must_use]
pub fn id(full: &str) -> String {
    if std::io::stdout().is_terminal() {
        short(full)
    } else {
        full.to_owned()
    }
}

/// The first digits of an id.
#[must_use]
pub fn short(full: &str) -> String {
    full.chars().take(SHORT).collect()
}

/// The owner's names for wallets.
static NAMES: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Names wallets, by their whole ids, for all that this process prints; once.
pub fn name_wallets(names: BTreeMap<String, String>) {
    // A second list is not taken.
    drop(NAMES.set(names));
}

fn name(wallet: &str) -> Option<&'static str> {
    NAMES.get()?.get(wallet).map(String::as_str)
}

/// A wallet as stdout shows it: for people by the owner's name for it, else short;
/// whole for programs.
#[must_use]
pub fn wallet(full: &str) -> String {
    wallet_text(name(full), full, std::io::stdout().is_terminal())
}

/// A wallet in words: by the owner's name for it, else its first digits.
#[must_use]
pub fn peer(full: &str) -> String {
    wallet_text(name(full), full, true)
}

/// A whole wallet, and the owner's name for it.
#[must_use]
pub fn whole_wallet(full: &str) -> String {
    whole_text(name(full), full)
}

fn wallet_text(name: Option<&str>, full: &str, is_for_people: bool) -> String {
    if !is_for_people {
        return full.to_owned();
    }
    name.map_or_else(|| short(full), str::to_owned)
}

fn whole_text(name: Option<&str>, full: &str) -> String {
    let name = name.map(|name| format!(" ({name})"));
    format!("{full}{}", name.unwrap_or_default())
}

/// Where a column's text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table of text with a heading.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with one text per column.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text, one line per row, nothing after the last column.
    #[must_use]
    pub fn render(&self) -> String {
        let heading: Vec<String> = self
            .columns
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let lines = || std::iter::once(&heading).chain(&self.rows);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|index| {
                lines()
                    .filter_map(|cells| cells.get(index))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for cells in lines() {
            let mut line = String::new();
            for ((cell, width), (_, align)) in cells.iter().zip(&widths).zip(&self.columns) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                match align {
                    Align::Left => line.push_str(&format!("{cell:<width$}")),
                    Align::Right => line.push_str(&format!("{cell:>width$}")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A time of whole µs as people read it.
#[must_use]
pub fn micros(us: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let value = us as f64;
    units::micros(value)
}

/// Layer ranges as text, `0..4`.
#[must_use]
pub fn layers(range: [u32; 2]) -> String {
    format!("{}..{}", range[0], range[1])
}

/// Which layers nobody serves, as ranges; empty when all are covered.
#[must_use]
pub fn gaps(coverage: &[u32]) -> String {
    let mut gaps: Vec<[usize; 2]> = Vec::new();
    for (layer, _) in coverage
        .iter()
        .enumerate()
        .filter(|(_, peers)| **peers == 0)
    {
        match gaps.last_mut() {
            Some(gap) if gap[1] == layer => gap[1] = layer + 1,
            _ => gaps.push([layer, layer + 1]),
        }
    }
    gaps.iter()
        .map(|gap| format!("{}..{}", gap[0], gap[1]))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("NAME", Align::Left), ("N", Align::Right)]);
        table.row(vec!["a".to_owned(), "10".to_owned()]);
        table.row(vec!["µGFT!".to_owned(), "7".to_owned()]);
        assert_eq!(table.render(), "NAME    N\na      10\nµGFT!   7\n");
    }

    #[test]
    fn a_name_stands_for_an_id_but_not_for_programs() {
        let full = "ab".repeat(32);
        assert_eq!(wallet_text(Some("anna"), &full, true), "anna");
        assert_eq!(wallet_text(None, &full, true), "abababab");
        assert_eq!(wallet_text(Some("anna"), &full, false), full);
        assert_eq!(whole_text(Some("anna"), &full), format!("{full} (anna)"));
        assert_eq!(whole_text(None, &full), full);
    }

    #[test]
    fn gaps_are_joined() {
        assert_eq!(gaps(&[1, 2]), "");
        assert_eq!(gaps(&[0, 0, 1, 0]), "0..2,3..4");
    }
}
