//! What an agent in the same process has seen and no store has yet: pieces of a second or so.

use std::{fmt, sync::Arc};

use profile::received::{Head, Received};

use crate::{chunk_store::Part, encoding::Plain, item::ProjectId};

/// Has profiles that are not kept yet.
pub trait Live: fmt::Debug + Send + Sync {
    /// They, oldest first. A piece should stay until the chunk that holds its time is kept; from then on it no longer
    /// counts, so that no time is there twice.
    fn pieces(&self, project: ProjectId) -> Vec<Arc<Piece>>;
}

/// A profile that is not kept yet, as questions need it.
#[derive(Debug)]
pub struct Piece {
    pub(crate) part: Part,
    pub(crate) head: Head,
    pub(crate) plain: Plain,
}

impl Piece {
    /// Of a short profile.
    pub fn new(project: ProjectId, received: &Received) -> Self {
        let plain = Plain::of(received);
        let head = received.head.clone();
        let part = Part {
            key: 0,
            project,
            profiler_id: head.profiler_id,
            chunk_id: Some(head.chunk_id),
            platform: Arc::from(head.platform.as_str()),
            start_us: head.start_us,
            end_us: head.end_us,
            profiles: 1,
            samples: plain.timeline.samples(),
            rate_hz: plain.rate_hz(&head),
        };
        Self { part, head, plain }
    }

    /// Whose and when.
    pub fn head(&self) -> &Head {
        &self.head
    }
}
