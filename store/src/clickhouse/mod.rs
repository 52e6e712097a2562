//! The store of a company: a ClickHouse database, which several servers may share.
//!
//! What is durable: every insert is one part file per day, synced to disk before ClickHouse answers, and `append` returns
//! after that. What is exact: a profile is known by its project, session and chunk id; a server asks for known ones before
//! it inserts, and where two servers are given the same one at the same moment, its rows have the same key, and queries
//! read the key once (`FINAL`). Tables: `schema`.

mod address;
mod blocks;
mod connection;
mod functions;
mod merging;
mod read;
mod retention;
mod rows;
mod schema;
mod sql;
mod traces;
mod write;

use std::{
    fmt,
    sync::atomic::{AtomicU16, Ordering},
};

use profile::received::{Span, Transaction};
use uuid::Uuid;

pub use self::address::{Address, AddressError};
use self::{
    connection::Connection,
    merging::Merging,
    rows::{ProfileRow, SpanRow, TransactionRow},
    write::{Rows, Writer},
};
use crate::{
    chunk_store::{ChunkStore, Damage, Grain, Part, Sections, StoreError, Want},
    item::{Appended, Batch, Hours, Kept, ProjectId, Refused, Retention, Selection, Session, Window},
};

/// A database, open.
pub struct ClickHouse {
    /// Ends before the connection does, as do the blocks.
    writer: Writer,
    merging: Merging,
    database: Connection,
    address: Address,
    /// What rows say that are inserted now: that of the address, or else what `retain` was last called with.
    retention_days: AtomicU16,
}

impl ClickHouse {
    /// Connects, and makes the database and its tables where they are missing.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let address = Address::parse(url).map_err(|source| StoreError::Database {
            what: "read the address of the store".to_owned(),
            source: Box::new(source),
        })?;
        let server = Connection::new(&address)?;
        let database = schema::migrated(&server, &address)?;
        let writer = Writer::start(database.clone())?;
        let merging = Merging::start(database.clone())?;
        let retention_days = AtomicU16::new(address.retention_days);
        Ok(Self { writer, merging, database, address, retention_days })
    }

    /// Merges hours that are over into blocks, some at a time. How many; 0: all are merged that can be. Goes on by itself, too, every
    /// few minutes.
    pub fn merge(&self, now_us: u64) -> Result<usize, StoreError> {
        self.merging.merge(&self.database, now_us)
    }

    fn rows(&self, batch: Batch) -> Result<Rows, StoreError> {
        let days = self.retention_days.load(Ordering::Relaxed);
        let now_us = now_us();
        let profiles = batch.profiles.iter().map(|(project, it)| ProfileRow::new(*project, it, now_us, days));
        Ok(Rows {
            profiles: profiles.collect::<Result<_, _>>()?,
            transactions: batch
                .transactions
                .into_iter()
                .map(|(project, it)| TransactionRow::new(project, it, now_us, days))
                .collect(),
            spans: batch.spans.into_iter().map(|(project, it)| SpanRow::new(project, it, now_us, days)).collect(),
            refused: batch.refused.into_iter().map(Into::into).collect(),
        })
    }
}

/// Microseconds since 1970.
fn now_us() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0)
}

/// Without user and password.
impl fmt::Debug for ClickHouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClickHouse").field(&self.address).finish()
    }
}

impl ChunkStore for ClickHouse {
    fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        self.writer.append(self.rows(batch)?)
    }

    fn projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        read::projects_kept(&self.database)
    }

    fn profiles(&self, selection: &Selection) -> Result<Vec<Kept>, StoreError> {
        read::profiles(&self.database, selection)
    }

    fn sessions(&self, selection: &Selection) -> Result<Vec<Session>, StoreError> {
        read::sessions(&self.database, selection)
    }

    fn plan(&self, selection: &Selection, grain: Grain) -> Result<Vec<Part>, StoreError> {
        match grain {
            Grain::Blocks => blocks::plan(&self.database, selection),
            Grain::Profiles => read::parts(&self.database, selection),
        }
    }

    fn inside(&self, block: &Part) -> Result<Vec<Part>, StoreError> {
        blocks::inside(&self.database, block)
    }

    fn fetch(&self, parts: &[Part], want: Want) -> Result<Vec<Result<Sections, Damage>>, StoreError> {
        read::fetch(&self.database, parts, want)
    }

    fn hours(&self, project: Option<ProjectId>, window: Window) -> Result<Vec<Hours>, StoreError> {
        read::hours(&self.database, project, window)
    }

    fn transactions(&self, project: ProjectId, window: Window) -> Result<Vec<Transaction>, StoreError> {
        traces::transactions(&self.database, project, window)
    }

    fn transaction(&self, project: ProjectId, event_id: Uuid) -> Result<Option<Transaction>, StoreError> {
        traces::transaction(&self.database, project, event_id)
    }

    fn spans(&self, project: ProjectId, trace_id: Uuid) -> Result<Vec<Span>, StoreError> {
        traces::spans(&self.database, project, trace_id)
    }

    fn refused(&self, project: ProjectId, many: usize) -> Result<Vec<Refused>, StoreError> {
        traces::refused(&self.database, project, many)
    }

    fn retain(&self, retention: Retention, now_us: u64) -> Result<(), StoreError> {
        if self.address.retention_days == 0 {
            // Longer than any row can say is for ever.
            let days = u16::try_from(retention.days).ok().filter(|days| *days <= address::RETENTION_DAYS_MAX);
            self.retention_days.store(days.unwrap_or(0), Ordering::Relaxed);
        }
        retention::retain(&self.database, retention, now_us)
    }
}
