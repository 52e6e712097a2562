//! The tables, and how a database comes to have them. Every statement may be carried out any number of times and by
//! several servers at once, so that no lock is needed.
//!
//! | table | one row | key | same key twice |
//! |---|---|---|---|
//! | `profile_chunks` | a profile with its sections | project, session, start, chunk id | one is kept |
//! | `blocks` | all profiles of a session and an hour, merged | project, session, hour, group | the one of more profiles is kept |
//! | `functions` | a function's time in a block | project, hour, function, session, group | the larger sums are kept |
//! | `transactions` | a transaction | project, start, event id | the last is kept |
//! | `spans` | a span | project, trace, span id | the last is kept |
//! | `refused` | what was not taken | project, time, a hash of all of it | one is kept |
//! | `schema_versions` | a step of `STEPS` that has been taken | version | one is kept |
//!
//! ClickHouse throws the second row of a key away in the background, when it merges; until then queries do (`FINAL`).

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{
    address::Address,
    connection::Connection,
    sql::{Bound, Sql},
};
use crate::chunk_store::StoreError;

/// What makes a database of version N one of version N + 1. Only ever added to.
const STEPS: [&[&str]; 1] = [&[PROFILE_CHUNKS, BLOCKS, FUNCTIONS, TRANSACTIONS, SPANS, REFUSED]];

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_versions (
    version UInt32,
    taken DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ReplacingMergeTree ORDER BY version";

/// Sentry's own table of chunks (keys, codecs, partitions, time to live), and beside it what Sentry keeps elsewhere: the
/// bodies. They are compressed already. A row of them is large, so that granules hold few rows and one profile is found
/// without reading its neighbours.
const PROFILE_CHUNKS: &str = "CREATE TABLE IF NOT EXISTS profile_chunks (
    project_id UInt64,
    profiler_id UUID,
    chunk_id UUID,
    start_timestamp DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    end_timestamp DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    received DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    environment LowCardinality(Nullable(String)),
    release LowCardinality(Nullable(String)),
    platform LowCardinality(String),
    sdk_name LowCardinality(String),
    sdk_version LowCardinality(String),
    host LowCardinality(Nullable(String)),
    pid Nullable(Int32),
    executable LowCardinality(Nullable(String)),
    threads UInt32,
    samples UInt64,
    bytes UInt64,
    rate_hz Float64,
    retention_days UInt16,
    head String CODEC(ZSTD(1)),
    symbols String CODEC(NONE),
    aggregate String CODEC(NONE),
    timeline String CODEC(NONE),
    measurements String CODEC(NONE),
    INDEX by_end end_timestamp TYPE minmax GRANULARITY 1,
    INDEX by_start start_timestamp TYPE minmax GRANULARITY 1,
    INDEX by_arrival received TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY (retention_days, toStartOfDay(start_timestamp))
ORDER BY (project_id, profiler_id, start_timestamp, chunk_id)
TTL toDateTime(end_timestamp) + toIntervalDay(retention_days) DELETE WHERE retention_days > 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 2048";

/// What stands for many profiles. `of_group` is a hash of session, hour, platform, environment and release; `chunks` the
/// hashes of the chunk ids in it, combined by exclusive or: it tells whether a block is up to date.
const BLOCKS: &str = "CREATE TABLE IF NOT EXISTS blocks (
    project_id UInt64,
    profiler_id UUID,
    hour DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    of_group UInt64,
    platform LowCardinality(String),
    environment LowCardinality(Nullable(String)),
    release LowCardinality(Nullable(String)),
    start_timestamp DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    end_timestamp DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    profiles UInt64,
    chunks UInt64,
    samples UInt64,
    rate_hz Float64,
    retention_days UInt16,
    symbols String CODEC(NONE),
    aggregate String CODEC(NONE)
) ENGINE = ReplacingMergeTree(profiles)
PARTITION BY (retention_days, toStartOfDay(start_timestamp))
ORDER BY (project_id, profiler_id, hour, of_group)
TTL toDateTime(end_timestamp) + toIntervalDay(retention_days) DELETE WHERE retention_days > 0
SETTINGS index_granularity = 2048";

/// For dashboards beside ours: functions by hour. A block that is merged again has larger sums, never smaller ones, so the
/// larger of two rows is the true one, however often and by whomever it was written.
const FUNCTIONS: &str = "CREATE TABLE IF NOT EXISTS functions (
    project_id UInt64,
    hour DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    function String CODEC(ZSTD(1)),
    module String CODEC(ZSTD(1)),
    package LowCardinality(String),
    file String CODEC(ZSTD(1)),
    profiler_id UUID,
    of_group UInt64,
    platform SimpleAggregateFunction(any, String),
    environment SimpleAggregateFunction(any, Nullable(String)),
    release SimpleAggregateFunction(any, Nullable(String)),
    own_us SimpleAggregateFunction(max, UInt64),
    total_us SimpleAggregateFunction(max, UInt64),
    samples SimpleAggregateFunction(max, UInt64),
    retention_days UInt16
) ENGINE = AggregatingMergeTree
PARTITION BY (retention_days, toStartOfDay(hour))
ORDER BY (project_id, hour, function, module, package, file, profiler_id, of_group)
TTL hour + toIntervalHour(1) + toIntervalDay(retention_days) DELETE WHERE retention_days > 0
SETTINGS index_granularity = 2048";

