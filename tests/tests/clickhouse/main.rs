//! The store in a real ClickHouse engine: what is kept, once and for good, whoever else writes and whatever dies. Skipped where
//! there is no chDB.

mod model;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use insta::assert_snapshot;
use profile::received::{Received, Span, Transaction};
use store::{
    ChunkStore,
    chunk_store::{Grain, Want},
    clickhouse::ClickHouse,
    encoding::{Plain, decode, encode},
    item::{Batch, ProjectId, Refused, Retention, Selection, Window},
    testing::{Process, conformance},
};
use tempfile::TempDir;
use tests::clickhouse::ClickHouse as Engine;
use uuid::Uuid;

const ALL: Window = Window { from_us: 0, to_us: u64::MAX };
const PROJECT: ProjectId = ProjectId(7);
/// 2026-11-20T00:00:00Z.
const DAY: u64 = 1_795_132_800_000_000;
const HOUR: u64 = 3_600_000_000;
/// For three appends, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_mins(1);

/// An engine with a folder of its own.
fn engine() -> Option<(Engine, TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    Some((Engine::start(folder.path())?, folder))
}

fn batch(profiles: impl IntoIterator<Item = Received>) -> Batch {
    Batch { profiles: profiles.into_iter().map(|it| (PROJECT, it)).collect(), ..Batch::default() }
}

/// What is kept of a selection, whole, by start.
fn kept(store: &dyn ChunkStore, selection: &Selection) -> Vec<Received> {
    let heads = store.profiles(selection).unwrap();
    let parts = store.plan(selection, Grain::Profiles).unwrap();
    let want = Want { symbols: true, aggregate: true, timeline: true, measurements: true };
    let sections = store.fetch(&parts, want).unwrap();
    assert_eq!(heads.len(), parts.len());
    heads.into_iter().zip(sections).map(|(kept, sections)| decode(kept.head, &sections.unwrap()).unwrap()).collect()
}

/// The same profile after being encoded and decoded: in the order in which a store gives stacks.
fn encoded(received: &Received) -> Received {
    decode(received.head.clone(), &encode(received).unwrap()).unwrap()
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

fn all() -> Selection {
    Selection::new(PROJECT, ALL)
}

fn transaction(id: u128, start_us: u64) -> Transaction {
    Transaction {
        event_id: Uuid::from_u128(id),
        trace_id: Uuid::from_u128(0xabc),
        span_id: u64::MAX,
        name: "GET /it's/{id}?".to_owned(),
        op: Some("http.server".to_owned()),
        status: None,
        start_us,
        end_us: start_us + 250_000,
        platform: Some("python".to_owned()),
        environment: None,
        release: Some("shop@1".to_owned()),
        profiler_id: Some(Uuid::from_u128(9)),
        profile_id: None,
        thread_id: Some("1000".to_owned()),
        thread_name: Some("MainThread".to_owned()),
    }
}

fn span(id: u64, start_us: u64) -> Span {
    Span {
        trace_id: Uuid::from_u128(0xabc),
        span_id: id,
        parent_id: (id > 1).then_some(1),
        segment_id: Some(1),
        op: Some("db".to_owned()),
        description: Some("SELECT '?' -- \\ {x:String}".to_owned()),
        status: Some("ok".to_owned()),
        start_us,
        end_us: start_us + 10,
        profiler_id: None,
        thread_id: None,
    }
}

fn refused(at_us: u64) -> Refused {
    Refused {
        project: PROJECT,
        at_us,
        item: "profile_chunk".to_owned(),
        reason: "profiling_invalid_json".to_owned(),
        detail: "no threads".to_owned(),
        client: "sentry.python/2.75.0".to_owned(),
        head: "{\"a\": '\u{1F980}'}".to_owned(),
        bytes: 12,
    }
}

/// Check what every store must do.
#[test]
fn conforms() {
    let Some((engine, _folder)) = engine() else { return };
    conformance::check(&ClickHouse::open(&engine.url("a")).unwrap(), DAY);
}

/// Check that everything of a batch comes back as it was given, and appending it again adds nothing.
#[test]
fn comes_back() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&engine.url("a")).unwrap();
    let process = Process::small(3);
    let chunks: Vec<Received> = (0..4).map(|at| process.chunk(DAY + at * 60_000_000)).collect();
    let whole = Batch {
        transactions: vec![(PROJECT, transaction(1, DAY)), (PROJECT, transaction(2, DAY + HOUR))],
        spans: vec![(PROJECT, span(1, DAY)), (PROJECT, span(2, DAY + 5))],
        refused: vec![refused(DAY), refused(DAY + 1)],
        ..batch(chunks.clone())
    };
    for appended in ["Appended { profiles: 4, known: 0 }", "Appended { profiles: 0, known: 4 }"] {
        assert_eq!(format!("{:?}", store.append(whole.clone()).unwrap()), appended);
        assert_eq!(kept(&store, &all()), chunks.iter().map(encoded).collect::<Vec<_>>());
        assert_eq!(store.transactions(PROJECT, ALL).unwrap(), [transaction(1, DAY), transaction(2, DAY + HOUR)]);
        assert_eq!(store.transaction(PROJECT, Uuid::from_u128(2)).unwrap(), Some(transaction(2, DAY + HOUR)));
        assert_eq!(store.spans(PROJECT, Uuid::from_u128(0xabc)).unwrap(), [span(1, DAY), span(2, DAY + 5)]);
        assert_eq!(store.refused(PROJECT, 9).unwrap(), [refused(DAY + 1), refused(DAY)]);
        assert_eq!(store.projects().unwrap(), [PROJECT]);
        assert_eq!(store.sessions(&all()).unwrap()[0].profiles, 4);
        let hours = store.hours(None, ALL).unwrap();
        let hours = hours.iter().map(|it| format!("{} {} {} {}", it.day, it.platform, it.profiles, it.sentry_seconds));
        assert_eq!(hours.collect::<Vec<_>>(), ["2026-11-20 python 4 12"]);
    }
}

