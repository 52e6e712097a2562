//! The spool: chunks on disk, from the moment they are closed until a server has answered 2xx. Sends nothing.
//!
//! # Layout
//! One folder per DSN:
//! ```text
//! {start}-{chunk_id}.chunk         waits; {start} = Unix nanoseconds, 20 digits, so that names sort by time
//! {start}-{chunk_id}.part          is being written, or was when its writer died
//! refused/{start}-{chunk_id}.chunk what the server refused
//! refused/{start}-{chunk_id}.answer  and why: the status, a line feed, the answer's text without the key
//!
//! chunk := Header as JSON, line feed, payload [Header::payload_bytes]
//! ```
//! # Rules
//! - A chunk is durable before it is seen: write, fsync, rename, fsync of the folder. What is sent is read back from
//!   here, so the same bytes go out every time.
//! - Whoever sends a chunk holds its lock (`flock`), and looks again whether it is still there: agents that share a
//!   folder don't send it twice. The lock ends with the process, so a dead agent's chunks are sent by the next.
//! - Bytes and age are bounded; the oldest is given up first. Refused chunks are bounded by bytes.
//! - A chunk's age is the time that it waits here, by the monotonic clock. Only of one that was found here the wall clock
//!   tells how old it was then: setting the clock while an agent runs makes no chunk too old.
//! - A payload that doesn't match its checksum is moved to `refused/`: it is nothing a server should see.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    ops::Bound,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use profile::id::ChunkId;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{files, report::Reason};

const SUFFIX: &str = "chunk";
const ANSWER: &str = "answer";

/// The folder of the refused chunks.
pub(super) const REFUSED: &str = "refused";

/// A header line is some 300 bytes; a longer one is damage.
const HEADER_BYTES_MAX: u64 = 4096;

/// Relay takes 50 MiB; what claims to be much larger is damage.
const PAYLOAD_BYTES_MAX: u64 = 64 << 20;

/// How much may wait, and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Chunks that wait, all together.
    pub bytes: u64,
    /// How long each waits; of those that were found, from the chunk's start.
    pub age: Duration,
    /// Chunks that were refused, all together.
    pub refused_bytes: u64,
}

/// The first line of a chunk file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its platform: goes into the item header, and decides which rate limits concern it.
    pub platform: String,
    /// First and last moment, Unix nanoseconds.
    pub start_unix_ns: u64,
    /// See `start_unix_ns`.
    pub end_unix_ns: u64,
    /// Length of the payload.
    pub payload_bytes: u64,
    /// CRC-32 of the payload.
    pub crc32: u32,
    /// The journal that is deleted once this is durable. If both are found, the agent died in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
}

/// A chunk as it goes into the spool.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its platform.
    pub platform: &'a str,
    /// First and last moment, Unix nanoseconds.
    pub span_unix_ns: (u64, u64),
    /// The JSON.
    pub payload: &'a [u8],
    /// The journal that holds the same samples.
    pub journal: Option<&'a str>,
}

/// The chunks that wait for one DSN.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    refused: PathBuf,
    bounds: Bounds,
    /// By name. Other agents add and remove files: this is what was seen last.
    waiting: BTreeMap<String, Waiting>,
    /// Files that can't be read or deleted: coming back to them would go on for ever.
    ignored: BTreeSet<String>,
}

/// A chunk that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    bytes: u64,
    /// When we saw it first, and its age then.
    since: Instant,
    age: Duration,
}

/// A chunk that was thrown away to keep the bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GivenUp {
    /// Which.
    pub header: Header,
    /// `NetworkError`: it waited too long to be sent; `CacheOverflow`: it had to make room.
    pub reason: Reason,
}

/// A chunk that is being sent: locked until this is dropped. Dropped without a word, it goes on waiting.
#[derive(Debug)]
pub struct Held {
    /// Its first line.
    pub header: Header,
    /// The JSON.
    pub payload: Vec<u8>,
    name: String,
    _locked: File,
}

