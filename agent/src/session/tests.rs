//! A session as it is told of ticks, boards and clocks.

use profile::{
    address::RemoteAddr,
    board::{Window, WindowKind},
    feed::StackId,
    stack::{PcKind, RawFrame, RawStack, StackEnd},
    thread::ThreadState,
};

use super::*;
use crate::{naming::Patience, shelf::CLIENT_WAITS};

const SECOND: u64 = 1_000_000_000;

/// The clocks at a second of the session, the wall clock being so many seconds ahead.
fn clocks(second: u64, ahead: i64) -> Anchor {
    let unix = 1_790_000_000_u64.saturating_add_signed(ahead) + second;
    Anchor { unix_ns: unix * SECOND, monotonic_ns: second * SECOND }
}

/// A session that began at second 0, whose first chunk is due after 60.
fn session() -> Session {
    let (naming, _thread) = Naming::start(symbolizer::Settings::default(), Patience::Background, None).unwrap();
    let info = SessionInfo::new(ProfilerId(Uuid::nil()), clocks(0, 0), 101.0, Pid(1));
    Session::new(TargetId(0), info, Keep { chunks: true, ..Keep::default() }, naming, None)
}

/// A board of windows as `sequence kind id start end`, `-` where it goes on.
pub(super) fn board(text: &str) -> Board {
    let windows = text.split(", ").filter(|row| !row.is_empty()).map(|row| {
        let words: Vec<&str> = row.split(' ').collect();
        let number = |place: usize| words[place].parse::<u64>().unwrap();
        let kind = match words[1] {
            "run" => WindowKind::Run,
            "tx" => WindowKind::Transaction,
            _ => WindowKind::Block,
        };
        let name = (kind == WindowKind::Block).then(|| words[1].to_owned());
        let id = Uuid::from_u128(number(2).into());
        let end_ns = words[4].parse().ok();
        (number(0), Window { sequence: number(0), kind, thread: 7, start_ns: number(3), end_ns, id, name })
    });
    Board { windows: windows.collect(), lost: 0 }
}

/// Check that a chunk is due once, however late it is closed, and the next one a minute after that.
#[test]
fn due_once() {
    let mut session = session();
    let mut due_at = |seconds: u64| session.apply(&Event::Tick { at_ns: seconds * SECOND });
    assert_eq!([59, 60, 61, 62].map(&mut due_at), [false, true, false, false]);
    session.close(clocks(62, 0));
    let mut due_at = |seconds: u64| session.apply(&Event::Tick { at_ns: seconds * SECOND });
    assert_eq!([63, 121, 123, 124].map(&mut due_at), [false, false, true, false]);
}

/// Check that a session in which no run goes on keeps no readings of its target's use, however long; and that what is
/// counted then is in the sum at its end.
#[test]
fn idle_keeps_nothing() {
    let (mut session, _) = session().told(Course::Told(Told::default()));
    let usage = |second: u64| Event::Usage { at_ns: second * SECOND, cpu_percent: 1.0, rss_bytes: 1 };
    let lost = |session: &mut Session| {
        let mut counters = Counters::default();
        Counters::count(&mut counters.lost, "torn");
        session.apply(&Event::Counters(Box::new(counters)));
    };
    for second in 1..100 {
        session.apply(&usage(second));
    }
    lost(&mut session);
    let readings = |session: &Session| session.builder.as_ref().unwrap().readings();
    assert_eq!(readings(&session), 0);
    session.forced(Some(ProfilerId(Uuid::from_u128(1))), 100 * SECOND);
    session.apply(&Event::Tick { at_ns: 101 * SECOND });
    session.apply(&usage(101));
    lost(&mut session);
    assert_eq!(readings(&session), 1);
    session.forced(None, 102 * SECOND);
    session.apply(&usage(103));
    lost(&mut session);
    session.end(104 * SECOND);
    assert_eq!(session.summary(104 * SECOND).unwrap().counters.lost.values().sum::<u64>(), 3);
}

/// A board with one transaction.
fn transaction(start: u64, end: Option<u64>) -> Board {
    let window = Window {
        sequence: start,
        kind: WindowKind::Transaction,
        thread: 0,
        start_ns: start * SECOND,
        end_ns: end.map(|end| end * SECOND),
        id: Uuid::from_u128(start.into()),
        name: None,
    };
    Board { windows: [(start, window)].into(), lost: 0 }
}

/// A session of transactions that has seen a thread run at each second of a time, while one went on since its begin.
fn with_transaction(from: u64, until: u64) -> Session {
    let (mut session, _) = session().told(Course::Transactions(Profiles::default()));
    session.noted(transaction(from, None), from * SECOND);
    let frames = vec![RawFrame::Native(NativeFrame { pc: RemoteAddr(1), kind: PcKind::Exact, module: None })];
    session.apply(&Event::Stack(StackId(0), RawStack { frames, end: StackEnd::Complete }));
    for second in from..until {
        session.apply(&Event::Tick { at_ns: second * SECOND });
        session.apply(&Event::Sample { tid: Tid(1), stack: StackId(0), state: ThreadState::OnCpu.into() });
    }
    session
}

fn next_profile(session: &mut Session) -> String {
    let Some(Built { id, made, goes_on }) = session.next_profile() else { return "none".to_owned() };
    let made = match made {
        Made::Profile(bytes) => {
            let profile: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            format!("{} ticks, cut {}", profile["ticks"], profile["cut"])
        }
        Made::TooLittle => "too little".to_owned(),
        Made::Dropped(why) => why.as_ref().to_owned(),
    };
    format!("{}: {made}{}", id.as_u128(), if goes_on { ", ahead" } else { "" })
}

