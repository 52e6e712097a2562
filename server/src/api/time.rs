//! Points in time as people and programs write them: RFC 3339, Unix seconds, or how long ago.

/// The last point in time that is taken: the end of the year 9999, microseconds since 1970.
const LAST_US: u64 = 253_402_300_799_000_000;

/// Microseconds since 1970 of `2026-11-27T10:00:00Z`, `1795773600.5`, `now` or `-1h30m`.
pub(crate) fn parse(text: &str, now_us: u64) -> Option<u64> {
    let at_us = match text.strip_prefix('-') {
        Some(ago) => Some(now_us.saturating_sub(length_us(ago)?)),
        None if text == "now" => Some(now_us),
        None => seconds(text).or_else(|| date(text)),
    };
    at_us.filter(|at_us| *at_us <= LAST_US)
}

/// Digits, and at most six behind a point: floating point would not give the same microsecond back.
fn seconds(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(part) {
        return None;
    }
    let micros: String = part.chars().chain("000000".chars()).take(6).collect();
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)
}

fn date(text: &str) -> Option<u64> {
    // In a query `+` stands for a space.
    let text = text.replace(' ', "+");
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(timestamp.as_microsecond()).ok()
}

/// Microseconds of `90s`, `15m`, `1h30m`, `7d`, `2w`.
fn length_us(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let seconds: u64 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        let us = number.parse::<u64>().ok()?.checked_mul(seconds)?.checked_mul(1_000_000)?;
        total = total.checked_add(us)?;
        rest = after;
    }
    (total > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check every way to write a point in time, and what is none.
    #[test]
    fn points() {
        let now = 1_795_773_600_000_000;
        let of = |text| parse(text, now);
        assert_eq!(of("2026-11-27T10:00:00Z"), Some(now));
        assert_eq!(of("2026-11-27T12:00:00.000001 02:00"), Some(now + 1));
        assert_eq!(of("1795773600"), Some(now));
        assert_eq!(of("1795773600.0000019"), Some(now + 1));
        assert_eq!(of("now"), Some(now));
        assert_eq!(of("-1h30m"), Some(now - 5_400_000_000));
        assert_eq!(of("-2w"), Some(now - 1_209_600_000_000));
        for wrong in [
            "",
            "-",
            "1h",
            "-1",
            "-1x",
            "1e9",
            "NaN",
            "1.",
            ".5",
            "-99999999999999w",
            "99999999999999999999",
            "soon",
            "-h",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