impl Spool {
    /// Opens the folder of a DSN, making it if need be.
    pub fn open(folder: &Path, bounds: Bounds) -> io::Result<Self> {
        let refused = folder.join(REFUSED);
        files::make_folder(&refused)?;
        let mut spool =
            Self { folder: folder.to_owned(), refused, bounds, waiting: BTreeMap::new(), ignored: BTreeSet::new() };
        spool.look()?;
        Ok(spool)
    }

    /// Looks at the folder anew: other agents add chunks, and leave them when they die.
    pub fn look(&mut self) -> io::Result<()> {
        let mut found = sizes(&self.folder)?;
        found.retain(|name, _| !self.ignored.contains(name));
        let known = std::mem::take(&mut self.waiting);
        let waiting = |(name, bytes): (String, u64)| {
            let found = || Waiting { bytes, since: Instant::now(), age: age_of(&name) };
            let seen = known.get(&name).map_or_else(found, |known| Waiting { bytes, ..*known });
            (name, seen)
        };
        self.waiting = found.into_iter().map(waiting).collect();
        Ok(())
    }

    /// How many chunks wait, and their bytes.
    pub fn waiting(&self) -> (usize, u64) {
        (self.waiting.len(), self.waiting.values().map(|waiting| waiting.bytes).sum())
    }

