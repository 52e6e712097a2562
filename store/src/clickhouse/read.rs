//! Profiles by what is asked: their heads, their sessions, their sections, their hours.

use std::{collections::HashMap, sync::Arc};

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    blocks,
    connection::Connection,
    sql::{Bound, Sql, TIME, time, us},
};
use crate::{
    chunk_store::{Damage, Part, Sections, StoreError, Want},
    item::{Hours, Kept, ProjectId, Selection, Session, Window},
};

/// Parts whose sections are asked for at once: a query of 25 kB.
const FETCH_AT_ONCE: usize = 256;

#[derive(Row, Serialize, Deserialize)]
struct KeptRow {
    project_id: u64,
    received: i64,
    head: String,
    threads: u32,
    samples: u64,
    bytes: u64,
}

/// Profiles of the selection, by start.
pub(super) fn profiles(database: &Connection, selection: &Selection) -> Result<Vec<Kept>, StoreError> {
    let sql = Sql::new("SELECT project_id, received, head, threads, samples, bytes FROM profile_chunks FINAL")
        .selects(selection)
        .text(" ORDER BY start_timestamp, profiler_id, chunk_id");
    let rows = database.rows::<KeptRow>("list profiles", &sql)?;
    rows.iter().map(kept).collect()
}

fn kept(row: &KeptRow) -> Result<Kept, StoreError> {
    let head = serde_json::from_str(&row.head).map_err(|source| StoreError::Database {
        what: "read the head of a profile".to_owned(),
        source: Box::new(source),
    })?;
    Ok(Kept {
        project: ProjectId(row.project_id),
        received_us: us(row.received),
        head,
        threads: row.threads,
        samples: row.samples,
        bytes: row.bytes,
    })
}

#[derive(Row, Serialize, Deserialize)]
struct SessionRow {
    #[serde(with = "clickhouse::serde::uuid")]
    profiler_id: Uuid,
    platform: String,
    environment: Option<String>,
    release: Option<String>,
    sdk_name: String,
    sdk_version: String,
    host: Option<String>,
    pid: Option<i32>,
    executable: Option<String>,
    first: i64,
    last: i64,
    profiles: u64,
    samples: u64,
    bytes: u64,
}

/// Sessions of the selection, by first sample.
pub(super) fn sessions(database: &Connection, selection: &Selection) -> Result<Vec<Session>, StoreError> {
    let sql = Sql::new(
        "SELECT profiler_id, platform, environment, release, sdk_name, sdk_version, host, pid, executable, \
         min(start_timestamp) AS first, max(end_timestamp) AS last, count() AS profiles, sum(samples) AS samples, \
         sum(bytes) AS bytes FROM profile_chunks FINAL",
    )
    .selects(selection)
    .text(
        " GROUP BY profiler_id, platform, environment, release, sdk_name, sdk_version, host, pid, executable \
         ORDER BY first, profiler_id, platform, environment, release, sdk_name, sdk_version",
    );
    let rows = database.rows::<SessionRow>("list sessions", &sql)?;
    Ok(rows.into_iter().map(session).collect())
}

fn session(row: SessionRow) -> Session {
    Session {
        profiler_id: row.profiler_id,
        platform: row.platform,
        environment: row.environment,
        release: row.release,
        sdk: (row.sdk_name, row.sdk_version),
        host: row.host,
        pid: row.pid,
        executable: row.executable,
        first_us: us(row.first),
        last_us: us(row.last),
        profiles: row.profiles,
        samples: row.samples,
        bytes: row.bytes,
    }
}

#[derive(Row, Serialize, Deserialize)]
struct PartRow {
    #[serde(with = "clickhouse::serde::uuid")]
    profiler_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    chunk_id: Uuid,
    platform: String,
    start_timestamp: i64,
    end_timestamp: i64,
    samples: u64,
    rate_hz: f64,
}

/// Each profile of the selection, by start.
pub(super) fn parts(database: &Connection, selection: &Selection) -> Result<Vec<Part>, StoreError> {
    parts_of(database, selection, |sql| sql)
}

