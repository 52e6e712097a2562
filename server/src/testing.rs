//! A store in memory, for tests here and elsewhere: keeps everything as it came, forgets nothing. Answers no question that
//! needs encoded parts. And bodies as clients compress them.

use std::{
    io::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use profile::received::{Received, Span, Transaction};
use store::{
    ChunkStore, StoreError,
    chunk_store::{Damage, Grain, Part, Sections, Want},
    item::{Appended, Batch, Hours, Kept, ProjectId, Refused, Retention, Selection, Session, Window},
};
use uuid::Uuid;

/// Bytes as a client sends them with this `Content-Encoding`; as they are with any that is not known.
#[allow(clippy::unwrap_used, reason = "for tests; into memory nothing fails")]
pub fn compressed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" | "x-gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 1, 22).write_all(bytes).unwrap();
            out
        }
        "zstd" => zstd::stream::encode_all(bytes, 1).unwrap(),
        _ => bytes.to_vec(),
    }
}

/// Keeps everything in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    batch: Mutex<Batch>,
    fails: std::sync::atomic::AtomicBool,
    append_time: Option<Duration>,
}

impl MemoryStore {
    /// One whose appends take this long, as those that wait for a disk do.
    pub fn slow(append_time: Duration) -> Self {
        Self { append_time: Some(append_time), ..Self::default() }
    }

    /// Whether appends fail from now on.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, std::sync::atomic::Ordering::Relaxed);
    }

    /// All profiles.
    pub fn all(&self) -> Vec<Received> {
        self.lock().profiles.iter().map(|(_, received)| received.clone()).collect()
    }

    /// All spans.
    pub fn all_spans(&self) -> Vec<Span> {
        self.lock().spans.iter().map(|(_, span)| span.clone()).collect()
    }

    /// All transactions.
    pub fn all_transactions(&self) -> Vec<Transaction> {
        self.lock().transactions.iter().map(|(_, of)| of.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChunkStore for MemoryStore {
    fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        if let Some(time) = self.append_time {
            std::thread::sleep(time);
        }
        if self.fails.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(StoreError::Io { what: "append".to_owned(), source: std::io::Error::other("disk is full") });
        }
        let mut kept = self.lock();
        let mut appended = Appended::default();
        for (project, received) in batch.profiles {
            let id = |of: &Received| (of.head.profiler_id, of.head.chunk_id);
            if kept.profiles.iter().any(|(of, known)| *of == project && id(known) == id(&received)) {
                appended.known += 1;
            } else {
                appended.profiles += 1;
                kept.profiles.push((project, received));
            }
        }
        kept.transactions.extend(batch.transactions);
        kept.spans.extend(batch.spans);
        kept.refused.extend(batch.refused);
        Ok(appended)
    }

    fn profiles(&self, selection: &Selection) -> Result<Vec<Kept>, StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let received_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let kept = self.lock();
        let all = kept.profiles.iter().filter(|(project, received)| {
            let head = &received.head;
            *project == selection.project && head.start_us < selection.to_us && head.end_us >= selection.from_us
        });
        Ok(all
            .map(|(project, received)| Kept {
                project: *project,
                received_us,
                head: received.head.clone(),
                threads: u32::try_from(received.threads.len()).unwrap_or(u32::MAX),
                samples: received.threads.iter().map(|thread| thread.samples.len() as u64).sum(),
                bytes: 0,
            })
            .collect())
    }

    fn projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        let kept = self.lock();
        let all: std::collections::BTreeSet<ProjectId> = kept.profiles.iter().map(|(project, _)| *project).collect();
        Ok(all.into_iter().collect())
    }

    fn sessions(&self, _: &Selection) -> Result<Vec<Session>, StoreError> {
        Ok(Vec::new())
    }

    fn plan(&self, _: &Selection, _: Grain) -> Result<Vec<Part>, StoreError> {
        Ok(Vec::new())
    }

    fn fetch(&self, _: &[Part], _: Want) -> Result<Vec<Result<Sections, Damage>>, StoreError> {
        Ok(Vec::new())
    }

    fn hours(&self, _: Option<ProjectId>, _: Window) -> Result<Vec<Hours>, StoreError> {
        Ok(Vec::new())
    }

    fn transactions(&self, project: ProjectId, window: Window) -> Result<Vec<Transaction>, StoreError> {
        let kept = self.lock();
        let overlaps = |of: &Transaction| of.start_us < window.to_us && of.end_us >= window.from_us;
        Ok(kept
            .transactions
            .iter()
            .filter(|(id, of)| *id == project && overlaps(of))
            .map(|(_, of)| of.clone())
            .collect())
    }

    fn transaction(&self, project: ProjectId, event_id: Uuid) -> Result<Option<Transaction>, StoreError> {
        let kept = self.lock();
        let found = kept.transactions.iter().find(|(id, of)| *id == project && of.event_id == event_id);
        Ok(found.map(|(_, of)| of.clone()))
    }

    fn spans(&self, project: ProjectId, trace_id: Uuid) -> Result<Vec<Span>, StoreError> {
        let kept = self.lock();
        let of_trace = kept.spans.iter().filter(|(id, span)| *id == project && span.trace_id == trace_id);
        Ok(of_trace.map(|(_, span)| span.clone()).collect())
    }

    fn refused(&self, project: ProjectId, many: usize) -> Result<Vec<Refused>, StoreError> {
        let kept = self.lock();
        Ok(kept.refused.iter().rev().filter(|refused| refused.project == project).take(many).cloned().collect())
    }

    fn retain(&self, _: Retention, _: u64) -> Result<(), StoreError> {
        Ok(())
    }
}
