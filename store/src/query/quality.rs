//! How far the profiles of our own agent may be trusted, and what they cost: summed up from what each says.

use profile::{counters::Counters, received::AgentSays};
use serde::Serialize;

/// What the agents say of a selection. SDKs say nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Quality {
    /// Profiles of which an agent said it.
    pub profiles: u64,
    /// Time that they span, summed, microseconds.
    pub span_us: u64,
    /// Ticks in it.
    pub ticks: u64,
    /// Ticks that were asked for.
    pub ticks_asked: f64,
    /// What went less than perfectly.
    pub counters: Counters,
    /// Time that threads of the targets were held stopped, microseconds.
    pub stopped_us: u64,
    /// The longest stop, microseconds.
    pub stop_max_us: u64,
    /// CPU of the agents, microseconds.
    pub agent_cpu_us: u64,
}

impl Quality {
    /// Adds what one profile says. Times that make no sense count as none.
    pub(super) fn add(&mut self, says: &AgentSays) {
        // Not a number is less than nothing.
        let within = |value: f64, most: f64| if value > 0.0 { value.min(most) } else { 0.0 };
        let span = within(says.end - says.start, 3600.0);
        self.profiles += 1;
        self.span_us = self.span_us.saturating_add(microseconds(span));
        self.ticks = self.ticks.saturating_add(says.ticks);
        self.ticks_asked += span * within(says.rate_hz_asked, 1e6);
        self.counters.merge(&says.counters);
        self.stopped_us = self.stopped_us.saturating_add(says.stopped_us);
        self.stop_max_us = self.stop_max_us.max(says.stop_max_us);
        self.agent_cpu_us = self.agent_cpu_us.saturating_add(says.agent_cpu_us);
    }
}

/// Of seconds within an hour; not a number is none.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 3.6e9")]
fn microseconds(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that what several say is added up, and that nonsense does no harm.
    #[test]
    fn added_up() {
        let counters = Counters { samples: 10, late: 1, ..Counters::default() };
        let one = AgentSays {
            start: 10.0,
            end: 70.0,
            ticks: 6000,
            rate_hz_asked: 101.0,
            stopped_us: 5,
            stop_max_us: 3,
            agent_cpu_us: 7,
            counters,
            ..AgentSays::default()
        };
        let nonsense = AgentSays { start: f64::NAN, end: 1e300, rate_hz_asked: f64::INFINITY, ..AgentSays::default() };
        let mut quality = Quality::default();
        for says in [&one, &nonsense, &one] {
            quality.add(says);
        }
        assert_eq!((quality.profiles, quality.span_us, quality.ticks), (3, 120_000_000, 12_000));
        assert_eq!((quality.counters.samples, quality.counters.late), (20, 2));
        assert_eq!((quality.stopped_us, quality.stop_max_us, quality.agent_cpu_us), (10, 3, 14));
        assert!((quality.ticks_asked - 12_120.0).abs() < 1e-6);
    }
}
