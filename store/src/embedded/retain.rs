//! Removes what is older than it may be kept: whole segments, oldest first, with their rows. First the rows, then the
//! files: after a crash between the two the files are unknown, and go when the folder is next opened.

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

/// Removes what is older than `retention` allows at `now_us`.
pub(super) fn retain(committer: &mut Committer, retention: Retention, now_us: u64) -> Result<(), StoreError> {
    let oldest_hour = (now_us / HOUR_US).saturating_sub(u64::from(retention.days).saturating_mul(24));
    // A store to which nothing comes any more grows old, too.
    committer.close_before(oldest_hour);
    let mut removed = Vec::new();
    for segment in segments(committer)? {
        // Small things have no segment; they go with the hours of those that had.
        let is_old = segment.hour < oldest_hour;
        let is_too_much = || bytes(committer).is_ok_and(|bytes| bytes > retention.bytes);
        if Some(segment.id) == committer.open_segment() || !(is_old || is_too_much()) {
            break;
        }
        remove_rows(committer, segment)?;
        remove_file(committer, segment);
        removed.push(segment);
    }
    let gone = removed.last().map_or(0, |last| last.hour);
    remove_small(committer, oldest_hour.max(gone))?;
    if !removed.is_empty() {
        info!(
            segments = removed.len(),
            bytes = removed.iter().map(|old| old.bytes).sum::<u64>(),
            "Removed what was old."
        );
    }
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
    let ask = || {
        let one = |sql: &str| committer.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let pages = one("PRAGMA page_count")? - one("PRAGMA freelist_count")?;
        Ok(one("SELECT coalesce(sum(bytes), 0) FROM segments")? + pages * one("PRAGMA page_size")?)
    };
    ask().map(unsigned).map_err(|source| database("read the catalogue", source))
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
        for table in ["transactions", "spans", "refused"] {
            transaction.execute(&format!("DELETE FROM {table} WHERE hour < ?"), params![signed(before_hour)])?;
        }
        transaction.execute(
            "DELETE FROM sessions WHERE NOT EXISTS (SELECT 1 FROM profiles WHERE profiles.session = sessions.id)",
            [],
        )?;
        transaction.commit()?;
        committer.connection.execute_batch("PRAGMA incremental_vacuum;")
    };
    remove().map_err(|source| database("remove what is old", source))
}
