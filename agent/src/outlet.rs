//! Where closed chunks go: to a Sentry server through the spool, into a store of our own, or to whoever collects them.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use profile::chunk::Chunk;
use tracing::error;

use crate::{
    local::Local,
    ship::{Reason, Shipper, journal::Closed},
};

/// Who takes closed chunks. Called on the pipeline's thread; the chunk is durable when it returns.
#[derive(Clone, Debug)]
pub enum Outlet {
    /// A server.
    Ship(Arc<Shipper>),
    /// A store in this process, and those who look at it.
    Keep(Arc<Local>),
    /// Memory, for an export at the end.
    Collect(Arc<Mutex<Vec<Chunk>>>),
    /// Nobody: only the recording matters.
    Nowhere,
}

impl Outlet {
    /// Takes a chunk that will never change, and the journal that it was built from.
    pub fn take(&self, chunk: Chunk, journal: Option<Closed>) {
        match self {
            Self::Ship(shipper) => {
                let taken = match journal {
                    Some(journal) => shipper.submit_closing(&chunk, journal),
                    None => shipper.submit(&chunk),
                };
                if let Err(error) = taken {
                    // Its journal stays, so the next start tries again.
                    error!(
                        error = &error as &dyn Error,
                        "A chunk could not be spooled; its journal is kept for the next start."
                    );
                }
            }
            Self::Keep(local) => match local.keep(&chunk) {
                Ok(()) => discard(journal),
                Err(error) => error!(
                    error = &error as &dyn Error,
                    "A chunk could not be kept; its journal is kept for the next start."
                ),
            },
            Self::Collect(chunks) => {
                chunks.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
                discard(journal);
            }
            Self::Nowhere => discard(journal),
        }
    }

    /// There was nothing in the chunk that a receiver would take.
    pub fn nothing(&self, platform: &str, journal: Option<Closed>) {
        if let Self::Ship(shipper) = self {
            shipper.count_lost(Reason::InsufficientData, platform, 1);
        }
        discard(journal);
    }
}

/// The journal of a chunk that is durable, or of nothing.
pub fn discard(journal: Option<Closed>) {
    if let Some(Err(error)) = journal.map(Closed::delete) {
        error!(%error, "A journal cannot be deleted; its chunk may come twice.");
    }
}
