//! Shipping from end to end: real chunks, real HTTP, real files, real deaths.

mod crash;
mod faults;
mod journal;
mod limits;
mod secrets;

use std::{path::Path, time::Duration};

use agent::ship::{Arrival, ShipSettings, Shipper};
use profile::id::ChunkId;
use tests::receiver::Receiver;

/// When the first chunk of these tests began: now, so that none is too old.
fn start_unix_ns(number: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap() - 3_600_000_000_000 + number * 60_000_000_000
}

fn chunk_id(number: u64) -> ChunkId {
    ChunkId(uuid::Uuid::from_u64_pair(7, number))
}

/// A chunk that Relay takes, with a number to tell it by; `filler` makes it longer, and hard to compress.
fn payload(number: u64, filler: usize) -> Vec<u8> {
    let mut random = number;
    let filler: String = std::iter::repeat_with(|| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:08x}", random >> 32)
    })
    .take(filler / 8)
    .collect();
    let sample = |at: &str| format!(r#"{{"timestamp":1790000000.{at},"stack_id":0,"thread_id":"1"}}"#);
    format!(
        r#"{{"version":"2","profiler_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c","chunk_id":"{}","platform":"native","client_sdk":{{"name":"acme","version":"0.1.0"}},"profile":{{"frames":[{{"function":"main_{filler}","in_app":true}}],"stacks":[[0]],"samples":[{},{}],"thread_metadata":{{"1":{{"name":"main"}}}}}}}}"#,
        chunk_id(number),
        sample("0"),
        sample("5"),
    )
    .into_bytes()
}

fn submit(shipper: &Shipper, number: u64) {
    submit_large(shipper, number, 0);
}

fn submit_large(shipper: &Shipper, number: u64, filler: usize) {
    let payload = payload(number, filler);
    let start = start_unix_ns(number);
    let span_unix_ns = (start, start + 60_000_000_000);
    let chunk_id = chunk_id(number);
    shipper.put(Arrival { chunk_id, platform: "native", span_unix_ns, payload: &payload, journal: None }).unwrap();
}

/// Settings that wait for little.
fn hasty(dsn: &str, folder: &Path) -> ShipSettings {
    ShipSettings {
        request_timeout: Duration::from_secs(2),
        backoff_first: Duration::from_millis(20),
        backoff_max: Duration::from_millis(100),
        pace: Duration::from_millis(2),
        look_every: Duration::from_millis(100),
        report_after: Duration::from_millis(200),
        ..ShipSettings::new(dsn.parse().unwrap(), folder.to_owned())
    }
}

fn start(receiver: &Receiver, folder: &Path) -> Shipper {
    Shipper::start(hasty(&receiver.dsn(), folder)).unwrap()
}

/// Waits until `done`, at most 20 s.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(std::time::Instant::now() < until, "waited 20 s until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The numbers of the chunks that a receiver took, in order of their first arrival.
fn numbers(receiver: &Receiver) -> Vec<u64> {
    let chunks = receiver.chunks();
    assert!(chunks.iter().all(|chunk| chunk.refusals.is_empty() && chunk.platform == "native"), "{chunks:?}");
    chunks.iter().map(|chunk| number(&chunk.chunk_id)).collect()
}

fn number(chunk_id: &str) -> u64 {
    uuid::Uuid::parse_str(chunk_id).unwrap().as_u64_pair().1
}

/// The names in a folder below the only DSN's, in order.
fn files(folder: &Path, below: &str) -> Vec<String> {
    let dsn = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let entries = std::fs::read_dir(dsn.join(below)).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> =
        entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
