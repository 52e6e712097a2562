//! What has been sampled and is in no chunk yet, for those who look on: pieces of about a second, made only while somebody
//! does. Samples nothing, keeps nothing once a chunk is kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use profile::id::ProfilerId;
use store::{item::ProjectId, live::Piece};

/// Who has not asked for this long does not look on any more: a page asks every second or two.
const LOOKS_FOR: Duration = Duration::from_secs(15);

/// The pieces of all open chunks.
#[derive(Debug)]
pub struct Live {
    project: ProjectId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When somebody asked last.
    asked: Option<Instant>,
    pieces: BTreeMap<uuid::Uuid, Vec<Arc<Piece>>>,
}

impl Live {
    /// For sessions whose chunks go into a project.
    pub fn new(project: ProjectId) -> Self {
        Self { project, state: Mutex::default() }
    }

    /// Whether anybody looks on. If nobody does, pieces are forgotten.
    pub fn is_watched(&self) -> bool {
        let mut state = self.lock();
        let watched = state.asked.is_some_and(|asked| asked.elapsed() < LOOKS_FOR);
        if !watched {
            state.pieces.clear();
        }
        watched
    }

    /// Takes the next piece of a session's open chunk.
    pub fn add(&self, profiler: ProfilerId, piece: Piece) {
        self.lock().pieces.entry(profiler.0).or_default().push(Arc::new(piece));
    }

    /// Forgets a session's pieces: their chunk is kept, or there will be none.
    pub fn forget(&self, profiler: ProfilerId) {
        self.lock().pieces.remove(&profiler.0);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl store::live::Live for Live {
    fn pieces(&self, project: ProjectId) -> Vec<Arc<Piece>> {
        if project != self.project {
            return Vec::new();
        }
        let mut state = self.lock();
        state.asked = Some(Instant::now());
        state.pieces.values().flatten().map(Arc::clone).collect()
    }
}
