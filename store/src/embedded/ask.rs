//! What readers ask the catalogue. Reads no segment.

use std::sync::Arc;

use profile::received::{Head, Span, Transaction};
use rusqlite::{Connection, OptionalExtension, Row, params};
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    catalogue::{signed, unsigned},
    prepared::Identity,
};
use crate::{
    chunk_store::{Grain, Part},
    item::{Hours, Kept, ProjectId, Refused, Selection, Session, Window},
};

type Rows<T> = rusqlite::Result<Vec<T>>;

/// A session that is asked for.
pub(super) struct Asked {
    profiler_id: Uuid,
    identity: Identity,
    platform: Arc<str>,
}

/// The sessions of a selection, whenever they are from.
pub(super) fn asked(connection: &Connection, selection: &Selection) -> rusqlite::Result<FxHashMap<i64, Asked>> {
    let mut statement =
        connection.prepare_cached("SELECT id, profiler_id, identity FROM sessions WHERE project = ?")?;
    let rows = statement.query_map(params![selection.project.0.cast_signed()], |row| {
        let identity: Identity = json(row, 2)?;
        let platform = Arc::from(identity.platform.as_str());
        Ok((row.get(0)?, Asked { profiler_id: uuid(row, 1)?, identity, platform }))
    })?;
    let mut asked = FxHashMap::default();
    for row in rows {
        let (id, session) = row?;
        let identity = &session.identity;
        if selection.takes(session.profiler_id, identity.environment.as_deref(), identity.release.as_deref()) {
            asked.insert(id, session);
        }
    }
    Ok(asked)
}

/// The start times among which profiles that overlap a window are: none is longer than the longest.
fn starts(connection: &Connection, window: Window) -> rusqlite::Result<(i64, i64)> {
    let longest: i64 = connection
        .prepare_cached("SELECT profile_us FROM longest")?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    Ok((signed(window.from_us).saturating_sub(longest), signed(window.to_us)))
}

pub(super) fn projects(connection: &Connection) -> Rows<ProjectId> {
    let mut statement = connection.prepare_cached(
        "SELECT project FROM sessions UNION SELECT project FROM transactions UNION SELECT project FROM refused",
    )?;
    let rows = statement.query_map([], |row| Ok(ProjectId(row.get::<_, i64>(0)?.cast_unsigned())))?;
    let mut projects = rows.collect::<Rows<_>>()?;
    projects.sort_unstable();
    Ok(projects)
}

pub(super) fn profiles(connection: &Connection, selection: &Selection) -> Rows<Kept> {
    let asked = asked(connection, selection)?;
    let (first, last) = starts(connection, selection.window())?;
    let mut statement = connection.prepare_cached(
        "SELECT session, received_us, threads, samples, bytes, head FROM profiles
         WHERE project = ? AND start_us >= ? AND start_us < ? AND end_us >= ? ORDER BY start_us, id",
    )?;
    let project = selection.project;
    let mut rows = statement.query(params![project.0.cast_signed(), first, last, signed(selection.from_us)])?;
    let mut kept = Vec::new();
    while let Some(row) = rows.next()? {
        if asked.contains_key(&row.get(0)?) {
            let head: Head = json(row, 5)?;
            let received_us = unsigned(row.get(1)?);
            let (threads, samples, bytes) = (row.get(2)?, unsigned(row.get(3)?), unsigned(row.get(4)?));
            kept.push(Kept { project, received_us, head, threads, samples, bytes });
        }
    }
    Ok(kept)
}

pub(super) fn sessions(connection: &Connection, selection: &Selection) -> Rows<Session> {
    let mut asked = asked(connection, selection)?;
    let (first, last) = starts(connection, selection.window())?;
    let mut statement = connection.prepare_cached(
        "SELECT session, min(start_us), max(end_us), count(*), sum(samples), sum(bytes) FROM profiles
         WHERE project = ? AND start_us >= ? AND start_us < ? AND end_us >= ? GROUP BY session ORDER BY 2, 1",
    )?;
    let project = selection.project.0.cast_signed();
    let mut rows = statement.query(params![project, first, last, signed(selection.from_us)])?;
    let mut sessions = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(Asked { profiler_id, identity, .. }) = asked.remove(&row.get(0)?) else { continue };
        sessions.push(Session {
            profiler_id,
            platform: identity.platform,
            environment: identity.environment,
            release: identity.release,
            sdk: identity.sdk,
            host: identity.host,
            pid: identity.pid,
            executable: identity.executable,
            first_us: unsigned(row.get(1)?),
            last_us: unsigned(row.get(2)?),
            profiles: unsigned(row.get(3)?),
            samples: unsigned(row.get(4)?),
            bytes: unsigned(row.get(5)?),
        });
    }
    Ok(sessions)
}

