//! When a session profiles: always, when it is told, or for transactions.

use super::{
    profiles::Profiles,
    runs::{Run, Runs},
};

/// When a session profiles.
#[derive(Debug, Default)]
pub enum Course {
    /// From its beginning to its end.
    #[default]
    Always,
    /// When its process or its operator says so.
    Told(Told),
    /// For transactions, each with a profile of its own. No chunks.
    Transactions(Profiles),
}

/// A session that is told when to profile.
#[derive(Debug, Default)]
pub struct Told {
    pub(super) runs: Runs,
    /// Begins with the first tick after its start.
    pub(super) next: Option<Run>,
    /// A chunk is open.
    pub(super) is_running: bool,
}

impl Course {
    /// Whether a chunk is open.
    pub(super) fn is_running(&self) -> bool {
        match self {
            Self::Always => true,
            Self::Told(told) => told.is_running,
            Self::Transactions(_) => false,
        }
    }

    /// How many profiles of transactions are to be built.
    pub(super) fn ready_count(&self) -> usize {
        if let Self::Transactions(profiles) = self { profiles.ready_count() } else { 0 }
    }

    /// Since when samples are needed or kept for transactions.
    pub(super) fn kept_from_ns(&self) -> Option<u64> {
        if let Self::Transactions(profiles) = self { profiles.kept_from_ns() } else { None }
    }
}
