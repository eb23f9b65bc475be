//! Whether this node lends its layers now: the owner's hand, the hours of the
//! day, the battery, and what other programs do with the processor.
//!
//! `observe(rules, observation, now)` gives the next state, [`verdict`] what
//! follows from it. Time, load and power come in as numbers. What a pause means
//! for jobs and announcements is decided by those who ask; a job that runs is
//! never ended from here.

mod hours;
mod share;

pub use hours::{Hours, HoursError, MINUTES_OF_A_DAY};
pub use share::{CpuPlan, Duty, PERCENT_MIN, plan};

use std::fmt;

/// Others count as using the machine from this part of it on, in thousandths.
const BUSY_PER_MILLE: u32 = 200;
/// And on large machines from so many processors on, in thousandths of one.
const BUSY_MILLICORES_MAX: u32 = 2_000;
/// They are done when they use this part of that, as a divisor, …
const CALM_DIVISOR: u32 = 2;
/// … for so long, ms.
const CALM_MS: u64 = 20_000;
/// Time over which the load is averaged, ms.
const AVERAGE_MS: u64 = 5_000;
const MINUTE_MS: u64 = 60_000;

/// What the owner set for as long as the process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LendingRules {
    /// Lend only while others leave the machine alone and it is not on battery.
    pub idle_only: bool,
    /// Lend only at these hours of the local day.
    pub hours: Option<Hours>,
}

impl LendingRules {
    /// Whether anything must be observed.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.idle_only || self.hours.is_some()
    }
}

/// What other programs take of the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// In thousandths of one processor.
    pub others_millicores: u32,
    /// Processors of the machine.
    pub cores: u32,
}

/// One look at the machine; what could not be seen is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observation {
    /// Minutes since midnight, local time.
    pub minute_of_day: Option<u16>,
    /// Whether the machine runs on battery.
    pub is_on_battery: bool,
    /// Load since the last look.
    pub load: Option<Load>,
}

/// Why nothing is lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The owner said so, with these words perhaps.
    ByHand(Option<String>),
    /// It is none of the hours.
    Hours,
    /// The machine runs on battery.
    Battery,
    /// Others use the machine.
    Busy,
}

impl Reason {
    /// A name for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ByHand(_) => "by_hand",
            Self::Hours => "hours",
            Self::Battery => "battery",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByHand(None) => f.write_str("paused by its owner"),
            Self::ByHand(Some(words)) => write!(f, "paused by its owner: {words}"),
            Self::Hours => f.write_str("outside the hours of --hours"),
            Self::Battery => f.write_str("the machine runs on battery (--idle-only)"),
            Self::Busy => f.write_str("other programs use the machine (--idle-only)"),
        }
    }
}

/// A pause of lending. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Why.
    pub reason: Reason,
    /// Since when for this reason.
    pub since_ms: u64,
    /// Until when, where that is known.
    pub until_ms: Option<u64>,
}

/// A pause that the owner began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// In the owner's words.
    pub reason: Option<String>,
    /// When it began.
    pub since_ms: u64,
    /// When it ends by itself.
    pub until_ms: Option<u64>,
}

impl ByHand {
    /// Whether its time has passed.
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.until_ms.is_some_and(|until| until <= now_ms)
    }
}

/// What is known from the looks so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The average of what others take, thousandths of a processor.
    millicores: u64,
    observed_ms: Option<u64>,
    is_busy: bool,
    calm_since_ms: Option<u64>,
    pause: Option<Pause>,
}

impl State {
    /// The state after one more look.
    #[must_use]
    pub fn observe(self, rules: &LendingRules, observation: &Observation, now_ms: u64) -> Self {
        let mut next = self;
        if let Some(load) = observation.load.filter(|_| rules.idle_only) {
            next.take_load(load, now_ms);
        }
        let wait = match (&rules.hours, observation.minute_of_day) {
            (Some(hours), Some(minute)) => hours.opens_in_minutes(minute),
            _ => 0,
        };
        let reason = if wait > 0 {
            Some(Reason::Hours)
        } else if rules.idle_only && observation.is_on_battery {
            Some(Reason::Battery)
        } else if rules.idle_only && next.is_busy {
            Some(Reason::Busy)
        } else {
            None
        };
        let before = next.pause.take();
        next.pause = reason.map(|reason| Pause {
            since_ms: before
                .filter(|before| before.reason == reason)
                .map_or(now_ms, |before| before.since_ms),
            until_ms: (wait > 0).then(|| {
                let minute = now_ms - now_ms % MINUTE_MS;
                minute.saturating_add(u64::from(wait) * MINUTE_MS)
            }),
            reason,
        });
        next
    }

    /// Takes a load into the average and decides with hysteresis.
    fn take_load(&mut self, load: Load, now_ms: u64) {
        let new = u64::from(load.others_millicores);
        let passed = now_ms.saturating_sub(self.observed_ms.unwrap_or(0));
        let weight = passed.clamp(1, AVERAGE_MS);
        // A short look moves the average a little, a long one replaces it.
        self.millicores = (self
            .millicores
            .saturating_mul(AVERAGE_MS - weight)
            .saturating_add(new.saturating_mul(weight)))
            / AVERAGE_MS;
        self.observed_ms = Some(now_ms);
        let busy = busy_from_millicores(load.cores);
        if self.millicores >= busy {
            self.is_busy = true;
            self.calm_since_ms = None;
        } else if self.millicores > busy / u64::from(CALM_DIVISOR) {
            self.calm_since_ms = None;
        } else {
            let since = *self.calm_since_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since) >= CALM_MS {
                self.is_busy = false;
            }
        }
    }
}

/// From which load on others count as using a machine of so many processors.
fn busy_from_millicores(cores: u32) -> u64 {
    let part = u64::from(cores.max(1)) * u64::from(BUSY_PER_MILLE);
    part.min(u64::from(BUSY_MILLICORES_MAX))
}

/// Whether lending is paused now: the owner's hand first, then the rules.
#[must_use]
pub fn verdict(by_hand: Option<&ByHand>, state: &State, now_ms: u64) -> Option<Pause> {
    let by_hand = by_hand.filter(|by_hand| !by_hand.is_over(now_ms));
    by_hand.map_or_else(
        || state.pause.clone(),
        |by_hand| {
            Some(Pause {
                reason: Reason::ByHand(by_hand.reason.clone()),
                since_ms: by_hand.since_ms,
                until_ms: by_hand.until_ms,
            })
        },
    )
}

#[cfg(test)]
mod tests;
