//! Amounts as people write and read them: GFT, bytes, durations.
//!
//! Reading is strict (a typing error must not become a thousandth); writing is
//! exact for GFT, since six decimals are µGFT. JSON never goes through here.

use std::time::Duration;

/// µGFT in one GFT.
pub const UGFT_PER_GFT: u64 = 1_000_000;

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct UnitError {
    text: String,
    expected: &'static str,
}

/// Reads `10`, `10GFT`, `0.5 GFT` or `250uGFT` as µGFT.
///
/// # Errors
/// [`UnitError`].
pub fn parse_gft(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError {
        text: text.to_owned(),
        expected: "an amount such as 10GFT, 0.5GFT or 250uGFT",
    };
    let trimmed = text.trim();
    let lower = trimmed.to_ascii_lowercase();
    for micro in ["ugft", "µgft"] {
        if let Some(number) = lower.strip_suffix(micro) {
            return number.trim().parse().map_err(|_| error());
        }
    }
    let number = lower.strip_suffix("gft").unwrap_or(&lower).trim();
    decimal(number, UGFT_PER_GFT, 6).ok_or_else(error)
}

/// Reads `4GiB`, `512MiB`, `1.5GB` or plain bytes.
///
/// # Errors
/// [`UnitError`].
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    const UNITS: &[(&str, u64)] = &[
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("b", 1),
        ("", 1),
    ];
    let error = || UnitError {
        text: text.to_owned(),
        expected: "a size such as 512MiB or 4GiB",
    };
    let lower = text.trim().to_ascii_lowercase();
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)))
        .ok_or_else(error)?;
    decimal(number.trim(), factor, 3).ok_or_else(error)
}

/// Reads `30s`, `15m`, `24h` or `7d`.
///
/// # Errors
/// [`UnitError`].
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = || UnitError {
        text: text.to_owned(),
        expected: "a duration such as 30s, 15m, 24h or 7d",
    };
    let lower = text.trim().to_ascii_lowercase();
    let (number, seconds) = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]
        .iter()
        .find_map(|(unit, seconds)| Some((lower.strip_suffix(unit)?, *seconds)))
        .ok_or_else(error)?;
    let number: u64 = number.trim().parse().map_err(|_| error())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(error)
}

/// A decimal number times `factor`, with at most `decimals` places; `None` when
/// it is not a number, too precise or too large.
fn decimal(number: &str, factor: u64, decimals: u32) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || number.ends_with('.') {
        return None;
    }
    let places = u32::try_from(fraction.len()).ok()?;
    if places > decimals {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let fraction = if fraction.is_empty() {
        0
    } else {
        let scaled = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor);
        u64::try_from(scaled / 10_u128.pow(places)).ok()?
    };
    whole.checked_add(fraction)
}

/// µGFT as GFT, exactly: `1,234.567890`.
#[must_use]
pub fn gft(ugft: i128) -> String {
    let magnitude = ugft.unsigned_abs();
    let per_gft = u128::from(UGFT_PER_GFT);
    let sign = if ugft < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{:06}",
        thousands(magnitude / per_gft),
        magnitude % per_gft
    )
}

/// A whole number with separators: `1,234`.
#[must_use]
pub fn thousands(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes, rounded for people: `4.0 GiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{count} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// Microseconds, rounded for people: `850 µs`, `12.3 ms`, `1.50 s`.
#[must_use]
pub fn micros(value: f64) -> String {
    if value < 1_000.0 {
        format!("{value:.0} µs")
    } else if value < 1_000_000.0 {
        format!("{:.2} ms", value / 1_000.0)
    } else {
        format!("{:.2} s", value / 1_000_000.0)
    }
}

/// The date and time (UTC) of milliseconds since 1970: `2026-11-21 02:03:04`.
#[must_use]
pub fn utc(time_ms: u64) -> String {
    let seconds = time_ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to civil date, after Howard Hinnant: years begin in March.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        assert_eq!(parse_gft("10GFT"), Ok(10_000_000));
        assert_eq!(parse_gft("10"), Ok(10_000_000));
        assert_eq!(parse_gft("0.5 gft"), Ok(500_000));
        assert_eq!(parse_gft("0.000001"), Ok(1));
        assert_eq!(parse_gft("250uGFT"), Ok(250));
        for wrong in [
            "",
            "GFT",
            "-1",
            "1.",
            ".5",
            "0.0000001",
            "1e3",
            "1,000",
            "99999999999999",
        ] {
            assert!(parse_gft(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!(parse_bytes("4GiB"), Ok(4 << 30));
        assert_eq!(parse_bytes("1.5 GB"), Ok(1_500_000_000));
        assert_eq!(parse_bytes("77"), Ok(77));
        assert!(parse_bytes("4 potatoes").is_err());
        assert_eq!(parse_duration("24h"), Ok(Duration::from_secs(86_400)));
        assert!(parse_duration("24").is_err());
        assert!(parse_duration("99999999999999999999d").is_err());
    }

    #[test]
    fn amounts_are_shown_exactly() {
        assert_eq!(gft(0), "0.000000");
        assert_eq!(gft(-1), "-0.000001");
        assert_eq!(gft(1_234_567_891_234), "1,234,567.891234");
        assert_eq!(thousands(999), "999");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
        assert_eq!(micros(850.4), "850 µs");
    }

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(utc(1_795_226_584_999), "2026-11-21 02:03:04");
    }
}
