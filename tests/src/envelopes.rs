//! Envelopes that SDKs sent, made new: other ids, another time, everything else as it was. What a chunk sums up to is
//! counted here by itself, so that what a store says can be compared.

use std::{collections::BTreeMap, io::Read, path::Path};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

/// Chunks of Python's and Node's SDKs; the first is the one that an envelope of 600 kB has.
const NAMES: [&str; 6] =
    ["python-10-threads", "python-manual-1", "python-stream-1", "python-trace-1", "node10-manual-0", "node11-stream-0"];

/// Larger times are milliseconds.
const YEAR_5000_S: u64 = 100_000_000_000;

/// A chunk that an SDK sent, from which any number can be made.
#[derive(Debug)]
pub struct Template {
    pieces: Vec<Piece>,
    /// What it sums up to.
    pub sums: Sums,
}

/// What is in chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Samples.
    pub samples: u64,
    /// Time with a stack, each sample until the next one of its thread, microseconds.
    pub busy_us: u64,
    /// Time without.
    pub idle_us: u64,
}

impl Sums {
    /// Adds others.
    pub fn add(&mut self, others: Self) {
        self.samples += others.samples;
        self.busy_us += others.busy_us;
        self.idle_us += others.idle_us;
    }
}

#[derive(Debug)]
enum Piece {
    Text(String),
    /// Whole seconds after the chunk's first, and microseconds, as text.
    Seconds(u64, String),
    /// Node's measurements say milliseconds: of those, whole seconds after the chunk's first, and the rest.
    Millis(u64, u64),
    ChunkId,
    ProfilerId,
}

/// An envelope of `profile/tests/data`, as an SDK sent it.
pub fn sent(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profile/tests/data");
    let file = std::fs::File::open(folder.join(format!("{name}.envelope.gz"))).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

/// All of them. The first is large.
pub fn templates() -> Vec<Template> {
    NAMES.iter().map(|name| Template::read(name)).collect()
}

impl Template {
    fn read(name: &str) -> Self {
        let text = String::from_utf8(sent(name)).unwrap();
        let mut lines = text.lines().skip_while(|line| !line.contains(r#""type":"profile_chunk""#)).skip(1);
        let mut chunk: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        let sums = sums(&chunk["profile"]);
        let first = chunk["profile"]["samples"].as_array().unwrap().iter().map(micros).min().unwrap() / 1_000_000;
        chunk["chunk_id"] = json!("§chunk§");
        chunk["profiler_id"] = json!("§profiler§");
        mark_times(&mut chunk, first);
        let text = chunk.to_string();
        let pieces = text.split("\"§").flat_map(|part| match part.split_once("§\"") {
            Some((mark, rest)) => vec![Piece::of(mark), Piece::Text(rest.to_owned())],
            None => vec![Piece::Text(part.to_owned())],
        });
        Self { pieces: pieces.collect(), sums }
    }

    /// An envelope with a chunk whose first sample is in the second `start_s` of 1970 on.
    pub fn envelope(&self, start_s: u64, chunk_id: u128, profiler_id: u128) -> Vec<u8> {
        let write = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Seconds(after, micros) => format!("{}.{micros}", start_s + after),
            Piece::Millis(after, rest) => ((start_s + after) * 1000 + rest).to_string(),
            Piece::ChunkId => format!("\"{chunk_id:032x}\""),
            Piece::ProfilerId => format!("\"{profiler_id:032x}\""),
        };
        let payload: String = self.pieces.iter().map(write).collect();
        format!("{{}}\n{{\"type\":\"profile_chunk\",\"length\":{}}}\n{payload}\n", payload.len()).into_bytes()
    }
}

impl Piece {
    fn of(mark: &str) -> Self {
        let number = |text: &str| text.parse().unwrap();
        match mark.split(' ').collect::<Vec<_>>().as_slice() {
            ["chunk"] => Self::ChunkId,
            ["profiler"] => Self::ProfilerId,
            ["s", after, micros] => Self::Seconds(number(after), (*micros).to_owned()),
            ["ms", after, rest] => Self::Millis(number(after), number(rest)),
            _ => panic!("{mark}"),
        }
    }
}

/// Puts marks in the place of all times.
fn mark_times(value: &mut Value, first_s: u64) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|one| mark_times(one, first_s)),
        Value::Object(all) => {
            all.iter_mut().filter(|(key, _)| *key != "timestamp").for_each(|(_, one)| mark_times(one, first_s));
            let Some(timestamp) = all.get_mut("timestamp") else { return };
            let number = timestamp.as_f64().unwrap();
            let text = format!("{number:.6}");
            let (whole, micros) = text.split_once('.').unwrap();
            let whole: u64 = whole.parse().unwrap();
            *timestamp = json!(if whole > YEAR_5000_S {
                format!("§ms {} {}§", (whole / 1000).saturating_sub(first_s), whole % 1000)
            } else {
                format!("§s {} {micros}§", whole.saturating_sub(first_s))
            });
        }
        _ => (),
    }
}

fn micros(sample: &Value) -> u64 {
    format!("{:.6}", sample["timestamp"].as_f64().unwrap()).replace('.', "").parse().unwrap()
}

/// As the protocol says: the time of a sample is that until the next of its thread, the last has none.
fn sums(profile: &Value) -> Sums {
    let mut threads = BTreeMap::<&str, Vec<(u64, u64)>>::new();
    for sample in profile["samples"].as_array().unwrap() {
        let thread = threads.entry(sample["thread_id"].as_str().unwrap()).or_default();
        thread.push((micros(sample), sample["stack_id"].as_u64().unwrap()));
    }
    // A thread that was seen once has no time: receivers drop it.
    threads.retain(|_, thread| thread.len() > 1);
    let mut sums = Sums { samples: threads.values().map(|thread| thread.len() as u64).sum(), ..Sums::default() };
    for thread in threads.values_mut() {
        thread.sort_by_key(|(at, _)| *at);
        for pair in thread.windows(2) {
            let stack = profile["stacks"][usize::try_from(pair[0].1).unwrap()].as_array().unwrap();
            let us = if stack.is_empty() { &mut sums.idle_us } else { &mut sums.busy_us };
            *us += pair[1].0 - pair[0].0;
        }
    }
    sums
}
