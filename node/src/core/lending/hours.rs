//! Hours of the day at which layers are lent: `22:00-07:00,12:00-13:00`.
//!
//! A window may go over midnight. Times are those of the machine's own zone; a
//! day is always one of 24 hours here, so on the two days of a change of the
//! clocks an end that is told in advance is an hour off, and nothing else.

use std::str::FromStr;

/// Minutes of a day.
pub const MINUTES_OF_A_DAY: u16 = 1_440;
/// Windows at most.
const WINDOWS_MAX: usize = 24;

/// Why a text is no list of hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// Not of the form.
    #[error("{0:?} is no window of hours; one looks like 22:00-07:00")]
    Form(String),
    /// It begins when it ends.
    #[error("{0:?} begins when it ends; without --hours a node lends all day")]
    Empty(String),
    /// More than the bound.
    #[error("more than {WINDOWS_MAX} windows")]
    TooMany,
}

/// Minutes from which and to which, the last one excluded; over midnight when
/// the first is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    from: u16,
    to: u16,
}

impl Window {
    const fn contains(self, minute: u16) -> bool {
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            self.from <= minute || minute < self.to
        }
    }
}

/// One or more windows of the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours(Vec<Window>);

impl Hours {
    /// Minutes from a minute of the day until a window is open; 0 within one.
    #[must_use]
    pub fn opens_in_minutes(&self, minute: u16) -> u16 {
        let is_open = |wait: &u16| {
            let then = minute.saturating_add(*wait) % MINUTES_OF_A_DAY;
            self.0.iter().any(|window| window.contains(then))
        };
        (0..MINUTES_OF_A_DAY).find(is_open).unwrap_or(0)
    }
}

impl FromStr for Hours {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let mut windows = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let (from, to) = part
                .split_once('-')
                .and_then(|(from, to)| Some((minute_of(from)?, minute_of(to)?)))
                .ok_or_else(|| HoursError::Form(part.to_owned()))?;
            if from == to {
                return Err(HoursError::Empty(part.to_owned()));
            }
            if windows.len() == WINDOWS_MAX {
                return Err(HoursError::TooMany);
            }
            windows.push(Window {
                from: from % MINUTES_OF_A_DAY,
                to,
            });
        }
        Ok(Self(windows))
    }
}

/// `07:30` as minutes; `24:00` is the end of the day.
fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_plain = |part: &str| {
        (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_plain(hour) || minute.len() != 2 || !is_plain(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let sum = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && sum <= MINUTES_OF_A_DAY).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours(text: &str) -> Hours {
        text.parse().unwrap()
    }

    #[test]
    fn windows_are_open_over_midnight_and_closed_at_their_end() {
        let hours = hours("22:00-07:00, 12:00-13:00");
        for (minute, wait) in [
            (22 * 60, 0),
            (0, 0),
            (6 * 60 + 59, 0),
            (7 * 60, 5 * 60),
            (12 * 60 + 59, 0),
            (13 * 60, 9 * 60),
            (21 * 60 + 59, 1),
        ] {
            assert_eq!(hours.opens_in_minutes(minute), wait, "{minute}");
        }
    }

    #[test]
    fn the_end_of_the_day_can_be_said_and_nonsense_is_refused() {
        assert_eq!(hours("00:00-24:00").opens_in_minutes(1_439), 0);
        assert_eq!(hours("20:00-24:00").opens_in_minutes(0), 20 * 60);
        let refused = |text: &str| text.parse::<Hours>().unwrap_err();
        for text in [
            "",
            "22",
            "22:00",
            "22-7",
            "22:0-7:00",
            "25:00-1:00",
            "1:60-2:00",
            "24:01-1:00",
            "a:bc-1:00",
            "1:00-2:00,",
            "-1:00-2:00",
        ] {
            assert!(matches!(refused(text), HoursError::Form(_)), "{text}");
        }
        assert!(matches!(refused("7:00-07:00"), HoursError::Empty(_)));
        let many = ["1:00-2:00"; 25].join(",");
        assert_eq!(refused(&many), HoursError::TooMany);
    }

    proptest! {
        /// Whoever waits as long as was said finds a window open, and none was
        /// open before.
        #[test]
        fn the_wait_is_exact(
            windows in proptest::collection::vec((0_u16..1_440, 0_u16..1_440), 1..5),
            minute in 0_u16..1_440,
        ) {
            let windows: Vec<_> = windows.into_iter().filter(|(from, to)| from != to).collect();
            prop_assume!(!windows.is_empty());
            let text = windows.iter().map(|(from, to)| {
                format!("{}:{:02}-{}:{:02}", from / 60, from % 60, to / 60, to % 60)
            });
            let hours = hours(&text.collect::<Vec<_>>().join(","));
            let open = |minute: u16| windows.iter().any(|&(from, to)| {
                // A window as the list of its minutes.
                let length = (to + 1_440 - from) % 1_440;
                (0..length).any(|step| (from + step) % 1_440 == minute)
            });
            let wait = hours.opens_in_minutes(minute);
            prop_assert!(open((minute + wait) % 1_440));
            prop_assert!((0..wait).all(|step| !open((minute + step) % 1_440)));
        }
    }
}
