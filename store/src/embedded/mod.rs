//! A store in a folder: a catalogue (SQLite) and segment files for what is large.
//!
//! ```text
//! DIR/catalogue.sqlite          what there is, and where; transactions, spans, refused items
//! DIR/partitions/HOUR/segment-N bodies of profiles and blocks, append-only; HOUR is when they came
//! DIR/lock                      held by the one process that writes
//! ```
//!
//! An append is durable when it returns: the segment is synced, then its rows are committed. A crash leaves at most bytes
//! and files that no row knows; they go when the folder is next opened for writing. Retention removes whole segments. The
//! layout of a segment is `segment`'s, that of the catalogue `catalogue`'s.

mod ask;
mod catalogue;
mod check;
mod commit;
mod files;
mod merged;
mod prepared;
mod recover;
mod retain;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt,
    fs::{DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, Sender, SyncSender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use profile::received::{Span, Transaction};
use rusqlite::Connection;
use tracing::warn;
use uuid::Uuid;

pub use self::check::{Report, check};
use self::{
    catalogue::database, commit::Committer, files::Files, merged::Merging, prepared::Prepared, writer::Command,
};
use crate::{
    chunk_store::{ChunkStore, Damage, Grain, Part, Sections, StoreError, Want},
    item::{Appended, Batch, Hours, Kept, ProjectId, Refused, Retention, Selection, Session, Window},
};

/// A new segment begins beyond this, so that what a damaged one costs, and what retention removes at once, is bounded.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// How often it is looked whether an hour is over.
const MERGE_EVERY: Duration = Duration::from_mins(1);
/// Readers keep so many connections for the next question.
const IDLE_READERS_MAX: usize = 8;

/// Tells microseconds since 1970.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How a store is opened; the default is right but for tests.
#[derive(Clone)]
pub struct Settings {
    /// When things come.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// A new segment begins beyond this.
    pub segment_bytes_max: u64,
    /// Whether blocks are made in the background.
    pub merges: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { clock: writer::system_clock(), segment_bytes_max: SEGMENT_BYTES_MAX, merges: true }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("segment_bytes_max", &self.segment_bytes_max).finish_non_exhaustive()
    }
}

/// A store in a folder.
#[derive(Debug)]
pub struct Embedded {
    reading: Arc<Reading>,
    writing: Option<Writing>,
}

/// What readers need; the thread that merges is one.
#[derive(Debug)]
struct Reading {
    dir: PathBuf,
    files: Files,
    idle: Mutex<Vec<Connection>>,
}

/// What a writer has.
struct Writing {
    /// `None` while it is closed.
    commands: Option<SyncSender<Command>>,
    writer: Option<JoinHandle<()>>,
    merging: Option<(Sender<()>, JoinHandle<()>)>,
    clock: Clock,
    /// Held while the store is open.
    lock: File,
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writing")
    }
}

impl Embedded {
    /// Opens a folder for reading and writing; makes it where it is not there. What a crash left is put right.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Settings::default())
    }

    /// The same with other settings.
    pub fn open_with(dir: &Path, settings: Settings) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { what: format!("open the store {}", dir.display()), source };
        // Paths, queries and names of customers are in what is kept: a new folder is for its owner alone.
        DirBuilder::new().recursive(true).mode(0o700).create(commit::partitions(dir)).map_err(io)?;
        let lock = lock(dir)?;
        let connection = catalogue::open_writer(&catalogue_path(dir))?;
        // The catalogue's name must be as durable as what it holds.
        commit::sync_folder(dir).map_err(io)?;
        recover::recover(dir, &connection)?;
        let reading = Arc::new(Reading::new(dir));
        let committer = Committer::new(dir, connection, settings.segment_bytes_max)?;
        let (commands, writer) = writer::start(committer, Arc::clone(&settings.clock)).map_err(io)?;
        let merging = if settings.merges {
            Some(start_merging(Arc::clone(&reading), commands.clone(), Arc::clone(&settings.clock)).map_err(io)?)
        } else {
            None
        };
        let writing = Writing { commands: Some(commands), writer: Some(writer), merging, clock: settings.clock, lock };
        Ok(Self { reading, writing: Some(writing) })
    }

    /// Opens a folder for reading, also while another process writes to it.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let reading = Reading::new(dir);
        let connection = catalogue::open_reader(&catalogue_path(dir))?;
        reading.give_back(connection);
        Ok(Self { reading: Arc::new(reading), writing: None })
    }

    /// Makes the blocks that can be made now, rather than in the background.
    pub fn merge(&self) -> Result<(), StoreError> {
        let writing = self.writing.as_ref().ok_or(StoreError::ReadOnly)?;
        let commands = writing.commands.as_ref().ok_or(StoreError::Closed)?;
        merge(&self.reading, &mut Merging::default(), commands, &writing.clock)
    }

    fn commands(&self) -> Result<&SyncSender<Command>, StoreError> {
        self.writing.as_ref().ok_or(StoreError::ReadOnly)?.commands.as_ref().ok_or(StoreError::Closed)
    }

    fn ask<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.reading.ask(ask)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let Some(writing) = &mut self.writing else { return };
        writing.commands = None;
        if let Some((stop, thread)) = writing.merging.take() {
            drop(stop);
            let _ = thread.join();
        }
        if let Some(writer) = writing.writer.take() {
            let _ = writer.join();
        }
        // By name: a child of this process has a copy of the descriptor until it runs its own program.
        let _ = writing.lock.unlock();
    }
}

