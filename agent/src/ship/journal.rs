//! The journal: what was sampled since the last chunk closed, on disk within a second, so that a killed agent loses no
//! more. Decides neither when a chunk closes nor what becomes of a recovered one.
//!
//! # Life
//! One file a chunk, `{profiler_id}-{number}.journal`. [`Journal::append`] collects events in memory and hands them to
//! the kernel (`write(2)`) when half a second or 64 KiB have come together: that survives the death of the agent, not of
//! the machine (no fsync: at most one chunk is at stake, and a sync each second would keep disks awake). When the
//! chunk closes, [`Journal::rotate`] begins the next file and gives the old one back as [`Closed`]; it is
//! deleted when the chunk is in the spool ([`super::Shipper::submit_closing`]). What is left after a death is
//! found by [`recover`]: one [`RecoveredSession`] a file, that is, a chunk.
//!
//! A file is locked (`flock`) by the agent that writes it, from before it has its name until it is deleted. So agents
//! that share a folder leave each other's alone, and a dead one's can be taken.
//!
//! # Format
//! ```text
//! file   := magic "SPJ3", record (header), record (event) ...
//! record := length u32 LE, crc32 u32 LE (of the payload), payload [length]
//! header := postcard(Header): the session and the time at which the chunk began
//! event  := postcard(profile::feed::Event)
//! ```
//! A file can be read alone: it begins with the modules, the live threads, the stacks on which they stand and a tick
//! with these. Other stacks are not carried over: the feed forgets them when a chunk closes, and defines anew what it
//! uses again (`sampler::Sink::forgets_stacks`). Reading ends at the first record that is not whole, whose checksum is wrong, or that is no event: everything before it is used, everything after is not.
//! A change of [`Event`] or of [`SessionInfo`] changes the magic; a file with another one is not read.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use profile::{
    feed::{Event, StackId},
    id::ProfilerId,
    session::{Anchor, SessionInfo},
    stack::RawStack,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::warn;

use super::{
    carried::{Carried, Place},
    files, records,
};

pub(super) const MAGIC: &[u8; 4] = b"SPJ3";

/// Suffix of a journal file.
const SUFFIX: &str = "journal";

/// Half the second that may be lost, so that a slow write still makes it.
const FLUSH_AFTER: Duration = Duration::from_millis(500);

/// More than this is written at once, whatever its age: 101 Hz on ten busy threads make some 15 kB a second.
const FLUSH_BYTES: usize = 64 << 10;

/// The first record of a file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Everything that a chunk says about its session.
    pub session: SessionInfo,
    /// When the chunk began, `CLOCK_MONOTONIC`.
    pub start_ns: u64,
}

/// Why the journal can't be kept. Sampling goes on without it.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The folder or the file can't be made.
    #[error("cannot begin a journal in {}", .0.display())]
    Create(PathBuf, #[source] io::Error),
    /// The disk is full, most likely. The journal takes no more events until it is rotated.
    #[error("cannot write the journal {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// A bug: an event that can't be encoded.
    #[error("cannot encode an event for the journal")]
    Encode(#[source] postcard::Error),
}

/// The journal of one session. One thread writes it.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    session: SessionInfo,
    number: u64,
    current: Current,
    /// A write failed, and was reported: nothing more goes into this file.
    failed: bool,
    /// The file was given back, and there is no other.
    given: bool,
}

/// The file that is written.
#[derive(Debug)]
struct Current {
    path: PathBuf,
    file: File,
    /// Bytes in the file that are whole records.
    written: u64,
    buffer: Vec<u8>,
    /// When the oldest byte in `buffer` came.
    since: Option<Instant>,
    carried: Carried,
}

/// A journal file whose chunk is closed, still locked. Dropped without [`Closed::delete`], it stays for [`recover`].
#[derive(Debug)]
pub struct Closed {
    path: PathBuf,
    _locked: File,
}

