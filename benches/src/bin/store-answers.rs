//! What the embedded store is held to: bytes a sample, encoding, appending, and call trees of an hour, a day, and a week of
//! ten processes, through HTTP and without. Prints the figures.
//!
//!     SENTRY_PROFILED_BIN=target/release/sentry-profiled cargo run --release -p benches --bin store-answers [DAYS [PROCESSES [FOLDER]]]
//!
//! Without: 7, 10, and a folder that goes. One that is there and has been filled is asked again.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "it is a bench"
)]

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use profile::received::Received;
use store::{
    ChunkStore,
    embedded::{Embedded, Settings},
    encoding,
    item::{Batch, ProjectId, Selection, Window},
    query::Queries,
    testing::Process,
    tree::Shape,
};
use tests::serving::{Connection, Serving, free_port};
use uuid::Uuid;

const PROJECT: ProjectId = ProjectId(1);
const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;
const YEAR_2100: u64 = 4_102_444_800_000_000;

/// A midnight nine days ago: what is older than a month, a server removes.
fn start() -> u64 {
    static START: OnceLock<u64> = OnceLock::new();
    *START.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        (u64::try_from(now).unwrap() / (24 * HOUR) - 9) * 24 * HOUR
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise| arguments.get(at).map_or(otherwise, |text| text.parse().unwrap());
    let (days, processes) = (number(0, 7), number(1, 10));
    encode();
    let passing = tempfile::tempdir().unwrap();
    let dir = arguments.get(2).map_or(passing.path(), Path::new);
    if !dir.join("catalogue.sqlite").exists() {
        fill(dir, days, processes);
    }
    let one = |from: u64, to: u64| Selection {
        profilers: vec![Process::large(1).profiler_id()],
        ..Selection::new(PROJECT, Window { from_us: start() + from, to_us: start() + to })
    };
    let all = Selection::new(PROJECT, Window { from_us: 0, to_us: u64::MAX });
    println!(
        "| question | limit | HTTP, first | HTTP, median of 5 | in the program, first | median of 5 | parts | profiles | bytes |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    ask(dir, "1 h, last, 60 chunks", 60, &one(days * 24 * HOUR, (days * 24 + 1) * HOUR));
    ask(dir, "1 h, merged, cut", 60, &one(5 * HOUR + 30 * MINUTE + 1, 6 * HOUR + 30 * MINUTE + 1));
    ask(dir, "24 h, whole", 200, &one(0, 24 * HOUR));
    ask(dir, "24 h, cut", 200, &one(5 * HOUR + 30 * MINUTE + 1, 29 * HOUR + 30 * MINUTE + 1));
    ask(dir, &format!("{days} d x {processes}"), 1500, &all);
}

fn encode() {
    let received = Process::large(1).chunk(start());
    let samples: usize = received.threads.iter().map(|thread| thread.samples.len()).sum();
    let began = Instant::now();
    let rounds: u32 = 10;
    let mut sections = encoding::encode(&received).unwrap();
    for _ in 1..rounds {
        sections = encoding::encode(&received).unwrap();
    }
    let (symbols, aggregate, timeline) = (sections.symbols.len(), sections.aggregate.len(), sections.timeline.len());
    println!(
        "encode: {samples} samples in {:?}; symbols {symbols} B, aggregate {aggregate} B, timeline {timeline} B: {:.2} B/sample",
        began.elapsed() / rounds,
        (symbols + aggregate + timeline) as f64 / samples as f64
    );
}

/// Profiles of `days` days and an hour. The first process's first 30 hours and last one are minutes at 101 Hz; to make
/// 100,000 of these up takes half an hour, so the rest is ten minutes at 10 Hz each. Blocks of a day are the same: they have
/// all stacks of all threads either way. A process has twelve different profiles, written again under other times.
fn fill(dir: &Path, days: u64, processes: u64) {
    let now = Arc::new(AtomicU64::new(start()));
    let clock = Arc::clone(&now);
    let settings =
        Settings { clock: Arc::new(move || clock.load(Ordering::Relaxed)), merges: false, ..Settings::default() };
    let store = Embedded::open_with(dir, settings).unwrap();
    let long = |seed| Process { rate_hz: 10, chunk_us: 10 * MINUTE, ..Process::large(seed) };
    let twelve =
        |process: Process| (0..12).map(|at| process.chunk(start() + at * process.chunk_us)).collect::<Vec<_>>();
    let minutes = twelve(Process::large(1));
    let others: Vec<Vec<Received>> = (1..=processes).map(|seed| twelve(long(seed))).collect();
    let (mut appends, mut count) = (Duration::ZERO, 0_u32);
    for hour in 0..=days * 24 {
        for (which, others) in others.iter().enumerate() {
            let is_fine = which == 0 && (hour < 30 || hour == days * 24);
            if hour == days * 24 && !is_fine {
                continue;
            }
            let (profiles, length) = if is_fine { (&minutes, MINUTE) } else { (others, 10 * MINUTE) };
            for at in 0..HOUR / length {
                let index = hour * (HOUR / length) + at;
                let received =
                    moved(&profiles[usize::try_from(index % 12).unwrap()], start() + hour * HOUR + at * length);
                now.fetch_max(received.head.end_us.min(start() + (hour + 1) * HOUR - 1), Ordering::Relaxed);
                let began = Instant::now();
                store.append(Batch { profiles: vec![(PROJECT, received)], ..Batch::default() }).unwrap();
                if is_fine {
                    appends += began.elapsed();
                    count += 1;
                }
            }
        }
    }
    println!("append: {count} chunks of 60,000 samples, {:?} each, one after the other", appends / count);
    let began = Instant::now();
    store.merge().unwrap();
    println!("merge: {:?} for all", began.elapsed());
    drop(store);
    let bytes = store::embedded::check(dir).map(|report| (report.segment_bytes, report.catalogue_bytes, report.blocks));
    println!("bytes of segments, of the catalogue, and blocks: {:?}", bytes.unwrap());
}

/// A profile as if it had begun at `start_us`.
fn moved(profile: &Received, start_us: u64) -> Received {
    let mut moved = profile.clone();
    let shift = start_us - profile.head.start_us / MINUTE * MINUTE;
    moved.head.start_us += shift;
    moved.head.end_us += shift;
    moved.head.chunk_id = Uuid::from_u64_pair(profile.head.profiler_id.as_u64_pair().1, start_us);
    for sample in moved.threads.iter_mut().flat_map(|thread| &mut thread.samples) {
        sample.at_us += shift;
    }
    moved
}

fn ask(dir: &Path, what: &str, limit_ms: u64, selection: &Selection) {
    let (mut parts, mut profiles) = (0, 0);
    let inside = times(|| {
        // Opened anew: nothing of ours is warm; the kernel's pages are.
        let queries = Queries { store: Arc::new(Embedded::open_read_only(dir).unwrap()), live: None };
        let began = Instant::now();
        let answer = queries.tree(selection, Shape::default()).unwrap();
        let took = began.elapsed();
        parts = queries.store.plan(selection, store::chunk_store::Grain::Blocks).unwrap().len();
        profiles = answer.covers.profiles;
        took
    });
    let profilers: Vec<String> = selection.profilers.iter().map(|id| format!("&profiler={}", id.simple())).collect();
    let Window { from_us, to_us } = selection.window();
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let (from, to) = (seconds(from_us), seconds(to_us.min(YEAR_2100)));
    let question = format!("/api/v1/tree?project=1&from={from}&to={to}{}", profilers.concat());
    let mut bytes = 0;
    let through_http = times(|| {
        // A server of its own each time, for the same reason.
        let mut serving = Serving::spawn(dir, free_port(), &dir.join("log"));
        serving.ready();
        let began = Instant::now();
        let answer = Connection::open(serving.port).unwrap().get(&question).unwrap();
        let took = began.elapsed();
        let text = String::from_utf8_lossy(&answer.body);
        assert!(
            answer.status == 200 && text.contains(&format!("\"profiles\":{profiles},")),
            "{}",
            &text[..text.len().min(500)]
        );
        bytes = answer.body.len();
        took
    });
    println!(
        "| {what} | {limit_ms} ms | {:.1?} | {:.1?} | {:.1?} | {:.1?} | {parts} | {profiles} | {bytes} |",
        through_http.0, through_http.1, inside.0, inside.1
    );
}

/// The first time, and the median of five more.
fn times(mut ask: impl FnMut() -> Duration) -> (Duration, Duration) {
    let first = ask();
    let mut more: Vec<Duration> = (0..5).map(|_| ask()).collect();
    more.sort_unstable();
    (first, more[2])
}
