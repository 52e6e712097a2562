//! Removes what is older than it may be kept, or more: whole segments and whole hours of small things (transactions,
//! spans, what was refused), oldest first. First the rows, then the files: after a crash between the two the files are
//! unknown, and go when the folder is next opened.

use std::fs;

use rusqlite::{Transaction, params};
use tracing::{info, warn};

use super::{
    catalogue::{database, signed, unsigned},
    commit::{Committer, HOUR_US, partitions, segment_path},
};
use crate::{chunk_store::StoreError, item::Retention};

/// A segment as far as its end concerns.
#[derive(Clone, Copy)]
struct Old {
    id: u64,
    hour: u64,
    bytes: u64,
}

/// The tables of small things.
const SMALL: [&str; 3] = ["transactions", "spans", "refused"];
/// Small things may be this part of what may be kept, or they would drive out all profiles: 1 of so many.
const SMALL_SHARE: u64 = 4;
/// Pages of the catalogue that are given back at once; the writer waits for it.
const VACUUM_PAGES: u64 = 10_000;

/// Removes what is older, or more, than `retention` allows at `now_us`.
pub(super) fn retain(committer: &mut Committer, retention: Retention, now_us: u64) -> Result<(), StoreError> {
    let hour = now_us / HOUR_US;
    let oldest_hour = hour.saturating_sub(u64::from(retention.days).saturating_mul(24));
    // A store to which nothing comes any more grows old, too.
    committer.close_before(oldest_hour);
    let all = segments(committer)?;
    // What came last stays whatever it takes: it may have been acknowledged a moment ago.
    let newest = all.last().filter(|last| last.hour >= hour).map(|last| last.id).or(committer.open_segment());
    let mut segments = all.into_iter().take_while(|segment| Some(segment.id) != newest).peekable();
    let mut removed = Removed::default();
    while let Some(old) = segments.next_if(|segment| segment.hour < oldest_hour) {
        remove_segment(committer, old, &mut removed)?;
    }
    remove_small(committer, oldest_hour)?;
    while catalogue_bytes(committer)? > retention.bytes / SMALL_SHARE {
        let Some(oldest) = oldest_small(committer)? else { break };
        removed.hours_of_small += 1;
        remove_small(committer, oldest + 1)?;
    }
    while bytes(committer)? > retention.bytes {
        let small = oldest_small(committer)?;
        let segment = segments.next_if(|segment| small.is_none_or(|small| segment.hour <= small));
        match (segment, small) {
            (Some(old), _) => remove_segment(committer, old, &mut removed)?,
            (None, Some(small)) if small < hour => {
                removed.hours_of_small += 1;
                remove_small(committer, small + 1)?;
            }
            // What is left came in this hour.
            _ => break,
        }
    }
    remove_sessions(committer)?;
    give_back_pages(committer)?;
    if removed != Removed::default() {
        let Removed { segments, bytes, hours_of_small } = removed;
        info!(segments, bytes, hours_of_small, "Removed what was old, or more than may be kept.");
    }
    Ok(())
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Removed {
    segments: u64,
    bytes: u64,
    hours_of_small: u64,
}

fn remove_segment(committer: &mut Committer, old: Old, removed: &mut Removed) -> Result<(), StoreError> {
    remove_rows(committer, old)?;
    remove_file(committer, old);
    removed.segments += 1;
    removed.bytes = removed.bytes.saturating_add(old.bytes);
    Ok(())
}

/// By age.
fn segments(committer: &Committer) -> Result<Vec<Old>, StoreError> {
    let ask = || {
        let mut statement = committer.connection.prepare_cached("SELECT id, hour, bytes FROM segments ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(Old { id: unsigned(row.get(0)?), hour: unsigned(row.get(1)?), bytes: unsigned(row.get(2)?) })
        })?;
        rows.collect::<rusqlite::Result<Vec<Old>>>()
    };
    ask().map_err(|source| database("read the catalogue", source))
}

/// What the store takes: segments, and the pages of the catalogue that are in use.
fn bytes(committer: &Committer) -> Result<u64, StoreError> {
    let ask = || committer.connection.query_row("SELECT coalesce(sum(bytes), 0) FROM segments", [], |row| row.get(0));
    let segments = ask().map_err(|source| database("read the catalogue", source))?;
    Ok(unsigned(segments).saturating_add(catalogue_bytes(committer)?))
}

