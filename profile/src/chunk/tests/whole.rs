//! Whole chunks as a person reads them.

use super::*;
use crate::{
    chunk::{BYTES_MAX, Naming, Platform, payload},
    code::{Code, CodeIndex, Language},
    counters::Counters,
    export::{Options, View, collapsed},
    record::Recording,
    stack::{CodeFrame, Truncation},
    wire,
};

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
    "2":[1,3,2,1]},
    "in_file":[5,16]}}
    "#);
}

/// A Python program: `main.py` calls a method of a package through `sorted`, and that a function of an extension. The
/// interpreter (0x1000) has names up to 0x1f00.
fn python_events() -> Vec<Event> {
    let native = |pc: u64| {
        let module = Some(ModuleIndex(u32::from(pc >= 0x8000)));
        RawFrame::Native(NativeFrame { pc: RemoteAddr(pc), kind: PcKind::Return, module })
    };
    let code = |code, line| RawFrame::Code(CodeFrame { code: CodeIndex(code), line });
    let define = |index, function: &str, module: &str, file: &str| {
        let (function, module, file) = (function.into(), Some(module.into()), file.into());
        Event::Code(CodeIndex(index), Code { language: Language::Python, function, module, file, first_line: 1 })
    };
    let unnamed = [native(0x1f10), native(0x1e00), native(0x1f20)];
    let called = [native(0x8010), code(0, Some(12)), native(0x1e00), native(0x1020)];
    let frames = [&called[..], &unnamed, &[code(1, Some(3)), RawFrame::Omitted(7), native(0x1e00)]].concat();
    let bare = RawStack { frames: [native(0x1e00), native(0x1f10)].into(), end: StackEnd::Complete };
    let mut events = modules().to_vec();
    if let Some(Event::Module(_, module)) = events.first_mut() {
        module.interpreter = Some(Language::Python);
    }
    events.extend([
        define(0, "Row.key", "acme.rows", "/srv/acme/acme/rows.py"),
        define(1, "<module>", "__main__", "main.py"),
        Event::Stack(StackId(0), RawStack { frames, end: StackEnd::Complete }),
        Event::Stack(StackId(1), bare),
        tick(10_000),
        sample(1, 0, RUNNING),
        sample(2, 1, RUNNING),
        tick(20_000),
    ]);
    events
}

/// `eval` at 0x1e00, no name from 0x1f00 on, else as [`name`] has it.
fn python_name(raw: &NativeFrame) -> Arc<[Frame]> {
    match raw.pc.0 {
        0x1e00 => [Frame { function: Some("_PyEval_EvalFrameDefault".into()), ..Frame::default() }].into(),
        0x1f00..0x2000 => [Frame { missing: Some(Missing::Stripped), ..Frame::default() }].into(),
        _ => name(raw),
    }
}

