//! Chunks of a process that says when it wants to be profiled: runs with time between them, marks, transactions.

use serde_json::Value;

use super::*;
use crate::feed::Mark;

/// `seconds since the start: innermost function` of each sample of a thread; `-` for the empty stack.
fn samples(profile: &Value, thread: &str, time: impl Fn(&Value) -> f64) -> String {
    let text = |place: &Value, key: &str| profile[key][usize::try_from(place.as_u64().unwrap()).unwrap()].clone();
    let of = profile["samples"].as_array().unwrap().iter().filter(|sample| sample["thread_id"] == thread);
    let rows = of.map(|sample| {
        let stack = text(&sample["stack_id"], "stacks");
        let leaf =
            stack.get(0).map_or("-".to_owned(), |leaf| text(leaf, "frames")["function"].as_str().unwrap().into());
        format!("{:.3}: {leaf}", time(sample))
    });
    rows.collect::<Vec<_>>().join(", ")
}

#[allow(clippy::cast_precision_loss, reason = "a test's few seconds")]
fn of_chunk(chunk: &Chunk, thread: &str) -> String {
    let payload: Value = serde_json::from_slice(&chunk.payload).unwrap();
    samples(&payload["profile"], thread, |sample| {
        let us = (sample["timestamp"].as_f64().unwrap() * 1e6).round() - START_US as f64;
        us / 1e6
    })
}

fn with_stacks() -> ChunkBuilder {
    let mut builder = ChunkBuilder::new(info(), START_NS);
    for event in modules() {
        builder.apply(&event);
    }
    for event in [stack(0, &[0x1010], StackEnd::Complete), stack(1, &[0x2010], StackEnd::Complete)] {
        builder.apply(&event);
    }
    builder
}

fn apply(builder: &mut ChunkBuilder, events: &[Event]) {
    events.iter().for_each(|event| builder.apply(event));
}

/// Check that nothing is claimed of the time between two runs: a thread that slept on stands from the next run's first tick.
#[test]
fn between_runs() {
    let mut builder = with_stacks();
    apply(
        &mut builder,
        &[tick(10_000), sample(1, 0, RUNNING), sample(2, 1, ASLEEP), tick(20_000), sample(1, 0, RUNNING)],
    );
    let first = builder.close(ns(25_000), &mut name).unwrap();
    // What comes in between belongs to nobody.
    apply(&mut builder, &[tick(30_000), sample(1, 1, RUNNING)]);
    let id = ProfilerId(Uuid::from_u128(2));
    builder.begin(id, info().anchor, ns(500_000), false);
    apply(&mut builder, &[tick(510_000), sample(1, 0, RUNNING), tick(520_000), sample(1, 0, RUNNING)]);
    let second = builder.close(ns(525_000), &mut name).unwrap();
    assert_eq!(of_chunk(&first, "1"), "0.010: f1010, 0.020: f1010, 0.025: f1010");
    assert_eq!(of_chunk(&second, "1"), "0.510: f1010, 0.520: f1010, 0.525: f1010");
    assert_eq!(of_chunk(&second, "2"), "0.510: f2010, 0.520: f2010, 0.525: f2010");
    assert_eq!((second.profiler_id, second.start_unix_ns), (id, (START_US + 500_000) * 1000));
}

fn mark(sequence: u64, ident: u64, start_us: u64, end_us: Option<u64>) -> Event {
    let name = format!("mark {sequence}");
    Event::Mark(Mark { sequence, is_block: true, ident, name, start_ns: ns(start_us), end_ns: end_us.map(ns) })
}

/// Check that of a chunk of marks alone only their own thread within their own time is told, and which marks there were.
#[test]
fn marks_alone() {
    let mut builder = with_stacks();
    builder.begin(info().profiler_id, info().anchor, ns(5_000), true);
    apply(&mut builder, &[ident(1, 71), ident(2, 72), mark(1, 71, 5_000, None)]);
    for at in 1..=6_u64 {
        apply(&mut builder, &[tick(at * 10_000), sample(1, 0, RUNNING), sample(2, 1, RUNNING)]);
        if at == 2 {
            apply(&mut builder, &[mark(1, 71, 5_000, Some(25_000))]);
        }
        if at == 4 {
            apply(&mut builder, &[mark(2, 71, 45_000, None)]);
        }
    }
    let chunk = builder.close(ns(65_000), &mut name).unwrap();
    assert_eq!(of_chunk(&chunk, "71"), "0.010: f1010, 0.020: f1010, 0.025: -, 0.050: f1010, 0.060: f1010, 0.065: -");
    assert_eq!(of_chunk(&chunk, "72"), "");
    let payload: Value = serde_json::from_slice(&chunk.payload).unwrap();
    let marks = payload["sentry_profiled"]["marks"].as_array().unwrap();
    let rows: Vec<String> =
        marks.iter().map(|mark| format!("{} {} {}", mark["thread_id"], mark["kind"], mark["name"])).collect();
    assert_eq!(rows, [r#""71" "block" "mark 1""#, r#""71" "block" "mark 2""#]);
}

/// Check a transaction's profile: its own part of what was seen, by times since its start; and that one with a single tick is none.
#[test]
fn transactions() {
    let mut builder = with_stacks();
    builder.begin(ProfilerId(Uuid::nil()), info().anchor, ns(0), false);
    for at in 1..=6_u64 {
        apply(&mut builder, &[tick(at * 10_000), sample(1, u32::from(at > 3), RUNNING)]);
        if at == 1 {
            apply(&mut builder, &[sample(2, 1, ASLEEP)]);
        }
    }
    let bytes = builder.transaction(ns(25_000), ns(55_000), false, &mut name).unwrap();
    let told: Value = serde_json::from_slice(&bytes).unwrap();
    let elapsed = |sample: &Value| sample["elapsed_since_start_ns"].as_str().unwrap().parse::<f64>().unwrap() / 1e9;
    assert_eq!(samples(&told["profile"], "1", elapsed), "0.005: f1010, 0.015: f2010, 0.025: f2010, 0.030: f2010");
    assert_eq!(samples(&told["profile"], "2", elapsed), "0.005: f2010, 0.015: f2010, 0.030: f2010");
    assert_eq!((&told["ticks"], &told["cut"]), (&3.into(), &false.into()));
    assert!(builder.transaction(ns(25_000), ns(35_000), false, &mut name).is_none());
    builder.forget_before(ns(25_000));
    assert_eq!(builder.transaction(ns(25_000), ns(55_000), false, &mut name), Some(bytes));
}
