//! Routing: the cheapest chain of shards that tiles a model once.
//!
//! Cost of a stage = its layers / announced layers per second + half the round
//! trip to it; ties go to the smaller wallets, so equal inputs give equal
//! routes. Any part of an announced range may be used; a wallet appears at most
//! once. Round trips are measured from the submitter: those between two workers
//! are not known to it. Who is busy is decided by the workers' offers, not here.

use std::collections::BTreeSet;
use talkoot_protocol::{LayerRange, Wallet, limits};

/// A shard that could be a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Whose.
    pub wallet: Wallet,
    /// Layers it serves.
    pub range: LayerRange,
    /// Announced speed, at least 1.
    pub layers_per_second: u32,
    /// Round trip from the submitter, µs.
    pub rtt_us: u64,
}

/// One stage of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Whose.
    pub wallet: Wallet,
    /// The layers it shall compute.
    pub range: LayerRange,
}

/// Why there is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Nobody serves these layers.
    #[error("nobody serves layers {}", list(.0))]
    Uncovered(Vec<LayerRange>),
    /// Every layer is served, but no chain of different peers tiles them.
    #[error("every layer is served, but not by a chain of at most {max} different peers", max = limits::STAGES_MAX)]
    NoChain,
}

/// Ranges as text.
#[must_use]
pub fn list(ranges: &[LayerRange]) -> String {
    ranges
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Labels kept per layer boundary: more only matter where many peers serve
/// interleaved pieces of each other's ranges.
const LABELS_MAX: usize = 32;

/// A partial route that ends at some layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Label {
    cost_us: u64,
    wallets: Vec<Wallet>,
    ends: Vec<u32>,
}

impl Label {
    /// Whether this label is at least as good as the other for every way on.
    fn dominates(&self, other: &Self) -> bool {
        self <= other
            && self
                .wallets
                .iter()
                .all(|wallet| other.wallets.contains(wallet))
    }
}

fn stage_cost_us(candidate: &Candidate, layers: u32) -> u64 {
    let compute = u64::from(layers) * 1_000_000 / u64::from(candidate.layers_per_second.max(1));
    compute.saturating_add(candidate.rtt_us / 2)
}

/// Finds the cheapest route over all `layers` layers.
///
/// # Errors
/// [`RouteError`] naming the uncovered layers.
pub fn cheapest_route(layers: u32, candidates: &[Candidate]) -> Result<Vec<Stage>, RouteError> {
    let gaps = uncovered(layers, candidates.iter().map(|candidate| candidate.range));
    if !gaps.is_empty() {
        return Err(RouteError::Uncovered(gaps));
    }
    let mut cuts: BTreeSet<u32> = BTreeSet::from([0, layers]);
    for candidate in candidates {
        cuts.extend([candidate.range.start(), candidate.range.end()].map(|cut| cut.min(layers)));
    }
    let mut labels: Vec<(u32, Vec<Label>)> =
        cuts.into_iter().map(|cut| (cut, Vec::new())).collect();
    if let Some((_, at_start)) = labels.first_mut() {
        at_start.push(Label {
            cost_us: 0,
            wallets: Vec::new(),
            ends: Vec::new(),
        });
    }
    for index in 0..labels.len() {
        let (cut, here) = labels[index].clone();
        for label in &here {
            for candidate in candidates {
                if !candidate.range.contains(cut) || label.wallets.contains(&candidate.wallet) {
                    continue;
                }
                for (end, ahead) in labels.iter_mut().skip(index + 1) {
                    if *end > candidate.range.end() {
                        break;
                    }
                    push_label(ahead, extend(label, candidate, cut, *end));
                }
            }
        }
    }
    let best = labels
        .pop()
        .and_then(|(_, at_end)| at_end.into_iter().next())
        .ok_or(RouteError::NoChain)?;
    stages_of(&best).ok_or(RouteError::NoChain)
}

fn extend(label: &Label, candidate: &Candidate, start: u32, end: u32) -> Label {
    let mut next = label.clone();
    next.cost_us = next
        .cost_us
        .saturating_add(stage_cost_us(candidate, end - start));
    next.wallets.push(candidate.wallet);
    next.ends.push(end);
    next
}

/// Adds a label unless another is better; keeps the list sorted and bounded.
fn push_label(labels: &mut Vec<Label>, label: Label) {
    if label.wallets.len() > limits::STAGES_MAX || labels.iter().any(|held| held.dominates(&label))
    {
        return;
    }
    labels.retain(|held| !label.dominates(held));
    let place = labels.partition_point(|held| held < &label);
    labels.insert(place, label);
    labels.truncate(LABELS_MAX);
}

fn stages_of(label: &Label) -> Option<Vec<Stage>> {
    let mut start = 0;
    let mut stages = Vec::with_capacity(label.ends.len());
    for (wallet, end) in label.wallets.iter().zip(&label.ends) {
        stages.push(Stage {
            wallet: *wallet,
            range: LayerRange::new(start, *end).ok()?,
        });
        start = *end;
    }
    Some(stages)
}

/// How many of `ranges` hold each layer.
#[must_use]
pub fn coverage(layers: u32, ranges: impl IntoIterator<Item = LayerRange>) -> Vec<u32> {
    let mut counts = vec![0_u32; layers as usize];
    for range in ranges {
        for layer in range.start()..range.end().min(layers) {
            counts[layer as usize] += 1;
        }
    }
    counts
}