    /// Makes a chunk durable. Adds to `given_up`, also on an error, what was given up for it: the oldest, where bytes or
    /// the disk are short, and those too old. The new one may be among them, if it is larger than the whole spool may be.
    pub fn put(&mut self, chunk: Arrival<'_>, given_up: &mut Vec<GivenUp>) -> io::Result<()> {
        let header = Header::of(chunk);
        let reason = Reason::CacheOverflow;
        if header.payload_bytes > self.bounds.bytes.min(PAYLOAD_BYTES_MAX) {
            given_up.push(GivenUp { header, reason });
            return Ok(());
        }
        given_up.extend(self.make_room(header.payload_bytes));
        let name = format!("{:020}-{}.{SUFFIX}", header.start_unix_ns, chunk.chunk_id);
        loop {
            match self.write(&name, &header, chunk.payload) {
                Ok(bytes) => {
                    self.waiting.insert(name, Waiting { bytes, since: Instant::now(), age: Duration::ZERO });
                    return Ok(());
                }
                Err(error) if is_disk_full(&error) => {
                    let header = self.give_up_oldest().ok_or(error)?;
                    given_up.push(GivenUp { header, reason });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives up what is too old, and the oldest ones until `bytes` more are within the bound.
    pub fn make_room(&mut self, bytes: u64) -> Vec<GivenUp> {
        let is_old = |waiting: &Waiting| waiting.age.saturating_add(waiting.since.elapsed()) > self.bounds.age;
        let old = self.waiting.iter().filter(|(_, waiting)| is_old(waiting)).map(|(name, _)| name.clone());
        let old: Vec<String> = old.collect();
        let headers = old.iter().filter_map(|name| self.give_up(name));
        let mut given_up: Vec<_> = headers.map(|header| GivenUp { header, reason: Reason::NetworkError }).collect();
        while self.waiting().1.saturating_add(bytes) > self.bounds.bytes {
            let Some(header) = self.give_up_oldest() else { break };
            given_up.push(GivenUp { header, reason: Reason::CacheOverflow });
        }
        given_up
    }

    /// Takes the oldest chunk that no one else holds.
    pub fn take(&mut self) -> Option<Held> {
        let mut name = self.waiting.keys().next().cloned();
        while let Some(this) = name {
            match self.hold(&this) {
                Ok(Some(held)) => return Some(held),
                Ok(None) => self.forget_if_gone(&this),
                Err(error) => {
                    warn!(%error, chunk = this, "A chunk can't be read; left where it is.");
                    self.ignore(&this);
                }
            }
            name = self
                .waiting
                .range::<str, _>((Bound::Excluded(this.as_str()), Bound::Unbounded))
                .next()
                .map(|(name, _)| name.clone());
        }
        None
    }

    /// A server has it: away with it. So too when it is thrown away for a rate limit.
    pub fn done(&mut self, held: &Held) -> io::Result<()> {
        self.waiting.remove(&held.name);
        files::remove(&self.folder.join(&held.name)).inspect_err(|_| self.ignore(&held.name))
    }

    /// Moves a chunk that a server refused aside, with the answer. The oldest refused ones make room for it.
    pub fn refuse(&mut self, held: &Held, answer: &str) -> io::Result<()> {
        self.waiting.remove(&held.name);
        self.set_aside(&held.name, answer).inspect_err(|_| self.ignore(&held.name))
    }

    /// How many refused chunks are kept.
    pub fn refused(&self) -> usize {
        files::names(&self.refused, SUFFIX).map_or(0, |names| names.len())
    }

    /// The journals whose chunks are here: they need no recovery.
    pub fn journals(&self) -> Vec<String> {
        let header = |name: &String| read_header(&mut BufReader::new(File::open(self.folder.join(name)).ok()?));
        self.waiting.keys().filter_map(|name| header(name)?.journal).collect()
    }

    fn write(&self, name: &str, header: &Header, payload: &[u8]) -> io::Result<u64> {
        let path = self.folder.join(name);
        let part = path.with_extension(files::PART);
        let write = || -> io::Result<()> {
            // Somebody may have cleared it away, months after we made it.
            files::make_folder(&self.refused)?;
            // A chunk has one writer. What is there was left by one that died in the midst of it.
            files::remove(&part)?;
            let mut file = files::create(&part)?;
            let mut line = serde_json::to_vec(header)?;
            line.push(b'\n');
            file.write_all(&line)?;
            file.write_all(payload)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            files::sync_folder(&self.folder)
        };
        if let Err(error) = write() {
            let _ = files::remove(&part);
            return Err(error);
        }
        Ok(fs::metadata(&path).map_or(header.payload_bytes, |metadata| metadata.len()))
    }

    /// Locks and reads a chunk; `None` if someone else has it, or it was damaged.
    fn hold(&mut self, name: &str) -> io::Result<Option<Held>> {
        let Some(locked) = files::open_locked(&self.folder.join(name))? else { return Ok(None) };
        let mut reader = BufReader::new(&locked);
        let read = read_header(&mut reader).and_then(|header| Some((read_payload(&mut reader, &header)?, header)));
        let Some((payload, header)) = read else {
            warn!(chunk = name, "A chunk was damaged on disk; moved aside.");
            self.waiting.remove(name);
            self.set_aside(name, "damaged on this machine's disk; never sent")?;
            return Ok(None);
        };
        Ok(Some(Held { header, payload, name: name.to_owned(), _locked: locked }))
    }

    fn ignore(&mut self, name: &str) {
        self.waiting.remove(name);
        self.ignored.insert(name.to_owned());
    }

    fn forget_if_gone(&mut self, name: &str) {
        if !self.folder.join(name).exists() {
            self.waiting.remove(name);
        }
    }

    /// Deletes the oldest chunk that no one is sending.
    fn give_up_oldest(&mut self) -> Option<Header> {
        let names: Vec<String> = self.waiting.keys().cloned().collect();
        names.iter().find_map(|name| self.give_up(name))
    }

    /// Deletes a chunk, but not one that is being sent. `None` also where nobody can tell what it was.
    fn give_up(&mut self, name: &str) -> Option<Header> {
        let path = self.folder.join(name);
        let locked = files::open_locked(&path).ok()??;
        let header = read_header(&mut BufReader::new(&locked));
        if files::remove(&path).is_err() {
            self.ignore(name);
            return None;
        }
        self.waiting.remove(name);
        header
    }

    fn set_aside(&self, name: &str, answer: &str) -> io::Result<()> {
        let (from, to) = (self.folder.join(name), self.refused.join(name));
        let bytes = fs::metadata(&from).map_or(0, |metadata| metadata.len());
        let mut kept = sizes(&self.refused)?;
        while kept.values().sum::<u64>().saturating_add(bytes) > self.bounds.refused_bytes {
            let Some((oldest, _)) = kept.pop_first() else { break };
            files::remove(&self.refused.join(&oldest))?;
            files::remove(&self.refused.join(&oldest).with_extension(ANSWER))?;
        }
        if bytes > self.bounds.refused_bytes {
            return files::remove(&from);
        }
        if let Err(error) = fs::write(to.with_extension(ANSWER), answer) {
            warn!(%error, chunk = name, answer, "The answer to a refused chunk can't be kept.");
        }
        fs::rename(&from, to).or_else(|_| files::remove(&from))
    }
}

impl Header {
    fn of(chunk: Arrival<'_>) -> Self {
        let (start_unix_ns, end_unix_ns) = chunk.span_unix_ns;
        Self {
            chunk_id: chunk.chunk_id,
            platform: chunk.platform.to_owned(),
            start_unix_ns,
            end_unix_ns,
            payload_bytes: u64::try_from(chunk.payload.len()).unwrap_or(u64::MAX),
            crc32: crc32fast::hash(chunk.payload),
            journal: chunk.journal.map(str::to_owned),
        }
    }
}

/// How old a chunk is, by its name and the wall clock.
fn age_of(name: &str) -> Duration {
    let start =
        name.split_once('-').and_then(|(start, _)| start.parse().ok()).map_or(Duration::MAX, Duration::from_nanos);
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(start)
}

fn sizes(folder: &Path) -> io::Result<BTreeMap<String, u64>> {
    let names = files::names(folder, SUFFIX)?;
    let size = |name: String| Some((folder.join(&name).metadata().ok()?.len(), name));
    Ok(names.into_iter().filter_map(size).map(|(bytes, name)| (name, bytes)).collect())
}

/// Whether a chunk waits in the folder of a DSN.
pub(super) fn any(folder: &Path) -> bool {
    files::any(folder, SUFFIX)
}

pub(super) fn read_header(reader: &mut impl BufRead) -> Option<Header> {
    let mut line = Vec::new();
    reader.take(HEADER_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

pub(super) fn read_payload(reader: &mut impl Read, header: &Header) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    // One byte more than promised shows that there is more than promised.
    reader.take(PAYLOAD_BYTES_MAX.saturating_add(1)).read_to_end(&mut payload).ok()?;
    let length = u64::try_from(payload.len()).ok()?;
    (length == header.payload_bytes && crc32fast::hash(&payload) == header.crc32).then_some(payload)
}

pub(super) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const BOUNDS: Bounds = Bounds { bytes: 1 << 20, age: HOUR, refused_bytes: 0 };

    /// Puts a chunk that began so long ago.
    fn put(spool: &mut Spool, number: u128, ago: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let start = u64::try_from(now.saturating_sub(ago).as_nanos()).unwrap();
        let chunk_id = ChunkId(uuid::Uuid::from_u128(number));
        let span_unix_ns = (start, start + 1);
        let mut given_up = Vec::new();
        let chunk = Arrival { chunk_id, platform: "native", span_unix_ns, payload: b"{}", journal: None };
        spool.put(chunk, &mut given_up).unwrap();
        assert_eq!(given_up, []);
    }

    fn given_up(spool: &mut Spool) -> Vec<(u128, Reason)> {
        spool.look().unwrap();
        spool.make_room(0).iter().map(|chunk| (chunk.header.chunk_id.0.as_u128(), chunk.reason)).collect()
    }

    /// Check that chunks are as old as they wait: that by the wall clock they began long ago means that it was set.
    #[test]
    fn clock_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), BOUNDS).unwrap();
        put(&mut spool, 1, 200 * HOUR);
        assert_eq!(given_up(&mut spool), []);
        spool.bounds.age = Duration::ZERO;
        assert_eq!(given_up(&mut spool), [(1, Reason::NetworkError)]);
    }

    /// Check that of those that are found only the old ones are given up, and none in the place of one that is being sent.
    #[test]
    fn old_and_held() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Spool::open(folder.path(), BOUNDS).unwrap();
        let mut first = open();
        put(&mut first, 1, 3 * HOUR);
        put(&mut first, 2, 2 * HOUR);
        put(&mut first, 3, HOUR / 2);
        let held = first.take().unwrap();
        let mut next = open();
        assert_eq!(given_up(&mut next), [(2, Reason::NetworkError)]);
        drop(held);
        assert_eq!(given_up(&mut next), [(1, Reason::NetworkError)]);
        assert_eq!(next.waiting().0, 1);
    }
}
