//! Making blocks: hours that are over, each of a session, in a thread of its own while the store is open.
//!
//! Several servers may merge the same hour at the same time; the outcome is the same, and counts once.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError, SyncSender, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use clickhouse::Row;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    blocks::GROUP,
    connection::Connection,
    functions::{self, FunctionRow},
    now_us, read,
    sql::{Bound, Sql, TIME, time, us},
};
use crate::{
    chunk_store::{Part, Sections, StoreError, Want},
    encoding::{
        Aggregate, Symbols,
        aggregate::Row as Sum,
        merge::{Likeness, Merger},
    },
    item::{ProjectId, StateClass},
};

/// What a rate weighs.
const SPAN: &str = "(greatest(toUnixTimestamp64Micro(end_timestamp) - toUnixTimestamp64Micro(start_timestamp), 0) + 1)";
/// An hour is merged so long after its end: a chunk is shipped when it closes.
const SETTLES_US: u64 = 10 * 60 * 1_000_000;
/// Only what has come since then is looked at; what came later than that stays as it is, and is right.
const LOOKS_BACK_US: u64 = 3 * HOUR_US;
const HOUR_US: u64 = 3_600_000_000;
/// Groups that are merged by one call, each an hour of a session.
const GROUPS_AT_ONCE: usize = 64;
/// Profiles of a group; more are left as they are. An hour of one process has 60.
const PROFILES_MAX: u64 = 4096;
/// Profiles whose sections are in memory at once.
const PROFILES_AT_ONCE: usize = 64;
/// Larger blocks are not made: merging must stay within about 200 MiB, as in the embedded store.
const NODES_MAX: usize = 2 << 20;
/// The same for sums.
const ROWS_MAX: usize = 4 << 20;
/// So many groups are remembered as given up, 4 MB in the text of a query; then all are tried once more.
const GIVEN_UP_MAX: usize = 100_000;
/// How often it looks. An hour that waits for its block is read profile by profile meanwhile.
const EVERY: Duration = Duration::from_mins(5);

/// The thread. Ends with this value, after what it is about.
#[derive(Debug)]
pub(super) struct Merging {
    /// `None` once it is to end.
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    given_up: GivenUp,
}

/// Groups, each with its project, of which nothing could be made: of too much, or of what is broken. Not tried again until
/// the next start, so that they keep no others waiting.
#[derive(Clone, Debug, Default)]
struct GivenUp(Arc<Mutex<FxHashSet<(u64, u64)>>>);

impl GivenUp {
    fn add(&self, group: &Stale) {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= GIVEN_UP_MAX {
            groups.clear();
        }
        groups.insert((group.project_id, group.of_group));
    }

    fn all(&self) -> Vec<(u64, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// What one look at the database has come to.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Groups without a block, [`GROUPS_AT_ONCE`] at most.
    found: usize,
    /// Those of them that have one now; the others are given up.
    merged: usize,
}

impl Merging {
    /// From now on, for the first time after [`EVERY`].
    pub(super) fn start(database: Connection) -> Result<Self, StoreError> {
        let (end, ended) = mpsc::sync_channel::<()>(0);
        let given_up = GivenUp::default();
        let known = given_up.clone();
        let work = move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                // Some at a time, so that it can be ended in between.
                while merge_some(&database, &known) && ended.try_recv() == Err(TryRecvError::Empty) {}
            }
        };
        let thread = thread::Builder::new().name("clickhouse-merge".to_owned()).spawn(work);
        let thread =
            thread.map_err(|source| StoreError::Io { what: "start the thread that merges".to_owned(), source })?;
        Ok(Self { end: Some(end), thread: Some(thread), given_up })
    }

    /// Merges hours that are over and have no block, or an old one. How many; 0: all is merged that can be.
    pub(super) fn merge(&self, database: &Connection, now_us: u64) -> Result<usize, StoreError> {
        loop {
            let look = merge(database, &self.given_up, now_us)?;
            if look.merged > 0 || look.found < GROUPS_AT_ONCE {
                return Ok(look.merged);
            }
        }
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether there is more to do.
fn merge_some(database: &Connection, given_up: &GivenUp) -> bool {
    match merge(database, given_up, now_us()) {
        Ok(look) => look.found >= GROUPS_AT_ONCE,
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or(String::new(), ToString::to_string);
            warn!(%error, cause, "Hours could not be merged into blocks; tried again in some minutes.");
            false
        }
    }
}

