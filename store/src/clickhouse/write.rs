//! Appending: what waits is one insert. A thread of its own takes what callers have encoded, and answers them once it is
//! kept.
//!
//! ClickHouse makes a part file of every insert and has to merge them all; so the fewer the better. There is no
//! transaction over several tables: if an insert fails, earlier ones of the same group stay, and who appends again what was
//! not acknowledged finds them known. Nothing is there twice for it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use clickhouse::{Row, RowOwned, RowWrite};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    connection::{Connection, code},
    rows::{OfDay, ProfileRow, RefusedRow, SpanRow, TransactionRow},
    sql::{Bound, Sql},
};
use crate::{chunk_store::StoreError, item::Appended};

/// Appends that wait for the writer; the next caller blocks. Each is a batch in memory.
const WAITING_MAX: usize = 64;
/// Appends of one insert.
const GROUP_MAX: usize = 256;
/// Bytes of sections of one insert, as far as one append is not larger by itself.
const GROUP_BYTES: usize = 64 << 20;
/// Days of one insert: ClickHouse makes a part of each and syncs it, so that a hundred take a second. No others join a group
/// that has so many.
const DAYS_OF_INSERT: usize = 40;
/// Days of one append, of each table by themselves; more are refused. Times are what senders say, and one span for each day
/// since 1970 would keep the writer for minutes.
const DAYS_MAX: usize = 400;
/// How long the first append waits for others. ClickHouse merges some tens of parts a second.
const LINGER: Duration = Duration::from_millis(40);

/// A batch as rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) profiles: Vec<ProfileRow>,
    pub(super) transactions: Vec<TransactionRow>,
    pub(super) spans: Vec<SpanRow>,
    pub(super) refused: Vec<RefusedRow>,
}