/// The same of those that meet a further condition.
pub(super) fn parts_of(
    database: &Connection,
    selection: &Selection,
    condition: impl FnOnce(Sql) -> Sql,
) -> Result<Vec<Part>, StoreError> {
    let sql = Sql::new(
        "SELECT profiler_id, chunk_id, platform, start_timestamp, end_timestamp, samples, rate_hz FROM profile_chunks FINAL",
    )
    .selects(selection);
    let sql = condition(sql).text(" ORDER BY start_timestamp, profiler_id, chunk_id");
    let mut platforms: HashMap<String, Arc<str>> = HashMap::new();
    let rows = database.rows::<PartRow>("plan", &sql)?;
    Ok(rows
        .into_iter()
        .map(|row| Part {
            key: row.chunk_id.as_u128(),
            project: selection.project,
            profiler_id: row.profiler_id,
            chunk_id: Some(row.chunk_id),
            platform: shared(&mut platforms, &row.platform),
            start_us: us(row.start_timestamp),
            end_us: us(row.end_timestamp),
            profiles: 1,
            samples: row.samples,
            rate_hz: row.rate_hz,
        })
        .collect())
}

/// The same text for the same platform.
fn shared(known: &mut HashMap<String, Arc<str>>, platform: &str) -> Arc<str> {
    if let Some(platform) = known.get(platform) {
        return Arc::clone(platform);
    }
    let one: Arc<str> = Arc::from(platform);
    known.insert(platform.to_owned(), Arc::clone(&one));
    one
}

#[derive(Row, Serialize, Deserialize)]
struct SectionsRow {
    #[serde(with = "clickhouse::serde::uuid")]
    profiler_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    chunk_id: Uuid,
    #[serde(with = "serde_bytes")]
    symbols: Vec<u8>,
    #[serde(with = "serde_bytes")]
    aggregate: Vec<u8>,
    #[serde(with = "serde_bytes")]
    timeline: Vec<u8>,
    #[serde(with = "serde_bytes")]
    measurements: Vec<u8>,
}

#[derive(Row, Serialize, Deserialize)]
struct BlockSections {
    of_group: u64,
    #[serde(with = "serde_bytes")]
    symbols: Vec<u8>,
    #[serde(with = "serde_bytes")]
    aggregate: Vec<u8>,
}

/// Sections of parts, in the same order.
pub(super) fn fetch(
    database: &Connection,
    parts: &[Part],
    want: Want,
) -> Result<Vec<Result<Sections, Damage>>, StoreError> {
    let mut fetched = Vec::with_capacity(parts.len());
    for some in parts.chunks(FETCH_AT_ONCE) {
        let mut found: HashMap<(ProjectId, Uuid, u128), Sections> = HashMap::with_capacity(some.len());
        for project in projects(some) {
            let of_project = some.iter().filter(|part| part.project == project);
            let (profiles, blocks): (Vec<&Part>, Vec<&Part>) = of_project.partition(|part| part.chunk_id.is_some());
            if !profiles.is_empty() {
                for row in database.rows::<SectionsRow>("fetch profiles", &sections_of(project, &profiles, want))? {
                    let SectionsRow { symbols, aggregate, timeline, measurements, .. } = row;
                    let sections = Sections { symbols, aggregate, timeline, measurements };
                    found.insert((project, row.profiler_id, row.chunk_id.as_u128()), sections);
                }
            }
            if !blocks.is_empty() {
                let sql = blocks::sections_of(project, &blocks, want);
                for row in database.rows::<BlockSections>("fetch blocks", &sql)? {
                    let sections = Sections { symbols: row.symbols, aggregate: row.aggregate, ..Sections::default() };
                    found.insert((project, Uuid::nil(), u128::from(row.of_group)), sections);
                }
            }
        }
        fetched.extend(some.iter().map(|part| {
            // A part may be asked for twice: it is copied.
            let session = part.chunk_id.map_or(Uuid::nil(), |_| part.profiler_id);
            found.get(&(part.project, session, part.key)).cloned().ok_or_else(|| gone(part))
        }));
    }
    Ok(fetched)
}

