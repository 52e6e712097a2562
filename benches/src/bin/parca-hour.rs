//! Our half of `benches/scripts/against-parca`: an hour of a synthetic process in a folder, the same hour as rows of Parca's
//! ClickHouse schema, and how long the hour's call tree takes from the folder.
//!
//!     parca-hour make FOLDER    keeps the hour in FOLDER/store, writes FOLDER/rows.json
//!     parca-hour ask FOLDER     prints as JSON: milliseconds of the first question, of the median one, and its total

use std::{
    collections::BTreeMap,
    error::Error,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
    time::Instant,
};

use profile::received::Received;
use serde_json::json;
use store::{
    ChunkStore,
    embedded::{Embedded, Settings},
    item::{Batch, ProjectId, Selection, Window},
    query::Queries,
    testing::Process,
    tree::Shape,
};

const PROJECT: ProjectId = ProjectId(1);
/// 2026-11-20T00:00:00Z, in microseconds.
const START_US: u64 = 1_795_132_800_000_000;
const MINUTE_US: u64 = 60_000_000;
const QUESTIONS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match given.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", folder] => make(Path::new(folder)),
        ["ask", folder] => ask(Path::new(folder)),
        _ => Err("usage: parca-hour make|ask FOLDER".into()),
    }
}

fn make(folder: &Path) -> Result<(), Box<dyn Error>> {
    // Profile by profile: a block would be made of an hour that is over, and is faster still.
    let settings = Settings { merges: false, ..Settings::default() };
    let store = Embedded::open_with(&folder.join("store"), settings)?;
    let mut rows = BufWriter::new(File::create(folder.join("rows.json"))?);
    let process = Process::large(1);
    for minute in 0..60 {
        let chunk = process.chunk(START_US + minute * MINUTE_US);
        write_rows(&mut rows, &chunk)?;
        store.append(Batch { profiles: vec![(PROJECT, chunk)], ..Batch::default() })?;
    }
    rows.flush()?;
    Ok(())
}

/// One row for each stack of the chunk, with its time. Threads are not told apart, which is fewer rows for the rival.
fn write_rows(out: &mut impl Write, chunk: &Received) -> Result<(), Box<dyn Error>> {
    let mut us = BTreeMap::<u32, u64>::new();
    for thread in &chunk.threads {
        for pair in thread.samples.windows(2) {
            if let [sample, next] = pair {
                *us.entry(sample.stack).or_default() += next.at_us - sample.at_us;
            }
        }
    }
    for (stack, us) in us {
        let frames: Vec<_> = chunk
            .stacks
            .get(stack as usize)
            .into_iter()
            .flatten()
            .filter_map(|frame| chunk.frames.get(*frame as usize))
            .collect();
        let zeros = vec![0; frames.len()];
        let empty = vec![""; frames.len()];
        let names: Vec<_> = frames.iter().map(|frame| frame.function.as_deref().unwrap_or_default()).collect();
        let files: Vec<_> = frames.iter().map(|frame| frame.abs_path.as_deref().unwrap_or_default()).collect();
        let lines: Vec<_> = frames.iter().map(|frame| frame.line.unwrap_or(0)).collect();
        let row = json!({
            "name": "process_cpu", "sample_type": "cpu", "sample_unit": "nanoseconds", "period_type": "cpu",
            "period_unit": "nanoseconds", "period": 9_900_990, "duration": 60_000_000_000_u64,
            "timestamp": chunk.head.start_us / 1000, "time_nanos": chunk.head.start_us * 1000, "value": us * 1000,
            "labels": { "job": "shop" },
            "stacktrace.address": zeros, "stacktrace.mapping_start": zeros, "stacktrace.mapping_limit": zeros,
            "stacktrace.mapping_offset": zeros, "stacktrace.mapping_file": empty, "stacktrace.mapping_build_id": empty,
            "stacktrace.line_number": lines, "stacktrace.function_name": names,
            "stacktrace.function_system_name": names, "stacktrace.function_filename": files,
            "stacktrace.function_start_line": zeros,
        });
        serde_json::to_writer(&mut *out, &row)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn ask(folder: &Path) -> Result<(), Box<dyn Error>> {
    // As `serve` does.
    sampler::sys::keep_freed_memory();
    let began = Instant::now();
    let queries = Queries { store: Arc::new(Embedded::open_read_only(&folder.join("store"))?), live: None };
    let hour = Window { from_us: START_US, to_us: START_US + 61 * MINUTE_US };
    let mut total_us = 0;
    let mut nodes = 0;
    let mut times = Vec::new();
    for question in 0..=QUESTIONS {
        // The first one counts from the opening of the folder on.
        let began = if question == 0 { began } else { Instant::now() };
        let tree =
            queries.tree(&Selection::new(PROJECT, hour), Shape { lines: true, inverted: false, states: false })?.of;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        total_us = tree.total.us + tree.idle.us;
        nodes = tree.nodes.len();
    }
    let first_ms = times.remove(0);
    times.sort_by(f64::total_cmp);
    let median_ms = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    let answer = json!({ "first_ms": first_ms, "median_ms": median_ms, "total_us": total_us, "nodes": nodes });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{answer}")?;
    Ok(())
}
