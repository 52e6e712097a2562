//! A small recording that holds one of everything, shared by the tests of the exports.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    address::{FileAddr, LoadBias, RemoteAddr},
    feed::{Event, StackId},
    frame::{Frame, Missing},
    id::{BuildId, Pid, ProfilerId, Tid},
    module::{Module, ModuleIndex},
    record::{Recorded, Recording},
    session::{Anchor, SessionInfo},
    stack::{NativeFrame, PcKind, RawFrame, RawStack, StackEnd, Truncation},
    thread::{Filter, ThreadState},
};

const MS: u64 = 1_000_000;

/// Thread 10 runs `main > sort > [compare inlined in] merge`, deeper once; thread 11 sleeps in a module without symbols
/// until it ends; thread 12's stack is cut.
pub(crate) fn recorded() -> Recorded {
    recorded_of(Filter::All)
}

/// The same of some states alone.
pub(crate) fn recorded_of(filter: Filter) -> Recorded {
    let anchor = Anchor { unix_ns: 1_790_000_000_000_000_000, monotonic_ns: 1000 * MS };
    let mut info = SessionInfo::new(ProfilerId(Uuid::from_u128(7)), anchor, 100.0, Pid(10));
    info.exe = Some("/opt/acme/sorter".into());
    info.filter = filter;
    let mut recording = Recording::new(info);
    for event in &events() {
        recording.apply(event);
    }
    recording.finish(1060 * MS, &mut name)
}

fn events() -> Vec<Event> {
    let tick = |number: u64| Event::Tick { at_ns: (1000 + 10 * number) * MS };
    let sample =
        |tid, stack, state: ThreadState| Event::Sample { tid: Tid(tid), stack: StackId(stack), state: state.into() };
    let (running, asleep) = (ThreadState::OnCpu, ThreadState::Sleeping(202));
    vec![
        Event::Module(ModuleIndex(0), module("/opt/acme/sorter", 0x1000, Some(&[0xab; 20]))),
        Event::Module(ModuleIndex(1), module("/usr/lib/libpool.so.1", 0x8000, None)),
        Event::Stack(StackId(0), stack(&[(0x1030, 0), (0x1020, 0), (0x1010, 0)], StackEnd::Complete)),
        Event::Stack(StackId(1), stack(&[(0x1020, 0), (0x1020, 0), (0x1010, 0)], StackEnd::Complete)),
        Event::Stack(StackId(2), stack(&[(0x8123, 1), (0x1010, 0)], StackEnd::Guessed)),
        Event::Stack(StackId(3), stack(&[(0x1030, 0)], StackEnd::Truncated(Truncation::BeyondCopy))),
        Event::Thread { tid: Tid(10), name: "sorter".into() },
        Event::Thread { tid: Tid(11), name: "pool; 1".into() },
        tick(1),
        sample(10, 0, running),
        sample(11, 2, asleep),
        tick(2),
        sample(10, 0, running),
        tick(3),
        sample(10, 1, running),
        Event::Unread { tid: Tid(11) },
        sample(12, 3, ThreadState::Runnable),
        tick(4),
        sample(10, 0, running),
        tick(5),
        sample(10, 2, asleep),
        Event::Ended { tid: Tid(11) },
    ]
}

fn module(path: &str, start: u64, build_id: Option<&[u8]>) -> Module {
    Module {
        path: path.into(),
        build_id: build_id.and_then(BuildId::new),
        bias: LoadBias(start),
        start: RemoteAddr(start),
        size: 0x1000,
        base: FileAddr(0),
        interpreter: None,
    }
}

/// Leaf first: (pc, module); the leaf is exact.
fn stack(frames: &[(u64, u32)], end: StackEnd) -> RawStack {
    let frame = |(depth, (pc, module)): (usize, &(u64, u32))| {
        RawFrame::Native(NativeFrame {
            pc: RemoteAddr(*pc),
            kind: if depth == 0 { PcKind::Exact } else { PcKind::Return },
            module: Some(ModuleIndex(*module)),
        })
    };
    RawStack { frames: frames.iter().enumerate().map(frame).collect(), end }
}

fn name(raw: &NativeFrame) -> Arc<[Frame]> {
    let named = |function: &str, file: &str, line| Frame {
        function: Some(function.into()),
        module: Some("sorter".into()),
        package: Some("/opt/acme/sorter".into()),
        filename: Some(file.into()),
        abs_path: Some(format!("/src/acme/{file}").into()),
        line: Some(line),
        ..Frame::default()
    };
    match raw.pc.0 {
        0x1010 => [named("main", "main.cc", 12)].into(),
        0x1020 => [named("sort(int*; int*)", "sort.cc", 40)].into(),
        0x1030 => [Frame { inlined: true, ..named("compare", "compare.h", 5) }, named("merge", "sort.cc", 77)].into(),
        _ => {
            [Frame { missing: Some(Missing::Stripped), module: Some("libpool.so.1".into()), ..Frame::default() }].into()
        }
    }
}