impl Journal {
    /// Begins the journal of a session whose first chunk begins at `start_ns`.
    pub fn create(folder: &Path, session: &SessionInfo, start_ns: u64) -> Result<Self, JournalError> {
        let current = Current::begin(folder, session, start_ns, 0, &[])?;
        Ok(Self {
            folder: folder.to_owned(),
            session: session.clone(),
            number: 0,
            current,
            failed: false,
            given: false,
        })
    }

    /// Takes an event. An error is given once; after it, events are only remembered, until [`Journal::rotate`].
    pub fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        if self.failed {
            self.current.carried.note(event, None);
            return Ok(());
        }
        self.current.push(event)?;
        if self.current.is_due() { self.flush() } else { Ok(()) }
    }

    /// Hands everything to the kernel. [`Journal::append`] does so by itself as long as events come; call it once a
    /// second if there may be none.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if self.failed {
            return Ok(());
        }
        let flushed = self.current.flush();
        self.failed = flushed.is_err();
        flushed
    }

    /// Begins the file of the chunk that begins at `at_ns`, where the one before it closed, and gives the old one back.
    /// On an error too: were it to go on, a death would make one long chunk of two, with the id of the first. Then
    /// nothing is kept until the next rotation, which has no old file to give.
    pub fn rotate(&mut self, at_ns: u64) -> (Option<Closed>, Result<(), JournalError>) {
        self.flush_last();
        self.begin_next(at_ns, Some(at_ns))
    }

    /// Gives the file of a chunk that is closed back, where none follows for now: events are only remembered until
    /// [`Journal::resume`].
    pub fn suspend(&mut self) -> Option<Closed> {
        self.flush_last();
        self.failed = true;
        self.give()
    }

    /// Begins the file of a chunk of this session that begins at `start_ns`, after a while in which nothing was told.
    pub fn resume(&mut self, session: SessionInfo, start_ns: u64) -> Result<(), JournalError> {
        self.session = session;
        self.begin_next(start_ns, None).1
    }

    fn begin_next(&mut self, start_ns: u64, follows: Option<u64>) -> (Option<Closed>, Result<(), JournalError>) {
        let number = self.number.saturating_add(1);
        let opening = self.current.carried.opening(follows, |place| self.current.stack(place));
        let next = Current::begin(&self.folder, &self.session, start_ns, number, &opening);
        let closed = self.give();
        let begun = next.map(|next| {
            self.current = next;
            self.number = number;
            self.given = false;
        });
        self.failed = begun.is_err();
        (closed, begun)
    }

    /// Has the files from the next rotation on say other clocks, as [`profile::chunk::ChunkBuilder::re_anchor`].
    pub fn re_anchor(&mut self, profiler_id: ProfilerId, anchor: Anchor) {
        (self.session.profiler_id, self.session.anchor) = (profiler_id, anchor);
    }

    /// Ends the journal: the session is over. `None`: the last rotation failed, so there is nothing to delete.
    pub fn close(mut self) -> Option<Closed> {
        self.flush_last();
        self.give()
    }

    /// The current file, once. It stays open here: stacks are read back from it at the next rotation.
    fn give(&mut self) -> Option<Closed> {
        let file = self.current.file.try_clone().ok().filter(|_| !self.given)?;
        self.given = true;
        Some(Closed { path: self.current.path.clone(), _locked: file })
    }

    /// The chunk is in memory and about to be spooled: an error here only matters to one who dies right now.
    fn flush_last(&mut self) {
        if let Err(error) = self.flush() {
            warn!(error = &error as &dyn Error, "The end of a journal could not be written.");
        }
    }

    /// The file that is written now.
    pub fn path(&self) -> &Path {
        &self.current.path
    }
}

