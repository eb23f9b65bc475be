//! Times of a job as the submitter sees them.

use crate::core::hop_times;
use talkoot_protocol::frame::StageTime;

/// Arrival and stage times of each completion token.
#[derive(Debug, Default)]
pub struct Measure {
    begun_us: u64,
    arrivals: Vec<(u64, Vec<StageTime>)>,
}

/// What the times come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// From the beginning to the first token, µs.
    pub time_to_first_token_us: u64,
    /// From the first to the last token, µs.
    pub decode_us: u64,
    /// Per stage: median compute per token, µs.
    pub compute_us_per_token: Vec<f64>,
    /// Per stage: median time per token that was waiting in this stage or on its
    /// link to the next.
    pub hop_us_per_token: Vec<f64>,
    /// Median over tokens of (interval less compute) / hops, µs.
    pub overhead_us_per_token_hop: f64,
}

impl Measure {
    /// A measure that begins now.
    #[must_use]
    pub const fn new(begun_us: u64) -> Self {
        Self {
            begun_us,
            arrivals: Vec::new(),
        }
    }

    /// A token arrived.
    pub fn token(&mut self, now_us: u64, times: Vec<StageTime>) {
        self.arrivals.push((now_us, times));
    }

    /// The medians. The first token belongs to the prompt: all per-token
    /// figures are over the tokens after it, or over it when it is the only one.
    #[must_use]
    pub fn summary(&self, stages: usize) -> Summary {
        let (Some(first), Some(last)) = (self.arrivals.first(), self.arrivals.last()) else {
            return Summary::default();
        };
        let hops = u32::try_from(stages.max(1)).unwrap_or(u32::MAX);
        let mut overheads = Vec::new();
        let mut idle_times = vec![Vec::new(); stages];
        let mut compute_times = vec![Vec::new(); stages];
        for pair in self.arrivals.windows(2) {
            let [(before_us, _), (now_us, times)] = pair else {
                continue;
            };
            let interval = micros(now_us.saturating_sub(*before_us));
            let compute: f64 = times.iter().map(|time| f64::from(time.compute_us)).sum();
            overheads.push((interval - compute).max(0.0) / f64::from(hops));
            let columns = idle_times.iter_mut().zip(&mut compute_times);
            let divided = hop_times::divide(now_us.saturating_sub(*before_us), times);
            for ((idle, compute), hop) in columns.zip(divided) {
                idle.push(f64::from(hop.wait_us) + f64::from(hop.wire_us));
                compute.push(f64::from(hop.compute_us));
            }
        }
        if self.arrivals.len() == 1 {
            for (column, time) in compute_times.iter_mut().zip(&first.1) {
                column.push(f64::from(time.compute_us));
            }
        }
        Summary {
            time_to_first_token_us: first.0.saturating_sub(self.begun_us),
            decode_us: last.0.saturating_sub(first.0),
            compute_us_per_token: compute_times.into_iter().map(median).collect(),
            hop_us_per_token: idle_times.into_iter().map(median).collect(),
            overhead_us_per_token_hop: median(overheads),
        }
    }
}

fn micros(value: u64) -> f64 {
    u32::try_from(value).map_or(4e9, f64::from)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len() % 2, values.get(middle)) {
        (_, None) => 0.0,
        (1, Some(value)) => *value,
        (_, Some(value)) => {
            let below = values.get(middle.saturating_sub(1)).unwrap_or(value);
            f64::midpoint(*below, *value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_is_the_interval_less_compute_over_the_hops() {
        let mut measure = Measure::new(1_000);
        let time = |compute_us, stay_us| StageTime {
            compute_us,
            stay_us,
            link_us: 0,
        };
        measure.token(5_000, vec![time(900, 1_000), time(900, 1_000)]);
        for step in 1..=3 {
            measure.token(5_000 + step * 1_000, vec![time(100, 200), time(300, 400)]);
        }
        let summary = measure.summary(2);
        assert_eq!(summary.time_to_first_token_us, 4_000);
        assert_eq!(summary.decode_us, 3_000);
        assert_eq!(summary.compute_us_per_token, [100.0, 300.0]);
        assert!((summary.overhead_us_per_token_hop - 300.0).abs() < 1e-9);
        // wire: (1000 - 600) / 2 each, and 100 waiting in each stage
        assert_eq!(summary.hop_us_per_token, [300.0, 300.0]);
    }

    #[test]
    fn no_tokens_give_an_empty_summary() {
        assert_eq!(Measure::new(0).summary(4), Summary::default());
    }
}
