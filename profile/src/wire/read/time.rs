//! Times as senders write them to microseconds since 1970. Reads no clock.

use serde::{Deserialize, Deserializer, de::Error};

use super::{super::limits::TIME_MAX, text::Scalar};

/// Seconds since 1970, from 1970 to 2200.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Seconds(pub(super) f64);

impl Seconds {
    pub(super) fn micros(self) -> u64 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to TIME_MAX: checked when it was read"
        )]
        let micros = (self.0 * 1e6).round() as u64;
        micros
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(from)?;
        if (0.0..=TIME_MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(D::Error::custom(format_args!("{number} is no time in seconds since 1970")))
        }
    }
}

/// A time as text (RFC 3339; without a zone it is UTC) or as seconds since 1970.
pub(super) fn micros(time: &Scalar<'_>) -> Option<u64> {
    match time {
        Scalar::Text(text) => from_text(&text.0),
        number => number.number().filter(|seconds| (0.0..=TIME_MAX).contains(seconds)).map(|s| Seconds(s).micros()),
    }
}

/// RFC 3339, as `2026-11-27T02:07:11.545977Z`.
pub(super) fn from_text(text: &str) -> Option<u64> {
    let at = match text.parse::<jiff::Timestamp>() {
        Ok(at) => at,
        Err(_) => text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
    };
    let in_range = (0.0..=TIME_MAX).contains(&at.as_duration().as_secs_f64());
    u64::try_from(at.as_microsecond()).ok().filter(|_| in_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the forms of times, and that none is before 1970 or behind 2200.
    #[test]
    fn texts() {
        let of = |text: &str| from_text(text);
        assert_eq!(of("2026-11-27T02:07:11.545977Z"), Some(1_795_745_231_545_977));
        assert_eq!(of("2026-11-27T02:07:11.545977"), of("2026-11-27T02:07:11.545977Z"));
        assert_eq!(of("2200-01-01T00:00:00Z"), Some(7_258_118_400_000_000));
        let none = ["2200-01-01T00:00:01Z", "9999-12-30T00:00:00Z", "1969-12-31T23:59:59Z", "yesterday", ""];
        assert_eq!(none.map(of), [None; 5]);
    }
}
