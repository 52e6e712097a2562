//! What came in, by kind and by what became of it: for the page and for whoever asks why nothing is shown.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// Kinds of items that are counted by name; whatever else senders call theirs is `other`.
const KINDS: [&str; 16] = [
    "profile_chunk",
    "profile",
    "transaction",
    "span",
    "event",
    "session",
    "sessions",
    "client_report",
    "attachment",
    "check_in",
    "statsd",
    "log",
    "trace_metric",
    "replay_event",
    "replay_recording",
    "user_report",
];

/// What came in since the start.
#[derive(Debug, Default)]
pub struct Counts(Mutex<Tally>);

/// Numbers of items by their kind, and of answers by their code.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tally {
    /// Kept.
    pub taken: BTreeMap<&'static str, u64>,
    /// Refused, each of them kept with its reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Of kinds that are not kept here.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Over the quota of their project.
    pub limited: BTreeMap<&'static str, u64>,
    /// Threads of profiles that were left out for want of samples, and spans that were none.
    pub parts_dropped: u64,
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
}

/// The word under which a kind of item is counted.
pub(super) fn kind(name: &str) -> &'static str {
    if name == "profile_chunk_ui" {
        return "profile_chunk";
    }
    KINDS.into_iter().find(|kind| *kind == name).unwrap_or("other")
}

impl Counts {
    /// As they are now.
    pub fn tally(&self) -> Tally {
        self.lock().clone()
    }

    pub(super) fn answered(&self, status: u16) {
        *self.lock().answers.entry(status).or_default() += 1;
    }

    pub(super) fn add(&self, more: &Tally) {
        let mut all = self.lock();
        let all = &mut *all;
        for (to, from) in [
            (&mut all.taken, &more.taken),
            (&mut all.refused, &more.refused),
            (&mut all.dropped, &more.dropped),
            (&mut all.limited, &more.limited),
        ] {
            for (kind, many) in from {
                *to.entry(kind).or_default() += many;
            }
        }
        all.parts_dropped += more.parts_dropped;
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