/// Check frames of both kinds in one stack: names, paths and `in_app` of Python's; no machinery of the interpreter where there
/// are such frames, and its unnamed ones as one; all of it in a stack without, and where that was asked for.
#[test]
fn python() {
    let info = SessionInfo { platform: Platform::PYTHON, cwd: Some("/srv/acme".into()), ..info() };
    let chunk = builder(info.clone(), python_events()).close(ns(30_000), &mut python_name).unwrap();
    assert_eq!(wire::check(&chunk.payload, Some("python")), []);
    let json: serde_json::Value = serde_json::from_slice(&chunk.payload).unwrap();
    let frames = json["profile"]["frames"].as_array().unwrap().iter().map(ToString::to_string);
    insta::assert_snapshot!(frames.collect::<Vec<_>>().join("\n"), @r#"
    {"in_app":false,"instruction_addr":"0x800f","module":"libpool.so.1","package":"/usr/lib/libpool.so.1"}
    {"abs_path":"/srv/acme/acme/rows.py","filename":"acme/rows.py","function":"Row.key","in_app":true,"lineno":12,"module":"acme.rows"}
    {"abs_path":"/src/acme/worker.cc","filename":"worker.cc","function":"f1020","in_app":false,"lineno":4128,"module":"worker","package":"/opt/acme/worker"}
    {"function":"[worker]","in_app":false,"module":"worker","package":"/opt/acme/worker"}
    {"abs_path":"/srv/acme/main.py","filename":"main.py","function":"<module>","in_app":true,"lineno":3,"module":"__main__"}
    {"function":"[7 frames omitted]","in_app":false}
    {"function":"_PyEval_EvalFrameDefault","in_app":false}
    {"in_app":false,"instruction_addr":"0x1f10","module":"worker","package":"/opt/acme/worker"}
    "#);
    assert_eq!(json["profile"]["stacks"].to_string(), "[[0,1,2,3,4,5],[6,7]]");
    let all = SessionInfo { keep_interpreter_frames: true, ..info };
    let chunk = builder(all, python_events()).close(ns(30_000), &mut python_name).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&chunk.payload).unwrap();
    assert_eq!(json["profile"]["stacks"].to_string(), "[[0,1,2,3,4,2,5,6,7,2],[2,4]]");
}

/// Check that a chunk is of the platform that it shows: native until the interpreter is known, Python's from then on for all that
/// the chunk holds, and native again when another program runs; always the chosen one, if there is one.
#[test]
fn platforms() {
    let platforms = |info: SessionInfo| {
        let mut builder = builder(info, [stack(7, &[0x8010], StackEnd::Complete), tick(10_000), sample(1, 7, RUNNING)]);
        let mut seen = Vec::new();
        let mut close = |builder: &mut ChunkBuilder, at: u64| {
            builder.apply(&tick(at));
            let chunk = builder.close(ns(at + 1), &mut python_name).unwrap();
            assert_eq!(wire::check(&chunk.payload, Some(chunk.platform.as_str())), []);
            seen.push(chunk.platform.as_str().to_owned());
        };
        close(&mut builder, 20_000);
        builder.apply(&tick(30_000));
        python_events()
            .iter()
            .filter(|event| !matches!(event, Event::Tick { .. }))
            .for_each(|event| builder.apply(event));
        close(&mut builder, 40_000);
        builder.apply(&tick(50_000));
        builder.apply(&Event::Ended { tid: Tid(2) });
        builder.apply(&stack(7, &[0x8010], StackEnd::Complete));
        builder.apply(&sample(1, 7, RUNNING));
        close(&mut builder, 60_000);
        close(&mut builder, 80_000);
        seen.join(" ")
    };
    assert_eq!(platforms(info()), "native python python native");
    let chosen = SessionInfo { platform: Platform::RUST, platform_is_chosen: true, ..info() };
    assert_eq!(platforms(chosen), "rust rust rust rust");
}

