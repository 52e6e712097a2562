//! The store in a real ClickHouse engine: what is kept, once and for good, whoever else writes and whatever dies. Skipped where
//! there is no chDB.

mod model;

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// Check that functions by hour have the time of every stack that they are in, once where they call themselves.
#[test]
fn functions() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&engine.url("a")).unwrap();
    let mut chunks: Vec<Received> = (0..20).map(|at| Process::small(1).chunk(DAY + at * 60_000_000)).collect();
    // Nine frames are three functions: each is in a stack of twenty many times. This one is its own leaf and root, too.
    chunks[0].stacks[0] = vec![0, 1, 3, 0, 6, 0];
    store.append(batch(chunks)).unwrap();
    assert_eq!(store.merge(now_us()).unwrap(), 1);

    let mut expected: BTreeMap<[String; 3], [u64; 3]> = BTreeMap::new();
    let parts = store.plan(&all(), Grain::Profiles).unwrap();
    let want = Want { symbols: true, aggregate: true, ..Want::default() };
    for sections in store.fetch(&parts, want).unwrap() {
        let Plain { symbols, aggregate, .. } = Plain::decode(&sections.unwrap()).unwrap();
        for row in aggregate.rows {
            let mut seen = BTreeSet::new();
            let mut at = row.node;
            while let Some(node) = symbols.node(at) {
                let frame = symbols.frames[node.frame as usize];
                let text = |text| symbols.texts.get(text).unwrap_or_default().to_owned();
                let name = [text(frame.function()), text(frame.module()), text(frame.file())];
                let times = expected.entry(name.clone()).or_default();
                times[0] += if at == row.node { row.us } else { 0 };
                if seen.insert(name) {
                    times[1] += row.us;
                    times[2] += row.samples;
                }
                at = node.parent;
            }
        }
    }
    let expected: Vec<String> = expected
        .into_iter()
        .map(|(name, times)| format!("{}\t{}", name.join("\t"), times.map(|it| it.to_string()).join("\t")))
        .collect();
    let found = engine.query(
        "SELECT function, module, file, sum(own_us), sum(total_us), sum(samples) FROM a.functions FINAL \
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    );
    assert!(expected.len() > 2);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

/// Check that hours with a profile that is broken keep no others waiting, however many they are.
#[test]
fn broken_hours() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&engine.url("a")).unwrap();
    // As many as are merged at once, an hour before the one that is whole.
    let broken = (1..=64).flat_map(|seed| [0, 1].map(|at| Process::small(seed).chunk(DAY + at * 60_000_000)));
    let whole = [0, 1].map(|at| Process::small(100).chunk(DAY + HOUR + at * 60_000_000));
    store.append(batch(broken.chain(whole))).unwrap();
    let whole = Process::small(100).profiler_id();
    engine.query(&format!(
        "ALTER TABLE a.profile_chunks UPDATE symbols = 'x' WHERE profiler_id != '{whole}' SETTINGS mutations_sync = 2"
    ));
    assert_eq!(store.merge(now_us()).unwrap(), 1);
    assert_eq!(store.merge(now_us()).unwrap(), 0);
    let blocks = engine.query("SELECT profiler_id, profiles FROM a.blocks FINAL");
    assert_eq!(blocks, format!("{whole}\t2\n"));
    // Those that are broken are named one by one.
    assert_eq!(store.plan(&all(), Grain::Blocks).unwrap().len(), 64 * 2 + 1);
}

/// Check that an hour that would take too much memory is read profile by profile, and keeps no others waiting.
#[test]
fn too_much() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&engine.url("a")).unwrap();
    // Two of 1,100,000 nodes that have none in common.
    let large = [0, 1].map(|root| {
        let mut chunk = Process::small(1).chunk(DAY + u64::from(root) * 60_000_000);
        chunk.stacks[0] = vec![2; 1_100_000];
        chunk.stacks[0].push(root);
        chunk
    });
    let small = [0, 1].map(|at| Process::small(2).chunk(DAY + at * 60_000_000));
    store.append(batch(large.into_iter().chain(small))).unwrap();
    assert_eq!(store.merge(now_us()).unwrap(), 1);
    assert_eq!(store.merge(now_us()).unwrap(), 0);
    let parts: Vec<(Uuid, u64)> =
        store.plan(&all(), Grain::Blocks).unwrap().iter().map(|part| (part.profiler_id, part.profiles)).collect();
    let (large, small) = (Process::small(1).profiler_id(), Process::small(2).profiler_id());
    assert_eq!(BTreeSet::from_iter(&parts), BTreeSet::from_iter(&[(large, 1), (small, 2)]));
    assert_eq!(parts.len(), 3);
    let (by_profile, by_block) = (sums(&store, &all(), Grain::Profiles), sums(&store, &all(), Grain::Blocks));
    assert_eq!((by_profile.1, by_profile.2, by_profile.3), (by_block.1, by_block.2, by_block.3));
}

