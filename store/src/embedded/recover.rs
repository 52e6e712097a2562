//! What a crash left, put right: bytes behind what is committed are cut off, files that no row knows are removed. What is
//! missing is said, and stays missing.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

use rusqlite::Connection;
use rustc_hash::FxHashMap;
use tracing::{error, info};

use super::{
    catalogue::{database, unsigned},
    commit::{hour_name, partitions, segment_path},
};
use crate::chunk_store::StoreError;

/// A segment as the catalogue has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) hour: u64,
    pub(super) bytes: u64,
}

/// All segments that the catalogue knows.
pub(super) fn known(connection: &Connection) -> Result<FxHashMap<u64, Known>, StoreError> {
    let ask = || {
        let mut statement = connection.prepare("SELECT id, hour, bytes FROM segments")?;
        let rows = statement.query_map([], |row| {
            let known = Known { hour: unsigned(row.get(1)?), bytes: unsigned(row.get(2)?) };
            Ok((unsigned(row.get(0)?), known))
        })?;
        rows.collect::<rusqlite::Result<FxHashMap<u64, Known>>>()
    };
    ask().map_err(|source| database("read the catalogue", source))
}

/// Puts the folder right.
pub(super) fn recover(dir: &Path, connection: &Connection) -> Result<(), StoreError> {
    let known = known(connection)?;
    let io = |source| StoreError::Io { what: format!("put {} right", dir.display()), source };
    for (id, Known { hour, bytes }) in &known {
        cut(dir, *id, *hour, *bytes).map_err(io)?;
    }
    remove_unknown(dir, &known).map_err(io)
}

fn cut(dir: &Path, id: u64, hour: u64, bytes: u64) -> io::Result<()> {
    let path = segment_path(dir, hour, id);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() > bytes => {
            info!(path = %path.display(), bytes = metadata.len() - bytes, "Cut off what was not committed.");
            OpenOptions::new().write(true).open(&path)?.set_len(bytes)
        }
        Ok(metadata) if metadata.len() < bytes => {
            error!(path = %path.display(), missing = bytes - metadata.len(), "A segment is too short.");
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) => {
            error!(path = %path.display(), %error, "A segment is missing.");
            Ok(())
        }
    }
}

/// Only what is named as ours: somebody may have put other things there.
fn remove_unknown(dir: &Path, known: &FxHashMap<u64, Known>) -> io::Result<()> {
    for hour in fs::read_dir(partitions(dir))? {
        let hour = hour?;
        if !hour.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(hour.path())? {
            let file = file?;
            let name = file.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix("segment-")?.parse::<u64>().ok());
            let Some(id) = id else { continue };
            let is_known = known.get(&id).is_some_and(|segment| *hour.file_name() == *hour_name(segment.hour));
            if !is_known {
                info!(path = %file.path().display(), "Removed a segment that was never committed.");
                fs::remove_file(file.path())?;
            }
        }
        // Fails while something is in it.
        let _ = fs::remove_dir(hour.path());
    }
    Ok(())
}
