//! What happened in runs, in numbers: counted by name, added up over seeds.

use std::collections::BTreeMap;

/// Counts by name. Runs add up.
#[derive(Debug, Clone, Default)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Adds one.
    pub(crate) fn one(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    pub(crate) fn add(&mut self, name: &'static str, count: u64) {
        *self.0.entry(name).or_default() += count;
    }

    /// The highest value so far.
    pub(crate) fn most(&mut self, name: &'static str, value: u64) {
        let most = self.0.entry(name).or_default();
        *most = value.max(*most);
    }

    /// Adds the counts of another run.
    pub fn join(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            if name.starts_with("most_") {
                self.most(name, *count);
            } else {
                self.add(name, *count);
            }
        }
    }

    /// One count.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All counts, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(name, count)| (*name, *count))
    }
}