/// Check that an append of more days than any sender has is refused, whole, and harms none beside it; that one of fewer
/// is kept, in several inserts; and that it is completed where one of them failed.
#[test]
fn many_days() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&engine.url("a")).unwrap();
    let spans = |days: u64| -> Vec<Span> { (0..days).map(|day| span(day + 1, DAY - day * 24 * HOUR)).collect() };
    let of =
        |spans: &[Span]| Batch { spans: spans.iter().map(|it| (PROJECT, it.clone())).collect(), ..Batch::default() };
    let kept_spans = || store.spans(PROJECT, Uuid::from_u128(0xabc)).unwrap();

    let sane = Process::small(1).chunk(DAY);
    let hostile = Batch { profiles: vec![(PROJECT, Process::small(2).chunk(DAY))], ..of(&spans(400)) };
    let refused = thread::scope(|scope| {
        let refused = scope.spawn(|| store.append(hostile).unwrap_err());
        assert_eq!(store.append(batch([sane.clone()])).unwrap().profiles, 1);
        refused.join().unwrap()
    });
    let cause = std::error::Error::source(&refused).unwrap();
    assert_snapshot!(format!("{refused}: {cause}"), @"cannot append items of 401 days at once: 400 are the most");
    assert_eq!(kept(&store, &all()), [encoded(&sane)]);
    assert_eq!(kept_spans(), []);

    let mut many = spans(100);
    engine.leave_unanswered(1);
    store.append(of(&many)).unwrap_err();
    many.reverse();
    assert_eq!(kept_spans(), many[..40], "the first insert");
    store.append(of(&many)).unwrap();
    assert_eq!(kept_spans(), many);
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
    // The last one ended less than a day ago, by three seconds: it stays, however little may.
    store.retain(Retention { days: 30, bytes: 0 }, DAY + 5 * 24 * HOUR).unwrap();
    assert_eq!(days(&store), [4]);
    store.retain(Retention { days: 30, bytes: 0 }, DAY + 5 * 24 * HOUR + 4_000_000).unwrap();
    assert_eq!(days(&store), [0_u64; 0]);
}

/// Check that what has just come stays where all is too much, also of a clock that is ahead, and that times beyond any
/// calendar change nothing of it.
#[test]
fn retention_of_bytes() {
    let Some((engine, _folder)) = engine() else { return };
    let store = ClickHouse::open(&engine.url("a")).unwrap();
    let now = DAY + 24 * HOUR - 60_000_000;
    let chunk = |seed, start_us| Process::small(seed).chunk(start_us);
    let mut endless = [chunk(3, DAY + HOUR), chunk(4, now - 10 * 24 * HOUR), chunk(5, now)];
    for chunk in &mut endless {
        chunk.head.end_us = u64::MAX;
    }
    endless[2].head.start_us = u64::MAX - 1;
    // Today; tomorrow, by five minutes; for ever from today, from ten days ago and from nowhere on.
    store.append(batch([chunk(1, DAY), chunk(2, now + 300_000_000)].into_iter().chain(endless))).unwrap();
    store.retain(Retention { days: 30, bytes: 0 }, now).unwrap();
    let left: Vec<Uuid> = store.profiles(&all()).unwrap().iter().map(|it| it.head.profiler_id).collect();
    assert_eq!(left, [1, 3, 2].map(|seed| Process::small(seed).profiler_id()));
}

/// Check that each profile is kept for the days of the address that it came by, and by the settings where that names none.
#[test]
fn retention_by_address() {
    let Some((engine, _folder)) = engine() else { return };
    let by_address = ClickHouse::open(&format!("{}?retention_days=3650", engine.url("a"))).unwrap();
    let by_settings = ClickHouse::open(&engine.url("a")).unwrap();
    for (seed, store) in [(1, &by_address), (2, &by_settings)] {
        store.append(batch((0..3).map(|day| Process::small(seed).chunk(DAY + day * 24 * HOUR)))).unwrap();
    }
    // Each with its day.
    let left = || -> BTreeSet<(u128, u64)> {
        let profiles = by_address.profiles(&all()).unwrap();
        let of =
            |head: &profile::received::Head| (head.profiler_id.as_u128() & 0xff, (head.start_us - DAY) / (24 * HOUR));
        profiles.iter().map(|it| of(&it.head)).collect()
    };
    for store in [&by_address, &by_settings] {
        store.retain(Retention { days: 1, bytes: u64::MAX }, DAY + 3 * 24 * HOUR).unwrap();
        assert_eq!(left(), BTreeSet::from([(1, 0), (1, 1), (1, 2), (2, 2)]));
    }
    by_settings.retain(Retention { days: 100_000, bytes: u64::MAX }, DAY + 3652 * 24 * HOUR).unwrap();
    assert_eq!(left(), BTreeSet::from([(1, 2), (2, 2)]));
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