/// The layers that none of `ranges` holds.
#[must_use]
pub fn uncovered(layers: u32, ranges: impl IntoIterator<Item = LayerRange>) -> Vec<LayerRange> {
    gaps(&coverage(layers, ranges))
}

/// The runs of layers that nobody holds, by how many hold each layer.
#[must_use]
pub fn gaps(counts: &[u32]) -> Vec<LayerRange> {
    let mut gaps = Vec::new();
    let mut start = None;
    for (layer, count) in (0..).zip(counts.iter().copied().chain([1])) {
        match (start, count) {
            (None, 0) => start = Some(layer),
            (Some(from), 1..) => {
                gaps.extend(LayerRange::new(from, layer));
                start = None;
            }
            _ => {}
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wallet(byte: u8) -> Wallet {
        Wallet::from_bytes([byte; 32])
    }

    fn candidate(byte: u8, start: u32, end: u32, layers_per_second: u32, rtt_us: u64) -> Candidate {
        let range = LayerRange::new(start, end).unwrap();
        Candidate {
            wallet: wallet(byte),
            range,
            layers_per_second,
            rtt_us,
        }
    }

    fn shown(route: &[Stage]) -> Vec<(u8, String)> {
        route
            .iter()
            .map(|stage| (stage.wallet.as_bytes()[0], stage.range.to_string()))
            .collect()
    }

    #[test]
    fn tiles_exactly_and_uses_parts_of_ranges() {
        let route =
            cheapest_route(8, &[candidate(1, 0, 5, 100, 0), candidate(2, 3, 8, 200, 0)]).unwrap();
        assert_eq!(shown(&route), [(1, "0..3".into()), (2, "3..8".into())]);
    }

    #[test]
    fn one_near_peer_beats_two_faster_far_ones() {
        let far = 60_000;
        let all = [
            candidate(1, 0, 8, 100, 0),
            candidate(2, 0, 4, 110, far),
            candidate(3, 4, 8, 110, far),
        ];
        assert_eq!(
            shown(&cheapest_route(8, &all).unwrap()),
            [(1, "0..8".into())]
        );
    }

    #[test]
    fn ties_go_to_the_smaller_wallet_whatever_the_order() {
        let mut all = vec![candidate(9, 0, 8, 100, 10), candidate(4, 0, 8, 100, 10)];
        assert_eq!(
            shown(&cheapest_route(8, &all).unwrap()),
            [(4, "0..8".into())]
        );
        all.reverse();
        assert_eq!(
            shown(&cheapest_route(8, &all).unwrap()),
            [(4, "0..8".into())]
        );
    }

    #[test]
    fn a_wallet_is_never_used_twice() {
        let all = [candidate(1, 0, 8, 10, 0), candidate(2, 2, 4, 1_000_000, 0)];
        let route = cheapest_route(8, &all).unwrap();
        assert_eq!(shown(&route), [(1, "0..8".into())]);
    }

    #[test]
    fn names_what_nobody_serves() {
        let all = [candidate(1, 0, 3, 10, 0), candidate(2, 5, 6, 10, 0)];
        let error = cheapest_route(8, &all).unwrap_err();
        assert_eq!(error.to_string(), "nobody serves layers 3..5, 6..8");
        assert!(
            matches!(cheapest_route(2, &[]), Err(RouteError::Uncovered(gaps)) if gaps.len() == 1)
        );
    }

    /// The label search equals a search over all routes on small random cases.
    #[test]
    fn equals_exhaustive_search() {
        let mut state = 7_u64;
        let mut draw = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..300 {
            let layers = 6;
            let all: Vec<Candidate> = (1..=5_u8)
                .map(|byte| {
                    let start = u32::try_from(draw(6)).unwrap();
                    let end = start + 1 + u32::try_from(draw(u64::from(layers - start))).unwrap();
                    candidate(
                        byte,
                        start,
                        end,
                        1 + u32::try_from(draw(50)).unwrap(),
                        draw(100_000),
                    )
                })
                .collect();
            let best = exhaustive(layers, &all, 0, &mut Vec::new());
            let found = cheapest_route(layers, &all).ok();
            assert_eq!(
                found.as_deref().map(|route| cost(route, &all)),
                best,
                "{all:?}"
            );
        }
    }

    fn cost(route: &[Stage], all: &[Candidate]) -> u64 {
        let of = |stage: &Stage| {
            let held = all.iter().find(|held| held.wallet == stage.wallet).unwrap();
            assert!(held.range.covers(stage.range));
            stage_cost_us(held, stage.range.count())
        };
        route.iter().map(of).sum()
    }

    fn exhaustive(layers: u32, all: &[Candidate], at: u32, used: &mut Vec<Wallet>) -> Option<u64> {
        if at == layers {
            return Some(0);
        }
        let mut best: Option<u64> = None;
        for held in all.iter().filter(|held| held.range.contains(at)) {
            if used.contains(&held.wallet) {
                continue;
            }
            used.push(held.wallet);
            for end in at + 1..=held.range.end() {
                if let Some(rest) = exhaustive(layers, all, end, used) {
                    let total = rest + stage_cost_us(held, end - at);
                    best = Some(best.map_or(total, |known| known.min(total)));
                }
            }
            used.pop();
        }
        best
    }
}