impl Current {
    /// Makes a file with its header and opening, locked before it has the name by which [`recover`] finds it.
    fn begin(
        folder: &Path,
        session: &SessionInfo,
        start_ns: u64,
        number: u64,
        opening: &[Event],
    ) -> Result<Self, JournalError> {
        let path = folder.join(format!("{}-{number:08}.{SUFFIX}", session.profiler_id));
        let part = path.with_extension(files::PART);
        let make = || -> io::Result<File> {
            // Somebody may have cleared it away since the last rotation.
            files::make_folder(folder)?;
            let file = files::create(&part)?;
            files::lock(&file)?;
            Ok(file)
        };
        let failed = |error| {
            let _ = files::remove(&part);
            JournalError::Create(folder.to_owned(), error)
        };
        let file = make().map_err(failed)?;
        let mut new = Self { path, file, written: 0, buffer: MAGIC.to_vec(), since: None, carried: Carried::default() };
        encode(&mut new.buffer, &Header { session: session.clone(), start_ns })?;
        opening.iter().try_for_each(|event| new.push(event))?;
        new.flush().inspect_err(|_| drop(files::remove(&part)))?;
        fs::rename(&part, &new.path).map_err(failed)?;
        Ok(new)
    }

    fn push(&mut self, event: &Event) -> Result<(), JournalError> {
        self.carried.note(event, Some(Place(self.written.saturating_add(length(&self.buffer)))));
        encode(&mut self.buffer, event)?;
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Reads a definition back that was flushed.
    fn stack(&self, place: Place) -> Option<(StackId, RawStack)> {
        let (mut reader, mut payload) = (At { file: &self.file, position: place.0 }, Vec::new());
        records::next(&mut reader, &mut payload).ok().filter(|whole| *whole)?;
        match postcard::from_bytes(&payload).ok()? {
            Event::Stack(id, stack) => Some((id, stack)),
            _ => None,
        }
    }

    fn is_due(&self) -> bool {
        self.buffer.len() >= FLUSH_BYTES || self.since.is_some_and(|since| since.elapsed() >= FLUSH_AFTER)
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let result = self.file.write_all(&self.buffer);
        if result.is_ok() {
            self.written = self.written.saturating_add(length(&self.buffer));
        } else {
            // Half a record would hide what may come after it.
            let _ = self.file.set_len(self.written);
        }
        self.buffer.clear();
        self.since = None;
        result.map_err(|error| JournalError::Write(self.path.clone(), error))
    }
}

fn encode<T: Serialize>(buffer: &mut Vec<u8>, value: &T) -> Result<(), JournalError> {
    // A record that is too long is left out: no event comes near.
    records::append(buffer, |buffer| postcard::to_io(value, buffer).map(|_| ()))
        .map(|_| ())
        .map_err(JournalError::Encode)
}

fn length(buffer: &[u8]) -> u64 {
    u64::try_from(buffer.len()).unwrap_or(u64::MAX)
}

/// Reads a file from a position, without moving where it is written.
struct At<'f> {
    file: &'f File,
    position: u64,
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let many = self.file.read_at(into, self.position)?;
        self.position = self.position.saturating_add(u64::try_from(many).unwrap_or(u64::MAX));
        Ok(many)
    }
}

impl Closed {
    /// Deletes the file: its chunk is in the spool.
    pub fn delete(self) -> io::Result<()> {
        files::remove(&self.path)
    }

    /// The name by which the spool remembers it: see [`super::Shipper::submit_closing`].
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// What a dead agent left of one chunk.
#[derive(Debug)]
pub struct RecoveredSession {
    /// The session, and when the chunk began.
    pub header: Header,
    reader: BufReader<File>,
    payload: Vec<u8>,
    path: PathBuf,
    ended: bool,
}

impl RecoveredSession {
    /// Gives the file back, to be deleted when its chunk is in the spool.
    pub fn close(self) -> Closed {
        Closed { path: self.path, _locked: self.reader.into_inner() }
    }

    fn open(path: &Path) -> io::Result<Option<Self>> {
        let Some(file) = files::open_locked(path)? else { return Ok(None) };
        let begun = Self::begin(file, path)?;
        if begun.is_none() {
            warn!(file = %path.display(), "A journal of another version or without its beginning; deleted.");
            files::remove(path)?;
        }
        Ok(begun)
    }

