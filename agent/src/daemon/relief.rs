//! What is done when the agent has much memory, before a target is let go for it: what can be done without goes, and what was
//! freed is given back to the system.

use std::time::{Duration, Instant};

use sampler::sys::give_back_memory;
use tracing::info;

use super::{Daemon, second::rss_bytes};

/// After sessions have ended, memory is given back this often: it takes milliseconds, some hundred for a gigabyte.
const TRIM_EVERY: Duration = Duration::from_secs(10);

/// Below this part of the limit nothing is.
const SMALL: u64 = 4;

/// When memory is given back.
#[derive(Debug, Default)]
pub(super) struct Trim {
    /// A session has ended since the last time.
    pub(super) is_due: bool,
    last: Option<Instant>,
}

impl Daemon {
    /// Our resident memory, after what could be done about it: above the limit, the profiles that wait are dropped. `held`: a
    /// target is not read until there is less.
    pub(super) fn relieved(&mut self, rss: u64, held: bool) -> u64 {
        let limit = self.loaded.settings.budget.memory.0;
        let is_over = rss > limit;
        let rests = self.trim.last.is_some_and(|last| last.elapsed() < TRIM_EVERY);
        let is_worth_it = rss > limit / SMALL && (self.trim.is_due || held);
        if !is_over && (rests || !is_worth_it) {
            return rss;
        }
        if is_over && self.shelf.clear() {
            info!(
                rss,
                limit, "The agent has more memory than budget.memory; profiles of transactions that wait are dropped."
            );
        }
        give_back_memory();
        self.trim = Trim { is_due: false, last: Some(Instant::now()) };
        rss_bytes()
    }
}
