//! Debug files on disk by build id, within a bound of bytes; and which builds no server has, for a while.
//!
//! ```text
//! HEX.debug      the debug file of that build, last used when it was last modified
//! HEX.missing    no server has it, as of when this was modified
//! HEX.PID.part   being written
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use profile::id::BuildId;

use super::Settings;
use crate::ship::files::make_folder;

const FILE: &str = "debug";
const MISSING: &str = "missing";
const PART: &str = "part";
/// A part that was not written to for so long has no writer any more: silent servers are left sooner.
const PART_AGE_MAX: Duration = Duration::from_mins(10);
/// Builds that no server has, remembered at once; the oldest are asked for again.
const MISSING_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    bytes_max: u64,
    miss_age: Duration,
}

/// A file that is being written; gone with this value, unless it is kept.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: File,
    path: PathBuf,
    to: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        // Gone if it was kept.
        let _ = fs::remove_file(&self.path);
    }
}

impl Cache {
    /// Makes the folder, readable by its owner alone, and clears it of what is beyond the bounds.
    pub(super) fn open(settings: &Settings) -> io::Result<Self> {
        make_folder(&settings.folder)?;
        let cache =
            Self { folder: settings.folder.clone(), bytes_max: settings.bytes_max, miss_age: settings.miss_age };
        cache.bound();
        Ok(cache)
    }

    /// The file of a build, if it is here.
    pub(super) fn get(&self, build_id: &BuildId) -> Option<File> {
        let file = File::open(self.path(build_id, FILE)).ok()?;
        let _ = file.set_modified(SystemTime::now());
        Some(file)
    }

    /// Whether no server had it lately.
    pub(super) fn is_missing(&self, build_id: &BuildId) -> bool {
        let modified = fs::metadata(self.path(build_id, MISSING)).and_then(|facts| facts.modified());
        modified.is_ok_and(|at| age(at) < self.miss_age)
    }

    pub(super) fn set_missing(&self, build_id: &BuildId) {
        // In vain: then it is asked for again.
        if let Ok(file) = File::create(self.path(build_id, MISSING)) {
            let _ = file.set_modified(SystemTime::now());
        }
        self.bound();
    }

    /// A new file to write that build's to.
    pub(super) fn part(&self, build_id: &BuildId) -> io::Result<Part> {
        let path = self.path(build_id, &format!("{}.{PART}", std::process::id()));
        let _ = fs::remove_file(&path);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Part { file, path, to: self.path(build_id, FILE) })
    }

    /// Makes a written file the build's.
    pub(super) fn keep(&self, part: Part) -> io::Result<()> {
        fs::rename(&part.path, &part.to)?;
        drop(part);
        self.bound();
        Ok(())
    }

    fn path(&self, build_id: &BuildId, ending: &str) -> PathBuf {
        self.folder.join(format!("{build_id}.{ending}"))
    }

    /// Deletes what was unused longest beyond the bound, what is known too long, and what dead agents left.
    fn bound(&self) {
        let (mut files, mut missing) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let (path, Ok(facts)) = (entry.path(), entry.metadata()) else { continue };
            let at = facts.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(FILE) => files.push((at, facts.len(), path)),
                Some(MISSING) if age(at) < self.miss_age => missing.push((at, 1, path)),
                Some(PART) if age(at) < PART_AGE_MAX => {}
                Some(MISSING | PART) => remove(&path),
                _ => {}
            }
        }
        remove_oldest(files, self.bytes_max);
        remove_oldest(missing, MISSING_MAX as u64);
    }
}

fn age(at: SystemTime) -> Duration {
    // From the future, after a clock was set back: nobody knows, so old.
    SystemTime::now().duration_since(at).unwrap_or(Duration::MAX)
}

fn remove_oldest(mut entries: Vec<(SystemTime, u64, PathBuf)>, most: u64) {
    entries.sort_unstable();
    let mut total: u64 = entries.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in entries {
        if total <= most {
            return;
        }
        remove(&path);
        total = total.saturating_sub(size);
    }
}

fn remove(path: &Path) {
    // Another agent may have been faster.
    let _ = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    /// Check that files beyond the bound go, the longest unused first; that a part which is not kept leaves nothing;
    /// and that a miss is known for its time.
    #[test]
    fn bounds() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(Vec::new(), folder.path().to_owned());
        settings.bytes_max = 25;
        let cache = Cache::open(&settings).unwrap();
        let id = |byte| BuildId::new(&[byte; 8]).unwrap();
        let put = |byte, age| {
            let mut part = cache.part(&id(byte)).unwrap();
            part.file.write_all(b"10 bytes..").unwrap();
            part.file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            cache.keep(part).unwrap();
        };
        put(1, 300);
        put(2, 200);
        assert!(cache.get(&id(1)).is_some(), "and used now");
        put(3, 100);
        drop(cache.part(&id(4)).unwrap());
        cache.set_missing(&id(5));
        assert_eq!(
            names(folder.path()).join(" "),
            "0101010101010101.debug 0303030303030303.debug 0505050505050505.missing"
        );
        assert!(cache.is_missing(&id(5)) && !cache.is_missing(&id(6)));

        let later = Cache { miss_age: Duration::ZERO, ..cache };
        assert!(!later.is_missing(&id(5)));
        later.bound();
        assert_eq!(names(folder.path()).join(" "), "0101010101010101.debug 0303030303030303.debug");
    }
}
