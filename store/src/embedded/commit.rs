//! The one writer: records into a segment, made durable, then rows into the catalogue. Knows no threads; `writer` has the
//! one that it runs in.
//!
//! The order is what makes a crash harmless: bytes without a row do not count and are cut off when the folder is next
//! opened; a row is there only when its bytes are durable.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use profile::received::Head;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};
use rustc_hash::FxHashSet;
use uuid::Uuid;

use super::{
    catalogue::{database, signed, unsigned},
    merged::NewBlock,
    prepared::{Prepared, PreparedProfile},
    segment::{self, FILE_MAGIC, Kind},
};
use crate::{
    chunk_store::{Sections, StoreError, Want},
    item::{Appended, ProjectId},
};

/// Microseconds of an hour: a partition.
pub(super) const HOUR_US: u64 = 3_600_000_000;

/// Writes to a store.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) dir: PathBuf,
    pub(super) connection: Connection,
    segment_bytes_max: u64,
    /// The one that is written to.
    open: Option<Open>,
    /// Records of them have rows that could not be committed, which a crash may yet bring back: they are in the log until the next
    /// commit writes over them (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).
    doubtful: Vec<Open>,
    next_segment: u64,
    /// Hours never go back, whatever the clock does: retention goes by them.
    hour: u64,
}

#[derive(Debug)]
struct Open {
    id: u64,
    hour: u64,
    file: File,
    /// Committed.
    bytes: u64,
}

/// A profile that is to be written.
#[derive(Debug)]
struct New<'b> {
    profile: &'b PreparedProfile,
    /// The row whose record cannot be read any more.
    replaces: Option<i64>,
}

/// A profile that has a row.
#[derive(Debug)]
struct KnownProfile {
    row: i64,
    /// Its record is as it was written.
    is_sound: bool,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    offset: u64,
    bytes: u64,
}