impl ChunkStore for Embedded {
    fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        let commands = self.commands()?;
        let prepared = Prepared::of(batch)?;
        writer::ask(commands, |reply| Command::Append(prepared, reply))
    }

    fn projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        self.ask(ask::projects)
    }

    fn profiles(&self, selection: &Selection) -> Result<Vec<Kept>, StoreError> {
        self.ask(|connection| ask::profiles(connection, selection))
    }

    fn sessions(&self, selection: &Selection) -> Result<Vec<Session>, StoreError> {
        self.ask(|connection| ask::sessions(connection, selection))
    }

    fn plan(&self, selection: &Selection, grain: Grain) -> Result<Vec<Part>, StoreError> {
        self.ask(|connection| ask::plan(connection, selection, grain))
    }

    fn inside(&self, block: &Part) -> Result<Vec<Part>, StoreError> {
        self.ask(|connection| ask::inside(connection, block))
    }

    fn fetch(&self, parts: &[Part], want: Want) -> Result<Vec<Result<Sections, Damage>>, StoreError> {
        self.ask(|connection| Ok(parts.iter().map(|part| self.reading.files.fetch(connection, part, want)).collect()))
    }

    fn hours(&self, project: Option<ProjectId>, window: Window) -> Result<Vec<Hours>, StoreError> {
        self.ask(|connection| ask::hours(connection, project, window))
    }

    fn transactions(&self, project: ProjectId, window: Window) -> Result<Vec<Transaction>, StoreError> {
        self.ask(|connection| ask::transactions(connection, project, window))
    }

    fn transaction(&self, project: ProjectId, event_id: Uuid) -> Result<Option<Transaction>, StoreError> {
        self.ask(|connection| ask::transaction(connection, project, event_id))
    }

    fn spans(&self, project: ProjectId, trace_id: Uuid) -> Result<Vec<Span>, StoreError> {
        self.ask(|connection| ask::spans(connection, project, trace_id))
    }

    fn refused(&self, project: ProjectId, many: usize) -> Result<Vec<Refused>, StoreError> {
        self.ask(|connection| ask::refused(connection, project, many))
    }

    fn retain(&self, retention: Retention, now_us: u64) -> Result<(), StoreError> {
        let done = writer::ask(self.commands()?, |reply| Command::Retain(retention, now_us, reply));
        self.reading.files.close_removed();
        done
    }
}

impl Reading {
    fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), files: Files::new(dir), idle: Mutex::new(Vec::new()) }
    }

    /// With a connection of its own, in one view of the catalogue.
    fn ask<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => catalogue::open_reader(&catalogue_path(&self.dir))?,
        };
        let in_one_view = || {
            let transaction = connection.transaction()?;
            ask(&transaction)
        };
        let answer = in_one_view().map_err(|source| database("read the catalogue", source));
        self.give_back(connection);
        answer
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS_MAX {
            idle.push(connection);
        }
    }
}

fn catalogue_path(dir: &Path) -> PathBuf {
    dir.join("catalogue.sqlite")
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let io = |source| StoreError::Io { what: format!("lock the store {}", dir.display()), source };
    let file = File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.display().to_string())),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

fn start_merging(
    reading: Arc<Reading>,
    commands: SyncSender<Command>,
    clock: Clock,
) -> std::io::Result<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = channel();
    let run = move || {
        let mut merging = Merging::default();
        while stopped.recv_timeout(MERGE_EVERY) == Err(RecvTimeoutError::Timeout) {
            let mut write = |block| {
                write_block(&commands, block)?;
                Ok(stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected))
            };
            if let Err(error) = merge_into(&reading, &mut merging, &clock, &mut write) {
                warn!(%error, "Profiles of a past hour could not be merged; questions take longer.");
            }
        }
    };
    let thread = std::thread::Builder::new().name("store-merge".to_owned()).spawn(run)?;
    Ok((stop, thread))
}

fn merge(
    reading: &Reading,
    merging: &mut Merging,
    commands: &SyncSender<Command>,
    clock: &Clock,
) -> Result<(), StoreError> {
    merge_into(reading, merging, clock, &mut |block| write_block(commands, block).map(|()| true))
}

fn write_block(commands: &SyncSender<Command>, block: merged::NewBlock) -> Result<(), StoreError> {
    writer::ask(commands, |reply| Command::Block(Box::new(block), reply))
}

fn merge_into(
    reading: &Reading,
    merging: &mut Merging,
    clock: &Clock,
    write: &mut dyn FnMut(merged::NewBlock) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    // Not within one view: it would see none of the blocks of hours when it makes those of days.
    let connection = catalogue::open_reader(&catalogue_path(&reading.dir))?;
    merging.run(&connection, &reading.files, clock(), write)
}