const PART: &str = "session, start_us, end_us, samples, rate_hz, segment, offset";

/// Blocks that the window holds whole, from the top down, and profiles for the rest.
pub(super) fn plan(connection: &Connection, selection: &Selection, grain: Grain) -> Rows<Part> {
    let planner = Planner { connection, selection, asked: asked(connection, selection)? };
    let mut parts = Vec::new();
    if planner.asked.is_empty() {
        return Ok(parts);
    }
    match grain {
        Grain::Blocks => planner.with_blocks(&mut parts)?,
        Grain::Profiles => planner.profiles("", &[], &mut parts)?,
    }
    parts.sort_by_key(|part| (part.start_us, part.key));
    Ok(parts)
}

struct Planner<'p> {
    connection: &'p Connection,
    selection: &'p Selection,
    asked: FxHashMap<i64, Asked>,
}

impl Planner<'_> {
    fn with_blocks(&self, parts: &mut Vec<Part>) -> rusqlite::Result<()> {
        self.profiles("block IS NULL AND", &[], parts)?;
        let project = self.selection.project.0.cast_signed();
        let mut cut = self.blocks("parent IS NULL AND project = ?", project, parts)?;
        while let Some(id) = cut.pop() {
            cut.extend(self.blocks("parent = ?", id, parts)?);
            self.profiles("block = ? AND", &[id], parts)?;
        }
        Ok(())
    }

    /// Blocks that overlap the window: into `parts` where it holds them whole; else given back.
    fn blocks(&self, which: &str, value: i64, parts: &mut Vec<Part>) -> rusqlite::Result<Vec<i64>> {
        let sql = format!("SELECT {PART}, profiles, id FROM blocks WHERE {which} AND start_us < ? AND end_us >= ?");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let window = self.selection.window();
        let mut rows = statement.query(params![value, signed(window.to_us), signed(window.from_us)])?;
        let mut cut = Vec::new();
        while let Some(row) = rows.next()? {
            let Some(part) = self.part(row, None, unsigned(row.get(7)?))? else { continue };
            if part.start_us >= window.from_us && part.end_us < window.to_us {
                parts.push(part);
            } else {
                cut.push(row.get(8)?);
            }
        }
        Ok(cut)
    }

    fn profiles(&self, which: &str, values: &[i64], parts: &mut Vec<Part>) -> rusqlite::Result<()> {
        let sql = format!(
            "SELECT {PART}, chunk_id FROM profiles
             WHERE {which} project = ? AND start_us >= ? AND start_us < ? AND end_us >= ?"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let (first, last) = starts(self.connection, self.selection.window())?;
        let project = self.selection.project.0.cast_signed();
        let all = values.iter().copied().chain([project, first, last, signed(self.selection.from_us)]);
        let mut rows = statement.query(rusqlite::params_from_iter(all))?;
        while let Some(row) = rows.next()? {
            parts.extend(self.part(row, Some(uuid(row, 7)?), 1)?);
        }
        Ok(())
    }

    /// `None`: not of a session that is asked for.
    fn part(&self, row: &Row<'_>, chunk_id: Option<Uuid>, profiles: u64) -> rusqlite::Result<Option<Part>> {
        let Some(session) = self.asked.get(&row.get(0)?) else { return Ok(None) };
        Ok(Some(Part {
            key: key(unsigned(row.get(5)?), unsigned(row.get(6)?)),
            project: self.selection.project,
            profiler_id: session.profiler_id,
            chunk_id,
            platform: Arc::clone(&session.platform),
            start_us: unsigned(row.get(1)?),
            end_us: unsigned(row.get(2)?),
            profiles,
            samples: unsigned(row.get(3)?),
            rate_hz: row.get(4)?,
        }))
    }
}

