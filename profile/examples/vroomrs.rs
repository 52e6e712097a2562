//! Writes chunks of a made-up session, and what each function's total time in them is, for `tests/vroomrs/check.py`:
//! `cargo run -p profile --example vroomrs -- FOLDER`. The totals come from a recording of the same events, not from
//! the chunks.
#![allow(clippy::expect_used, reason = "an example may end with a message")]

use std::{collections::BTreeMap, fs, io::Write as _, path::PathBuf, sync::Arc};

use profile::{
    address::{FileAddr, LoadBias, RemoteAddr},
    chunk::{Anchor, ChunkBuilder, SPAN_ASKED_NS, SessionInfo},
    feed::{Event, StackId},
    frame::Frame,
    id::{Pid, ProfilerId, Tid},
    module::{Module, ModuleIndex},
    record::{Recorded, Recording},
    stack::{NativeFrame, PcKind, RawFrame, RawStack, StackEnd, Truncation},
    thread::ThreadState,
};
use uuid::Uuid;

const SECONDS: u64 = 150;
const THREADS: i32 = 12;
const STACKS: u32 = 400;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the folder to write to is missing"));
    fs::create_dir_all(&folder).expect("cannot create the folder");
    let anchor = Anchor { unix_ns: 1_790_000_000_123_456_789, monotonic_ns: 77_000_000_000 };
    let info = SessionInfo::new(ProfilerId(Uuid::from_u128(7)), anchor, 101.0, Pid(100));
    let mut builder = ChunkBuilder::new(info.clone(), anchor.monotonic_ns);
    let mut recording = Recording::new(info);
    let mut chunks = Vec::new();
    let mut end_ns = anchor.monotonic_ns;
    session(anchor.monotonic_ns, &mut |event| {
        if let Event::Tick { at_ns } = event {
            end_ns = *at_ns;
            if builder.span_ns() >= SPAN_ASKED_NS {
                chunks.extend(builder.close(at_ns - 1_000_000, &mut name));
            }
        }
        builder.apply(event);
        recording.apply(event);
    });
    chunks.extend(builder.close(end_ns + 5_000_000, &mut name));
    let mut file = fs::File::create(folder.join("chunks.jsonl")).expect("cannot create chunks.jsonl");
    for chunk in &chunks {
        file.write_all(&[&chunk.payload, b"\n".as_slice()].concat()).expect("cannot write chunks.jsonl");
    }
    let totals = totals(&recording.finish(end_ns + 5_000_000, &mut name));
    let expected = serde_json::to_vec_pretty(&totals).expect("strings and numbers");
    fs::write(folder.join("expected.json"), expected).expect("cannot write expected.json");
}

/// Microseconds of each `module:function`, once for each time that it is on a stack.
fn totals(recorded: &Recorded) -> BTreeMap<String, u64> {
    let mut totals = BTreeMap::new();
    for run in recorded.threads.iter().flat_map(|thread| &thread.runs) {
        for (frame, _) in recorded.frames(run.stack) {
            let key = format!("{}:{}", frame.module.as_deref().unwrap_or(""), frame.function.as_deref().unwrap_or("?"));
            *totals.entry(key).or_default() += run.end_us - run.start_us;
        }
    }
    totals
}

/// Threads that run, that sleep for long and for short, that come and go, that are missed at times.
fn session(start_ns: u64, feed: &mut impl FnMut(&Event)) {
    let mut random = Random(1);
    feed(&Event::Module(ModuleIndex(0), module()));
    for id in 0..STACKS {
        feed(&Event::Stack(StackId(id), stack(&mut random)));
    }
    for tid in 0..THREADS {
        feed(&Event::Thread { tid: Tid(100 + tid), name: format!("worker-{tid}") });
    }
    let mut at_ns = start_ns;
    while at_ns < start_ns + SECONDS * 1_000_000_000 {
        at_ns += 9_000_000 + random.below(1_801_980);
        feed(&Event::Tick { at_ns });
        for tid in 0..THREADS {
            if let Some(event) = act(Tid(100 + tid), &mut random) {
                feed(&event);
            }
        }
    }
}

/// Threads with a higher number do less.
fn act(tid: Tid, random: &mut Random) -> Option<Event> {
    let is_busy = tid.0 < 104;
    let odds = if is_busy { 1 } else { 1 << (tid.0 - 102) };
    if random.below(odds) > 0 {
        return None;
    }
    let stack = StackId(u32::try_from(random.below(u64::from(STACKS))).unwrap_or_default());
    Some(match random.below(400) {
        0 => Event::Ended { tid },
        1..=5 => Event::Unread { tid },
        _ if is_busy => Event::Sample { tid, stack, state: ThreadState::OnCpu.into() },
        _ => Event::Sample { tid, stack, state: ThreadState::Sleeping(232).into() },
    })
}

fn module() -> Module {
    Module {
        path: "/opt/acme/worker".into(),
        build_id: None,
        bias: LoadBias(0),
        start: RemoteAddr(0),
        size: 4096,
        base: FileAddr(0),
        interpreter: None,
    }
}

/// 1 to 12 frames of 40 functions: recursion is likely.
fn stack(random: &mut Random) -> RawStack {
    let depth = 1 + random.below(12);
    let frame = |random: &mut Random| {
        RawFrame::Native(NativeFrame {
            pc: RemoteAddr(1 + random.below(40)),
            kind: PcKind::Return,
            module: Some(ModuleIndex(0)),
        })
    };
    let is_cut = random.below(20) == 0;
    RawStack {
        frames: (0..depth).map(|_| frame(random)).collect(),
        end: if is_cut { StackEnd::Truncated(Truncation::BeyondCopy) } else { StackEnd::Complete },
    }
}

/// Every fifth function has another inlined into it; every seventh is the system's.
fn name(raw: &NativeFrame) -> Arc<[Frame]> {
    let frame = |function: String| {
        let package = if raw.pc.0.is_multiple_of(7) { "/usr/lib/libsystem.so.1" } else { "/opt/acme/worker" };
        Frame {
            function: Some(function.into()),
            module: package.rsplit('/').next().map(Into::into),
            package: Some(package.into()),
            filename: Some("worker.rs".into()),
            line: u32::try_from(raw.pc.0).ok(),
            ..Frame::default()
        }
    };
    let own = frame(format!("acme::f{}", raw.pc.0));
    if raw.pc.0.is_multiple_of(5) { [frame("acme::inlined".into()), own].into() } else { [own].into() }
}

/// splitmix64
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}