impl Committer {
    pub(super) fn new(dir: &Path, connection: Connection, segment_bytes_max: u64) -> Result<Self, StoreError> {
        let last = "SELECT coalesce(max(id), 0), coalesce(max(hour), 0) FROM segments";
        let (id, hour): (i64, i64) = connection
            .query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|source| database("read the catalogue", source))?;
        Ok(Self {
            dir: dir.to_owned(),
            connection,
            segment_bytes_max,
            open: None,
            doubtful: Vec::new(),
            next_segment: id.cast_unsigned() + 1,
            hour: hour.cast_unsigned(),
        })
    }

    /// Keeps batches that came at `now_us`: all of them or none.
    pub(super) fn append(&mut self, batches: &[Prepared], now_us: u64) -> Result<Vec<Appended>, StoreError> {
        self.hour = self.hour.max(now_us / HOUR_US);
        let (new, appended) = self.new_profiles(batches)?;
        let mut records = Vec::new();
        let mut places = Vec::new();
        for New { profile, .. } in &new {
            let before = records.len() as u64;
            let description = profile.head_json.as_bytes();
            segment::write(&mut records, Kind::Profile, profile.project.0, description, &profile.sections);
            places.push((before, segment::record_bytes(description, &profile.sections)));
        }
        self.write(&records, &places, |transaction, hour, places| {
            for (New { profile, replaces }, place) in new.iter().zip(places) {
                match replaces {
                    Some(row) => replace_record(transaction, *row, *place, hour)?,
                    None => insert_profile(transaction, profile, *place, hour, now_us)?,
                }
            }
            batches.iter().try_for_each(|batch| insert_small(transaction, batch, hour))
        })?;
        Ok(appended)
    }

    /// Keeps a block and says of what it is made that it stands for it.
    pub(super) fn append_block(&mut self, block: &NewBlock) -> Result<(), StoreError> {
        let mut record = Vec::new();
        segment::write(&mut record, Kind::Block, block.project.0, b"", &block.sections);
        let bytes = record.len() as u64;
        self.write(&record, &[(0, bytes)], |transaction, hour, places| {
            places.iter().try_for_each(|place| insert_block(transaction, block, *place, hour))
        })
    }

    /// The profiles that are not there yet or cannot be read any more, each once, and what to answer to each batch.
    fn new_profiles<'b>(&self, batches: &'b [Prepared]) -> Result<(Vec<New<'b>>, Vec<Appended>), StoreError> {
        let mut seen = FxHashSet::<(ProjectId, Uuid, Uuid)>::default();
        let mut new = Vec::new();
        let mut answers = Vec::new();
        for batch in batches {
            let mut appended = Appended::default();
            for profile in &batch.profiles {
                let Head { profiler_id, chunk_id, .. } = profile.head;
                let known = self.known(profile.project, profiler_id, chunk_id)?;
                let is_there = known.as_ref().is_some_and(|known| known.is_sound);
                if is_there || !seen.insert((profile.project, profiler_id, chunk_id)) {
                    appended.known += 1;
                } else {
                    new.push(New { profile, replaces: known.map(|known| known.row) });
                    appended.profiles += 1;
                }
            }
            answers.push(appended);
        }
        Ok((new, answers))
    }

    /// What is there of a profile. Its record is read: who sends again what a disk has lost since gives it back.
    fn known(&self, project: ProjectId, profiler: Uuid, chunk: Uuid) -> Result<Option<KnownProfile>, StoreError> {
        let ask = || {
            self.connection
                .prepare_cached(
                    "SELECT p.id, s.hour, p.segment, p.offset FROM profiles p LEFT JOIN segments s ON s.id = p.segment
                     WHERE project = ? AND profiler_id = ? AND chunk_id = ?",
                )?
                .query_row(params![project.0.cast_signed(), profiler.as_bytes(), chunk.as_bytes()], |row| {
                    let hour = row.get::<_, Option<i64>>(1)?.map(unsigned);
                    Ok((row.get(0)?, hour, unsigned(row.get(2)?), unsigned(row.get(3)?)))
                })
                .optional()
        };
        let known = ask().map_err(|source| database("read the catalogue", source))?;
        Ok(known.map(|(row, hour, segment, offset)| KnownProfile {
            row,
            is_sound: hour.is_some_and(|hour| self.is_sound(hour, segment, offset)),
        }))
    }

    fn is_sound(&self, hour: u64, segment: u64, offset: u64) -> bool {
        File::open(segment_path(&self.dir, hour, segment))
            .is_ok_and(|file| segment::read(&file, offset, Want::ALL).is_ok())
    }

    /// Writes `records`, makes them durable, and commits `rows`, which get the places of the records.
    fn write(
        &mut self,
        records: &[u8],
        places: &[(u64, u64)],
        rows: impl FnOnce(&Transaction<'_>, u64, &[Place]) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let (segment, from) = match self.write_records(records) {
            Ok(written) => written,
            Err(error) => {
                // No row can know of them.
                self.open.take().iter().for_each(|open| self.cut(open));
                return Err(error);
            }
        };
        let place = |(before, bytes): &(u64, u64)| Place { segment, offset: from + before, bytes: *bytes };
        let places: Vec<Place> = places.iter().map(place).collect();
        let to = from + records.len() as u64;
        if let Err(error) = self.commit_rows(segment, to, |transaction, hour| rows(transaction, hour, &places)) {
            // The next write begins another segment. A full disk lacks what this one has, and took no whole log.
            let open = self.open.take();
            match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => open.iter().for_each(|open| self.cut(open)),
                _ => self.doubtful.extend(open),
            }
            return Err(database("write to the catalogue", error));
        }
        std::mem::take(&mut self.doubtful).iter().for_each(|open| self.cut(open));
        // Without records nothing has become of the segment.
        self.open.iter_mut().filter(|_| !records.is_empty()).for_each(|open| open.bytes = to);
        Ok(())
    }

    fn commit_rows(
        &mut self,
        segment: u64,
        bytes: u64,
        rows: impl FnOnce(&Transaction<'_>, u64) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let hour = self.hour;
        let transaction = self.connection.transaction()?;
        if segment > 0 {
            transaction
                .prepare_cached(
                    "INSERT INTO segments VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes",
                )?
                .execute(params![signed(segment), signed(hour), signed(bytes)])?;
        }
        rows(&transaction, hour)?;
        transaction.commit()
    }

    /// Where the records stand; no segment where there are none.
    fn write_records(&mut self, records: &[u8]) -> Result<(u64, u64), StoreError> {
        if records.is_empty() {
            return Ok((0, 0));
        }
        let fits = |open: &Open| open.hour == self.hour && open.bytes < self.segment_bytes_max;
        if !self.open.as_ref().is_some_and(fits) {
            self.open = Some(self.create()?);
        }
        let Some(open) = &self.open else { return Err(StoreError::Closed) };
        let io = |source| StoreError::Io { what: format!("write segment {}", open.id), source };
        open.file.write_all_at(records, open.bytes).map_err(io)?;
        open.file.sync_data().map_err(io)?;
        Ok((open.id, open.bytes))
    }

    fn create(&mut self) -> Result<Open, StoreError> {
        let id = self.next_segment;
        self.next_segment += 1;
        let path = segment_path(&self.dir, self.hour, id);
        let create = || {
            let folder = path.parent().unwrap_or(&self.dir);
            fs::create_dir_all(folder)?;
            let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            file.write_all_at(FILE_MAGIC, 0)?;
            // The names must be as durable as what is in the file.
            sync_folder(folder)?;
            sync_folder(&partitions(&self.dir))?;
            Ok(file)
        };
        let file = create().map_err(|source| StoreError::Io { what: format!("create {}", path.display()), source })?;
        Ok(Open { id, hour: self.hour, file, bytes: FILE_MAGIC.len() as u64 })
    }

    /// Gives back what was not committed, for a full disk lacks it. What fails here is done when the folder is opened again.
    fn cut(&self, open: &Open) {
        let _ = open.file.set_len(open.bytes);
        if open.bytes == FILE_MAGIC.len() as u64 {
            let _ = fs::remove_file(segment_path(&self.dir, open.hour, open.id));
        }
    }

    /// Writes no longer to a segment of an hour before `hour`.
    pub(super) fn close_before(&mut self, hour: u64) {
        self.open.take_if(|open| open.hour < hour);
    }

    /// The segment that is written to, which nobody may remove.
    pub(super) fn open_segment(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.id)
    }
}

