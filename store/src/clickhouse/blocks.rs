//! Blocks: all profiles of a session and an hour as one, so that a question about a day reads 24 of them.
//!
//! A block stands for its profiles only where the profiles of its group in the window are exactly those it was made of:
//! their number and a hash of their ids say so. One that came late, or that retention took, makes the block count for
//! nothing until it is merged again. Who makes them: `merging`.

use std::collections::HashMap;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    connection::Connection,
    read,
    sql::{Bound, Sql, us},
};
use crate::{
    chunk_store::{Part, StoreError, Want},
    item::{ProjectId, Selection, Window},
};

/// Profiles that belong together, as SQL has them.
pub(super) const GROUP: &str = "cityHash64(profiler_id, toStartOfHour(start_timestamp), platform, isNull(environment), \
                     ifNull(environment, ''), isNull(release), ifNull(release, ''))";

/// A group of the profiles in a window.
#[derive(Row, Serialize, Deserialize)]
struct Group {
    of_group: u64,
    profiles: u64,
    chunks: u64,
    first: i64,
    last: i64,
}

/// A block without its sections.
#[derive(Row, Serialize, Deserialize)]
struct BlockHead {
    of_group: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    profiler_id: Uuid,
    platform: String,
    start_timestamp: i64,
    end_timestamp: i64,
    profiles: u64,
    chunks: u64,
    samples: u64,
    rate_hz: f64,
}

/// Blocks where they stand for their profiles, and all other profiles, by start.
pub(super) fn plan(database: &Connection, selection: &Selection) -> Result<Vec<Part>, StoreError> {
    let heads = Sql::new(
        "SELECT of_group, profiler_id, platform, start_timestamp, end_timestamp, profiles, chunks, samples, rate_hz \
         FROM blocks FINAL",
    )
    .selects(selection);
    let blocks = database.rows::<BlockHead>("look for blocks", &heads)?;
    if blocks.is_empty() {
        return read::parts(database, selection);
    }
    let groups = groups(database, selection)?;
    let stands = |block: &BlockHead| {
        groups.get(&block.of_group).is_some_and(|group| {
            group.profiles == block.profiles
                && group.chunks == block.chunks
                && us(group.first) >= selection.from_us
                && us(group.last) < selection.to_us
        })
    };
    let blocks: Vec<BlockHead> = blocks.into_iter().filter(stands).collect();
    let merged: Vec<u64> = blocks.iter().map(|block| block.of_group).collect();
    let mut parts = read::parts_of(database, selection, |sql| not_among(sql, &merged))?;
    parts.extend(blocks.into_iter().map(|block| part(selection.project, &block)));
    parts.sort_by_key(|part| (part.start_us, part.profiler_id, part.chunk_id));
    Ok(parts)
}

/// The profiles that a block stands for.
pub(super) fn inside(database: &Connection, block: &Part) -> Result<Vec<Part>, StoreError> {
    let hour = Window { from_us: block.start_us, to_us: block.end_us.saturating_add(1) };
    let selection = Selection { profilers: vec![block.profiler_id], ..Selection::new(block.project, hour) };
    let key = u64::try_from(block.key).unwrap_or(0);
    read::parts_of(database, &selection, |sql| sql.with(&format!(" AND {GROUP} = ?"), Bound::Number(key)))
}

/// What a profile must not be in, beside the selection, to be a part by itself.
fn not_among(sql: Sql, merged: &[u64]) -> Sql {
    if merged.is_empty() {
        return sql;
    }
    sql.with(&format!(" AND {GROUP} NOT IN CAST(?, 'Array(UInt64)')"), Bound::Numbers(merged.to_vec()))
}

fn groups(database: &Connection, selection: &Selection) -> Result<HashMap<u64, Group>, StoreError> {
    let sql = Sql::new(&format!(
        "SELECT {GROUP} AS of_group, count() AS profiles, groupBitXor(cityHash64(chunk_id)) AS chunks, \
         min(start_timestamp) AS first, max(end_timestamp) AS last FROM profile_chunks FINAL"
    ))
    .selects(selection)
    .text(" GROUP BY of_group");
    let groups = database.rows::<Group>("group profiles", &sql)?;
    Ok(groups.into_iter().map(|group| (group.of_group, group)).collect())
}

fn part(project: ProjectId, block: &BlockHead) -> Part {
    Part {
        key: u128::from(block.of_group),
        project,
        profiler_id: block.profiler_id,
        chunk_id: None,
        platform: block.platform.as_str().into(),
        start_us: us(block.start_timestamp),
        end_us: us(block.end_timestamp),
        profiles: block.profiles,
        samples: block.samples,
        rate_hz: block.rate_hz,
    }
}

/// The query for the sections of those parts that are blocks.
pub(super) fn sections_of(project: ProjectId, blocks: &[&Part], want: Want) -> Sql {
    let column = |wanted: bool, name: &str| if wanted { name.to_owned() } else { format!("'' AS {name}") };
    let keys = blocks.iter().map(|block| u64::try_from(block.key).unwrap_or(0));
    Sql::new(&format!(
        "SELECT of_group, {}, {} FROM blocks FINAL",
        column(want.symbols, "symbols"),
        column(want.aggregate, "aggregate")
    ))
    .with(" WHERE project_id = ?", Bound::Number(project.0))
    .among("profiler_id", blocks.iter().map(|block| block.profiler_id))
    .with(" AND of_group IN CAST(?, 'Array(UInt64)')", Bound::Numbers(keys.collect()))
}
