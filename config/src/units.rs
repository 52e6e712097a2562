//! Values with a unit or a bound, so that a wrong one is refused where it stands in the file.

use std::{fmt, str::FromStr, time::Duration};

use crate::text::as_text;

/// A span of time: `500ms`, `30s`, `5m`, `1h30m`, `7d`; a number without a unit is seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span(pub Duration);

impl Span {
    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = sum_of_units(text, |unit| {
            Some(match unit {
                "" | "s" => 1.0,
                "ms" => 0.001,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            })
        });
        seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(Self)
            .ok_or_else(|| "no duration: write 500ms, 30s, 5m, 1h30m or 7d".to_owned())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 || !self.0.subsec_nanos().is_multiple_of(1_000_000) {
            return write!(f, "{}s", self.0.as_secs_f64());
        }
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
            }
            rest %= size;
        }
        Ok(())
    }
}

/// A number of bytes: `512MiB`, `64 kB`, `1GiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = sum_of_units(text, |unit| {
            Some(match unit {
                "" | "B" => 1.0,
                "kB" => 1e3,
                "MB" => 1e6,
                "GB" => 1e9,
                "KiB" => 1024.0,
                "MiB" => 1_048_576.0,
                "GiB" => 1_073_741_824.0,
                _ => return None,
            })
        });
        // Exact up to 2^53 bytes, 9,000 times the largest disk of today.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, below 2^53")]
        bytes
            .filter(|bytes| *bytes < 9e15)
            .map(|bytes| Self(bytes as u64))
            .ok_or_else(|| "no size: write 512MiB, 1GiB or 64kB".to_owned())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let whole = units.into_iter().find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size));
        let (unit, size) = whole.unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

/// The sum of `NUMBER UNIT` pairs; `None` for any other text.
fn sum_of_units(text: &str, factor: impl Fn(&str) -> Option<f64>) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits)?;
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        total += number.parse::<f64>().ok()? * factor(unit)?;
        rest = after.trim_start();
    }
    Some(total)
}

/// A share of something, in percent: `5%`, `0.5%`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Percent(f64);

impl Percent {
    /// Ten cores: more than any budget is.
    const MAX: f64 = 1000.0;

    /// A share of whole percents.
    pub const fn new(percent: u16) -> Self {
        // A const fn cannot call f64::from.
        #[allow(clippy::cast_lossless, reason = "lossless; From is not const")]
        Self(percent as f64)
    }

    /// 0.05 for 5 %.
    pub fn share(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse().ok());
        // NaN is in no range.
        number
            .filter(|percent| *percent > 0.0 && *percent <= Self::MAX)
            .map(Self)
            .ok_or_else(|| format!("no share: write 5% or 0.5%, above 0% and at most {}%", Self::MAX))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

as_text!("a number with a unit, in quotes": Span, Bytes, Percent);

#[cfg(test)]
mod tests {
    use super::*;

    /// Check what is a span, a size and a share, and what is not.
    #[test]
    fn units() {
        let span = |text: &str| text.parse::<Span>().map(|span| span.0.as_millis());
        assert_eq!(span("1h30m"), Ok(5_400_000));
        assert_eq!(span("500ms"), Ok(500));
        assert_eq!(span("30"), Ok(30_000));
        assert_eq!(span(" 7 d "), Ok(604_800_000));
        assert!(["", "soon", "3 weeks", "-1s", "1e400s", "1..2s", "s"].iter().all(|text| span(text).is_err()));
        let bytes = |text: &str| text.parse::<Bytes>().map(|bytes| bytes.0);
        assert_eq!(bytes("512MiB"), Ok(536_870_912));
        assert_eq!(bytes("64 kB"), Ok(64_000));
        assert_eq!(bytes("1.5GiB"), Ok(1_610_612_736));
        assert!(["", "512mb", "much", "99999999GiB"].iter().all(|text| bytes(text).is_err()));
        let percent = |text: &str| text.parse::<Percent>().map(Percent::share);
        assert_eq!([percent("5%"), percent(" 0.5 % "), percent("1000%")], [Ok(0.05), Ok(0.005), Ok(10.0)]);
        assert!(["", "5", "%", "0%", "-1%", "NaN%", "inf%", "1001%", "5%%"].iter().all(|text| percent(text).is_err()));
    }

    /// Check that what is shown reads as what it is.
    #[test]
    fn shown() {
        for text in ["7d", "1h30m", "500ms", "30s", "0.0005s", "0s", "1m1ms"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["512MiB", "20GiB", "64000B", "0B", "1536MiB"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
        for text in ["5%", "0.5%"] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), text);
        }
    }
}