fn insert_profile(
    transaction: &Transaction<'_>,
    profile: &PreparedProfile,
    place: Place,
    hour: u64,
    now_us: u64,
) -> rusqlite::Result<()> {
    let head = &profile.head;
    let project = profile.project.0.cast_signed();
    transaction
        .prepare_cached(
            "INSERT INTO sessions (project, profiler_id, identity) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![project, head.profiler_id.as_bytes(), profile.identity])?;
    let session: i64 = transaction
        .prepare_cached("SELECT id FROM sessions WHERE project = ? AND profiler_id = ? AND identity = ?")?
        .query_row(params![project, head.profiler_id.as_bytes(), profile.identity], |row| row.get(0))?;
    transaction
        .prepare_cached(
            "INSERT INTO profiles (project, profiler_id, chunk_id, session, start_us, end_us, received_us, hour, threads,
             samples, rate_hz, segment, offset, bytes, head) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            project,
            head.profiler_id.as_bytes(),
            head.chunk_id.as_bytes(),
            session,
            signed(head.start_us),
            signed(head.end_us),
            signed(now_us),
            signed(hour),
            profile.threads,
            signed(profile.samples),
            profile.rate_hz,
            signed(place.segment),
            signed(place.offset),
            signed(place.bytes),
            profile.head_json,
        ])?;
    transaction
        .prepare_cached("UPDATE longest SET profile_us = max(profile_us, ?)")?
        .execute(params![signed(head.end_us.saturating_sub(head.start_us))])?;
    Ok(())
}