/// Each project of the parts once; nearly always there is one.
fn projects(parts: &[Part]) -> Vec<ProjectId> {
    let mut projects: Vec<ProjectId> = parts.iter().map(|part| part.project).collect();
    projects.sort_unstable();
    projects.dedup();
    projects
}

/// The query for those of a project. Sessions and times are on the key; chunk ids tell which of the rows there.
fn sections_of(project: ProjectId, parts: &[&Part], want: Want) -> Sql {
    let first = parts.iter().map(|part| part.start_us).min().unwrap_or(0);
    let last = parts.iter().map(|part| part.start_us).max().unwrap_or(0);
    let column = |wanted: bool, name: &str| if wanted { name.to_owned() } else { format!("'' AS {name}") };
    let columns = [
        column(want.symbols, "symbols"),
        column(want.aggregate, "aggregate"),
        column(want.timeline, "timeline"),
        column(want.measurements, "measurements"),
    ];
    Sql::new(&format!("SELECT profiler_id, chunk_id, {} FROM profile_chunks", columns.join(", ")))
        .with(" PREWHERE project_id = ?", Bound::Number(project.0))
        .with(&format!(" AND start_timestamp >= {TIME}"), Bound::Number(time(first)))
        .with(&format!(" AND start_timestamp <= {TIME}"), Bound::Number(time(last)))
        .among("profiler_id", distinct(parts.iter().map(|part| part.profiler_id)))
        .among("chunk_id", parts.iter().filter_map(|part| part.chunk_id))
        // The same profile from two servers, not yet merged.
        .text(" LIMIT 1 BY profiler_id, chunk_id")
}

fn distinct(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Retention took it between plan and fetch.
fn gone(part: &Part) -> Damage {
    Damage::of(part, "it is no longer in the database".to_owned())
}

#[derive(Row, Serialize, Deserialize)]
struct HoursRow {
    project_id: u64,
    day: String,
    platform: String,
    profiles: u64,
    us: u64,
    sentry_seconds: u64,
}

/// Profiled time of what starts in the window.
pub(super) fn hours(
    database: &Connection,
    project: Option<ProjectId>,
    window: Window,
) -> Result<Vec<Hours>, StoreError> {
    let mut sql = Sql::new(
        "WITH toUInt64(greatest(toUnixTimestamp64Micro(end_timestamp) - toUnixTimestamp64Micro(start_timestamp), 0)) AS length \
         SELECT project_id, toString(toDate(start_timestamp)) AS day, platform, count() AS profiles, sum(length) AS us, \
         sum(intDiv(length + 500000, 1000000)) AS sentry_seconds FROM profile_chunks FINAL",
    )
    .with(&format!(" WHERE start_timestamp >= {TIME}"), Bound::Number(time(window.from_us)))
    .with(&format!(" AND start_timestamp < {TIME}"), Bound::Number(time(window.to_us)));
    if let Some(project) = project {
        sql = sql.with(" AND project_id = ?", Bound::Number(project.0));
    }
    let sql = sql.text(" GROUP BY project_id, day, platform ORDER BY project_id, day, platform");
    let rows = database.rows::<HoursRow>("sum up hours", &sql)?;
    Ok(rows
        .into_iter()
        .map(|row| Hours {
            project: ProjectId(row.project_id),
            day: row.day,
            platform: row.platform,
            profiles: row.profiles,
            us: row.us,
            sentry_seconds: row.sentry_seconds,
        })
        .collect())
}

#[derive(Row, Serialize, Deserialize)]
struct ProjectRow {
    project_id: u64,
}

/// Projects of which anything is kept, in order.
pub(super) fn projects_kept(database: &Connection) -> Result<Vec<ProjectId>, StoreError> {
    let sql = Sql::new(
        "SELECT DISTINCT project_id FROM (SELECT DISTINCT project_id FROM profile_chunks UNION ALL \
         SELECT DISTINCT project_id FROM transactions UNION ALL SELECT DISTINCT project_id FROM spans UNION ALL \
         SELECT DISTINCT project_id FROM refused) ORDER BY project_id",
    );
    let rows = database.rows::<ProjectRow>("list projects", &sql)?;
    Ok(rows.into_iter().map(|row| ProjectId(row.project_id)).collect())
}
