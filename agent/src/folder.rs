//! Chunks kept in a local folder when there is no DSN: one file a chunk, by profiler id, within a bound.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context;
use profile::chunk::Chunk;

/// Older chunks go when the folder holds more.
const BYTES_MAX: u64 = 1 << 30;

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder if it is not there.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a chunk; complete or not there at all.
    pub fn keep(&self, chunk: &Chunk) -> anyhow::Result<PathBuf> {
        let folder = self.path.join(chunk.profiler_id.to_string());
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let path = folder.join(format!("{}.json", chunk.id));
        let partial = folder.join(format!("{}.part", chunk.id));
        fs::write(&partial, &chunk.payload).with_context(|| format!("cannot write {}", partial.display()))?;
        fs::rename(&partial, &path).with_context(|| format!("cannot write {}", path.display()))?;
        self.bound();
        Ok(path)
    }

    /// Removes the oldest chunks beyond the bound.
    fn bound(&self) {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for folder in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
                let Ok(meta) = file.metadata() else { continue };
                if meta.is_file() && file.path().extension().is_some_and(|extension| extension == "json") {
                    files.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), file.path()));
                }
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in files {
            if total <= BYTES_MAX {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                total = total.saturating_sub(len);
            }
        }
    }
}