const TRANSACTIONS: &str = "CREATE TABLE IF NOT EXISTS transactions (
    project_id UInt64,
    event_id UUID,
    trace_id UUID,
    span_id UInt64,
    name String CODEC(ZSTD(1)),
    op LowCardinality(Nullable(String)),
    status LowCardinality(Nullable(String)),
    start_timestamp DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    end_timestamp DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    platform LowCardinality(Nullable(String)),
    environment LowCardinality(Nullable(String)),
    release LowCardinality(Nullable(String)),
    profiler_id Nullable(UUID),
    profile_id Nullable(UUID),
    thread_id Nullable(String),
    thread_name LowCardinality(Nullable(String)),
    received DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    retention_days UInt16,
    INDEX by_event event_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_trace trace_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_end end_timestamp TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree(received)
PARTITION BY (retention_days, toStartOfDay(start_timestamp))
ORDER BY (project_id, start_timestamp, event_id)
TTL toDateTime(end_timestamp) + toIntervalDay(retention_days) DELETE WHERE retention_days > 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 2048";

const SPANS: &str = "CREATE TABLE IF NOT EXISTS spans (
    project_id UInt64,
    trace_id UUID,
    span_id UInt64,
    parent_id Nullable(UInt64),
    segment_id Nullable(UInt64),
    op LowCardinality(Nullable(String)),
    description Nullable(String) CODEC(ZSTD(1)),
    status LowCardinality(Nullable(String)),
    start_timestamp DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    end_timestamp DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    profiler_id Nullable(UUID),
    thread_id Nullable(String),
    received DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    retention_days UInt16
) ENGINE = ReplacingMergeTree(received)
PARTITION BY (retention_days, toStartOfDay(start_timestamp))
ORDER BY (project_id, trace_id, span_id)
TTL toDateTime(end_timestamp) + toIntervalDay(retention_days) DELETE WHERE retention_days > 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 2048";

/// Of use for days, to whoever writes an SDK.
const REFUSED: &str = "CREATE TABLE IF NOT EXISTS refused (
    project_id UInt64,
    at DateTime64(6, 'UTC'),
    item LowCardinality(String),
    reason LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    client LowCardinality(String),
    head String CODEC(ZSTD(1)),
    bytes UInt64
) ENGINE = ReplacingMergeTree
PARTITION BY toStartOfDay(at)
ORDER BY (project_id, at, cityHash64(item, reason, detail, client, head, bytes))
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// A table whose partitions are days.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByDay {
    pub(super) name: &'static str,
    /// When a row begins.
    pub(super) start: &'static str,
    /// When it ends.
    pub(super) end: &'static str,
    /// How long it is kept; the same in all rows of a partition.
    pub(super) retention_days: &'static str,
}

/// All of them.
pub(super) const BY_DAY: [ByDay; 6] = [
    ByDay::of_times("profile_chunks"),
    ByDay::of_times("blocks"),
    ByDay {
        start: "toDateTime64(hour, 6, 'UTC')",
        end: "toDateTime64(hour + toIntervalHour(1), 6, 'UTC')",
        ..ByDay::of_times("functions")
    },
    ByDay::of_times("transactions"),
    ByDay::of_times("spans"),
    ByDay { name: "refused", start: "at", end: "at", retention_days: "toUInt16(0)" },
];

impl ByDay {
    const fn of_times(name: &'static str) -> Self {
        Self { name, start: "start_timestamp", end: "end_timestamp", retention_days: "retention_days" }
    }
}

#[derive(Row, Serialize, Deserialize)]
struct Number {
    number: u64,
}

/// The database of `address`, of the version that this program knows.
pub(super) fn migrated(server: &Connection, address: &Address) -> Result<Connection, StoreError> {
    let there = Sql::new("SELECT count() AS number FROM system.databases")
        .with(" WHERE name = ?", Bound::Text(address.database.clone()));
    let there = server.rows::<Number>("look for the database", &there)?;
    if there.iter().all(|count| count.number == 0) {
        // Names of databases cannot be bound; this one was checked.
        let create = Sql::new("CREATE DATABASE IF NOT EXISTS ").text(&address.database);
        server.create("create the database", &create)?;
    }
    let database = server.of_database(&address.database);
    database.create("create the table schema_versions", &Sql::new(VERSIONS))?;
    let found = version(&database)?;
    let known = STEPS.len();
    if found > known {
        let as_i64 = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        return Err(StoreError::Format { found: as_i64(found), known: as_i64(known) });
    }
    for (step, version) in STEPS.iter().zip(1_u64..).skip(found) {
        for statement in *step {
            database.create("create the tables", &Sql::new(statement))?;
        }
        let taken =
            Sql::new("INSERT INTO schema_versions (version)").with(" SELECT toUInt32(?)", Bound::Number(version));
        database.execute("say which version the tables have", &taken)?;
    }
    Ok(database)
}

/// Steps that have been taken.
fn version(database: &Connection) -> Result<usize, StoreError> {
    let sql = Sql::new("SELECT toUInt64(max(version)) AS number FROM schema_versions");
    let versions = database.rows::<Number>("read the version of the tables", &sql)?;
    Ok(versions.first().map_or(0, |version| usize::try_from(version.number).unwrap_or(usize::MAX)))
}
