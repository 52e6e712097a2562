//! What a receiver bears: `serve` is sent chunks of Sentry's SDK for Python (10 busy threads, some of them twice, so that it is
//! 1 MB of JSON) as fast as it takes them, then 150 MB/s of them on a timetable. Prints chunks a second of its CPU time, what
//! waits, and its memory.
//!
//!     SENTRY_PROFILED_BIN=target/release/sentry-profiled cargo run --release -p benches --bin serve-load [SECONDS]
//!
//! Each chunk has an id of its own and is on disk before it is answered. How long an answer takes is counted from when
//! its chunk was due, not from when it was sent. Client and server share the machine.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "it is a bench")]

use std::{
    error::Error,
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tests::{
    envelopes::templates,
    serving::{Connection, Serving, free_port},
    targets::Program,
};

type Failure = Box<dyn Error + Send + Sync>;

/// Half of 300 chunks of 1 MB a second.
const TIMETABLE_MB_PER_S: f64 = 150.0;
const CONNECTIONS: u64 = 8;
const START_S: u64 = 1_790_000_000;
/// Tells an envelope's chunk id from the rest of its bytes.
const MARK: u128 = 0xc0de_c0de_c0de_c0de_c0de_c0de_c0de_c0de;

/// An envelope whose chunk id can be changed. Where it is packed, the id is a gzip member of its own, so that the client has little
/// to do: its CPU is the server's, too.
struct Envelope {
    before: Vec<u8>,
    after: Vec<u8>,
    is_packed: bool,
    /// Unpacked.
    bytes: usize,
}

fn main() -> Result<(), Failure> {
    let seconds = std::env::args().nth(1).map_or(Ok(10), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    println!("| envelopes | | chunks/s | of its CPU | MB/s of its CPU | answers: median | p99 | longest | peak RSS |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for is_packed in [false, true] {
        let envelope = Envelope::new(is_packed)?;
        // A server of its own, so that its peak of memory is.
        let mut serving =
            Serving::spawn(&folder.path().join(is_packed.to_string()), free_port(), &folder.path().join("log"));
        let key = serving.ready().0;
        for per_s in [None, Some(TIMETABLE_MB_PER_S * 1e6 / envelope.bytes as f64)] {
            let load = Load { port: serving.port, key: &key, envelope: &envelope, per_s, seconds };
            load.run(&serving.program)?;
        }
    }
    Ok(())
}

impl Envelope {
    fn new(is_packed: bool) -> Result<Self, Failure> {
        let text = megabyte(&templates().first().ok_or("no chunk")?.envelope(START_S, MARK, 1))?;
        let (before, after) = text.split_once(&format!("{MARK:032x}")).ok_or("no chunk id")?;
        let part = |text: &str| if is_packed { packed(text) } else { Ok(text.as_bytes().to_vec()) };
        Ok(Self { before: part(before)?, after: part(after)?, is_packed, bytes: text.len() })
    }

    fn with(&self, id: u64) -> Result<Vec<u8>, Failure> {
        let id = format!("{id:032x}");
        let id = if self.is_packed { packed(&id)? } else { id.into_bytes() };
        Ok([&*self.before, &id, &self.after].concat())
    }
}

/// The chunk with so many more threads, each a copy of one of its own under another id, that it is a megabyte.
fn megabyte(envelope: &[u8]) -> Result<String, Failure> {
    let text = std::str::from_utf8(envelope)?;
    let payload = text.lines().nth(2).ok_or("no payload")?;
    let mut chunk: Value = serde_json::from_str(payload)?;
    let samples = chunk.pointer_mut("/profile/samples").and_then(Value::as_array_mut).ok_or("no samples")?;
    let mut more = samples.clone();
    more.truncate(samples.len() * 1_000_000usize.saturating_sub(payload.len()) / payload.len());
    for sample in &mut more {
        let id = sample.get("thread_id").and_then(Value::as_str).ok_or("no thread id")?;
        let id = format!("{id}1");
        sample["thread_id"] = id.into();
    }
    samples.extend(more);
    let payload = chunk.to_string();
    Ok(format!("{{}}\n{{\"type\":\"profile_chunk\",\"length\":{}}}\n{payload}\n", payload.len()))
}

fn packed(text: &str) -> Result<Vec<u8>, Failure> {
    let mut member = GzEncoder::new(Vec::new(), Compression::default());
    member.write_all(text.as_bytes())?;
    Ok(member.finish()?)
}

/// Sends for some time.
struct Load<'l> {
    port: u16,
    key: &'l str,
    envelope: &'l Envelope,
    /// `None`: as many as are taken.
    per_s: Option<f64>,
    seconds: u64,
}

impl Load<'_> {
    fn run(&self, server: &Program) -> Result<(), Failure> {
        let cpu = server.on_cpu();
        let began = Instant::now();
        let mut waits = thread::scope(|scope| {
            let senders: Vec<_> =
                (0..CONNECTIONS).map(|number| scope.spawn(move || self.send(number, began))).collect();
            let mut waits = Vec::new();
            for sender in senders {
                waits.extend(sender.join().map_err(|_| "a sender panicked")??);
            }
            Ok::<_, Failure>(waits)
        })?;
        let (took, cpu) = (began.elapsed(), server.on_cpu().saturating_sub(cpu));
        waits.sort_unstable();
        let at =
            |share: usize| waits.get((waits.len() * share / 100).min(waits.len() - 1)).copied().unwrap_or_default();
        let count = waits.len() as f64;
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.1?} | {:.1?} | {:.1?} | {} MB |",
            if self.envelope.is_packed { "gzip" } else { "plain" },
            self.per_s.map_or_else(|| "all it takes".to_owned(), |per_s| format!("{per_s:.0} asked")),
            count / took.as_secs_f64(),
            count / cpu.as_secs_f64(),
            count * self.envelope.bytes as f64 / 1e6 / cpu.as_secs_f64(),
            at(50),
            at(99),
            at(100),
            server.peak_kb() / 1000
        );
        Ok(())
    }

    /// One connection's part: how long each answer took.
    fn send(&self, number: u64, began: Instant) -> Result<Vec<Duration>, Failure> {
        let mut connection = Connection::open(self.port)?;
        let end = began + Duration::from_secs(self.seconds);
        let mut waits = Vec::new();
        for turn in 0_u64.. {
            let index = turn * CONNECTIONS + number;
            let due = match self.per_s {
                Some(per_s) => began + Duration::from_secs_f64(index as f64 / per_s),
                None => Instant::now(),
            };
            if due >= end {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // The two loads of a server must not send the same.
            let encoding = if self.envelope.is_packed { "gzip" } else { "identity" };
            let envelope = self.envelope.with(index << 1 | u64::from(self.per_s.is_some()))?;
            let answer = connection.send_packed(self.key, encoding, &envelope)?;
            if answer.status != 200 {
                return Err(format!("answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
            }
            waits.push(due.elapsed());
        }
        Ok(waits)
    }
}
