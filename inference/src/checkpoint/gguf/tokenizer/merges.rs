//! Pieces of SentencePiece's BPE and their scores -> the merges that give them.
//!
//! SentencePiece joins, of all neighbours that make a piece, those whose piece has
//! the highest score. A list of merges says the same: every way to make a piece of
//! two pieces, the highest scores first; of equal scores longer left parts first.

use std::collections::BTreeMap;

/// Bytes of a piece that is looked at; longer ones are made of nothing.
const PIECE_BYTES_MAX: usize = 512;
/// Merges at most: some for each piece of the largest vocabularies.
const MERGES_MAX: usize = 1 << 22;

/// The merges of `pieces`, whose scores are `scores`.
pub(super) fn merges_of<'a>(
    pieces: &[&'a str],
    scores: &[f64],
) -> Result<Vec<(&'a str, &'a str)>, String> {
    let ids: BTreeMap<&str, usize> = pieces.iter().copied().zip(0..).collect();
    let mut merges = Vec::new();
    for (&piece, &score) in pieces.iter().zip(scores) {
        if !score.is_finite() {
            return Err(format!("the score of {piece:?} is no finite number"));
        }
        if piece.len() > PIECE_BYTES_MAX {
            continue;
        }
        let starts = piece.char_indices().map(|(start, _)| start).skip(1);
        for (left, right) in starts.map(|start| piece.split_at(start)) {
            if let (Some(&first), Some(&second)) = (ids.get(left), ids.get(right)) {
                merges.push((score, left, right, (first, second)));
            }
        }
        if merges.len() > MERGES_MAX {
            return Err(format!("more than {MERGES_MAX} merges"));
        }
    }
    merges.sort_by(|a, b| {
        let by_score = b.0.total_cmp(&a.0);
        let characters = |text: &str| text.chars().count();
        by_score
            .then_with(|| characters(b.1).cmp(&characters(a.1)))
            .then_with(|| characters(b.2).cmp(&characters(a.2)))
            .then_with(|| a.3.cmp(&b.3))
    });
    Ok(merges
        .into_iter()
        .map(|(_, left, right, _)| (left, right))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_make_a_piece_is_a_merge_in_the_order_of_scores() {
        let pieces = ["a", "b", "c", "ab", "bc", "abc", "zz"];
        let scores = [0.0, 0.0, 0.0, -1.0, -3.0, -2.0, -4.0];
        let merges = merges_of(&pieces, &scores).unwrap();
        assert_eq!(merges, [("a", "b"), ("ab", "c"), ("a", "bc"), ("b", "c")]);
        assert!(merges_of(&["a"], &[f64::NAN]).is_err());
    }
}