/// Check that a transaction of more than 30 s has its profile built when it ends; if it goes on for a minute more, then, once,
/// and that nothing is kept of it any longer.
#[test]
fn long_transaction() {
    let mut session = with_transaction(5, 40);
    assert!(session.overdue(40 * SECOND), "nobody needs samples any more");
    assert_eq!(next_profile(&mut session), "none");
    session.tidy(80 * SECOND);
    session.noted(transaction(5, Some(80)), 80 * SECOND);
    assert_eq!(next_profile(&mut session), "5: 31 ticks, cut true");
    assert_eq!(next_profile(&mut session), "none");
    session.tidy(81 * SECOND);
    assert_eq!(session.builder.as_ref().unwrap().span_ns(), 0, "nothing is kept for nobody");

    let mut session = with_transaction(5, 40);
    session.tidy(95 * SECOND);
    assert_eq!(session.ready_count(), 1);
    assert_eq!(next_profile(&mut session), "5: 31 ticks, cut true, ahead");
    session.tidy(96 * SECOND);
    assert_eq!(session.builder.as_ref().unwrap().span_ns(), 0);
    let turned = session.noted(transaction(5, Some(100)), 100 * SECOND);
    assert_eq!((turned.dropped, turned.ended), (vec![], vec![Uuid::from_u128(5)]));
    assert_eq!(next_profile(&mut session), "none");
}

/// Check that a transaction that ends while its profile is to be built ahead has it built at once.
#[test]
fn long_ends() {
    let mut session = with_transaction(5, 40);
    session.tidy(95 * SECOND);
    let turned = session.noted(transaction(5, Some(96)), 96 * SECOND);
    assert_eq!((turned.dropped, turned.ended), (vec![], vec![]));
    assert_eq!(next_profile(&mut session), "5: 31 ticks, cut true");
}

/// Check that of more long transactions than have a place the newest are dropped.
#[test]
fn too_many_long() {
    let (mut session, _) = session().told(Course::Transactions(Profiles::default()));
    let mut board = transaction(1, None);
    (2..=300).for_each(|start| board.windows.extend(transaction(start, None).windows));
    session.noted(board, 301 * SECOND);
    let turned = session.tidy(400 * SECOND);
    assert_eq!((session.ready_count(), turned.dropped.len()), (256, 44));
    assert_eq!(turned.dropped[0], (Uuid::from_u128(257), Dropped::TooLong));
}

/// Check that a profile that waits to be built loses nothing to a transaction that begins or to the next minute, and is not
/// built when its process has given it up.
#[test]
fn ready_is_kept() {
    let mut session = with_transaction(5, 12);
    session.noted(transaction(5, Some(11)), 12 * SECOND);
    session.noted(transaction(13, None), 13 * SECOND);
    session.tidy(13 * SECOND);
    session.close(clocks(13, 0));
    assert_eq!(next_profile(&mut session), "5: 7 ticks, cut false");

    let mut session = with_transaction(5, 12);
    session.noted(transaction(5, Some(11)), 12 * SECOND);
    let Course::Transactions(profiles) = &mut session.course else { panic!() };
    profiles.age(CLIENT_WAITS);
    assert_eq!(next_profile(&mut session), "5: late");
}

/// Check that long transactions one beside the other have what was before them forgotten twice a minute, not at each tick.
#[test]
fn forgets_seldom() {
    let mut session = with_transaction(5, 6);
    let (mut due, mut all) = (Vec::new(), transaction(5, None));
    for second in 6..140 {
        if second % 20 == 0 {
            all.windows.extend(transaction(second, None).windows);
            session.noted(all.clone(), second * SECOND);
        }
        session.overdue(second * SECOND);
        if session.apply(&Event::Tick { at_ns: second * SECOND }) {
            due.push(second);
            session.close(clocks(second, 0));
        }
    }
    assert_eq!(due, [65, 95, 125]);
}

/// Check that clocks that come apart make the chunk due, once; that the next goes by the new ones; and that one whose
/// times would lie before those of the last is another session's.
#[test]
fn clocks_step() {
    let mut session = session();
    let stack = RawStack {
        frames: vec![RawFrame::Native(NativeFrame { pc: RemoteAddr(1), kind: PcKind::Exact, module: None })],
        end: StackEnd::Complete,
    };
    // A chunk's seconds since the session began, by its clocks, and whether its session is the first.
    let mut chunk = |from: u64, ahead: i64| {
        session.apply(&Event::Stack(StackId(0), stack.clone()));
        for second in from..from + 3 {
            session.apply(&Event::Tick { at_ns: second * SECOND });
            session.apply(&Event::Sample { tid: Tid(1), stack: StackId(0), state: ThreadState::OnCpu.into() });
        }
        let now = clocks(from + 3, ahead);
        let due = [session.compare_clocks(&now), session.compare_clocks(&now)];
        let chunk = session.close(now).unwrap().chunk.unwrap();
        let seconds = |unix_ns: u64| i64::try_from(unix_ns / SECOND).unwrap() - 1_790_000_000;
        (due, seconds(chunk.start_unix_ns), seconds(chunk.end_unix_ns), chunk.profiler_id.0.is_nil())
    };
    assert_eq!(chunk(1, 1), ([false, false], 0, 3, true), "one second is not much");
    assert_eq!(chunk(4, 3600), ([true, false], 3, 6, true), "suspended for an hour");
    assert_eq!(chunk(7, 3600), ([false, false], 3606, 3609, true));
    assert_eq!(chunk(10, 0), ([true, false], 3609, 3612, true), "set back");
    assert_eq!(chunk(13, 0), ([false, false], 12, 15, false));
}
