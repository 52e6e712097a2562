//! The pipeline's work without its thread.

use std::time::{Duration, Instant};

use profile::{
    board::{Board, Window, WindowKind},
    chunk::Anchor,
    feed::Event,
    id::Pid,
};
use uuid::Uuid;

use super::*;
use crate::{
    naming::Patience,
    session::Profiles,
    shelf::{Built, Made},
};

/// A pipeline's work with a session of transactions, and a small shelf.
fn work() -> Work {
    let (naming, _thread) = Naming::start(symbolizer::Settings::default(), Patience::Background, None).unwrap();
    let keep = Keep { chunks: true, ..Keep::default() };
    let mut work = Work::new(keep, naming, Arc::new(Shelf::new(16 << 20)), Arc::new(Hours::default()), Arc::default());
    let anchor = Anchor { unix_ns: 1_790_000_000_000_000_000, monotonic_ns: 0 };
    let info = SessionInfo::new(ProfilerId(Uuid::nil()), anchor, 101.0, Pid(1));
    let course = Course::Transactions(Profiles::default());
    let outlet = Outlet::Nowhere;
    work.open(TargetId(1), Opening { info, given: false, course, outlet, journals: None, skip_idle: false });
    work
}

/// A board with transactions that began at seconds.
fn board(starts: std::ops::Range<u64>, end: Option<u64>) -> Output {
    let window = |start: u64| Window {
        sequence: start,
        kind: WindowKind::Transaction,
        thread: 0,
        start_ns: start * 1_000_000_000,
        end_ns: end.map(|end| end * 1_000_000_000),
        id: Uuid::from_u128(start.into()),
        name: None,
    };
    let windows = starts.map(|start| (start, window(start))).collect();
    Output::Board { at_ns: end.unwrap_or(4) * 1_000_000_000, board: Board { windows, lost: 0 } }
}

/// `close` where the chunk is closed, `forget` where stacks are forgotten, in order, for a script of what the sampler
/// does while a chunk is due: `t` begins a tick at which somebody was read, `c` says what a second cost.
fn play(script: &str) -> String {
    let (messages, received) = channel();
    let shared = Arc::new(Shared::default());
    let mut sink = ToPipeline::new(messages, Arc::clone(&shared));
    let target = TargetId(1);
    shared.due.get().insert(target);
    let mut seen = Vec::new();
    for step in script.chars() {
        let forgets = step == 't' && sink.forgets_stacks(target);
        let cost = Event::Cost { stopped_us: 0, stop_max_us: 0, agent_cpu_us: 0 };
        let event = if step == 't' { Event::Tick { at_ns: 1 } } else { cost };
        sink.output(target, Output::Event(event));
        seen.extend(received.try_iter().filter(|message| matches!(message, Message::Close(_))).map(|_| "close"));
        seen.extend(forgets.then_some("forget"));
    }
    seen.join(" ")
}

/// Check that a chunk that is due closes once, at the next tick or where nobody was read for a second; and that
/// stacks are forgotten once, before the next sample.
#[test]
fn chunk_closes_once() {
    assert_eq!(play("tct"), "close forget");
    assert_eq!(play("cct"), "close forget");
    assert_eq!(play("cctct"), "close forget");
    assert_eq!(play("ccc"), "close");
}

/// Check that of many transactions that end together one profile is built at a time, with time for events between them; and
/// none while half of what may wait for its process does.
#[test]
fn builds_one_at_a_time() {
    let mut work = work();
    let id = TargetId(1);
    let all = 5..9_u64;
    work.work(Message::Output(id, board(all.clone(), None)));
    for second in 4..12 {
        work.work(Message::Output(id, Output::Event(Event::Tick { at_ns: second * 1_000_000_000 })));
    }
    work.work(Message::Output(id, board(all, Some(11))));
    assert_eq!(work.shelf.figures().dropped.len(), 0);
    let waiting = |work: &Work| work.sessions[&id].session.ready_count();
    assert_eq!((waiting(&work), work.turns.len()), (4, 1));
    let began = Instant::now() + Duration::from_secs(1);
    work.turns.build_one_at(began, &mut work.sessions, &work.shelf);
    assert_eq!(waiting(&work), 3);
    assert!(work.turns.at > began);
    work.turns.build_one_at(began, &mut work.sessions, &work.shelf);
    assert_eq!(waiting(&work), 3, "not yet");
    let next = work.turns.at;
    work.turns.build_one_at(next, &mut work.sessions, &work.shelf);
    assert_eq!(waiting(&work), 2);
    let other = Built { id: Uuid::nil(), made: Made::Profile(vec![0; 1 << 20]), goes_on: false };
    work.shelf.put(Pid(1), other);
    let next = work.turns.at;
    work.turns.build_one_at(next, &mut work.sessions, &work.shelf);
    assert_eq!((waiting(&work), work.turns.len()), (2, 1), "its shelf is full");
    work.shelf.clear();
    for _ in 0..2 {
        let next = work.turns.at;
        work.turns.build_one_at(next, &mut work.sessions, &work.shelf);
    }
    assert_eq!((waiting(&work), work.turns.len()), (0, 0));
}