/// Check that an insert whose answer was lost is an error, and that all is there once when it is given again.
#[test]
fn answer_lost() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&engine.url("a")).unwrap();
    let whole = Batch {
        transactions: vec![(PROJECT, transaction(1, DAY))],
        spans: vec![(PROJECT, span(1, DAY))],
        refused: vec![refused(DAY)],
        ..batch([Process::small(1).chunk(DAY)])
    };
    let mut lost = 0;
    loop {
        // Each of the four inserts once.
        if lost < 4 {
            engine.leave_unanswered(1);
        }
        match store.append(whole.clone()) {
            Err(error) => {
                assert!(error.to_string().starts_with("cannot insert into "), "{error}");
                lost += 1;
            }
            Ok(_) => break,
        }
    }
    assert_eq!(kept(&store, &all()).len(), 1);
    assert_eq!(store.sessions(&all()).unwrap()[0].profiles, 1);
    assert_eq!(store.hours(None, ALL).unwrap()[0].profiles, 1);
    assert_eq!(store.transactions(PROJECT, ALL).unwrap().len(), 1);
    assert_eq!(store.spans(PROJECT, Uuid::from_u128(0xabc)).unwrap().len(), 1);
    assert_eq!(store.refused(PROJECT, 9).unwrap().len(), 1);
}

/// Check that two servers may start at the same time on a database that is not there yet, be given the same profiles at the
/// same time, merge the same hours, and that every answer has each profile once.
#[test]
fn two_servers() {
    let Some((engine, _folder)) = engine() else { return };
    let url = engine.url("shared");
    let servers: Vec<ClickHouse> = thread::scope(|scope| {
        let opening: Vec<_> = (0..4).map(|_| scope.spawn(|| ClickHouse::open(&url).unwrap())).collect();
        opening.into_iter().map(|server| server.join().unwrap()).collect()
    });
    let chunks: Vec<Received> = (0..30).map(|at| Process::small(at % 3).chunk(DAY + at / 3 * 60_000_000)).collect();
    let new = AtomicUsize::new(0);
    thread::scope(|scope| {
        for server in &servers[..2] {
            scope.spawn(|| {
                for some in chunks.chunks(5) {
                    new.fetch_add(server.append(batch(some.to_vec())).unwrap().profiles, Ordering::Relaxed);
                }
            });
        }
    });
    // As many rows as were said to be new: some of them twice, perhaps.
    assert!((30..=60).contains(&new.load(Ordering::Relaxed)));
    let now = DAY + 2 * HOUR;
    thread::scope(|scope| {
        for server in &servers[2..] {
            scope.spawn(|| server.merge(now).unwrap());
        }
    });
    for server in &servers {
        let mut expected: Vec<Received> = chunks.iter().map(encoded).collect();
        expected.sort_by_key(|it| (it.head.start_us, it.head.profiler_id));
        assert_eq!(kept(server, &all()), expected);
        assert_eq!(server.sessions(&all()).unwrap().iter().map(|session| session.profiles).sum::<u64>(), 30);
        assert_eq!(server.hours(None, ALL).unwrap()[0].profiles, 30);
    }
}