fn merge(database: &Connection, given_up: &GivenUp, now_us: u64) -> Result<Look, StoreError> {
    let stale = database.rows::<Stale>("look for hours to merge", &stale(now_us, given_up.all()))?;
    let mut merged = 0;
    for group in &stale {
        if merge_one(database, group)? {
            merged += 1;
        } else {
            given_up.add(group);
        }
    }
    debug!(merged, "Merged hours of sessions into blocks.");
    Ok(Look { found: stale.len(), merged })
}

fn stale(now_us: u64, given_up: Vec<(u64, u64)>) -> Sql {
    let settled = now_us.saturating_sub(SETTLES_US) / HOUR_US * HOUR_US;
    let since = time(now_us.saturating_sub(LOOKS_BACK_US));
    let sql = Sql::new(&format!(
        "SELECT p.* FROM (SELECT project_id, profiler_id, toStartOfHour(start_timestamp) AS hour, {GROUP} AS of_group, \
         any(platform) AS platform, any(environment) AS environment, any(release) AS release, \
         min(start_timestamp) AS first, max(end_timestamp) AS last, count() AS profiles, \
         groupBitXor(cityHash64(chunk_id)) AS chunks, sum(samples) AS samples, \
         sum(rate_hz * {SPAN}) / sum({SPAN}) AS rate_hz, \
         max(retention_days) AS retention_days, groupArray(chunk_id) AS chunk_ids, \
         groupArray(start_timestamp) AS starts FROM profile_chunks FINAL"
    ))
    .with(&format!(" WHERE start_timestamp < {TIME}"), Bound::Number(time(settled)))
    // From the first hour on of what has come of late: older days are not read.
    .with(
        &format!(
            " AND start_timestamp >= (SELECT toStartOfHour(minOrNull(start_timestamp)) FROM profile_chunks \
             WHERE received >= {TIME})"
        ),
        Bound::Number(since),
    )
    .with(
        &format!(" AND {GROUP} IN (SELECT {GROUP} FROM profile_chunks WHERE received >= {TIME})"),
        Bound::Number(since),
    );
    let sql = if given_up.is_empty() {
        sql
    } else {
        sql.with(&format!(" AND (project_id, {GROUP}) NOT IN ?"), Bound::Pairs(given_up))
    };
    sql.with(
        " GROUP BY project_id, profiler_id, hour, of_group HAVING profiles >= 2 AND profiles <= ?",
        Bound::Number(PROFILES_MAX),
    )
    .text(
        ") AS p LEFT JOIN (SELECT project_id, of_group, chunks, profiles FROM blocks FINAL) AS b \
           ON p.project_id = b.project_id AND p.of_group = b.of_group \
           WHERE b.profiles != p.profiles OR b.chunks != p.chunks ORDER BY p.hour, p.of_group",
    )
    .with(" LIMIT ?", Bound::Number(GROUPS_AT_ONCE as u64))
}

/// Whether it could be merged: not if a section of it is broken, which is then seen where the profile is, nor if it is too
/// much.
fn merge_one(database: &Connection, group: &Stale) -> Result<bool, StoreError> {
    let want = Want { symbols: true, aggregate: true, ..Want::default() };
    let mut sums = Sums::new(&group.platform);
    for some in group.parts().chunks(PROFILES_AT_ONCE) {
        for sections in read::fetch(database, some, want)? {
            if !sections.is_ok_and(|sections| sums.add(&sections).is_some()) {
                return Ok(group.cannot_be_merged("a profile of it is broken"));
            }
            if sums.are_too_many() {
                return Ok(group.cannot_be_merged("it is too much for a block"));
            }
        }
    }
    let (symbols, aggregate) = sums.end();
    let (Some(packed_symbols), Some(packed_aggregate)) = (symbols.encode(), aggregate.encode()) else {
        return Ok(group.cannot_be_merged("it is too large for a block"));
    };
    // A block that is there has its functions.
    database.insert("functions", group.functions(&symbols, &aggregate).iter())?;
    database.insert("blocks", [group.block(packed_symbols, packed_aggregate)].iter())?;
    Ok(true)
}

/// A group without a block, or with an old one.
#[derive(Row, Serialize, Deserialize)]
struct Stale {
    project_id: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    profiler_id: Uuid,
    hour: u32,
    of_group: u64,
    platform: String,
    environment: Option<String>,
    release: Option<String>,
    first: i64,
    last: i64,
    profiles: u64,
    chunks: u64,
    samples: u64,
    rate_hz: f64,
    retention_days: u16,
    #[serde(with = "clickhouse::serde::uuid_vec")]
    chunk_ids: Vec<Uuid>,
    starts: Vec<i64>,
}

