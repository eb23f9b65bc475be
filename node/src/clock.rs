//! The one place where the program reads a clock, and knows the zone it is in.
//!
//! Wall time is a claim (it is shown and used by local policy, never by the
//! ledger's rules); monotonic time measures durations. Local time is for the
//! owner's hours and for what people read.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 by this machine's clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one clock file")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A point in monotonic time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one clock file")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Nanoseconds since the first call, for those who count many short times.
#[must_use]
pub fn monotonic_ns() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let since = BEGIN.get_or_init(monotonic).elapsed();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Microseconds since a point in monotonic time, at most `u32::MAX` (71 minutes).
#[must_use]
pub fn elapsed_us(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// The same moment for timers of the asynchronous runtime.
#[must_use]
pub fn timer() -> tokio::time::Instant {
    tokio::time::Instant::from_std(monotonic())
}

/// Milliseconds from 1970 to a time that a file system tells; 0 before.
#[must_use]
pub fn since_1970_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Minutes since midnight of the local day at a time in milliseconds since 1970.
#[must_use]
pub fn local_minute(time_ms: u64) -> Option<u16> {
    let then = local(time_ms)?;
    let minute = i32::from(then.hour()) * 60 + i32::from(then.minute());
    u16::try_from(minute).ok()
}

/// A time in milliseconds since 1970 as people here read it: `2026-11-27 22:05`.
#[must_use]
pub fn local_text(time_ms: u64) -> String {
    local(time_ms).map_or_else(
        || crate::units::utc(time_ms),
        |then| then.strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

fn local(time_ms: u64) -> Option<jiff::Zoned> {
    let then = jiff::Timestamp::from_millisecond(i64::try_from(time_ms).ok()?).ok()?;
    Some(then.to_zoned(jiff::tz::TimeZone::system()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_are_told_and_impossible_ones_are_not() {
        let now = now_ms();
        let minute = local_minute(now).unwrap();
        assert!(minute < 1_440);
        assert!(local_text(now).ends_with(&format!("{:02}:{:02}", minute / 60, minute % 60)));
        assert_eq!(local_minute(u64::MAX), None);
    }
}
