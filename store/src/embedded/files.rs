//! Open segments, and sections read out of them.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use rustc_hash::FxHashMap;

use super::{
    ask,
    commit::{hour_name, segment_path},
    segment,
};
use crate::chunk_store::{Damage, Part, Sections, Want};

/// More segments are not kept open; an hour has one or two, unless thousands of processes report.
const OPEN_MAX: usize = 256;

/// Open segments.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    open: Mutex<FxHashMap<u64, Arc<File>>>,
}

impl Files {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), open: Mutex::default() }
    }

    /// A segment.
    pub(super) fn open(&self, hour: u64, id: u64) -> io::Result<Arc<File>> {
        if let Some(file) = self.known(id) {
            return Ok(file);
        }
        let file = Arc::new(File::open(segment_path(&self.dir, hour, id))?);
        if !segment::is_segment(&file)? {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no segment"));
        }
        // Another process may have removed some.
        self.close_removed();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        open.insert(id, Arc::clone(&file));
        Ok(file)
    }

    /// Closes those that were removed: as long as they are open, the disk does not get them back.
    pub(super) fn close_removed(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, file| file.metadata().is_ok_and(|meta| meta.nlink() > 0));
    }

    /// How many are open.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn known(&self, id: u64) -> Option<Arc<File>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Sections of a part.
    pub(super) fn fetch(&self, connection: &Connection, part: &Part, want: Want) -> Result<Sections, Damage> {
        let id = u64::try_from(part.key >> 64).unwrap_or(u64::MAX);
        let offset = u64::try_from(part.key & u128::from(u64::MAX)).unwrap_or(0);
        let damage = |at: String, what: String| Damage {
            at,
            what,
            profiler_id: part.profiler_id,
            start_us: part.start_us,
            end_us: part.end_us,
            profiles: part.profiles,
        };
        let somewhere = || format!("segment-{id} at {offset}");
        let hour = match ask::hour_of(connection, id) {
            Ok(Some(hour)) => hour,
            Ok(None) => return Err(damage(somewhere(), "it was removed meanwhile".to_owned())),
            Err(error) => return Err(damage(somewhere(), error.to_string())),
        };
        let at = || format!("partitions/{}/segment-{id} at {offset}", hour_name(hour));
        let file = self.open(hour, id).map_err(|error| damage(at(), format!("it cannot be opened: {error}")))?;
        segment::read(&file, offset, want).map_err(|what| damage(at(), what))
    }
}