/// The catalogue's pages that are in use: small things, and of profiles what is not in segments, a hundredth of them.
fn catalogue_bytes(committer: &Committer) -> Result<u64, StoreError> {
    let ask = || {
        let one = |sql: &str| committer.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok((one("PRAGMA page_count")? - one("PRAGMA freelist_count")?) * one("PRAGMA page_size")?)
    };
    ask().map(unsigned).map_err(|source| database("read the catalogue", source))
}

/// The hour in which the oldest small thing came.
fn oldest_small(committer: &Committer) -> Result<Option<u64>, StoreError> {
    let hours = SMALL.map(|table| format!("SELECT min(hour) AS hour FROM {table}")).join(" UNION ALL ");
    let ask = || committer.connection.query_row(&format!("SELECT min(hour) FROM ({hours})"), [], |row| row.get(0));
    let oldest: Option<i64> = ask().map_err(|source| database("read the catalogue", source))?;
    Ok(oldest.map(unsigned))
}

fn remove_rows(committer: &mut Committer, segment: Old) -> Result<(), StoreError> {
    let mut remove = || {
        let transaction = committer.connection.transaction()?;
        remove_blocks(&transaction, segment.id)?;
        transaction.execute("DELETE FROM profiles WHERE segment = ?", params![signed(segment.id)])?;
        transaction.execute("DELETE FROM segments WHERE id = ?", params![signed(segment.id)])?;
        transaction.commit()
    };
    remove().map_err(|source| database("remove what is old", source))
}

/// Blocks in the segment, and those that stand for something in it; what they stood for stands for itself again.
fn remove_blocks(transaction: &Transaction<'_>, segment: u64) -> rusqlite::Result<()> {
    transaction.execute_batch("CREATE TEMP TABLE IF NOT EXISTS going (id INTEGER PRIMARY KEY); DELETE FROM going;")?;
    transaction.execute(
        "INSERT INTO going WITH RECURSIVE it(id) AS (
             SELECT id FROM blocks WHERE segment = ?1
             UNION SELECT block FROM profiles WHERE segment = ?1 AND block IS NOT NULL
             UNION SELECT parent FROM blocks JOIN it ON blocks.id = it.id WHERE parent IS NOT NULL
         ) SELECT id FROM it",
        params![signed(segment)],
    )?;
    transaction.execute_batch(
        "UPDATE profiles SET block = NULL WHERE block IN (SELECT id FROM going);
         UPDATE blocks SET parent = NULL WHERE parent IN (SELECT id FROM going);
         DELETE FROM blocks WHERE id IN (SELECT id FROM going);
         DELETE FROM going;",
    )
}

fn remove_file(committer: &Committer, segment: Old) {
    let path = segment_path(&committer.dir, segment.hour, segment.id);
    if let Err(error) = fs::remove_file(&path) {
        warn!(path = %path.display(), %error, "An old segment could not be removed; the next start tries again.");
    }
    // Fails while others of the hour are there.
    if let Some(folder) = path.parent().filter(|folder| *folder != partitions(&committer.dir)) {
        let _ = fs::remove_dir(folder);
    }
}

fn remove_small(committer: &mut Committer, before_hour: u64) -> Result<(), StoreError> {
    let mut remove = || {
        let transaction = committer.connection.transaction()?;
        for table in SMALL {
            transaction.execute(&format!("DELETE FROM {table} WHERE hour < ?"), params![signed(before_hour)])?;
        }
        transaction.commit()
    };
    remove().map_err(|source| database("remove what is old", source))
}

/// Those of which nothing is left.
fn remove_sessions(committer: &Committer) -> Result<(), StoreError> {
    let sql = "DELETE FROM sessions WHERE NOT EXISTS (SELECT 1 FROM profiles WHERE profiles.session = sessions.id)";
    committer.connection.execute(sql, []).map(drop).map_err(|source| database("remove what is old", source))
}

/// Those of the catalogue that are free; a step of the statement gives back one.
fn give_back_pages(committer: &Committer) -> Result<(), StoreError> {
    let give_back = || {
        let mut vacuum = committer.connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        let mut steps = vacuum.query([])?;
        while steps.next()?.is_some() {}
        Ok(())
    };
    give_back().map_err(|source| database("give back pages of the catalogue", source))
}
