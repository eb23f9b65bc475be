//! How often one caller may ask, and for how much in a day.
//!
//! Whole numbers and a time that is passed in. A bucket holds as many requests
//! as a minute allows and fills evenly; a day is one of UTC. A clock that is set
//! back gives nothing away: the bucket goes on filling from there.

/// A request in a bucket's unit: a bucket gains `per_minute` of them each
/// millisecond, so nothing is ever rounded.
const REQUEST: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// Requests that may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    per_minute: u32,
    level: u64,
    filled_ms: u64,
}

impl Bucket {
    /// A full bucket of `per_minute` requests, at least one.
    #[must_use]
    pub fn full(per_minute: u32, now_ms: u64) -> Self {
        let per_minute = per_minute.max(1);
        Self {
            per_minute,
            level: capacity(per_minute),
            filled_ms: now_ms,
        }
    }

    /// How many requests a minute allows.
    #[must_use]
    pub const fn per_minute(&self) -> u32 {
        self.per_minute
    }

    /// Takes one request.
    ///
    /// # Errors
    /// Milliseconds until there is one.
    pub fn take(&mut self, now_ms: u64) -> Result<(), u64> {
        let gained = now_ms
            .saturating_sub(self.filled_ms)
            .saturating_mul(u64::from(self.per_minute));
        self.level = self
            .level
            .saturating_add(gained)
            .min(capacity(self.per_minute));
        self.filled_ms = now_ms;
        match self.level.checked_sub(REQUEST) {
            Some(level) => {
                self.level = level;
                Ok(())
            }
            None => Err((REQUEST - self.level).div_ceil(u64::from(self.per_minute))),
        }
    }

    /// Whole requests that were left at the last one.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.level / REQUEST
    }

    /// Milliseconds from the last request until the bucket is full.
    #[must_use]
    pub fn full_in_ms(&self) -> u64 {
        (capacity(self.per_minute) - self.level).div_ceil(u64::from(self.per_minute))
    }
}

fn capacity(per_minute: u32) -> u64 {
    u64::from(per_minute) * REQUEST
}

/// What was burned in one day, µGFT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spending {
    day: u64,
    burned_ugft: u64,
}

impl Spending {
    /// What was burned on a day.
    #[must_use]
    pub const fn on(day: u64, burned_ugft: u64) -> Self {
        Self { day, burned_ugft }
    }

    /// Burned today, µGFT.
    #[must_use]
    pub const fn today_ugft(&self, now_ms: u64) -> u64 {
        if self.day == day(now_ms) {
            self.burned_ugft
        } else {
            0
        }
    }

    /// Counts what was burned.
    pub fn add(&mut self, ugft: u64, now_ms: u64) {
        self.burned_ugft = self.today_ugft(now_ms).saturating_add(ugft);
        self.day = day(now_ms);
    }
}

/// Days since 1970.
#[must_use]
pub const fn day(now_ms: u64) -> u64 {
    now_ms / DAY_MS
}

/// Milliseconds until the next day of UTC begins; at least one.
#[must_use]
pub const fn day_ends_in_ms(now_ms: u64) -> u64 {
    DAY_MS - now_ms % DAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In any stretch of time no more passes than a full bucket and what
        /// flows in meanwhile, and whoever waits as long as he was told passes.
        #[test]
        fn a_bucket_lets_through_what_it_says(
            per_minute in 1_u32..10_000,
            steps in proptest::collection::vec(0_u64..5_000, 1..200),
        ) {
            let mut now = 1_000_000;
            let began = now;
            let mut bucket = Bucket::full(per_minute, now);
            let mut passed = 0_u64;
            for step in steps {
                now += step;
                match bucket.take(now) {
                    Ok(()) => passed += 1,
                    Err(wait) => {
                        prop_assert!(wait > 0);
                        if wait > 1 {
                            let mut early = bucket;
                            prop_assert!(early.take(now + wait - 1).is_err());
                        }
                        let mut patient = bucket;
                        prop_assert!(patient.take(now + wait).is_ok());
                    }
                }
                prop_assert!(bucket.left() < u64::from(per_minute));
                let allowed = u64::from(per_minute) * (60_000 + now - began) / 60_000;
                prop_assert!(passed <= allowed, "{passed} of {allowed}");
            }
            let mut later = bucket;
            prop_assert!(later.take(now + bucket.full_in_ms()).is_ok());
            prop_assert_eq!(later.left(), u64::from(per_minute) - 1);
        }

        /// The sum of a day is the sum of what was added on it.
        #[test]
        fn a_day_counts_its_own(
            mut times in proptest::collection::vec((0_u64..4 * DAY_MS, 0_u64..1_000), 1..60),
        ) {
            times.sort_unstable();
            let mut spending = Spending::default();
            for (index, &(now, ugft)) in times.iter().enumerate() {
                spending.add(ugft, now);
                let same_day = times[..=index].iter().filter(|(at, _)| day(*at) == day(now));
                prop_assert_eq!(spending.today_ugft(now), same_day.map(|(_, ugft)| ugft).sum::<u64>());
                prop_assert_eq!(spending.today_ugft(now + day_ends_in_ms(now)), 0);
            }
        }
    }

    #[test]
    fn a_clock_set_back_neither_fills_nor_stops_a_bucket() {
        let mut bucket = Bucket::full(1, 600_000);
        bucket.take(600_000).unwrap();
        assert_eq!(bucket.take(1_000), Err(60_000));
        assert_eq!(bucket.take(61_000), Ok(()));
    }
}
