//! Values with a unit or a bound, so that a wrong one is refused where it stands in the file.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// Samples a second and thread: 1 to 1,000, 101 by default.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Deserialize)]
#[serde(try_from = "f64")]
pub struct Rate(f64);

impl Rate {
    /// Below, a profile of a minute says nothing.
    pub const MIN: f64 = 1.0;
    /// Above, stops of 50 us would take more than a twentieth of a running thread.
    pub const MAX: f64 = 1000.0;

    /// Takes samples a second.
    pub fn new(hz: f64) -> Result<Self, String> {
        // NaN is in no range.
        if (Self::MIN..=Self::MAX).contains(&hz) {
            Ok(Self(hz))
        } else {
            Err(format!("no rate: give samples a second, {} to {}", Self::MIN, Self::MAX))
        }
    }

    /// Samples a second.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Rate {
    /// 101 is prime: a target that works in periods of 10 ms is not always caught at the same spot.
    fn default() -> Self {
        Self(101.0)
    }
}

impl TryFrom<f64> for Rate {
    type Error = String;

    fn try_from(hz: f64) -> Result<Self, String> {
        Self::new(hz)
    }
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("`{text}` is no number")).and_then(Self::new)
    }
}

/// A span of time: `500ms`, `30s`, `5m`, `1h30m`, `7d`; a number without a unit is seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span(pub Duration);

impl Span {
    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl std::str::FromStr for Span {
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

/// A number of bytes: `512MiB`, `64 kB`, `1GiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bytes(pub u64);

impl std::str::FromStr for Bytes {
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

/// A value that is in no log: `Debug` hides it, `Display` there is none.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is read of Python programs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Native {
    /// Python frames, and the native ones among them.
    #[default]
    Merged,
    /// Python frames alone.
    Off,
    /// Native frames alone.
    Only,
}

impl std::str::FromStr for Native {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "merged" => Ok(Self::Merged),
            "off" => Ok(Self::Off),
            "only" => Ok(Self::Only),
            _ => Err("no way to show native frames: write merged, off or only".to_owned()),
        }
    }
}

/// Which states of threads are shown.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum States {
    /// Every one.
    #[default]
    All,
    /// Not of threads that sleep.
    Active,
    /// Of threads on a CPU.
    OnCpu,
    /// Of the thread that holds Python's global interpreter lock.
    Gil,
}

impl std::str::FromStr for States {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::All),
            "active" => Ok(Self::Active),
            "on_cpu" => Ok(Self::OnCpu),
            "gil" => Ok(Self::Gil),
            _ => Err("no choice of states: write all, active, on_cpu or gil".to_owned()),
        }
    }
}

macro_rules! from_text {
    ($expected:literal: $($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    )*};
}
from_text!("a number with a unit, in quotes": Span, Bytes);
from_text!("a word, in quotes": Native, States);

#[cfg(test)]
mod tests {
    use super::*;

    /// Check what is a span, a size and a rate, and what is not.
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
        assert!(
            ["merged", "off", "only"].iter().all(|text| text.parse::<Native>().is_ok())
                && "Off".parse::<Native>().is_err()
        );
        assert!(["all", "active", "on_cpu", "gil"].iter().all(|text| text.parse::<States>().is_ok()));
        assert!("101".parse::<Rate>().is_ok());
        assert!(["0", "1001", "NaN", "inf", "-5", "fast"].iter().all(|text| text.parse::<Rate>().is_err()));
    }

    /// Check that a secret shows itself in no debug output.
    #[test]
    fn secret_is_hidden() {
        assert_eq!(format!("{:?}", Some(Secret::new("https://key@host/1"))), "Some(Secret(…))");
    }
}
