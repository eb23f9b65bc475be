//! Ids by their first digits: one match is meant, none and several are errors
//! that say how to go on.

use super::hex;
use crate::api::{AskError, ErrorCode};

/// The only one of `ids` that begins with `asked`; `what` names its kind, and
/// `list` is the command that lists them.
///
/// # Errors
/// [`AskError`] when `asked` is not hexadecimal, or none or several match.
pub(super) fn resolve(
    what: &str,
    list: &str,
    asked: &str,
    ids: impl Iterator<Item = [u8; 32]>,
) -> Result<[u8; 32], AskError> {
    let digits = digits(asked).ok_or_else(|| {
        let message = format!(
            "\"{asked}\" is no id of {what}: give its hexadecimal digits, or the first few (`{list}`)"
        );
        AskError::new(ErrorCode::InvalidRequest, message)
    })?;
    let mut found = ids.filter(|id| begins(id, &digits));
    let (first, second) = (found.next(), found.next());
    match (first, second) {
        (Some(id), None) => Ok(id),
        (Some(first), Some(second)) => {
            let more = if found.next().is_some() {
                " and more"
            } else {
                ""
            };
            // Enough digits to tell these two apart.
            let common = first
                .iter()
                .zip(&second)
                .take_while(|(a, b)| a == b)
                .count();
            let shown = |id: &[u8; 32]| hex(id.get(..(common + 2).max(4)).unwrap_or(id));
            let message = format!(
                "{asked} is the beginning of several ids of {what}s: {}…, {}…{more}; give more digits",
                shown(&first),
                shown(&second)
            );
            Err(AskError::new(ErrorCode::InvalidRequest, message))
        }
        (None, _) => {
            let message = format!("no {what} {asked} is held here (`{list}`)");
            Err(AskError::new(ErrorCode::NotFound, message))
        }
    }
}

fn digits(asked: &str) -> Option<Vec<u8>> {
    let asked = asked.trim();
    let digit = |letter: char| {
        letter
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let is_possible = (1..=64).contains(&asked.len());
    is_possible
        .then(|| asked.chars().map(digit).collect())
        .flatten()
}

fn begins(id: &[u8; 32], digits: &[u8]) -> bool {
    let own = id.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    own.zip(digits).all(|(a, b)| a == *b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> impl Iterator<Item = [u8; 32]> {
        let mut near = [0xab; 32];
        near[31] = 0;
        [[0xab; 32], near, [0x12; 32]].into_iter()
    }

    fn find(asked: &str) -> Result<[u8; 32], AskError> {
        resolve("entry", "talkoot ledger ls", asked, ids())
    }

    #[test]
    fn one_match_is_meant_and_anything_else_is_explained() {
        assert_eq!(find("1"), Ok([0x12; 32]));
        assert_eq!(find(" 12 "), Ok([0x12; 32]));
        assert_eq!(find(&"AB".repeat(32)), Ok([0xab; 32]));
        assert_eq!(find("13").unwrap_err().code, ErrorCode::NotFound);
        let several = find("abab").unwrap_err();
        assert_eq!(several.code, ErrorCode::InvalidRequest);
        assert!(several.message.contains("give more digits"), "{several}");
        // Both are shown up to where they part.
        assert!(several.message.contains(&format!("{}…", "ab".repeat(32))));
        for wrong in ["", "xyz", &"a".repeat(65)] {
            assert_eq!(find(wrong).unwrap_err().code, ErrorCode::InvalidRequest);
        }
    }
}
