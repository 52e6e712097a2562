//! The journal: what a killed agent had sampled can be read back, up to the last second.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use agent::ship::{Journal, recover};
use profile::{
    address::{FileAddr, LoadBias, RemoteAddr},
    chunk::ChunkBuilder,
    feed::{Event, StackId},
    id::{Pid, ProfilerId, Tid},
    module::{Module, ModuleIndex},
    session::{Anchor, SessionInfo},
    stack::{NativeFrame, PcKind, RawFrame, RawStack, StackEnd},
    thread::ThreadState,
};

use super::crash;

const START_NS: u64 = 1_000_000_000;

fn session() -> SessionInfo {
    let anchor = Anchor { unix_ns: super::start_unix_ns(0), monotonic_ns: START_NS };
    SessionInfo::new(ProfilerId(uuid::Uuid::from_u64_pair(1, 2)), anchor, 101.0, Pid(1))
}

/// What a sampler says of two threads over `ticks` ticks, with a new stack every seventh.
fn feed(ticks: u64) -> Vec<Event> {
    let module = Module {
        path: "/usr/bin/busy".to_owned(),
        build_id: None,
        bias: LoadBias(0),
        start: RemoteAddr(0x1000),
        size: 0x1000,
        base: FileAddr(0),
        interpreter: None,
    };
    let mut events = vec![Event::Module(ModuleIndex(0), module)];
    events.extend([1, 2].map(|tid| Event::Thread { tid: Tid(tid), name: format!("thread {tid}") }));
    for tick in 0..ticks {
        let id = u32::try_from(tick / 7).unwrap();
        if tick % 7 == 0 {
            let frame = |pc| {
                RawFrame::Native(NativeFrame { pc: RemoteAddr(pc), kind: PcKind::Return, module: Some(ModuleIndex(0)) })
            };
            let frames = vec![frame(0x1100 + u64::from(id)), frame(0x1010)];
            events.push(Event::Stack(StackId(id), RawStack { frames, end: StackEnd::Complete }));
        }
        events.push(Event::Tick { at_ns: START_NS + tick * 10_000_000 });
        events.push(Event::Sample { tid: Tid(1), stack: StackId(id), state: ThreadState::OnCpu.into() });
        if tick == 0 {
            events.push(Event::Sample { tid: Tid(2), stack: StackId(0), state: ThreadState::Sleeping(232).into() });
        }
    }
    events
}

fn journal(folder: &Path, events: &[Event]) -> Journal {
    let mut journal = Journal::create(folder, &session(), START_NS).unwrap();
    for event in events {
        journal.append(event).unwrap();
    }
    journal
}

/// Writes a journal until it is killed, and tells after each second's worth how far it was a second ago.
pub(super) fn write_for_ever(folder: &Path) {
    let mut journal = Journal::create(&folder.join("journal"), &session(), START_NS).unwrap();
    let began = Instant::now();
    for (tick, event) in (0_u64..).zip(std::iter::repeat_with(|| Event::Unread { tid: Tid(1) })) {
        journal.append(&event).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        std::fs::write(folder.join(format!("at {:03}", began.elapsed().as_millis() / 100)), tick.to_string()).unwrap();
    }
}

/// Check that everything comes back, with the session, and that only the recovered file's lock keeps others off.
#[test]
fn whole() {
    let (folder, events) = (tempfile::tempdir().unwrap(), feed(50));
    let mut live = journal(folder.path(), &events);
    assert!(recover(folder.path(), &[]).unwrap().is_empty(), "the journal of a live agent was taken");
    live.flush().unwrap();
    drop(live);
    let mut found = recover(folder.path(), &[]).unwrap();
    assert!(recover(folder.path(), &[]).unwrap().is_empty(), "two took the same journal");
    let mut dead = found.pop().unwrap();
    assert_eq!((&dead.header.session, dead.header.start_ns), (&session_of(&dead), START_NS));
    assert_eq!(dead.by_ref().collect::<Vec<_>>(), events);
    assert_eq!(dead.next(), None);
    dead.close().delete().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn session_of(dead: &agent::ship::RecoveredSession) -> SessionInfo {
    SessionInfo { anchor: dead.header.session.anchor, ..session() }
}

/// Check that a file cut or damaged anywhere gives a true beginning, and never a panic.
#[test]
fn torn_anywhere() {
    let (folder, events) = (tempfile::tempdir().unwrap(), feed(20));
    let mut live = journal(folder.path(), &events);
    live.flush().unwrap();
    let path = live.path().to_owned();
    drop(live);
    let whole = std::fs::read(&path).unwrap();
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        recover(folder.path(), &[]).unwrap().pop().map(Iterator::collect::<Vec<_>>)
    };
    let mut longest = 0;
    for cut in 0..whole.len() {
        let found = read(&whole[..cut]).unwrap_or_default();
        assert_eq!(found, events[..found.len()], "cut at {cut}");
        assert!(found.len() >= longest, "cut at {cut} gives less than before");
        longest = found.len();
        let mut flipped = whole.clone();
        flipped[cut] ^= 0x41;
        let found = read(&flipped).unwrap_or_default();
        assert_eq!(found, events[..found.len()], "byte {cut} flipped");
    }
    assert_eq!(longest, events.len() - 1);
    let garbage: Vec<u8> = whole.iter().copied().chain((0..1000_u32).map(|n| (n * 7 % 251) as u8)).collect();
    assert_eq!(read(&garbage).unwrap(), events);
}

