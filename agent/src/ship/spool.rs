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
//! - A payload that doesn't match its checksum is moved to `refused/`: it is nothing a server should see.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    ops::Bound,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
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
    /// From a chunk's start.
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
    /// Bytes by name. Other agents add and remove files: this is what was seen last.
    waiting: BTreeMap<String, u64>,
    /// Files that can't be read or deleted: coming back to them would go on for ever.
    ignored: BTreeSet<String>,
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
        self.waiting = sizes(&self.folder)?;
        self.waiting.retain(|name, _| !self.ignored.contains(name));
        Ok(())
    }

    /// How many chunks wait, and their bytes.
    pub fn waiting(&self) -> (usize, u64) {
        (self.waiting.len(), self.waiting.values().sum())
    }

    /// Makes a chunk durable. Gives what was given up for it: the oldest, where bytes or the disk are short, and those
    /// too old. The new one may be among them, if it is larger than the whole spool may be.
    pub fn put(&mut self, chunk: Arrival<'_>) -> io::Result<Vec<GivenUp>> {
        let header = Header::of(chunk);
        let reason = Reason::CacheOverflow;
        if header.payload_bytes > self.bounds.bytes.min(PAYLOAD_BYTES_MAX) {
            return Ok(vec![GivenUp { header, reason }]);
        }
        let mut given_up = self.make_room(header.payload_bytes);
        let name = format!("{:020}-{}.{SUFFIX}", header.start_unix_ns, chunk.chunk_id);
        loop {
            match self.write(&name, &header, chunk.payload) {
                Ok(bytes) => {
                    self.waiting.insert(name, bytes);
                    return Ok(given_up);
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let oldest = now.saturating_sub(self.bounds.age).as_nanos();
        let mut given_up = Vec::new();
        loop {
            let reason =
                if self.waiting.keys().next().and_then(|name| start_of(name)).is_some_and(|start| start < oldest) {
                    Reason::NetworkError
                } else if self.waiting().1.saturating_add(bytes) > self.bounds.bytes {
                    Reason::CacheOverflow
                } else {
                    return given_up;
                };
            let Some(header) = self.give_up_oldest() else { return given_up };
            given_up.push(GivenUp { header, reason });
        }
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
        for name in self.waiting.keys().cloned().collect::<Vec<_>>() {
            let path = self.folder.join(&name);
            let Ok(Some(locked)) = files::open_locked(&path) else { continue };
            let header = read_header(&mut BufReader::new(&locked));
            if files::remove(&path).is_err() {
                self.ignore(&name);
                continue;
            }
            self.waiting.remove(&name);
            if header.is_some() {
                return header;
            }
        }
        None
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

/// When a chunk began, by its name.
fn start_of(name: &str) -> Option<u128> {
    name.split_once('-')?.0.parse().ok()
}

fn sizes(folder: &Path) -> io::Result<BTreeMap<String, u64>> {
    let names = files::names(folder, SUFFIX)?;
    let size = |name: String| Some((folder.join(&name).metadata().ok()?.len(), name));
    Ok(names.into_iter().filter_map(size).map(|(bytes, name)| (name, bytes)).collect())
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

fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
