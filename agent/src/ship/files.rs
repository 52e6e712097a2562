//! Files that survive: locked against other agents, renamed into place only when whole. Knows nothing of their content.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

/// Suffix of a file that is being written.
pub(crate) const PART: &str = "part";

/// A part older than this has no writer any more: the longest write takes seconds.
pub(crate) const PART_AGE_MAX: Duration = Duration::from_mins(10);

/// Makes a folder that only its owner can read: profiles tell what a program does.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A new file, readable by its owner alone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Locks an open file without waiting. `false`: another agent, or another thread of this one, has it.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens a file that others may be working on, and locks it. `None` if it is locked, or gone: then it is no longer ours
/// to touch. The lock ends with the file.
pub(super) fn open_locked(path: &Path) -> io::Result<Option<File>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Whoever had the lock before may have deleted or moved it between our open and our lock.
    let is_there = |file: &File| -> io::Result<bool> {
        let (ours, there) = (file.metadata()?, fs::metadata(path));
        Ok(there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
    };
    Ok((lock(&file)? && is_there(&file)?).then_some(file))
}

/// Makes renames in a folder last.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Deletes a file; that it is gone already is as good.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The names in a folder that end with `.suffix`, in order; also clears parts that a dead agent left.
pub(super) fn names(folder: &Path, suffix: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        match name.rsplit_once('.') {
            Some((_, ending)) if ending == suffix => names.push(name),
            Some((_, PART)) if is_old(&entry) => remove(&entry.path())?,
            _ => {}
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a folder has a name that ends with `.suffix`.
pub(super) fn any(folder: &Path, suffix: &str) -> bool {
    names(folder, suffix).is_ok_and(|names| !names.is_empty())
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > PART_AGE_MAX))
}
