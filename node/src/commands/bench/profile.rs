//! Where the time of a prefill or a decode goes: kernels by kind, the choice of
//! tokens, and the rest, which is burn, memory for results and bookkeeping.

use crate::clock;
use crate::commands::output::{Align, Table};
use std::collections::BTreeMap;
use std::sync::Arc;
use talkoot_inference::kernels::KernelTimes;

/// The name of choosing tokens.
const CHOICE: &str = "choice";
/// The name of everything that no kernel does.
const REST: &str = "burn and the rest";

/// Seconds by name.
pub(super) type Profile = BTreeMap<&'static str, f64>;

/// Times the parts of a run, if anybody wants them.
pub(super) struct Timed {
    kernels: Option<Arc<KernelTimes>>,
    choice_s: f64,
}

impl Timed {
    pub(super) const fn new(kernels: Option<Arc<KernelTimes>>) -> Self {
        Self {
            kernels,
            choice_s: 0.0,
        }
    }

    /// Forgets what was counted.
    pub(super) fn restart(&mut self) {
        self.choice_s = 0.0;
        if let Some(kernels) = &self.kernels {
            let _ = kernels.take();
        }
    }

    /// Counts as choosing.
    pub(super) fn choice(&mut self, work: impl FnOnce()) {
        if self.kernels.is_none() {
            return work();
        }
        let began = clock::monotonic();
        work();
        self.choice_s += began.elapsed().as_secs_f64();
    }

    /// What was counted, of `whole_s` seconds.
    pub(super) fn profile(&self, whole_s: f64) -> Option<Profile> {
        let kernels = self.kernels.as_ref()?.take();
        let counted = kernels
            .into_iter()
            .filter(|(_, spent_ns)| *spent_ns > 0)
            .map(|(kind, spent_ns)| (kind.name(), spent_ns as f64 * 1e-9));
        let mut profile: Profile = counted.chain([(CHOICE, self.choice_s)]).collect();
        let rest_s = whole_s - profile.values().sum::<f64>();
        profile.insert(REST, rest_s.max(0.0));
        Some(profile)
    }
}

/// The shares of all runs together, largest of the decode first.
pub(super) fn table<'a>(profiles: impl Iterator<Item = &'a [Profile; 2]>) -> Option<String> {
    let mut sums = [Profile::new(), Profile::new()];
    for both in profiles {
        for (sum, profile) in sums.iter_mut().zip(both) {
            for (name, seconds) in profile {
                *sum.entry(name).or_default() += seconds;
            }
        }
    }
    let totals = [0, 1].map(|phase: usize| sums[phase].values().sum::<f64>());
    if totals[1] <= 0.0 {
        return None;
    }
    let mut names: Vec<&str> = sums[1].keys().copied().collect();
    names.sort_by(|a, b| sums[1][b].total_cmp(&sums[1][a]));
    let mut table = Table::new(&[
        ("TIME SPENT", Align::Left),
        ("PREFILL", Align::Right),
        ("DECODE", Align::Right),
    ]);
    for name in names {
        let share = |phase: usize| {
            let seconds = sums[phase].get(name).copied().unwrap_or(0.0);
            format!("{:.2} %", 100.0 * seconds / totals[phase])
        };
        table.row(vec![name.to_owned(), share(0), share(1)]);
    }
    Some(table.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_runs_and_largest_first() {
        let run = |linear, rest| Profile::from([("linear", linear), (REST, rest)]);
        let runs = [
            [run(1.0, 0.0), run(2.0, 1.0)],
            [run(1.0, 2.0), run(4.0, 1.0)],
        ];
        let text = table(runs.iter()).unwrap();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1], ["linear", "50.00", "%", "75.00", "%"]);
        assert_eq!(lines[2][lines[2].len() - 4..], ["50.00", "%", "25.00", "%"]);
        assert_eq!(table([].iter()), None);
    }

    #[test]
    fn without_times_nothing_is_counted() {
        let mut timed = Timed::new(None);
        let mut is_done = false;
        timed.choice(|| is_done = true);
        assert!(is_done);
        assert_eq!(timed.profile(1.0), None);
    }
}
