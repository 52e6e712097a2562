//! The catalogue: a SQLite file that says what is in the segments, and holds what is small (transactions, spans, what was
//! refused). Here are its tables and how it is opened; who fills and asks it is in `commit` and `ask`.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use crate::chunk_store::StoreError;

/// Of the tables below. Raised when a program that knows the old ones would misread the new.
const FORMAT: i64 = 1;
/// Ours (`SPRO`), so that `file` and `sqlite3` can tell.
const APPLICATION: i64 = 0x5350_524f;
/// A reader waits so long where the log is being reset; a writer never waits, there is one.
const BUSY: Duration = Duration::from_secs(5);

/// Times are microseconds since 1970, `hour` is hours since 1970 of the arrival.
const TABLES: &str = "
CREATE TABLE segments (
    id INTEGER PRIMARY KEY,
    hour INTEGER NOT NULL,
    bytes INTEGER NOT NULL -- committed; what the file has behind does not count
) STRICT;
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    profiler_id BLOB NOT NULL,
    identity TEXT NOT NULL, -- JSON: platform, environment, release, SDK, host, pid, executable
    UNIQUE (project, profiler_id, identity)
) STRICT;
CREATE TABLE profiles (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    profiler_id BLOB NOT NULL,
    chunk_id BLOB NOT NULL,
    session INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    threads INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    rate_hz REAL NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    head TEXT NOT NULL, -- JSON
    block INTEGER, -- the one that stands for it, too
    UNIQUE (project, profiler_id, chunk_id)
) STRICT;
CREATE INDEX profiles_by_time ON profiles (project, start_us);
CREATE INDEX profiles_unmerged ON profiles (project, start_us) WHERE block IS NULL;
CREATE INDEX profiles_to_merge ON profiles (session, received_us) WHERE block IS NULL;
CREATE INDEX profiles_by_block ON profiles (block) WHERE block IS NOT NULL;
CREATE INDEX profiles_by_segment ON profiles (segment);
CREATE INDEX profiles_by_session ON profiles (session);
CREATE TABLE blocks (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    session INTEGER NOT NULL,
    level INTEGER NOT NULL, -- 1: of ten minutes, 2: of an hour, 3: of a day
    hour INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    profiles INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    rate_hz REAL NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    parent INTEGER -- the one of a higher level that stands for it, too
) STRICT;
CREATE INDEX blocks_top ON blocks (project, start_us) WHERE parent IS NULL;
CREATE INDEX blocks_by_parent ON blocks (parent) WHERE parent IS NOT NULL;
CREATE INDEX blocks_by_segment ON blocks (segment);
CREATE TABLE longest (one INTEGER PRIMARY KEY, profile_us INTEGER NOT NULL, transaction_us INTEGER NOT NULL) STRICT;
INSERT INTO longest VALUES (1, 0, 0);
CREATE TABLE transactions (
    project INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    trace_id BLOB NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    body TEXT NOT NULL, -- JSON
    PRIMARY KEY (project, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX transactions_by_time ON transactions (project, start_us);
CREATE INDEX transactions_by_hour ON transactions (hour);
CREATE TABLE spans (
    project INTEGER NOT NULL,
    trace_id BLOB NOT NULL,
    span_id INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    body TEXT NOT NULL, -- JSON
    PRIMARY KEY (project, trace_id, span_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX spans_by_hour ON spans (hour);
CREATE TABLE refused (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    body TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX refused_by_project ON refused (project, id);
CREATE INDEX refused_by_hour ON refused (hour);
";

/// For the one writer; makes the tables where there are none.
pub(super) fn open_writer(file: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let connection = Connection::open(file)?;
        connection.busy_timeout(BUSY)?;
        let format: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if format == 0 {
            connection.execute_batch("PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL;")?;
        }
        // Durable when committed, readers beside the writer.
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        if format == 0 {
            connection.execute_batch(&format!(
                "BEGIN; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
            ))?;
        }
        Ok((connection, if format == 0 { FORMAT } else { format }))
    };
    known(open().map_err(|source| database("open the catalogue", source))?)
}

/// For a reader, of this process or another. Where nobody writes and the folder is not ours to write in, the file stands
/// still and is read as such.
pub(super) fn open_reader(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let open = |connection: Connection| {
        connection.busy_timeout(BUSY)?;
        let format: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok((connection, format))
    };
    let opened =
        Connection::open_with_flags(file, flags).and_then(open).or_else(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly) if file.exists() => {
                let path = file.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
                Connection::open_with_flags(format!("file:{path}?immutable=1"), flags).and_then(open)
            }
            _ => Err(error),
        });
    known(opened.map_err(|source| database("open the catalogue", source))?)
}

fn known((connection, format): (Connection, i64)) -> Result<Connection, StoreError> {
    if format == FORMAT { Ok(connection) } else { Err(StoreError::Format { found: format, known: FORMAT }) }
}

/// A database's error as ours. A full disk is said as such by SQLite.
pub(super) fn database(what: &str, source: rusqlite::Error) -> StoreError {
    StoreError::Database { what: what.to_owned(), source: Box::new(source) }
}

/// Times and numbers beyond SQLite's are the largest it has; no clock reaches them.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The way back.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