/// Check that after a rotation the new file alone builds the same chunk as a builder that saw everything.
#[test]
fn rotated() {
    let (folder, events) = (tempfile::tempdir().unwrap(), feed(100));
    let cut_ns = START_NS + 495_000_000;
    let next = events.iter().position(|event| matches!(event, Event::Tick { at_ns } if *at_ns > cut_ns)).unwrap();
    let (before, after) = events.split_at(next);
    let end_ns = START_NS + 1_000_000_000;
    let mut live = journal(folder.path(), before);
    let closed = live.rotate(cut_ns).0.unwrap();
    for event in after {
        live.append(event).unwrap();
    }
    live.flush().unwrap();
    closed.delete().unwrap();
    drop(live);

    let dead = recover(folder.path(), &[]).unwrap().pop().unwrap();
    let header = dead.header.clone();
    assert_eq!(header.start_ns, cut_ns);
    let mut recovered = ChunkBuilder::new(header.session.clone(), header.start_ns);
    dead.for_each(|event| recovered.apply(&event));
    let mut builder = ChunkBuilder::new(header.session, START_NS);
    for event in before {
        builder.apply(event);
    }
    builder.close(cut_ns, &mut Unnamed).unwrap();
    for event in after {
        builder.apply(event);
    }

    let (recovered, seen) =
        (recovered.close(end_ns, &mut Unnamed).unwrap(), builder.close(end_ns, &mut Unnamed).unwrap());
    assert_eq!(recovered.id, seen.id);
    let profile = |chunk: &profile::chunk::Chunk| {
        let json: serde_json::Value = serde_json::from_slice(&chunk.payload).unwrap();
        json["profile"].clone()
    };
    assert_eq!(profile(&recovered), profile(&seen));
}

/// A namer that knows nothing.
struct Unnamed;

impl profile::naming::Namer for Unnamed {
    fn name(&mut self, _: &NativeFrame) -> std::sync::Arc<[profile::frame::Frame]> {
        std::sync::Arc::new([])
    }
}

/// Check that a journal whose chunk had reached the spool before the agent died is not used a second time.
#[test]
fn spooled_but_not_deleted() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), tests::receiver::Receiver::start_down());
    let (journals, spool) = (folder.path().join("journal"), folder.path().join("spool"));
    let mut live = journal(&journals, &feed(10));
    let name = live.rotate(START_NS + 1).0.unwrap().name();
    let payload = super::payload(0, 0);
    let span_unix_ns = (super::start_unix_ns(0), super::start_unix_ns(1));
    let arrival = agent::ship::Arrival {
        chunk_id: super::chunk_id(0),
        platform: "native",
        span_unix_ns,
        payload: &payload,
        journal: Some(&name),
    };
    super::start(&receiver, &spool).put(arrival).unwrap();
    drop(live);
    let shipper = super::start(&receiver, &spool);
    assert_eq!(shipper.spooled_journals(), std::slice::from_ref(&name));
    let found = recover(&journals, shipper.spooled_journals()).unwrap();
    assert_eq!(found.iter().map(|dead| dead.header.start_ns).collect::<Vec<_>>(), [START_NS + 1]);
    assert!(!journals.join(name).exists());
}

/// Check that a killed agent's journal lacks no more than the last second.
#[test]
fn killed() {
    let folder = tempfile::tempdir().unwrap();
    let child = crash::agent("journal", "", folder.path()).spawn().unwrap();
    super::wait_until("two seconds are written", || folder.path().join("at 020").exists());
    crash::kill(child);
    let names =
        || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let last = names().filter_map(|name| name.strip_prefix("at ")?.parse::<u64>().ok()).max().unwrap();
    let second_ago = std::fs::read_to_string(folder.path().join(format!("at {:03}", last - 10))).unwrap();
    let events = recover(&folder.path().join("journal"), &[]).unwrap().pop().unwrap().count();
    assert!(events as u64 >= second_ago.parse::<u64>().unwrap(), "{events} events, {second_ago} a second ago");
}

/// Check that a folder that cannot be made is an error that names it, and that one that is not there has no journals.
#[test]
fn no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = Journal::create(&file, &session(), START_NS).unwrap_err();
    assert!(error.to_string().starts_with("cannot begin a journal in "), "{error}");
    assert!(recover(&folder.path().join("none"), &[]).unwrap().is_empty());
}