impl Rows {
    /// The days of each table: as many parts are made of them.
    fn days(&self) -> HashSet<(&'static str, i64)> {
        let mut days = HashSet::new();
        days.extend(self.profiles.iter().map(|row| ("profile_chunks", row.day())));
        days.extend(self.transactions.iter().map(|row| ("transactions", row.day())));
        days.extend(self.spans.iter().map(|row| ("spans", row.day())));
        days.extend(self.refused.iter().map(|row| ("refused", row.day())));
        days
    }
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once it is to end.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Job {
    rows: Rows,
    /// See [`Rows::days`].
    days: HashSet<(&'static str, i64)>,
    done: SyncSender<Result<Appended, StoreError>>,
}

/// Project, session, chunk: what a profile is known by.
type Id = (u64, Uuid, Uuid);

#[derive(Row, Serialize, Deserialize)]
struct IdRow {
    project_id: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    profiler_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    chunk_id: Uuid,
}

impl Writer {
    /// Writes to `database` from now on.
    pub(super) fn start(database: Connection) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::sync_channel(WAITING_MAX);
        let thread = thread::Builder::new()
            .name("clickhouse-write".to_owned())
            .spawn(move || write_all(&database, &waiting))
            .map_err(|source| StoreError::Io { what: "start the thread that writes".to_owned(), source })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Kept when this returns.
    pub(super) fn append(&self, rows: Rows) -> Result<Appended, StoreError> {
        let days = rows.days();
        if days.len() > DAYS_MAX {
            return Err(StoreError::Database {
                what: format!("append items of {} days at once", days.len()),
                source: Box::from(format!("{DAYS_MAX} are the most")),
            });
        }
        let (done, answer) = mpsc::sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(Job { rows, days, done }).map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(database: &Connection, waiting: &Receiver<Job>) {
    while let Ok(first) = waiting.recv() {
        let group = gather(first, waiting);
        let rows: Vec<&Rows> = group.iter().map(|job| &job.rows).collect();
        match write(database, &rows) {
            Ok(appended) => group.iter().zip(appended).for_each(|(job, appended)| answer(job, Ok(appended))),
            // One may be at fault for all; not where nobody answers.
            Err(error) if group.len() > 1 && code(&error).is_some() => {
                for job in &group {
                    let one = write(database, &[&job.rows]);
                    answer(job, one.map(|appended| appended.first().copied().unwrap_or_default()));
                }
            }
            Err(error) => {
                let mut group = group.iter();
                let text = format!(
                    "{error}: {}",
                    std::error::Error::source(&error).map_or(String::new(), ToString::to_string)
                );
                if let Some(job) = group.next() {
                    answer(job, Err(error));
                }
                for job in group {
                    let source = Box::from(text.as_str());
                    answer(job, Err(StoreError::Database { what: "append together with others".to_owned(), source }));
                }
            }
        }
    }
}

/// Who does not wait for its answer any more does not get one.
fn answer(job: &Job, result: Result<Appended, StoreError>) {
    let _ = job.done.try_send(result);
}

/// The first, and those that come within [`LINGER`].
fn gather(first: Job, waiting: &Receiver<Job>) -> Vec<Job> {
    let until = Instant::now() + LINGER;
    let mut bytes = size(&first);
    let mut days = first.days.clone();
    let mut group = vec![first];
    while group.len() < GROUP_MAX && bytes < GROUP_BYTES && days.len() < DAYS_OF_INSERT {
        match waiting.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(job) => {
                bytes += size(&job);
                days.extend(&job.days);
                group.push(job);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    group
}

fn size(job: &Job) -> usize {
    job.rows.profiles.iter().map(|row| usize::try_from(row.bytes).unwrap_or(usize::MAX)).fold(0, usize::saturating_add)
}

/// All of a group, and what became of each.
fn write(database: &Connection, group: &[&Rows]) -> Result<Vec<Appended>, StoreError> {
    let mut known = known(database, group)?;
    let mut appended = vec![Appended::default(); group.len()];
    let mut profiles = Vec::new();
    for (rows, appended) in group.iter().zip(&mut appended) {
        for row in &rows.profiles {
            if known.insert(id(row)) {
                appended.profiles += 1;
                profiles.push(row);
            } else {
                appended.known += 1;
            }
        }
    }
    insert(database, "transactions", group.iter().flat_map(|rows| &rows.transactions))?;
    insert(database, "spans", group.iter().flat_map(|rows| &rows.spans))?;
    insert(database, "refused", group.iter().flat_map(|rows| &rows.refused))?;
    insert(database, "profile_chunks", profiles.into_iter())?;
    Ok(appended)
}

/// One insert, or several of [`DAYS_OF_INSERT`] each.
fn insert<'r, T>(database: &Connection, table: &str, rows: impl Iterator<Item = &'r T>) -> Result<(), StoreError>
where
    T: OfDay + RowOwned + RowWrite + for<'a> Row<Value<'a> = T> + 'r,
{
    let mut days: BTreeMap<i64, Vec<&T>> = BTreeMap::new();
    for row in rows {
        days.entry(row.day()).or_default().push(row);
    }
    let days: Vec<Vec<&T>> = days.into_values().collect();
    days.chunks(DAYS_OF_INSERT).try_for_each(|some| database.insert(table, some.iter().flatten().copied()))
}

fn id(row: &ProfileRow) -> Id {
    (row.project_id, row.profiler_id, row.chunk_id)
}

/// Profiles of the group that are kept already, from whatever server.
fn known(database: &Connection, group: &[&Rows]) -> Result<HashSet<Id>, StoreError> {
    let ids: HashSet<Id> = group.iter().flat_map(|rows| &rows.profiles).map(id).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let projects: HashSet<u64> = ids.iter().map(|id| id.0).collect();
    let profilers: HashSet<Uuid> = ids.iter().map(|id| id.1).collect();
    let sql = Sql::new("SELECT DISTINCT project_id, profiler_id, chunk_id FROM profile_chunks")
        .with(" WHERE project_id IN ?", Bound::Numbers(projects.into_iter().collect()))
        .among("profiler_id", profilers)
        .among("chunk_id", ids.iter().map(|id| id.2));
    let rows = database.rows::<IdRow>("look for profiles that are known", &sql)?;
    Ok(rows.into_iter().map(|row| (row.project_id, row.profiler_id, row.chunk_id)).collect())
}
