//! Whole chunks as a person reads them.

use super::*;
use crate::{counters::Counters, stack::Truncation, wire};

/// One thread that runs and is cut once, one that sleeps and ends.
fn events() -> Vec<Event> {
    vec![
        stack(0, &[0x1017, 0x1020, 0x1030], StackEnd::Complete),
        stack(1, &[0x8010, 0x1030], StackEnd::Guessed),
        stack(2, &[0x1017], StackEnd::Truncated(Truncation::BeyondCopy)),
        thread(1, "main"),
        thread(2, "pool"),
        tick(10_000),
        sample(1, 0, RUNNING),
        sample(2, 1, ASLEEP),
        tick(20_000),
        sample(1, 0, RUNNING),
        tick(30_000),
        sample(1, 2, RUNNING),
        tick(40_000),
        sample(1, 0, RUNNING),
        tick(50_000),
        sample(1, 0, RUNNING),
        ended(2),
        Event::Usage { at_ns: ns(50_001), cpu_percent: 99.5, rss_bytes: 4096 },
        Event::Usage { at_ns: ns(50_002), cpu_percent: f64::NAN, rss_bytes: 4096 },
        Event::Cost { stopped_us: 70, stop_max_us: 20, agent_cpu_us: 400 },
        Event::Counters(Box::new(Counters { samples: 9, late: 1, ..Counters::default() })),
    ]
}

/// Check every byte of a chunk of platform `native`: runs, closing samples, repaired nothing, inlined frames, the frame
/// that says why a stack is cut, an unnamed frame with its image, measurements, and our own key.
#[test]
fn native() {
    let mut builder =
        builder(SessionInfo { release: Some("acme@1".into()), host: Some("web-1".into()), ..info() }, events());
    let chunk = builder.close(ns(60_000), &mut name).unwrap();
    assert_eq!(wire::check(&chunk.payload, Some("native")), []);
    insta::assert_snapshot!(readable(&chunk), @r#"
    {"version":"2",
    "chunk_id":"a9d9eae15c728657b2ef9ecd82f1b099",
    "profiler_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c",
    "platform":"native",
    "client_sdk":{"name":"sentry-profiled",
    "version":"0.1.0"},
    "release":"acme@1",
    "debug_meta":{"images":[{"type":"symbolic","debug_id":"cdcdcdcd-cdcd-cdcd-cdcd-cdcdcdcdcdcd","code_file":"/usr/lib/libpool.so.1","image_addr":"0x8000","image_size":4096}]},
    "measurements":{"cpu_usage":{"unit":"percent","values":[{"timestamp":1790000000.050001,"value":99.5}]},
    "memory_footprint":{"unit":"byte","values":[{"timestamp":1790000000.050001,"value":4096}]}},
    "profile":{"frames":[{"function":"inlined","module":"worker","package":"/opt/acme/worker","filename":"worker.cc","abs_path":"/src/acme/worker.cc","lineno":4119,"in_app":true},
    {"function":"f1017","module":"worker","package":"/opt/acme/worker","filename":"worker.cc","abs_path":"/src/acme/worker.cc","lineno":4119,"in_app":true},
    {"function":"f1020","module":"worker","package":"/opt/acme/worker","filename":"worker.cc","abs_path":"/src/acme/worker.cc","lineno":4128,"in_app":true},
    {"function":"f1030","module":"worker","package":"/opt/acme/worker","filename":"worker.cc","abs_path":"/src/acme/worker.cc","lineno":4144,"in_app":true},
    {"function":"[truncated: beyond_copy]","in_app":false},
    {"module":"libpool.so.1","package":"/usr/lib/libpool.so.1","instruction_addr":"0x8010","in_app":false}],
    "stacks":[[0,1,2,3],
    [0,1,4],
    [5,3],
    []],
    "samples":[{"timestamp":1790000000.01,"stack_id":0,"thread_id":"1"},
    {"timestamp":1790000000.01,"stack_id":2,"thread_id":"2"},
    {"timestamp":1790000000.02,"stack_id":0,"thread_id":"1"},
    {"timestamp":1790000000.02,"stack_id":2,"thread_id":"2"},
    {"timestamp":1790000000.03,"stack_id":1,"thread_id":"1"},
    {"timestamp":1790000000.04,"stack_id":0,"thread_id":"1"},
    {"timestamp":1790000000.04,"stack_id":2,"thread_id":"2"},
    {"timestamp":1790000000.05,"stack_id":0,"thread_id":"1"},
    {"timestamp":1790000000.05,"stack_id":3,"thread_id":"2"},
    {"timestamp":1790000000.06,"stack_id":0,"thread_id":"1"}],
    "thread_metadata":{"1":{"name":"main"},
    "2":{"name":"pool"}}},
    "sentry_profiled":{"schema":1,
    "host":"web-1",
    "pid":4711,
    "executable":"/opt/acme/worker",
    "start":1790000000.0,
    "end":1790000000.06,
    "ticks":5,
    "rate_hz_asked":101.0,
    "rate_hz_reached":83.333,
    "stopped_us":70,
    "stop_max_us":20,
    "agent_cpu_us":400,
    "counters":{"samples":9,"late":1,"skipped":{},
    "lost":{},
    "truncated":{},
    "guessed":0,"dropped":{}},
    "states":["on_cpu","sleeping: futex","gone"],
    "thread_states":{"1":[0,6],
    "2":[1,3,2,1]}}}
    "#);
}