/// Check that what was acknowledged is there after kill -9 of the engine, once, that an append fails while it is away, and
/// that the store goes on when it is back.
#[test]
fn engine_killed() {
    let Some((mut engine, _folder)) = engine() else { return };
    let store = Arc::new(ClickHouse::open(&engine.url("a")).unwrap());
    let mut acknowledged = BTreeSet::new();
    let answered = Arc::new(AtomicUsize::new(0));
    for round in 0..3_u64 {
        let (writing, acknowledging) = (Arc::clone(&store), Arc::clone(&answered));
        let appending = thread::spawn(move || {
            let mut there = Vec::new();
            for at in 0.. {
                let chunk = Process::small(round).chunk(DAY + at * 60_000_000);
                let id = (chunk.head.profiler_id, chunk.head.chunk_id);
                match writing.append(batch([chunk])) {
                    Ok(_) => {
                        there.push(id);
                        acknowledging.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => break,
                }
            }
            there
        });
        // In the middle of the third or a later one.
        let began = Instant::now();
        while answered.load(Ordering::Relaxed) < 3 * (1 + usize::try_from(round).unwrap()) && began.elapsed() < PATIENCE
        {
            thread::sleep(Duration::from_millis(7));
        }
        thread::sleep(Duration::from_millis(10 * round));
        engine.kill();
        acknowledged.extend(appending.join().unwrap());
        assert!(store.append(batch([Process::small(99).chunk(DAY)])).is_err());
        engine.start_again();
    }
    let found: Vec<(Uuid, Uuid)> =
        store.profiles(&all()).unwrap().iter().map(|it| (it.head.profiler_id, it.head.chunk_id)).collect();
    let distinct: BTreeSet<_> = found.iter().copied().collect();
    assert_eq!(found.len(), distinct.len());
    assert!(acknowledged.len() >= 9, "{}", acknowledged.len());
    assert!(distinct.is_superset(&acknowledged));
    // Not more than the one of each round whose answer was lost.
    assert!(distinct.len() - acknowledged.len() <= 3);
    assert_eq!(store.append(batch([Process::small(99).chunk(DAY)])).unwrap().profiles, 1);
}

/// The time of all rows of all parts, by session.
fn sums(store: &dyn ChunkStore, selection: &Selection, grain: Grain) -> (usize, u64, u64, u64) {
    let parts = store.plan(selection, grain).unwrap();
    let want = Want { symbols: true, aggregate: true, ..Want::default() };
    let (mut us, mut samples) = (0, 0);
    for sections in store.fetch(&parts, want).unwrap() {
        for row in Plain::decode(&sections.unwrap()).unwrap().aggregate.rows {
            us += row.us;
            samples += row.samples;
        }
    }
    (parts.len(), parts.iter().map(|part| part.profiles).sum(), us, samples)
}

/// Check that blocks stand for their profiles: the same sums from fewer parts, in windows that cut hours, and after
/// profiles that come late.
#[test]
fn blocks() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&engine.url("a")).unwrap();
    let chunks = (0..120).flat_map(|at| [1, 2].map(|seed| Process::small(seed).chunk(DAY + at * 60_000_000)));
    store.append(batch(chunks)).unwrap();
    let now = now_us();
    assert_eq!(store.merge(DAY + HOUR + HOUR / 2).unwrap(), 2, "the first hour of both");
    assert_eq!(store.merge(now).unwrap(), 2, "the second hour");
    assert_eq!(store.merge(now).unwrap(), 0);

    let by_profile = sums(&store, &all(), Grain::Profiles);
    let by_block = sums(&store, &all(), Grain::Blocks);
    assert_eq!((by_profile.0, by_block.0), (240, 4));
    assert_eq!((by_profile.1, by_profile.2, by_profile.3), (by_block.1, by_block.2, by_block.3));

    // From the middle of the first hour on.
    let cut = Selection::new(PROJECT, Window { from_us: DAY + HOUR / 2, to_us: DAY + 2 * HOUR });
    let (by_profile, by_block) = (sums(&store, &cut, Grain::Profiles), sums(&store, &cut, Grain::Blocks));
    assert_eq!((by_profile.0, by_block.0), (180, 62));
    assert_eq!((by_profile.1, by_profile.2, by_profile.3), (by_block.1, by_block.2, by_block.3));

    // One that comes late.
    store.append(batch([Process::small(1).chunk(DAY + 30_000_000)])).unwrap();
    assert_eq!(sums(&store, &all(), Grain::Blocks).0, 61 + 3);
    assert_eq!(store.merge(now).unwrap(), 1);
    assert_eq!(sums(&store, &all(), Grain::Blocks).0, 4);
    assert_eq!(sums(&store, &all(), Grain::Blocks).1, 241);

    // Functions by hour: the same time once more, however often an hour was merged.
    let (.., us, _) = sums(&store, &all(), Grain::Blocks);
    let idle: u64 = idle(&store);
    let own = engine.query("SELECT sum(own_us) FROM a.functions FINAL").trim().parse::<u64>().unwrap();
    assert_eq!(own, us - idle);
}

