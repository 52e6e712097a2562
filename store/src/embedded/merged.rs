//! Blocks: in the background the profiles of ten minutes become one, then those of an hour, then those of a day. Chooses,
//! reads and merges; the writer writes.
//!
//! A block has what is in its profiles but their timelines: names, and sums by thread, state class and stack. It goes with
//! the oldest segment of what it stands for. An hour is made of its ten-minute blocks and of profiles that were alone in
//! their ten minutes, a day of the blocks in it. What is alone stays as it is.

use std::fs::File;

use rusqlite::{Connection, params};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Files,
    catalogue::{database, signed, unsigned},
    commit::{BlockSections, HOUR_US},
    segment,
};
use crate::{
    chunk_store::{StoreError, Want},
    encoding::{
        Aggregate, Plain,
        aggregate::Row,
        merge::{Likeness, Merger},
    },
    item::{ProjectId, StateClass},
};

/// Microseconds of ten minutes.
const SLOT_US: u64 = HOUR_US / 6;
/// What a block spans beyond its time at most: chunks that hang over on both sides. What comes late, a day at once from a
/// spool, is not to become one block.
const OVERHANG_US: u64 = 120_000_000;
/// Larger blocks are not made: merging must stay within about 200 MiB.
const NODES_MAX: usize = 2 << 20;
/// The same for sums.
const ROWS_MAX: usize = 4 << 20;

/// The time of arrival that a block is of. The numbers are those of the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Level {
    /// Ten minutes: the hour that is not over yet is asked for most.
    Slot = 1,
    /// An hour.
    Hour = 2,
    /// A day.
    Day = 3,
}

impl Level {
    /// What may become blocks: the number of the time it came in, and the columns of `Child`.
    fn sql(self) -> String {
        let columns = "session, id, start_us, end_us, samples, rate_hz, segment, hour, offset,
             (SELECT hour FROM segments WHERE segments.id = segment) AS segment_hour";
        let profiles = |time: &str| {
            format!(
                "SELECT {time} AS time, {columns}, 1 AS profiles, 0 AS is_block
                 FROM profiles INDEXED BY profiles_to_merge WHERE block IS NULL"
            )
        };
        let blocks = |time: &str| {
            format!("SELECT {time} AS time, {columns}, profiles, 1 AS is_block FROM blocks WHERE parent IS NULL")
        };
        match self {
            Self::Slot => profiles(&format!("received_us / {SLOT_US}")),
            Self::Hour => format!("{} UNION ALL {} AND level = 1", profiles("hour"), blocks("hour")),
            Self::Day => format!("{} AND level < 3", blocks("hour / 24")),
        }
    }

    /// Microseconds of the time.
    fn span_us(self) -> u64 {
        match self {
            Self::Slot => SLOT_US,
            Self::Hour => HOUR_US,
            Self::Day => 24 * HOUR_US,
        }
    }
}

/// A block to be written.
#[derive(Debug)]
pub(super) struct NewBlock {
    pub(super) project: ProjectId,
    pub(super) session: i64,
    pub(super) level: Level,
    pub(super) hour: u64,
    pub(super) start_us: u64,
    pub(super) end_us: u64,
    pub(super) profiles: u64,
    pub(super) samples: u64,
    pub(super) rate_hz: f64,
    /// Rows of profiles.
    pub(super) of_profiles: Vec<i64>,
    /// Rows of blocks.
    pub(super) of_blocks: Vec<i64>,
    pub(super) sections: BlockSections,
}

/// Looks for what can be merged.
#[derive(Debug, Default)]
pub(super) struct Merging {
    /// Of these nothing could be made: of too much, or of what is damaged. Not tried again until the next start.
    given_up: FxHashSet<(Level, i64, i64)>,
}

/// What a block may be made of.
struct Child {
    is_block: bool,
    id: i64,
    start_us: u64,
    end_us: u64,
    profiles: u64,
    samples: u64,
    rate_hz: f64,
    segment: u64,
    /// Of its segment, which is in the folder of that.
    segment_hour: u64,
    hour: u64,
    offset: u64,
}

impl Merging {
    /// Gives each block that can be made to `write`, until it fails or says that it is enough.
    pub(super) fn run(
        &mut self,
        connection: &Connection,
        files: &Files,
        now_us: u64,
        write: &mut dyn FnMut(NewBlock) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        for level in [Level::Slot, Level::Hour, Level::Day] {
            for (time, session) in groups(connection, level, now_us)? {
                if self.given_up.contains(&(level, time, session)) {
                    continue;
                }
                let (project, platform) = session_of(connection, session)?;
                let mut all_merged = true;
                for children in children(connection, level, time, session)? {
                    match merge(files, project, &platform, session, level, &children) {
                        Some(block) => {
                            if !write(block)? {
                                return Ok(());
                            }
                        }
                        None => all_merged = false,
                    }
                }
                if !all_merged {
                    self.given_up.insert((level, time, session));
                }
            }
        }
        Ok(())
    }
}