/// Check that a recording shows the same.
#[test]
fn python_recorded() {
    let recorded = |keep_interpreter_frames| {
        let mut recording = Recording::new(SessionInfo { keep_interpreter_frames, ..info() });
        python_events().iter().for_each(|event| recording.apply(event));
        let mut out = Vec::new();
        let view = View::of_recordings(&[recording.finish(ns(30_000), &mut python_name)]);
        collapsed::write(&view, Options::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    insta::assert_snapshot!(recorded(false), @r"
    [7 frames omitted];<module>;[worker];f1020;Row.key;libpool.so.1+0xf 2
    worker+0xf0f;_PyEval_EvalFrameDefault 2
    ");
    insta::assert_snapshot!(recorded(true), @r"
    _PyEval_EvalFrameDefault;[7 frames omitted];<module>;worker+0xf1f;_PyEval_EvalFrameDefault;worker+0xf0f;f1020;_PyEval_EvalFrameDefault;Row.key;libpool.so.1+0xf 2
    worker+0xf0f;_PyEval_EvalFrameDefault 2
    ");
}

/// Check that a runtime's ident is a thread's id over the whole chunk, however late it came to be known; but not one that
/// an earlier thread has (2), nor one that is another's tid (3). 4 has none.
#[test]
fn idents() {
    let mut events = vec![stack(0, &[0x1010], StackEnd::Complete), thread(1, "main"), tick(10_000)];
    events.extend((1..5).map(|tid| sample(tid, 0, RUNNING)));
    events.extend([tick(20_000), ident(1, 139_784_000_123_456), ident(2, 139_784_000_123_456), ident(3, 4)]);
    let chunk = builder(info(), events).close(ns(30_000), &mut name).unwrap();
    assert_eq!(wire::check(&chunk.payload, Some("native")), []);
    let json: serde_json::Value = serde_json::from_slice(&chunk.payload).unwrap();
    let ids = ["139784000123456", "2", "3", "4"];
    let samples = json["profile"]["samples"].as_array().unwrap().iter().map(|sample| sample["thread_id"].as_str());
    assert_eq!(samples.flatten().collect::<Vec<_>>(), [ids, ids, ids].concat());
    assert_eq!(json["profile"]["thread_metadata"]["139784000123456"]["name"], "main");
    let states = json["sentry_profiled"]["thread_states"].as_object().unwrap();
    assert_eq!(states.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(), ids.into());
}

/// Check what server naming changes: every frame raw and with an address, also the one that says why a stack was cut
/// (one without would make the chunk unreadable to Symbolicator), callers one past where they are looked up, all
/// images.
#[test]
fn raw_for_server() {
    let raw = SessionInfo { naming: Naming::RawForServer, platform: Platform::RUST, ..info() };
    let chunk = builder(raw, events()).close(ns(60_000), &mut name).unwrap();
    assert_eq!(wire::check(&chunk.payload, Some("rust")), []);
    insta::assert_snapshot!(lines_with(&chunk, &["\"frames\"", "instruction_addr", "debug_meta", "\"stacks\""]), @r#"
    "debug_meta":{"images":[{"type":"symbolic","debug_id":"abababab-abab-abab-abab-abababababab","code_file":"/opt/acme/worker","image_addr":"0x1000","image_size":4096},
    "profile":{"frames":[{"module":"worker","package":"/opt/acme/worker","instruction_addr":"0x1017","in_app":true},
    {"module":"worker","package":"/opt/acme/worker","instruction_addr":"0x1020","in_app":true},
    {"module":"worker","package":"/opt/acme/worker","instruction_addr":"0x1030","in_app":true},
    {"function":"[truncated: beyond_copy]","instruction_addr":"0x0","in_app":false},
    {"module":"libpool.so.1","package":"/usr/lib/libpool.so.1","instruction_addr":"0x8010","in_app":false}],
    "stacks":[[0,1,2],
    "#);
}

/// Check that a Rust program's chunk names no images unless asked: Sentry would then name every frame anew, and fail.
#[test]
fn rust() {
    let chunk =
        builder(SessionInfo { platform: Platform::RUST, ..info() }, events()).close(ns(60_000), &mut name).unwrap();
    assert_eq!(wire::check(&chunk.payload, Some("rust")), []);
    insta::assert_snapshot!(lines_with(&chunk, &["instruction_addr", "debug_meta"]), @r#"
    {"module":"libpool.so.1","package":"/usr/lib/libpool.so.1","instruction_addr":"0x8010","in_app":false}],
    "#);
}

/// Check that a frame below a signal handler, which is exact, is looked up by a receiver where it is.
#[test]
fn exact_caller() {
    let frame = |pc, kind| RawFrame::Native(NativeFrame { pc: RemoteAddr(pc), kind, module: Some(ModuleIndex(1)) });
    let frames = vec![frame(0x8010, PcKind::Exact), frame(0x8020, PcKind::Exact), frame(0x8030, PcKind::Return)];
    let stack = Event::Stack(StackId(0), RawStack { frames, end: StackEnd::Complete });
    let events = [stack, tick(1), sample(1, 0, RUNNING), tick(2)];
    let chunk = builder(info(), events).close(ns(9), &mut name).unwrap();
    insta::assert_snapshot!(lines_with(&chunk, &["instruction_addr"]), @r#"
    "profile":{"frames":[{"module":"libpool.so.1","package":"/usr/lib/libpool.so.1","instruction_addr":"0x8010","in_app":false},
    {"module":"libpool.so.1","package":"/usr/lib/libpool.so.1","instruction_addr":"0x8021","in_app":false},
    {"module":"libpool.so.1","package":"/usr/lib/libpool.so.1","instruction_addr":"0x8030","in_app":false}],
    "#);
}

/// Check that a thread seen once and gone is told twice, within its own time: receivers drop a single sample.
#[test]
fn repaired() {
    let seen_once = [stack(0, &[0x1010], StackEnd::Complete), tick(1000), sample(1, 0, RUNNING), tick(2001), ended(1)];
    let chunk = builder(info(), seen_once).close(ns(3000), &mut name).unwrap();
    assert_eq!(wire::check(&chunk.payload, None), []);
    insta::assert_snapshot!(lines_with(&chunk, &["stack_id", "thread_states"]), @r#"
    "samples":[{"timestamp":1790000000.001,"stack_id":0,"thread_id":"1"},
    {"timestamp":1790000000.0015,"stack_id":0,"thread_id":"1"},
    {"timestamp":1790000000.002001,"stack_id":1,"thread_id":"1"}],
    "thread_states":{"1":[0,2,1,1]}}}
    "#);
}

/// Check that nothing comes of nothing, that its counts go with the next chunk, and that both have ids of their own.
#[test]
fn nothing_to_send() {
    let counted = Event::Counters(Box::new(Counters { late: 3, ..Counters::default() }));
    let mut builder = builder(info(), [counted, tick(10)]);
    assert_eq!(builder.close(ns(20), &mut name), None);
    for event in [stack(0, &[0x1010], StackEnd::Complete), tick(30), sample(1, 0, RUNNING), sample(2, 7, RUNNING)] {
        builder.apply(&event);
    }
    let first = builder.close(ns(40), &mut name).unwrap();
    let second = builder.close(ns(50), &mut name).unwrap();
    assert_eq!((first.counters.late, second.counters.late), (3, 0));
    assert_eq!(first.counters.lost["stack_undefined"], 1);
    assert_eq!((first.end_unix_ns, first.id == second.id), (second.start_unix_ns, false));
}

/// Check that a chunk left open for too long (an agent that was held) ends where receivers refuse more, and that the
/// rest is counted.
#[test]
fn span_limit() {
    let mut builder = builder(info(), [stack(0, &[0x1010], StackEnd::Complete)]);
    for second in 1..=100 {
        builder.apply(&tick(second * 1_000_000));
        builder.apply(&sample(1, 0, RUNNING));
        builder.apply(&sample(2, 0, ASLEEP));
    }
    let chunk = builder.close(ns(100_500_000), &mut name).unwrap();
    assert_eq!(wire::check(&chunk.payload, None), []);
    assert_eq!(chunk.end_unix_ns / 1000, START_US + 65_900_000);
    assert_eq!(chunk.counters.dropped["span_limit"], 70);
    let mut sums = BTreeMap::new();
    weights(&chunk, &mut sums);
    assert_eq!(sums[&("2".into(), "f1010".into())], 64_900_000);
    let next = builder.close(ns(101_500_000), &mut name).unwrap();
    assert_eq!(next.start_unix_ns / 1000, START_US + 100_500_000);
}

/// Check that a payload over the limit of receivers loses its end, and says so. Nobody should get there: chunks are to
/// be closed at an estimate of 20 MiB.
#[test]
fn size_limit() {
    let long: Arc<str> = "x".repeat(1 << 20).into();
    let mut names = |raw: &NativeFrame| -> Arc<[Frame]> {
        [Frame { function: Some(format!("{:x}{long}", raw.pc.0).into()), ..Frame::default() }].into()
    };
    let mut builder = builder(info(), []);
    for number in 1..=60 {
        builder.apply(&stack(number, &[0x1000 + u64::from(number)], StackEnd::Complete));
        builder.apply(&tick(u64::from(number) * 10_000));
        builder.apply(&sample(1, number, RUNNING));
    }
    let chunk = builder.close(ns(610_000), &mut names).unwrap();
    assert!(chunk.payload.len() < BYTES_MAX && chunk.payload.len() > BYTES_MAX / 2, "{}", chunk.payload.len());
    assert_eq!(wire::check(&chunk.payload, None), []);
    assert!(chunk.counters.dropped["size_limit"] >= 12, "{:?}", chunk.counters.dropped);
}

/// Check that a minute of 200 idle threads stays under 70 kB, and that the estimate is near it.
#[test]
fn idle_threads() {
    let mut builder = builder(info(), [stack(0, &[0x1010, 0x1020, 0x1030], StackEnd::Complete)]);
    for tid in 12_000..12_200 {
        builder.apply(&thread(tid, "tokio-runtime-w"));
    }
    let mut sizes = Vec::new();
    for number in 1..=2 * 6060 {
        builder.apply(&tick(number * 9901));
        if number == 1 {
            (12_000..12_200).for_each(|tid| builder.apply(&sample(tid, 0, ASLEEP)));
        }
        if number % 6060 == 0 {
            let estimate = builder.bytes_estimate();
            let chunk = builder.close(ns(number * 9901), &mut name).unwrap();
            sizes.push((chunk.payload.len(), estimate));
        }
    }
    for (bytes, estimate) in sizes {
        assert!(bytes < 70_000, "{bytes}");
        assert!((bytes / 2..bytes * 2).contains(&estimate), "{estimate} for {bytes}");
    }
}

/// Check that a feed may use a stack id anew, for ever: who stands in the old stack keeps it, and old stacks are let go.
#[test]
fn stack_ids_used_anew() {
    let mut builder = builder(info(), []);
    let mut sums = BTreeMap::new();
    for chunk in 0..3_u64 {
        for number in 0..5000_u64 {
            let at_us = 1 + chunk * 5_000_000 + number * 1000;
            // Thread 1 sleeps in the first stack of all.
            let pcs = [0x1000 + (number % 2) * 8];
            builder.apply(&stack(0, &pcs, StackEnd::Complete));
            builder.apply(&tick(at_us));
            builder.apply(&sample(if at_us == 1 { 1 } else { 2 }, 0, ASLEEP));
        }
        weights(&builder.close(ns((chunk + 1) * 5_000_000), &mut name).unwrap(), &mut sums);
    }
    let rows: Vec<_> = sums.iter().map(|((tid, stack), us)| format!("{tid} {stack} {us}")).collect();
    assert_eq!(rows, ["1 f1000 14999999", "2 f1000 7499000", "2 f1008 7499999"]);
}

/// Check that times survive the wire: each is read again as the microsecond that it was.
#[test]
fn timestamps() {
    for us in (0..4_000_000_000_u64).step_by(999_983).map(|us| START_US + us).chain([0, 1, 4_000_000_000_999_999]) {
        let text = serde_json::to_string(&payload::seconds(us)).unwrap();
        assert_eq!(micros(&serde_json::from_str(&text).unwrap()), us, "{text}");
    }
}

/// The lines of a chunk that hold one of these.
fn lines_with(chunk: &Chunk, parts: &[&str]) -> String {
    let text = readable(chunk);
    text.lines().filter(|line| parts.iter().any(|part| line.contains(part))).collect::<Vec<_>>().join("\n")
}