/// Time without any stack.
fn idle(store: &dyn ChunkStore) -> u64 {
    let parts = store.plan(&all(), Grain::Blocks).unwrap();
    let sections = store.fetch(&parts, Want { symbols: true, aggregate: true, ..Want::default() }).unwrap();
    let rows = sections.into_iter().flat_map(|sections| Plain::decode(&sections.unwrap()).unwrap().aggregate.rows);
    rows.filter(|row| row.node == 0).map(|row| row.us).sum()
}

/// Check that retention drops days that are over, and the oldest days where all is too much.
#[test]
fn retention() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&engine.url("a")).unwrap();
    let days = |store: &ClickHouse| -> Vec<u64> {
        store.profiles(&all()).unwrap().iter().map(|it| (it.head.start_us - DAY) / (24 * HOUR)).collect()
    };
    store.append(batch((0..5).map(|day| Process::small(1).chunk(DAY + day * 24 * HOUR)))).unwrap();
    let for_days = |days| Retention { days, bytes: u64::MAX };
    store.retain(for_days(30), DAY + 5 * 24 * HOUR).unwrap();
    assert_eq!(days(&store), [0, 1, 2, 3, 4]);
    store.retain(for_days(3), DAY + 5 * 24 * HOUR).unwrap();
    assert_eq!(days(&store), [2, 3, 4]);
    let bytes: u64 = engine
        .query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'a' AND partition_id LIKE '%'")
        .trim()
        .parse()
        .unwrap();
    store.retain(Retention { days: 30, bytes: bytes - 1_000 }, DAY + 5 * 24 * HOUR).unwrap();
    assert_eq!(days(&store), [3, 4]);
    store.retain(Retention { days: 30, bytes: 0 }, DAY + 5 * 24 * HOUR).unwrap();
    assert_eq!(days(&store), [0_u64; 0]);
}

/// Check that ClickHouse itself removes what is older than the address says.
#[test]
fn time_to_live() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&format!("{}?retention_days=30", engine.url("a"))).unwrap();
    let now = now_us();
    store.append(batch([31, 29, 0].map(|days| Process::small(1).chunk(now - days * 24 * HOUR)))).unwrap();
    engine.query("OPTIMIZE TABLE a.profile_chunks FINAL");
    assert_eq!(store.profiles(&all()).unwrap().len(), 2);
}

/// Check that a wrong password, a wrong port and a newer database are refused, and that nobody reads a password.
#[test]
fn refusals() {
    let folder = tempfile::tempdir().unwrap();
    let Some(engine) = Engine::start_with(folder.path(), "profiler", "hunter2") else { return };
    let said = |url: &str| {
        let error = ClickHouse::open(url).unwrap_err();
        let cause = std::error::Error::source(&error).map_or(String::new(), ToString::to_string);
        format!("{error}: {cause}\n{error:?}")
    };
    let wrong = said(&engine.url("a").replace("hunter2", "hunter3"));
    assert!(wrong.starts_with("cannot look for the database: bad response: Code: 516"), "{wrong}");
    assert!(!wrong.contains("hunter"), "{wrong}");
    let nobody = said("clickhouse://profiler:hunter2@127.0.0.1:1/a");
    assert!(nobody.contains("Connection refused") && !nobody.contains("hunter"), "{nobody}");

    let store = ClickHouse::open(&engine.url("a")).unwrap();
    assert!(!format!("{store:?}").contains("hunter"), "{store:?}");
    engine.query("INSERT INTO a.schema_versions (version) VALUES (1000)");
    let newer = ClickHouse::open(&engine.url("a")).unwrap_err();
    assert_snapshot!(newer, @"the store has format 1000, this program knows up to 1");
}

/// Check that times beyond any calendar harm nobody else's profiles.
#[test]
fn times_of_nowhere() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&format!("{}?retention_days=30", engine.url("a"))).unwrap();
    let now = now_us();
    let mut nowhere = Process::small(1).chunk(now);
    (nowhere.head.start_us, nowhere.head.end_us) = (u64::MAX - 1, u64::MAX);
    let sane = Process::small(2).chunk(now);
    store.append(batch([nowhere.clone(), sane.clone()])).unwrap();
    assert_eq!(kept(&store, &all()).len(), 2);
    assert_eq!(
        kept(&store, &Selection::new(PROJECT, Window { from_us: now - 1, to_us: now + HOUR })),
        [encoded(&sane)]
    );
}