/// A block that stands for the profile has it from before, and goes on standing for it.
fn replace_record(transaction: &Transaction<'_>, row: i64, place: Place, hour: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE profiles SET segment = ?, offset = ?, bytes = ?, hour = ? WHERE id = ?")?
        .execute(params![signed(place.segment), signed(place.offset), signed(place.bytes), signed(hour), row])?;
    Ok(())
}

fn insert_block(transaction: &Transaction<'_>, block: &NewBlock, place: Place, hour: u64) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO blocks (project, session, level, hour, start_us, end_us, profiles, samples, rate_hz, segment, offset,
         bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            block.project.0.cast_signed(),
            block.session,
            block.level as i64,
            signed(block.hour.min(hour)),
            signed(block.start_us),
            signed(block.end_us),
            signed(block.profiles),
            signed(block.samples),
            block.rate_hz,
            signed(place.segment),
            signed(place.offset),
            signed(place.bytes),
        ],
    )?;
    let id = transaction.last_insert_rowid();
    stands_for(transaction, "UPDATE profiles SET block = ? WHERE id = ?", id, &block.of_profiles)?;
    stands_for(transaction, "UPDATE blocks SET parent = ? WHERE id = ?", id, &block.of_blocks)
}

fn stands_for(transaction: &Transaction<'_>, sql: &str, id: i64, children: &[i64]) -> rusqlite::Result<()> {
    let mut update = transaction.prepare_cached(sql)?;
    for child in children {
        // Retention may have removed what was merged meanwhile: then the block would hold what is no longer kept.
        if update.execute(params![id, child])? != 1 {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
    }
    Ok(())
}

fn insert_small(transaction: &Transaction<'_>, batch: &Prepared, hour: u64) -> rusqlite::Result<()> {
    let hour = signed(hour);
    for (project, item, body) in &batch.transactions {
        transaction.prepare_cached("INSERT OR REPLACE INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?)")?.execute(
            params![
                project.0.cast_signed(),
                item.event_id.as_bytes(),
                item.trace_id.as_bytes(),
                signed(item.start_us),
                signed(item.end_us),
                hour,
                body
            ],
        )?;
        transaction
            .prepare_cached("UPDATE longest SET transaction_us = max(transaction_us, ?)")?
            .execute(params![signed(item.end_us.saturating_sub(item.start_us))])?;
    }
    for (project, item, body) in &batch.spans {
        transaction.prepare_cached("INSERT OR REPLACE INTO spans VALUES (?, ?, ?, ?, ?, ?)")?.execute(params![
            project.0.cast_signed(),
            item.trace_id.as_bytes(),
            item.span_id.cast_signed(),
            signed(item.start_us),
            hour,
            body
        ])?;
    }
    for (project, body) in &batch.refused {
        transaction.prepare_cached("INSERT INTO refused (project, hour, body) VALUES (?, ?, ?)")?.execute(params![
            project.0.cast_signed(),
            hour,
            body
        ])?;
    }
    Ok(())
}

/// The folder of the segments.
pub(super) fn partitions(dir: &Path) -> PathBuf {
    dir.join("partitions")
}

/// Where a segment is.
pub(super) fn segment_path(dir: &Path, hour: u64, id: u64) -> PathBuf {
    partitions(dir).join(hour_name(hour)).join(format!("segment-{id}"))
}

/// `2026-11-27T02`.
pub(super) fn hour_name(hour: u64) -> String {
    let at =
        i64::try_from(hour.saturating_mul(3600)).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map_or_else(|| format!("hour-{hour}"), |at| at.strftime("%Y-%m-%dT%H").to_string())
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The sections of a block that nobody has merged yet.
pub(super) type BlockSections = Sections;
