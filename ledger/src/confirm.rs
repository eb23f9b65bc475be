//! Confirmation: which entries founders with more than two thirds of the lines
//! have seen, and seen no fork of. A `Frontier` also needs its `Reserve`, and
//! to be seen before the founder says that the job is over.
//!
//! Whether one founder's entry confirms another entry depends on the pasts of
//! the two alone, so it is found once, when the founder's entry arrives. Along
//! one log confirming begins at some entry and may end with a fork; a set that
//! holds any confirming entry holds the first, so the first of each branch is
//! all that is kept.

use crate::core::Core;
use crate::graph::{AuthorIx, Ix};
use crate::past::{Cut, Past};
use std::collections::BTreeSet;

impl Core {
    /// Finds what a founder's new entry confirms that its log did not before.
    pub(crate) fn attest(&mut self, ix: Ix) -> BTreeSet<Ix> {
        let graph = self.graph();
        let node = graph.node(ix);
        let founder = node.author;
        if !self.founders.iter().any(|known| known.0 == founder) {
            return BTreeSet::new();
        }
        let cut = Cut::Closure(ix);
        let prev = node.prev;
        let before = prev.map(Cut::Closure);
        let mut confirmed = Vec::new();
        let mut tips = vec![(founder, ix)];
        let none = Past::default();
        let past_before = node.prev.map_or(&none, |prev| &graph.node(prev).past);
        node.past.since(past_before, &mut |author, newer| {
            tips.extend(newer.iter().map(|&tip| (author, tip)));
        });
        for (author, tip) in tips {
            let fork = cut.fork_seq(graph, author);
            let mut seen = BTreeSet::new();
            let mut next = Some(tip);
            while let Some(entry) =
                next.filter(|&entry| !before.is_some_and(|cut| cut.contains(graph, entry)))
            {
                if fork.is_some() && !seen.insert(entry) {
                    break;
                }
                let is_clean = fork.is_none_or(|fork| fork > graph.seq(entry));
                let job = self.record(entry).pay.map(|pay| pay.job);
                // This log has not seen the frontier before; if it has said
                // that the job is over, it is too late.
                let is_late = |job| prev.is_some_and(|prev| self.claims_over(prev, job));
                if is_clean && job.is_none_or(|job| cut.is_clean(graph, job) && !is_late(job)) {
                    confirmed.push(entry);
                }
                next = graph.node(entry).prev;
            }
        }
        // Branches of a forked log meet.
        let confirmed: BTreeSet<Ix> = confirmed.into_iter().collect();
        let founders = self.founders.len();
        for &entry in &confirmed {
            let attesters = &mut self.record_mut(entry).attesters;
            if attesters.is_empty() {
                attesters.reserve_exact(founders);
            }
            attesters.push((founder, ix));
        }
        confirmed
    }

    /// The founders that confirm an entry in a set.
    pub(crate) fn confirming(&self, ix: Ix, cut: Cut<'_>) -> BTreeSet<AuthorIx> {
        let attesters = self.record(ix).attesters.iter();
        attesters
            .filter(|(_, by)| cut.contains(self.graph(), *by))
            .map(|(founder, _)| *founder)
            .collect()
    }

    /// Whether an entry is confirmed in a set: 3 · have > 2 · total.
    pub(crate) fn is_confirmed(&self, ix: Ix, cut: Cut<'_>) -> bool {
        let attesters = self.record(ix).attesters.as_slice();
        let confirms = |founder: AuthorIx| {
            let mut of_founder = attesters.iter().filter(|by| by.0 == founder);
            of_founder.any(|&(_, by)| cut.contains(self.graph(), by))
        };
        let have: u128 = self
            .founders
            .iter()
            .filter(|founder| confirms(founder.0))
            .map(|founder| u128::from(founder.1))
            .sum();
        have.saturating_mul(3) > self.lines_total.saturating_mul(2)
    }
}
