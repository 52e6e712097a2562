//! The one seam between questions and what keeps the answers: a folder, or ClickHouse.
//!
//! A question is answered in two steps. `plan` names the parts that hold the answer: profiles, or blocks into which a store
//! has merged many of them. `fetch` gives their sections. What they mean is `encoding`'s, what is made of them `query`'s.

use std::{fmt, sync::Arc};

use profile::received::{Span, Transaction};
use serde::Serialize;
use thiserror::Error;
use uuid::Uuid;

use crate::item::{Appended, Batch, Hours, Kept, ProjectId, Refused, Retention, Selection, Session, Window};

/// Keeps profiles, transactions and spans. All calls block; none is for an async thread.
///
/// A profile overlaps a window if it starts before the window's end and ends at its start or after.
pub trait ChunkStore: fmt::Debug + Send + Sync {
    /// Keeps a batch: on disk when this returns, or nothing of it.
    fn append(&self, batch: Batch) -> Result<Appended, StoreError>;
    /// The projects of which anything is kept, in order.
    fn projects(&self) -> Result<Vec<ProjectId>, StoreError>;
    /// What is kept of `selection` (threads and states of it do not count), by start.
    fn profiles(&self, selection: &Selection) -> Result<Vec<Kept>, StoreError>;
    /// The sessions of `selection` (threads and states of it do not count), by first sample.
    fn sessions(&self, selection: &Selection) -> Result<Vec<Session>, StoreError>;
    /// The parts that hold `selection` (threads and states of it do not count), each profile in exactly one of them.
    fn plan(&self, selection: &Selection, grain: Grain) -> Result<Vec<Part>, StoreError>;
    /// The profiles that a block stands for, where it cannot be read; nothing of a store without blocks.
    fn inside(&self, block: &Part) -> Result<Vec<Part>, StoreError> {
        let _ = block;
        Ok(Vec::new())
    }
    /// Sections of parts that `plan` has named, in the same order. One that cannot be read is an error of its own.
    fn fetch(&self, parts: &[Part], want: Want) -> Result<Vec<Result<Sections, Damage>>, StoreError>;
    /// Profiled time of the profiles that start in the window; of all projects if none is given.
    fn hours(&self, project: Option<ProjectId>, window: Window) -> Result<Vec<Hours>, StoreError>;
    /// Transactions that overlap the window, by start.
    fn transactions(&self, project: ProjectId, window: Window) -> Result<Vec<Transaction>, StoreError>;
    /// One transaction.
    fn transaction(&self, project: ProjectId, event_id: Uuid) -> Result<Option<Transaction>, StoreError>;
    /// A trace's spans, by start.
    fn spans(&self, project: ProjectId, trace_id: Uuid) -> Result<Vec<Span>, StoreError>;
    /// What was refused of a project last, the newest first.
    fn refused(&self, project: ProjectId, many: usize) -> Result<Vec<Refused>, StoreError>;
    /// Removes what is older than `retention` allows at `now_us`.
    fn retain(&self, retention: Retention, now_us: u64) -> Result<(), StoreError>;
}

/// How fine the parts of a plan must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grain {
    /// Blocks of many profiles will do, where the window holds them whole.
    Blocks,
    /// Each profile by itself.
    Profiles,
}

/// Which sections are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Want {
    /// Names and stacks; the other sections refer to them.
    pub symbols: bool,
    /// Sums by thread, state class and stack.
    pub aggregate: bool,
    /// Each sample. A block has none.
    pub timeline: bool,
    /// The series of numbers beside the samples. A block has none.
    pub measurements: bool,
}

impl Want {
    /// All sections.
    pub const ALL: Self = Self { symbols: true, aggregate: true, timeline: true, measurements: true };
}

/// Sections as they are kept; empty: not wanted, or not there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sections {
    /// See [`Want::symbols`].
    pub symbols: Vec<u8>,
    /// See [`Want::aggregate`].
    pub aggregate: Vec<u8>,
    /// See [`Want::timeline`].
    pub timeline: Vec<u8>,
    /// See [`Want::measurements`].
    pub measurements: Vec<u8>,
}

/// A profile, or a block that stands for many of one session.
#[derive(Clone, PartialEq, Debug)]
pub struct Part {
    /// What the store itself calls it.
    pub key: u128,
    /// Whose.
    pub project: ProjectId,
    /// The session.
    pub profiler_id: Uuid,
    /// Of a profile: its id.
    pub chunk_id: Option<Uuid>,
    /// `python`, `node` ...
    pub platform: Arc<str>,
    /// The first sample, microseconds since 1970.
    pub start_us: u64,
    /// The last sample.
    pub end_us: u64,
    /// Profiles in it.
    pub profiles: u64,
    /// Samples in it, all of them.
    pub samples: u64,
    /// Samples a second of each thread, had none been left out as unchanged.
    pub rate_hz: f64,
}

/// A part of the store that cannot be read, so that an answer goes without it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Damage {
    /// Where: `partitions/2026-11-27T02/segment-3 at 4096` ...
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// Whose session.
    pub profiler_id: Uuid,
    /// The first sample of what cannot be read, microseconds since 1970.
    pub start_us: u64,
    /// The last one.
    pub end_us: u64,
    /// Profiles that are lost with it.
    pub profiles: u64,
}

/// Why a store cannot do it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error("cannot {what}")]
    Io {
        /// `write segment 7` ...
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The catalogue, or the database, does not do it.
    #[error("cannot {what}")]
    Database {
        /// `read the catalogue` ...
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process writes to it.
    #[error("another process has {0} open for writing")]
    Locked(String),
    /// It was opened for reading.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// It is of a version that this program does not know.
    #[error("the store has format {found}, this program knows up to {known}")]
    Format {
        /// What it says.
        found: i64,
        /// What we know.
        known: i64,
    },
    /// It has been closed, or its writer has failed.
    #[error("the store is closed")]
    Closed,
    /// Something that is kept for good is broken.
    #[error("{at} is damaged: {what}")]
    Damaged {
        /// Where.
        at: String,
        /// How.
        what: String,
    },
    /// A profile is larger than any that is kept.
    #[error("a profile is too large: {0}")]
    TooLarge(String),
}

impl Damage {
    /// That a part cannot be read.
    pub fn of(part: &Part, what: String) -> Self {
        Self {
            at: match part.chunk_id {
                Some(chunk_id) => format!("profile {chunk_id}"),
                None => format!("a block of {} profiles", part.profiles),
            },
            what,
            profiler_id: part.profiler_id,
            start_us: part.start_us,
            end_us: part.end_us,
            profiles: part.profiles,
        }
    }
}
