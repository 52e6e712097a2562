//! What is summed up over a chunk or a recording: counters, cost, and the target's own use of the machine.

use crate::{counters::Counters, feed::Event, session::Anchor};

/// More readings than one a second over a day say nothing more.
const USAGE_MAX: usize = 86_400;

/// One reading of the target's use of the machine.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Usage {
    pub(crate) at_us: u64,
    pub(crate) cpu_percent: f64,
    pub(crate) rss_bytes: u64,
}

/// Sums since the chunk was opened.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counters: Counters,
    pub(crate) usage: Vec<Usage>,
    pub(crate) stopped_us: u64,
    pub(crate) stop_max_us: u64,
    pub(crate) agent_cpu_us: u64,
}

impl Tally {
    /// Takes those events that are sums; leaves the others.
    pub(crate) fn apply(&mut self, event: &Event, anchor: &Anchor) {
        match event {
            // JSON has no NaN: one would cost the whole chunk.
            Event::Usage { at_ns, cpu_percent, rss_bytes } if cpu_percent.is_finite() => {
                let at_us = anchor.unix_us(*at_ns);
                self.usage.push(Usage { at_us, cpu_percent: *cpu_percent, rss_bytes: *rss_bytes });
                self.usage.truncate(USAGE_MAX);
            }
            Event::Counters(more) => self.counters.merge(more),
            Event::Cost { stopped_us, stop_max_us, agent_cpu_us } => {
                self.stopped_us = self.stopped_us.saturating_add(*stopped_us);
                self.stop_max_us = self.stop_max_us.max(*stop_max_us);
                self.agent_cpu_us = self.agent_cpu_us.saturating_add(*agent_cpu_us);
            }
            _ => (),
        }
    }
}
