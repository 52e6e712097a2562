//! How a target is profiled: by transaction, continuously, or not at all; and why.

use crate::{
    layers::{Effective, Origin},
    rates::SampleRate,
};

/// What is said where both modes are asked for.
const BOTH: &str = "profile_session_sample_rate is set beside profiles_sample_rate or profiles_sampler: transactions are \
                    profiled, and it has no effect";

/// One of Sentry's two modes, or neither.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Profiles are attached to transactions.
    Transaction,
    /// The session, where it is sampled, is profiled in chunks.
    Continuous,
    /// Neither.
    Off {
        /// Why, for whoever expected something else.
        reason: String,
    },
}

impl Effective {
    /// Transactions if a rate above 0 or a sampler is set, else continuous if the session rate is above 0.
    pub fn mode(&self) -> Mode {
        if self.has_transaction_mode() {
            Mode::Transaction
        } else if self.profile_session_sample_rate.value.is_positive() {
            Mode::Continuous
        } else {
            Mode::Off { reason: self.why_off() }
        }
    }

    /// What is wrong with the choice of a mode, if anything.
    pub fn mode_warning(&self) -> Option<&'static str> {
        let session = &self.profile_session_sample_rate;
        let asked = session.origin > Origin::Default && session.value.is_positive();
        (asked && self.has_transaction_mode()).then_some(BOTH)
    }

    /// A rate of 0 counts as unset.
    fn has_transaction_mode(&self) -> bool {
        let rate = self.profiles_sample_rate.value.is_some_and(SampleRate::is_positive);
        rate || self.profiles_sampler.value.is_some()
    }

    fn why_off(&self) -> String {
        match self.profile_session_sample_rate.origin {
            Origin::Default => {
                "no rate is set: profile_session_sample_rate is 0 where neither the program nor the agent's \
                                settings say otherwise"
                    .to_owned()
            }
            origin => format!("profile_session_sample_rate is 0 (set by: {origin})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{Layer, ProfilesSampler, TargetOptions};

    /// The mode and the warning for what a program's code says, with 1 as the default of the session rate or without.
    fn told(session: Option<f64>, transactions: Option<f64>, sampler: bool, default: Option<f64>) -> String {
        let rate = |rate: f64| SampleRate::new(rate).unwrap();
        let code = TargetOptions {
            profile_session_sample_rate: session.map(rate),
            profiles_sample_rate: transactions.map(rate),
            profiles_sampler: sampler.then_some(ProfilesSampler::Code),
            ..TargetOptions::default()
        };
        let default = TargetOptions { profile_session_sample_rate: default.map(rate), ..TargetOptions::default() };
        let effective = Effective::new([
            Layer { origin: Origin::Code, options: &code },
            Layer { origin: Origin::Default, options: &default },
        ]);
        format!("{:?} {}", effective.mode(), effective.mode_warning().is_some())
    }

    /// Check the mode for each way in which the rates can be set.
    #[test]
    fn modes() {
        assert_snapshot!(told(None, None, false, None),
            @r#"Off { reason: "no rate is set: profile_session_sample_rate is 0 where neither the program nor the agent's settings say otherwise" } false"#);
        assert_snapshot!(told(Some(0.0), None, false, None),
            @r#"Off { reason: "profile_session_sample_rate is 0 (set by: target's code)" } false"#);
        assert_eq!(told(Some(0.1), None, false, None), "Continuous false");
        assert_eq!(told(Some(0.1), Some(0.0), false, None), "Continuous false");
        assert_eq!(told(None, None, false, Some(1.0)), "Continuous false");
        assert_eq!(told(None, Some(0.1), false, None), "Transaction false");
        assert_eq!(told(None, Some(0.1), false, Some(1.0)), "Transaction false");
        assert_eq!(told(Some(0.0), None, true, None), "Transaction false");
        assert_eq!(told(Some(0.1), Some(0.1), false, None), "Transaction true");
        assert_eq!(told(Some(0.1), Some(0.0), true, None), "Transaction true");
    }
}