impl Stale {
    /// Says so; `false`.
    fn cannot_be_merged(&self, why: &str) -> bool {
        let profiler_id = self.profiler_id;
        warn!(%profiler_id, hour = self.hour, why, "An hour cannot be merged; it is read profile by profile.");
        false
    }

    /// Its profiles, as far as it takes to fetch them.
    fn parts(&self) -> Vec<Part> {
        let part = |(chunk_id, start): (&Uuid, &i64)| Part {
            key: chunk_id.as_u128(),
            project: ProjectId(self.project_id),
            profiler_id: self.profiler_id,
            chunk_id: Some(*chunk_id),
            platform: self.platform.as_str().into(),
            start_us: us(*start),
            end_us: us(self.last),
            profiles: 1,
            samples: 0,
            rate_hz: self.rate_hz,
        };
        self.chunk_ids.iter().zip(&self.starts).map(part).collect()
    }

    fn functions(&self, symbols: &Symbols, aggregate: &Aggregate) -> Vec<FunctionRow> {
        let row = |(function, times): (functions::Name, functions::Times)| FunctionRow {
            project_id: self.project_id,
            hour: self.hour,
            function: function.name,
            module: function.module,
            package: function.package,
            file: function.file,
            profiler_id: self.profiler_id,
            of_group: self.of_group,
            platform: self.platform.clone(),
            environment: self.environment.clone(),
            release: self.release.clone(),
            own_us: times.own_us,
            total_us: times.total_us,
            samples: times.samples,
            retention_days: self.retention_days,
        };
        functions::rows(symbols, aggregate).into_iter().map(row).collect()
    }

    fn block(&self, symbols: Vec<u8>, aggregate: Vec<u8>) -> BlockRow {
        BlockRow {
            project_id: self.project_id,
            profiler_id: self.profiler_id,
            hour: self.hour,
            of_group: self.of_group,
            platform: self.platform.clone(),
            environment: self.environment.clone(),
            release: self.release.clone(),
            start_timestamp: self.first,
            end_timestamp: self.last,
            profiles: self.profiles,
            chunks: self.chunks,
            samples: self.samples,
            rate_hz: self.rate_hz,
            retention_days: self.retention_days,
            symbols,
            aggregate,
        }
    }
}

/// A row of `blocks`.
#[derive(Row, Serialize, Deserialize)]
struct BlockRow {
    project_id: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    profiler_id: Uuid,
    hour: u32,
    of_group: u64,
    platform: String,
    environment: Option<String>,
    release: Option<String>,
    start_timestamp: i64,
    end_timestamp: i64,
    profiles: u64,
    chunks: u64,
    samples: u64,
    rate_hz: f64,
    retention_days: u16,
    #[serde(with = "serde_bytes")]
    symbols: Vec<u8>,
    #[serde(with = "serde_bytes")]
    aggregate: Vec<u8>,
}

/// Several profiles on their way to one.
struct Sums<'p> {
    platform: &'p str,
    merger: Merger,
    sums: FxHashMap<(u32, StateClass, u32), (u64, u64)>,
}

impl<'p> Sums<'p> {
    fn new(platform: &'p str) -> Self {
        Self { platform, merger: Merger::new(Likeness::Frames), sums: FxHashMap::default() }
    }

    /// `None`: broken.
    fn add(&mut self, sections: &Sections) -> Option<()> {
        let symbols = Symbols::decode(&sections.symbols).ok()?;
        let aggregate = Aggregate::decode(&sections.aggregate, symbols.threads.len(), symbols.nodes.len()).ok()?;
        let nodes = self.merger.nodes(&symbols, self.platform);
        let threads = self.merger.threads(&symbols);
        for row in &aggregate.rows {
            let at = (*threads.get(row.thread as usize)?, row.class, *nodes.get(row.node as usize)?);
            let (us, samples) = self.sums.entry(at).or_default();
            *us = us.saturating_add(row.us);
            *samples = samples.saturating_add(row.samples);
        }
        Some(())
    }

    fn are_too_many(&self) -> bool {
        let symbols = self.merger.symbols();
        // Frames may be in no stack, threads without a sample.
        let names = symbols.nodes.len().max(symbols.frames.len()).max(symbols.threads.len());
        names > NODES_MAX || self.sums.len() > ROWS_MAX
    }

    fn end(self) -> (Symbols, Aggregate) {
        let mut rows: Vec<Sum> = self
            .sums
            .into_iter()
            .map(|((thread, class, node), (us, samples))| Sum { thread, class, node, us, samples })
            .collect();
        rows.sort_unstable_by_key(|row| (row.thread, row.class, row.node));
        (self.merger.into_symbols(), Aggregate { rows })
    }
}
