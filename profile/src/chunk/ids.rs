//! The thread ids of a chunk: what `thread.id` of spans says where a language runtime has an id of its own, else the tid.

use std::collections::HashSet;

use crate::timeline::Line;

/// Gives each thread of a chunk an id that no other has. A runtime gives the ident of a thread that ended to a later one,
/// and a forged one may be the tid of another: then the tid stands.
pub(crate) struct ThreadIds {
    /// Idents that are given, and tids, given or not.
    taken: HashSet<u64>,
}

impl ThreadIds {
    pub(crate) fn new(lines: &[Line]) -> Self {
        Self { taken: lines.iter().filter_map(|line| u64::try_from(line.tid.0).ok()).collect() }
    }

    /// The id of a thread. Asked once for each, in the order in which they were first seen.
    pub(crate) fn of(&mut self, line: &Line) -> String {
        match line.ident().filter(|ident| self.taken.insert(*ident)) {
            Some(ident) => ident.to_string(),
            None => line.tid.to_string(),
        }
    }
}
