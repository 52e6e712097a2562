//! The five counters that say how far a profile may be trusted, with their reasons. Never lumped into "errors".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts by reason; a reason is a stable word such as `register_unknown`.
pub type Reasons = BTreeMap<String, u64>;

/// What went less than perfectly, in thread-samples unless a field says otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Thread-samples taken or known to stand, of all outcomes but skipped and lost.
    pub samples: u64,
    /// Stops that did not come within the deadline; the thread was let go the moment it stopped.
    pub late: u64,
    /// Thread-samples not taken on purpose: tick overrun, thread held by another tracer, over budget ...
    pub skipped: Reasons,
    /// Thread-samples begun but not proved consistent, or whose thread went away meanwhile.
    pub lost: Reasons,
    /// Stacks that do not reach their root, by [`crate::stack::Truncation`]; these are samples too.
    pub truncated: Reasons,
    /// Stacks with frames found without unwind information; these are samples too.
    pub guessed: u64,
    /// Samples or chunks thrown away after they were taken: queue full, rate limited, spool full ...
    pub dropped: Reasons,
}

impl Counters {
    /// Adds one to a reason.
    pub fn count(reasons: &mut Reasons, why: &str) {
        Self::count_many(reasons, why, 1);
    }

    /// Adds `many` to a reason.
    pub fn count_many(reasons: &mut Reasons, why: &str, many: u64) {
        if many == 0 {
            return;
        }
        if let Some(count) = reasons.get_mut(why) {
            *count = count.saturating_add(many);
        } else {
            reasons.insert(why.to_owned(), many);
        }
    }

    /// Adds the counts of another span of time.
    pub fn merge(&mut self, other: &Self) {
        self.samples = self.samples.saturating_add(other.samples);
        self.late = self.late.saturating_add(other.late);
        self.guessed = self.guessed.saturating_add(other.guessed);
        for (to, from) in [
            (&mut self.skipped, &other.skipped),
            (&mut self.lost, &other.lost),
            (&mut self.truncated, &other.truncated),
            (&mut self.dropped, &other.dropped),
        ] {
            for (why, many) in from {
                Self::count_many(to, why, *many);
            }
        }
    }

    /// The sum of a reason table.
    pub fn total(reasons: &Reasons) -> u64 {
        reasons.values().fold(0, |sum, many| sum.saturating_add(*many))
    }
}
