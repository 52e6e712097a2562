//! Client reports: what was thrown away here, by reason and category, so that the server's statistics are whole. They
//! are aggregated, ride along with the next chunk or go alone, and are lost without regret when the agent dies.

use std::collections::BTreeMap;

use profile::wire::envelope::{ClientReport, Discarded};

use super::limits::Category;

/// Why chunks were thrown away, in the protocol's words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// The spool was full.
    CacheOverflow,
    /// A rate limit longer than we wait out.
    RatelimitBackoff,
    /// The server refused it (4xx other than 429).
    SendError,
    /// It could not be sent for as long as chunks are kept.
    NetworkError,
    /// A chunk that the server would have refused.
    Invalid,
    /// Too few samples for a chunk.
    InsufficientData,
    /// A bug here.
    InternalSdkError,
}

impl Reason {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CacheOverflow => "cache_overflow",
            Self::RatelimitBackoff => "ratelimit_backoff",
            Self::SendError => "send_error",
            Self::NetworkError => "network_error",
            Self::Invalid => "invalid",
            Self::InsufficientData => "insufficient_data",
            Self::InternalSdkError => "internal_sdk_error",
        }
    }
}

/// Counts not yet reported.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reports(BTreeMap<(Reason, Category), u64>);

impl Reports {
    /// Counts `chunks` thrown away.
    pub fn count(&mut self, reason: Reason, category: Category, chunks: u64) {
        if chunks > 0 {
            let count = self.0.entry((reason, category)).or_default();
            *count = count.saturating_add(chunks);
        }
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes everything out, for one attempt to send it.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Puts back what an attempt could not send.
    pub fn put_back(&mut self, unsent: Self) {
        for ((reason, category), chunks) in unsent.0 {
            self.count(reason, category, chunks);
        }
    }

    /// As it goes out. A dozen rows at most, so far below the protocol's 4 KiB.
    pub fn write(&self, timestamp: f64) -> ClientReport {
        let row = |((reason, category), quantity): (&(Reason, Category), &u64)| Discarded {
            reason: reason.as_str().to_owned(),
            category: category.as_str().to_owned(),
            quantity: *quantity,
        };
        ClientReport { timestamp, discarded_events: self.0.iter().map(row).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that counts add up over a failed attempt, and how they look on the wire.
    #[test]
    fn aggregated() {
        let mut reports = Reports::default();
        reports.count(Reason::CacheOverflow, Category::ProfileChunk, 2);
        reports.count(Reason::SendError, Category::ProfileChunkUi, 0);
        let unsent = reports.take();
        assert!(reports.is_empty());
        reports.count(Reason::CacheOverflow, Category::ProfileChunk, 1);
        reports.count(Reason::RatelimitBackoff, Category::ProfileChunk, 5);
        reports.put_back(unsent);
        let rows = reports.write(1.5).discarded_events;
        let rows: Vec<String> =
            rows.iter().map(|row| format!("{} {} {}", row.reason, row.category, row.quantity)).collect();
        assert_eq!(rows, ["cache_overflow profile_chunk 3", "ratelimit_backoff profile_chunk 5"]);
    }
}
