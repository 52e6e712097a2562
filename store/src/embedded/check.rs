//! Reads everything that a folder keeps and says what is wrong with it. Changes nothing.

use std::{fs, path::Path};

use rusqlite::Connection;
use serde::Serialize;
use uuid::Uuid;

use super::{
    ask,
    catalogue::{self, database, unsigned},
    catalogue_path,
    commit::segment_path,
    files::Files,
    recover::known,
};
use crate::{
    chunk_store::{Damage, Part, StoreError, Want},
    encoding::Plain,
    item::ProjectId,
};

/// What a folder keeps, and what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Segment files.
    pub segments: u64,
    /// Bytes in them.
    pub segment_bytes: u64,
    /// Bytes of the catalogue.
    pub catalogue_bytes: u64,
    /// Profiles.
    pub profiles: u64,
    /// Their samples.
    pub samples: u64,
    /// Blocks of profiles.
    pub blocks: u64,
    /// Transactions.
    pub transactions: u64,
    /// Spans.
    pub spans: u64,
    /// What the database says of its own file; empty: nothing is wrong.
    pub catalogue: Vec<String>,
    /// Segment files that are missing or too short.
    pub files: Vec<String>,
    /// Profiles and blocks that cannot be read.
    pub damaged: Vec<Damage>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.catalogue.is_empty() && self.files.is_empty() && self.damaged.is_empty()
    }
}

/// Checks a folder; another process may write to it meanwhile.
pub fn check(dir: &Path) -> Result<Report, StoreError> {
    let mut connection = catalogue::open_reader(&catalogue_path(dir))?;
    let view = connection.transaction().map_err(|source| database("read the catalogue", source))?;
    let mut report = Report {
        catalogue_bytes: fs::metadata(catalogue_path(dir)).map_or(0, |metadata| metadata.len()),
        ..Report::default()
    };
    let read = |source| database("read the catalogue", source);
    integrity(&view, &mut report).map_err(read)?;
    for (id, segment) in known(&view)? {
        report.segments += 1;
        report.segment_bytes += segment.bytes;
        let path = segment_path(dir, segment.hour, id);
        let length = fs::metadata(&path).map(|metadata| metadata.len());
        if !length.as_ref().is_ok_and(|length| *length >= segment.bytes) {
            let has = length.map_or_else(|error| error.to_string(), |length| format!("{length} bytes"));
            report.files.push(format!(
                "{}: {} bytes are committed, the file has: {has}",
                path.display(),
                segment.bytes
            ));
        }
    }
    report.files.sort_unstable();
    records(&view, &Files::new(dir), &mut report).map_err(read)?;
    Ok(report)
}

fn integrity(view: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let mut statement = view.prepare("PRAGMA integrity_check")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    report.catalogue = lines.into_iter().filter(|line| line != "ok").collect();
    let count =
        |table: &str| view.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).map(unsigned);
    report.profiles = count("profiles")?;
    report.blocks = count("blocks")?;
    report.transactions = count("transactions")?;
    report.spans = count("spans")?;
    let samples = view.query_row("SELECT coalesce(sum(samples), 0) FROM profiles", [], |row| row.get(0))?;
    report.samples = unsigned(samples);
    Ok(())
}

fn records(view: &Connection, files: &Files, report: &mut Report) -> rusqlite::Result<()> {
    let mut statement = view.prepare(
        "SELECT segment, offset, start_us, end_us, 1, profiler_id, chunk_id FROM profiles
         UNION ALL SELECT b.segment, b.offset, b.start_us, b.end_us, b.profiles, s.profiler_id, NULL
         FROM blocks b JOIN sessions s ON s.id = b.session ORDER BY 1, 2",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let part = Part {
            key: ask::key(unsigned(row.get(0)?), unsigned(row.get(1)?)),
            project: ProjectId(0),
            profiler_id: Uuid::from_bytes(row.get(5)?),
            chunk_id: row.get::<_, Option<[u8; 16]>>(6)?.map(Uuid::from_bytes),
            platform: "".into(),
            start_us: unsigned(row.get(2)?),
            end_us: unsigned(row.get(3)?),
            profiles: unsigned(row.get(4)?),
            samples: 0,
            rate_hz: 0.0,
        };
        match files.fetch(view, &part, Want::ALL) {
            Ok(sections) => {
                if let Err(broken) = Plain::decode(&sections) {
                    report.damaged.push(Damage::of(&part, broken.to_string()));
                }
            }
            Err(damage) => report.damaged.push(damage),
        }
    }
    Ok(())
}