/// Times that are over and sessions with something to merge.
fn groups(connection: &Connection, level: Level, now_us: u64) -> Result<Vec<(i64, i64)>, StoreError> {
    let sql = format!("SELECT time, session FROM ({}) WHERE time < ? GROUP BY 1, 2 HAVING count(*) > 1", level.sql());
    let ask = || {
        let mut statement = connection.prepare_cached(&sql)?;
        let rows =
            statement.query_map(params![signed(now_us / level.span_us())], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    ask().map_err(|source| database("read the catalogue", source))
}

fn session_of(connection: &Connection, session: i64) -> Result<(ProjectId, String), StoreError> {
    let ask = || {
        connection
            .prepare_cached("SELECT project, identity ->> 'platform' FROM sessions WHERE id = ?")?
            .query_row(params![session], |row| Ok((ProjectId(row.get::<_, i64>(0)?.cast_unsigned()), row.get(1)?)))
    };
    ask().map_err(|source| database("read the catalogue", source))
}

/// What is to be merged, cut where a block would span too much; only groups of more than one.
fn children(connection: &Connection, level: Level, time: i64, session: i64) -> Result<Vec<Vec<Child>>, StoreError> {
    let sql = format!("SELECT * FROM ({}) WHERE time = ? AND session = ? ORDER BY start_us", level.sql());
    let ask = || {
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![time, session], |row| {
            let number = |column: &str| row.get(column).map(unsigned);
            Ok(Child {
                is_block: row.get("is_block")?,
                id: row.get("id")?,
                start_us: number("start_us")?,
                end_us: number("end_us")?,
                profiles: number("profiles")?,
                samples: number("samples")?,
                rate_hz: row.get("rate_hz")?,
                segment: number("segment")?,
                hour: number("hour")?,
                offset: number("offset")?,
                segment_hour: number("segment_hour")?,
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<Child>>>()
    };
    let all = ask().map_err(|source| database("read the catalogue", source))?;
    let most = level.span_us() + OVERHANG_US;
    let mut groups: Vec<Vec<Child>> = Vec::new();
    for child in all {
        match groups.last_mut() {
            Some(group) if group.first().is_some_and(|first| child.end_us.saturating_sub(first.start_us) <= most) => {
                group.push(child);
            }
            _ => groups.push(vec![child]),
        }
    }
    groups.retain(|group| group.len() > 1);
    Ok(groups)
}

/// `None`: fewer than two of them can be read, or it would be too large.
fn merge(
    files: &Files,
    project: ProjectId,
    platform: &str,
    session: i64,
    level: Level,
    children: &[Child],
) -> Option<NewBlock> {
    let mut merger = Merger::new(Likeness::Frames);
    let mut sums = FxHashMap::<(u32, StateClass, u32), (u64, u64)>::default();
    let mut merged: Vec<&Child> = Vec::new();
    for child in children {
        let Some(plain) = files.open(child.segment_hour, child.segment).ok().and_then(|file| read(&file, child.offset))
        else {
            continue;
        };
        add(&mut merger, &mut sums, &plain, platform);
        merged.push(child);
        if merger.symbols().nodes.len() > NODES_MAX || sums.len() > ROWS_MAX {
            return None;
        }
    }
    if merged.len() < 2 {
        return None;
    }
    let symbols = merger.into_symbols().encode()?;
    let aggregate = rows(sums).encode()?;
    let time: f64 = merged.iter().map(|child| span(child)).sum();
    Some(NewBlock {
        project,
        session,
        level,
        hour: merged.iter().map(|child| child.hour).min()?,
        start_us: merged.iter().map(|child| child.start_us).min()?,
        end_us: merged.iter().map(|child| child.end_us).max()?,
        profiles: merged.iter().map(|child| child.profiles).sum(),
        samples: merged.iter().map(|child| child.samples).sum(),
        rate_hz: merged.iter().map(|child| child.rate_hz * span(child)).sum::<f64>() / time.max(1.0),
        of_profiles: merged.iter().filter(|child| !child.is_block).map(|child| child.id).collect(),
        of_blocks: merged.iter().filter(|child| child.is_block).map(|child| child.id).collect(),
        sections: BlockSections { symbols, aggregate, ..BlockSections::default() },
    })
}

/// What a rate weighs.
fn span(child: &Child) -> f64 {
    child.end_us.saturating_sub(child.start_us).max(1) as f64
}

fn read(file: &File, offset: u64) -> Option<Plain> {
    let want = Want { symbols: true, aggregate: true, ..Want::default() };
    Plain::decode(&segment::read(file, offset, want).ok()?).ok()
}

fn add(merger: &mut Merger, sums: &mut FxHashMap<(u32, StateClass, u32), (u64, u64)>, plain: &Plain, platform: &str) {
    let nodes = merger.nodes(&plain.symbols, platform);
    let threads = merger.threads(&plain.symbols);
    for row in &plain.aggregate.rows {
        let (Some(node), Some(thread)) = (nodes.get(row.node as usize), threads.get(row.thread as usize)) else {
            continue;
        };
        let (us, samples) = sums.entry((*thread, row.class, *node)).or_default();
        *us = us.saturating_add(row.us);
        *samples = samples.saturating_add(row.samples);
    }
}

fn rows(sums: FxHashMap<(u32, StateClass, u32), (u64, u64)>) -> Aggregate {
    let mut rows: Vec<Row> = sums
        .into_iter()
        .map(|((thread, class, node), (us, samples))| Row { thread, class, node, us, samples })
        .collect();
    rows.sort_unstable_by_key(|row| (row.thread, row.class, row.node));
    Aggregate { rows }
}