/// The profiles that a block stands for.
pub(super) fn inside(connection: &Connection, block: &Part) -> Rows<Part> {
    let segment = unsigned(i64::try_from(block.key >> 64).unwrap_or(i64::MAX));
    let offset = i64::try_from(block.key & u128::from(u64::MAX)).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE it(id) AS (
             SELECT id FROM blocks WHERE segment = ?1 AND offset = ?2
             UNION SELECT blocks.id FROM blocks JOIN it ON blocks.parent = it.id
         )
         SELECT start_us, end_us, samples, rate_hz, segment, offset, chunk_id FROM profiles
         WHERE block IN (SELECT id FROM it) ORDER BY start_us",
    )?;
    let rows = statement.query_map(params![signed(segment), offset], |row| {
        Ok(Part {
            key: key(unsigned(row.get(4)?), unsigned(row.get(5)?)),
            chunk_id: Some(uuid(row, 6)?),
            start_us: unsigned(row.get(0)?),
            end_us: unsigned(row.get(1)?),
            profiles: 1,
            samples: unsigned(row.get(2)?),
            rate_hz: row.get(3)?,
            ..block.clone()
        })
    })?;
    rows.collect()
}

/// What we call a part: its segment and where it begins there.
pub(super) fn key(segment: u64, offset: u64) -> u128 {
    u128::from(segment) << 64 | u128::from(offset)
}

pub(super) fn hours(connection: &Connection, project: Option<ProjectId>, window: Window) -> Rows<Hours> {
    let mut statement = connection.prepare_cached(
        "SELECT p.project, strftime('%Y-%m-%d', p.start_us / 1000000, 'unixepoch'), s.identity ->> 'platform', count(*),
         sum(p.end_us - p.start_us), sum((p.end_us - p.start_us + 500000) / 1000000)
         FROM profiles p JOIN sessions s ON s.id = p.session
         WHERE (?1 IS NULL OR p.project = ?1) AND p.start_us >= ?2 AND p.start_us < ?3
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    )?;
    let project = project.map(|project| project.0.cast_signed());
    let rows = statement.query_map(params![project, signed(window.from_us), signed(window.to_us)], |row| {
        Ok(Hours {
            project: ProjectId(row.get::<_, i64>(0)?.cast_unsigned()),
            day: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
            platform: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
            profiles: unsigned(row.get(3)?),
            us: unsigned(row.get(4)?),
            sentry_seconds: unsigned(row.get(5)?),
        })
    })?;
    rows.collect()
}

pub(super) fn transactions(connection: &Connection, project: ProjectId, window: Window) -> Rows<Transaction> {
    let longest: i64 =
        connection.query_row("SELECT transaction_us FROM longest", [], |row| row.get(0)).optional()?.unwrap_or(0);
    let mut statement = connection.prepare_cached(
        "SELECT body FROM transactions WHERE project = ? AND start_us >= ? AND start_us < ? AND end_us >= ?
         ORDER BY start_us, event_id",
    )?;
    let (from, to) = (signed(window.from_us), signed(window.to_us));
    let first = from.saturating_sub(longest);
    statement.query_map(params![project.0.cast_signed(), first, to, from], |row| json(row, 0))?.collect()
}

pub(super) fn transaction(
    connection: &Connection,
    project: ProjectId,
    event_id: Uuid,
) -> rusqlite::Result<Option<Transaction>> {
    connection
        .prepare_cached("SELECT body FROM transactions WHERE project = ? AND event_id = ?")?
        .query_row(params![project.0.cast_signed(), event_id.as_bytes()], |row| json(row, 0))
        .optional()
}

pub(super) fn spans(connection: &Connection, project: ProjectId, trace_id: Uuid) -> Rows<Span> {
    let mut statement = connection
        .prepare_cached("SELECT body FROM spans WHERE project = ? AND trace_id = ? ORDER BY start_us, span_id")?;
    statement.query_map(params![project.0.cast_signed(), trace_id.as_bytes()], |row| json(row, 0))?.collect()
}

pub(super) fn refused(connection: &Connection, project: ProjectId, many: usize) -> Rows<Refused> {
    let mut statement =
        connection.prepare_cached("SELECT body FROM refused WHERE project = ? ORDER BY id DESC LIMIT ?")?;
    let many = i64::try_from(many).unwrap_or(i64::MAX);
    statement.query_map(params![project.0.cast_signed(), many], |row| json(row, 0))?.collect()
}

/// The session and the hour of a record, to name it; `None`: it is not there (any more).
pub(super) fn hour_of(connection: &Connection, segment: u64) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT hour FROM segments WHERE id = ?")?
        .query_row(params![signed(segment)], |row| row.get::<_, i64>(0).map(unsigned))
        .optional()
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get::<_, [u8; 16]>(column).map(Uuid::from_bytes)
}
