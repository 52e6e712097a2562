//! Tests of whole chunks. Here what they share: short ways to say events, a namer, and a receiver's view of a chunk.

mod durations;
mod runs;
mod whole;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    address::{FileAddr, LoadBias, RemoteAddr},
    chunk::{Anchor, Chunk, ChunkBuilder, SessionInfo},
    feed::{Event, StackId},
    frame::{Frame, Missing},
    id::{BuildId, Pid, ProfilerId, Tid},
    module::{Module, ModuleIndex},
    stack::{NativeFrame, PcKind, RawFrame, RawStack, StackEnd},
    thread::{State, ThreadState},
};
use uuid::Uuid;

pub(crate) const RUNNING: ThreadState = ThreadState::OnCpu;
pub(crate) const ASLEEP: ThreadState = ThreadState::Sleeping(202);

/// Monotonic nanoseconds at which every session of these tests starts.
pub(crate) const START_NS: u64 = 5_000_000_000;
/// The same on the wall clock, microseconds.
pub(crate) const START_US: u64 = 1_790_000_000_000_000;

pub(crate) fn info() -> SessionInfo {
    let anchor = Anchor { unix_ns: START_US * 1000, monotonic_ns: START_NS };
    SessionInfo {
        exe: Some("/opt/acme/worker".into()),
        ..SessionInfo::new(
            ProfilerId(Uuid::from_u128(0x5f0c_1a7e_9b3d_4c62_a81e_7d40_b6f2_937c)),
            anchor,
            101.0,
            Pid(4711),
        )
    }
}

/// A tick `us` microseconds after the start.
pub(crate) fn tick(us: u64) -> Event {
    Event::Tick { at_ns: ns(us) }
}

pub(crate) fn ns(us: u64) -> u64 {
    START_NS + us * 1000
}

pub(crate) fn sample(tid: i32, stack: u32, state: impl Into<State>) -> Event {
    Event::Sample { tid: Tid(tid), stack: StackId(stack), state: state.into() }
}

pub(crate) fn ended(tid: i32) -> Event {
    Event::Ended { tid: Tid(tid) }
}

pub(crate) fn unread(tid: i32) -> Event {
    Event::Unread { tid: Tid(tid) }
}

pub(crate) fn thread(tid: i32, name: &str) -> Event {
    Event::Thread { tid: Tid(tid), name: name.into() }
}

pub(crate) fn ident(tid: i32, ident: u64) -> Event {
    Event::Ident { tid: Tid(tid), ident }
}

/// A stack of the executable, leaf first; the leaf is exact.
pub(crate) fn stack(id: u32, pcs: &[u64], end: StackEnd) -> Event {
    let frame = |(depth, pc): (usize, &u64)| {
        RawFrame::Native(NativeFrame {
            pc: RemoteAddr(*pc),
            kind: if depth == 0 { PcKind::Exact } else { PcKind::Return },
            module: Some(ModuleIndex(u32::from(*pc >= 0x8000))),
        })
    };
    Event::Stack(StackId(id), RawStack { frames: pcs.iter().enumerate().map(frame).collect(), end })
}

/// The executable at 0x1000, and a library without names at 0x8000.
pub(crate) fn modules() -> [Event; 2] {
    let module = |path: &str, start, id: u8| Module {
        path: path.into(),
        build_id: BuildId::new(&[id; 20]),
        bias: LoadBias(start),
        start: RemoteAddr(start),
        size: 0x1000,
        base: FileAddr(0),
        interpreter: None,
    };
    [
        Event::Module(ModuleIndex(0), module("/opt/acme/worker", 0x1000, 0xab)),
        Event::Module(ModuleIndex(1), module("/usr/lib/libpool.so.1", 0x8000, 0xcd)),
    ]
}

/// `f1010` at 0x1010; two frames, one inlined into the other, where the address ends in 7; no name from 0x8000 on.
pub(crate) fn name(raw: &NativeFrame) -> Arc<[Frame]> {
    let named = |function: String| Frame {
        function: Some(function.into()),
        module: Some("worker".into()),
        package: Some("/opt/acme/worker".into()),
        filename: Some("worker.cc".into()),
        abs_path: Some("/src/acme/worker.cc".into()),
        line: u32::try_from(raw.pc.0).ok(),
        ..Frame::default()
    };
    let function = format!("f{:x}", raw.pc.0);
    match raw.pc.0 {
        0x8000.. => [Frame { missing: Some(Missing::Stripped), ..Frame::default() }].into(),
        pc if pc & 15 == 7 => [Frame { inlined: true, ..named("inlined".into()) }, named(function)].into(),
        _ => [named(function)].into(),
    }
}

/// A builder that took these events, with the modules before them.
pub(crate) fn builder(info: SessionInfo, events: impl IntoIterator<Item = Event>) -> ChunkBuilder {
    let mut builder = ChunkBuilder::new(info, START_NS);
    for event in modules().into_iter().chain(events) {
        builder.apply(&event);
    }
    builder
}

/// The chunk with a line for each sample, frame, stack, image and key of ours.
pub(crate) fn readable(chunk: &Chunk) -> String {
    let text = String::from_utf8(chunk.payload.clone()).unwrap();
    let mut out = String::new();
    let mut depth = 0;
    let mut in_text = false;
    for c in text.chars() {
        match c {
            '"' => in_text = !in_text,
            '[' | '{' if !in_text => depth += 1,
            ']' | '}' if !in_text => depth -= 1,
            _ => (),
        }
        out.push(c);
        if c == ','
            && !in_text
            && (depth <= 2 || (depth == 3 && out.ends_with("},")) || (depth == 3 && out.ends_with("],")))
        {
            out.push('\n');
        }
    }
    out
}

/// What a receiver makes of a chunk: for each thread and stack (function names, leaf first) the microseconds until
/// the thread's next sample, summed.
pub(crate) fn weights(chunk: &Chunk, sums: &mut BTreeMap<(String, String), u64>) {
    let json: serde_json::Value = serde_json::from_slice(&chunk.payload).unwrap();
    let profile = &json["profile"];
    let stack = |id: &serde_json::Value| {
        let frames = profile["stacks"][usize::try_from(id.as_u64().unwrap()).unwrap()].as_array().unwrap();
        let name = |frame: &serde_json::Value| {
            let frame = &profile["frames"][usize::try_from(frame.as_u64().unwrap()).unwrap()];
            frame["function"].as_str().or(frame["instruction_addr"].as_str()).unwrap().to_owned()
        };
        frames.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    let mut threads: BTreeMap<&str, Vec<(u64, String)>> = BTreeMap::new();
    for sample in profile["samples"].as_array().unwrap() {
        let samples = threads.entry(sample["thread_id"].as_str().unwrap()).or_default();
        samples.push((micros(&sample["timestamp"]), stack(&sample["stack_id"])));
    }
    for (thread, samples) in threads {
        for pair in samples.windows(2) {
            assert!(pair[0].0 < pair[1].0, "times of thread {thread} are not strictly ordered");
            if !pair[0].1.is_empty() {
                *sums.entry((thread.to_owned(), pair[0].1.clone())).or_default() += pair[1].0 - pair[0].0;
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time in this century")]
pub(crate) fn micros(seconds: &serde_json::Value) -> u64 {
    (seconds.as_f64().unwrap() * 1e6).round() as u64
}