    /// Reads up to the first event. `None`: that is no journal.
    pub(super) fn begin(file: File, path: &Path) -> io::Result<Option<Self>> {
        let (mut reader, mut payload, mut magic) = (BufReader::new(file), Vec::new(), Vec::new());
        reader.by_ref().take(4).read_to_end(&mut magic)?;
        let whole = magic == MAGIC && records::next(&mut reader, &mut payload)?;
        let header = whole.then(|| postcard::from_bytes(&payload).ok()).flatten();
        Ok(header.map(|header| Self { header, reader, payload, path: path.to_owned(), ended: false }))
    }
}

/// The events, up to the first record that is not whole.
impl Iterator for RecoveredSession {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let whole = records::next(&mut self.reader, &mut self.payload).unwrap_or_else(|error| {
            warn!(%error, file = %self.path.display(), "A journal can't be read on.");
            false
        });
        let event = whole.then(|| postcard::from_bytes(&self.payload).ok()).flatten();
        self.ended = event.is_none();
        event
    }
}

/// Takes the journals that dead agents left in `folder`, oldest chunk of a session first. Those named in `spooled` are
/// deleted: their chunks reached the spool ([`super::Shipper::spooled_journals`]).
pub fn recover(folder: &Path, spooled: &[String]) -> io::Result<Vec<RecoveredSession>> {
    let names = match files::names(folder, SUFFIX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    let mut found = Vec::new();
    for name in names {
        let path = folder.join(&name);
        if !spooled.contains(&name) {
            found.extend(readable(&path, RecoveredSession::open(&path)).flatten());
        } else if readable(&path, files::open_locked(&path)).flatten().is_some() {
            files::remove(&path)?;
        }
    }
    Ok(found)
}

/// Whether there is a journal in a folder, whoever writes it.
pub fn any(folder: &Path) -> bool {
    files::any(folder, SUFFIX)
}

/// One file that can't be read must not keep the others from being sent.
fn readable<T>(path: &Path, read: io::Result<T>) -> Option<T> {
    read.inspect_err(|error| warn!(%error, file = %path.display(), "A journal can't be read; it stays.")).ok()
}

#[cfg(test)]
mod tests {
    use profile::{
        address::RemoteAddr,
        id::{Pid, Tid},
        stack::{NativeFrame, PcKind, RawFrame, StackEnd},
        thread::ThreadState,
    };

    use super::*;

    fn session() -> SessionInfo {
        SessionInfo::new(ProfilerId(uuid::Uuid::nil()), Anchor { unix_ns: 9, monotonic_ns: 1 }, 101.0, Pid(1))
    }

    fn thread(tid: i32) -> Event {
        Event::Thread { tid: Tid(tid), name: format!("thread {tid}") }
    }

    fn stack(id: u32, pc: u64) -> Event {
        let frame = RawFrame::Native(NativeFrame { pc: RemoteAddr(pc), kind: PcKind::Exact, module: None });
        Event::Stack(StackId(id), RawStack { frames: vec![frame], end: StackEnd::Complete })
    }

    fn sample(tid: i32, stack: u32) -> Event {
        Event::Sample { tid: Tid(tid), stack: StackId(stack), state: ThreadState::OnCpu.into() }
    }

    fn events(folder: &Path) -> Vec<Vec<Event>> {
        recover(folder, &[]).unwrap().into_iter().map(Iterator::collect).collect()
    }

    /// Check that each file repeats the live threads and the stacks on which they stand, over several rotations, and
    /// nothing else; and that a thread keeps its stack although its id means another one by now.
    #[test]
    fn files_can_be_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(folder.path(), &session(), 1).unwrap();
        let tick = |at_ns| Event::Tick { at_ns };
        let (zero, one, one_anew, two) = (stack(0, 10), stack(1, 11), stack(1, 99), stack(2, 12));
        let ident = |tid| Event::Ident { tid: Tid(tid), ident: 70 };
        journal.append(&ident(1)).unwrap();
        journal.append(&ident(2)).unwrap();
        let first = [&thread(1), &thread(2), &one, &sample(4, 1), &zero, &two, &sample(1, 0), &sample(2, 2)];
        for event in first.into_iter().chain([&one_anew, &sample(3, 1), &Event::Ended { tid: Tid(2) }]) {
            journal.append(event).unwrap();
        }
        journal.rotate(6).0.unwrap().delete().unwrap();
        journal.append(&sample(3, 0)).unwrap();
        journal.append(&sample(1, 77)).unwrap();
        drop(journal.rotate(7).0.unwrap());
        drop(journal.close());
        let opening = [
            thread(1),
            ident(1),
            tick(6),
            one.clone(),
            sample(4, 1),
            zero.clone(),
            sample(1, 0),
            one_anew,
            sample(3, 1),
        ];
        let second = opening.into_iter().chain([sample(3, 0), sample(1, 77)]).collect::<Vec<_>>();
        let third = vec![thread(1), ident(1), tick(7), one, sample(4, 1), zero, sample(3, 0)];
        assert_eq!(events(folder.path()), [second, third]);
    }

    /// Check that only files after a rotation say other clocks: the one before it was written by its own.
    #[test]
    fn clocks_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(folder.path(), &session(), 1).unwrap();
        let (id, anchor) = (ProfilerId(uuid::Uuid::from_u128(7)), Anchor { unix_ns: 70, monotonic_ns: 2 });
        journal.re_anchor(id, anchor);
        journal.append(&thread(1)).unwrap();
        drop(journal.rotate(2).0.unwrap());
        drop(journal.close());
        let told = recover(folder.path(), &[]).unwrap().into_iter().map(|dead| dead.header);
        let second = SessionInfo { profiler_id: id, anchor, ..session() };
        let expected = [Header { session: session(), start_ns: 1 }, Header { session: second, start_ns: 2 }];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    /// Check that a full disk is told once, costs one file, and that the next one can be read alone.
    #[test]
    fn full_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(folder.path(), &session(), 1).unwrap();
        journal.append(&thread(1)).unwrap();
        journal.flush().unwrap();
        // Not for writing: every write fails.
        journal.current.file = File::open(journal.path()).unwrap();
        journal.append(&thread(2)).unwrap();
        let error = journal.flush().unwrap_err().to_string();
        assert!(error.starts_with("cannot write the journal "), "{error}");
        journal.append(&thread(3)).unwrap();
        journal.flush().unwrap();
        drop(journal.rotate(2).0.unwrap());
        journal.append(&thread(4)).unwrap();
        drop(journal.close());
        let tick = Event::Tick { at_ns: 2 };
        let second = vec![thread(1), thread(2), thread(3), tick, thread(4)];
        assert_eq!(events(folder.path()), [vec![thread(1)], second]);
    }

    /// Check that a file that cannot be begun costs its own chunk alone: the old one is given back all the same, once, and
    /// the next can be read alone.
    #[test]
    fn rotation_fails() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(folder.path(), &session(), 1).unwrap();
        [thread(1), stack(0, 10), sample(1, 0)].iter().for_each(|event| journal.append(event).unwrap());
        fs::write(folder.path().join("file"), b"").unwrap();
        journal.folder = folder.path().join("file");
        let (closed, begun) = journal.rotate(2);
        assert!(begun.unwrap_err().to_string().starts_with("cannot begin a journal in "));
        closed.unwrap().delete().unwrap();
        journal.append(&thread(2)).unwrap();
        assert!(journal.rotate(3).0.is_none());
        journal.folder = folder.path().to_owned();
        let (closed, begun) = journal.rotate(4);
        assert!(closed.is_none() && begun.is_ok());
        journal.append(&sample(2, 0)).unwrap();
        drop(journal.close());
        let tick = Event::Tick { at_ns: 4 };
        let expected = vec![thread(1), thread(2), tick, stack(0, 10), sample(1, 0), sample(2, 0)];
        assert_eq!(events(folder.path()), [expected]);
    }
}
