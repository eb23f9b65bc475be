//! Where the time between two tokens went: waiting and computing in each stage,
//! and the links between them.
//!
//! Stages have no common clock, so the asker measures the wire only in all: what
//! of an interval no stage had the token. Each stage says what its link takes one
//! way by its own estimate; the measured time is divided in that proportion. So
//! the sum is measured, and only the division is an estimate. Money never depends
//! on any of it.

use talkoot_protocol::frame::StageTime;

/// What one hop of a route took of a token's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HopTime {
    /// In the stage and not computing: its queue, and others' rows of the same
    /// step, µs.
    pub wait_us: u32,
    /// Computing, µs.
    pub compute_us: u32,
    /// On the link from this stage to the next, µs.
    pub wire_us: u32,
}

/// The parts of an interval of `interval_us` in which the token passed stages that
/// say `times`, one part for each stage. Their sum is the interval, or what the
/// stages say where that is more.
#[must_use]
pub fn divide(interval_us: u64, times: &[StageTime]) -> Vec<HopTime> {
    let stay_us: u64 = times.iter().map(|time| u64::from(time.stay_us)).sum();
    let wire_us = interval_us.saturating_sub(stay_us);
    let links_us: u64 = times.iter().map(|time| u64::from(time.link_us)).sum();
    let count = u64::try_from(times.len()).unwrap_or(u64::MAX);
    let (mut link_end_us, mut wire_begin_us) = (0_u64, 0_u64);
    let ends = (1..=count).map(|number| (number, count));
    times
        .iter()
        .zip(ends)
        .map(|(time, (number, count))| {
            link_end_us = link_end_us.saturating_add(u64::from(time.link_us));
            // Where no link is known, all are the same. Dividing the running sums
            // loses nothing to rounding.
            let (part, whole) = match links_us {
                0 => (number, count),
                all => (link_end_us, all),
            };
            let wire_end_us = scale(wire_us, part, whole);
            let own_us = wire_end_us.saturating_sub(wire_begin_us);
            wire_begin_us = wire_end_us;
            HopTime {
                wait_us: time.stay_us.saturating_sub(time.compute_us),
                compute_us: time.compute_us,
                wire_us: u32::try_from(own_us).unwrap_or(u32::MAX),
            }
        })
        .collect()
}

fn scale(value: u64, part: u64, whole: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(compute_us: u32, stay_us: u32, link_us: u32) -> StageTime {
        StageTime {
            compute_us,
            stay_us,
            link_us,
        }
    }

    fn wires(interval_us: u64, times: &[StageTime]) -> Vec<u32> {
        let hops = divide(interval_us, times);
        hops.iter().map(|hop| hop.wire_us).collect()
    }

    #[test]
    fn a_slow_link_is_seen_where_it_is() {
        let times = [time(100, 200, 10), time(300, 400, 970), time(50, 50, 20)];
        let hops = divide(1_650, &times);
        assert_eq!(
            hops.iter().map(|hop| hop.wait_us).collect::<Vec<_>>(),
            [100, 100, 0]
        );
        assert_eq!(wires(1_650, &times), [10, 970, 20]);
        // The estimate may be off; what was measured counts.
        assert_eq!(wires(2_650, &times), [20, 1_940, 40]);
        // A link within one node takes nothing of it.
        assert_eq!(
            wires(1_300, &[time(1, 100, 0), time(1, 200, 7)]),
            [0, 1_000]
        );
    }

    #[test]
    fn unknown_links_are_alike_and_no_interval_is_no_wire() {
        let times = [time(1, 1, 0), time(1, 1, 0), time(1, 1, 0)];
        assert_eq!(wires(103, &times), [33, 33, 34]);
        assert_eq!(wires(2, &times), [0, 0, 0]);
        assert_eq!(divide(100, &[]), []);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_interval(
            interval_us in 0..u64::from(u32::MAX),
            times in prop::collection::vec((0..1_000_u32, 0..1_000_u32, any::<u32>()), 1..9),
        ) {
            let times: Vec<StageTime> = times
                .into_iter()
                .map(|(compute_us, wait_us, link_us)| time(compute_us, compute_us + wait_us, link_us))
                .collect();
            let sum: u64 = divide(interval_us, &times)
                .iter()
                .map(|hop| u64::from(hop.wait_us) + u64::from(hop.compute_us) + u64::from(hop.wire_us))
                .sum();
            let stays: u64 = times.iter().map(|time| u64::from(time.stay_us)).sum();
            prop_assert_eq!(sum, interval_us.max(stays));
        }
    }
}
