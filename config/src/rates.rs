//! How often: samples a second, and the share of sessions, traces or transactions that is sampled.

use serde::{Deserialize, Serialize};

use crate::text::read_as_is;

/// Samples a second and thread: 1 to 1,000, 101 by default.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
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

impl From<Rate> for f64 {
    fn from(rate: Rate) -> Self {
        rate.0
    }
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("`{text}` is no number")).and_then(Self::new)
    }
}

/// The share that is sampled, of sessions, traces or transactions: 0 to 1.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Default, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct SampleRate(f64);

impl SampleRate {
    /// None.
    pub const NEVER: Self = Self(0.0);
    /// Every one.
    pub const ALWAYS: Self = Self(1.0);

    /// Takes a share.
    pub fn new(share: f64) -> Result<Self, String> {
        // NaN is in no range; abs() because -0.0 is in this one.
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share.abs()))
        } else {
            Err("no sample rate: give a share from 0 to 1, as 0.1 for a tenth".to_owned())
        }
    }

    /// From 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Whether anything may be sampled.
    pub fn is_positive(self) -> bool {
        self > Self::NEVER
    }
}

impl TryFrom<f64> for SampleRate {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        Self::new(share)
    }
}

impl From<SampleRate> for f64 {
    fn from(rate: SampleRate) -> Self {
        rate.0
    }
}

impl std::str::FromStr for SampleRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What is no number is refused as NaN is.
        Self::new(text.trim().parse().unwrap_or(f64::NAN))
    }
}

read_as_is!(SampleRate);

#[cfg(test)]
mod tests {
    use super::*;

    /// Check what is a rate and what is not.
    #[test]
    fn rates() {
        assert!("101".parse::<Rate>().is_ok());
        assert!(["0", "1001", "NaN", "inf", "-5", "fast"].iter().all(|text| text.parse::<Rate>().is_err()));
        let share = |text: &str| text.parse::<SampleRate>().map(SampleRate::get);
        assert_eq!([share("0"), share("1"), share(" 0.25 "), share("-0.0")], [Ok(0.0), Ok(1.0), Ok(0.25), Ok(0.0)]);
        assert!(share("-0").is_ok_and(f64::is_sign_positive));
        for wrong in ["", "NaN", "inf", "-0.1", "1.01", "10%", "half"] {
            assert_eq!(share(wrong), Err("no sample rate: give a share from 0 to 1, as 0.1 for a tenth".to_owned()));
        }
    }
}
