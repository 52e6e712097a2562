//! Answers against naive ones, worked out from the profiles themselves.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use insta::assert_snapshot;
use profile::received::{OfTransaction, Received, Span, Transaction};
use proptest::prelude::*;

use super::*;
use crate::{
    embedded::{Embedded, Settings},
    item::{Batch, StateClass, StateGroup, States},
    live::Piece,
    testing::{Process, Random, naive},
    tree::Weight,
};

const PROJECT: ProjectId = ProjectId(7);
const START: u64 = 1_790_000_000_000_000;

fn open(dir: &Path) -> Embedded {
    Embedded::open_with(dir, Settings { merges: false, ..Settings::default() }).unwrap()
}

fn keep(store: &dyn ChunkStore, profiles: &[Received]) {
    let profiles = profiles.iter().map(|received| (PROJECT, received.clone())).collect();
    store.append(Batch { profiles, ..Batch::default() }).unwrap();
}

/// Three processes, ten profiles each.
fn some() -> Vec<Received> {
    (1..4).flat_map(|seed| (0..10).map(move |at| Process::small(seed).chunk(START + at * 3_000_000))).collect()
}

fn queries(store: Embedded) -> Queries {
    Queries { store: Arc::new(store), live: None }
}

fn selection(random: &mut Random) -> Selection {
    let from_us = START - 1_000_000 + random.below(20_000_000);
    let mut selection = Selection::new(PROJECT, Window { from_us, to_us: from_us + random.below(25_000_000) });
    if random.below(3) == 0 {
        selection.profilers.push(Process::small(1 + random.below(3)).profiler_id());
    }
    if random.below(3) == 0 {
        selection.threads = vec!["1001".to_owned(), "1002".to_owned()];
    }
    if random.below(4) == 0 {
        selection.releases = vec![None];
    }
    selection.states = [States::All, States::Active, States::OnCpu, States::Gil][random.below(4) as usize];
    selection
}

/// The path of each node of a tree.
fn pairs(tree: &Tree) -> Vec<Vec<String>> {
    let mut path: Vec<String> = Vec::new();
    let path_of = |node: &crate::tree::Node| {
        path.truncate(node.depth as usize);
        path.push(naive::show(&tree.functions[node.function as usize]));
        path.clone()
    };
    tree.nodes.iter().map(path_of).collect()
}

/// Each path of a tree with its weights.
fn paths(tree: &Tree) -> BTreeMap<Vec<String>, (Weight, Weight)> {
    let mut path: Vec<String> = Vec::new();
    let mut paths = BTreeMap::new();
    for node in &tree.nodes {
        path.truncate(node.depth as usize);
        path.push(naive::show(&tree.functions[node.function as usize]));
        assert!(paths.insert(path.clone(), (node.total, node.own)).is_none(), "twice: {path:?}");
    }
    paths
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Check trees, functions, threads, timelines and CPU of random selections against naive ones.
    #[test]
    fn against_naive(seed in any::<u64>()) {
        let all = some();
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        keep(&store, &all);
        let queries = queries(store);
        let mut random = Random(seed);
        for _ in 0..3 {
            let selection = selection(&mut random);
            let stays = naive::stays(&all, &selection);
            for (lines, inverted) in [(false, false), (true, false), (false, true)] {
                let tree = queries.tree(&selection, Shape { lines, inverted, states: false }).unwrap().of;
                let (expected, idle) = naive::tree(&stays, lines, inverted);
                prop_assert_eq!(paths(&tree), expected);
                prop_assert_eq!(tree.idle, idle);
                let roots = tree.nodes.iter().filter(|node| node.depth == 0);
                let sum = roots.fold(Weight::default(), |mut sum, node| { sum.add(node.total); sum });
                prop_assert_eq!(tree.total, sum);
                let rows = queries.functions(&selection, lines).unwrap().of;
                let rows: BTreeMap<String, (Weight, Weight)> =
                    rows.iter().map(|row| (naive::show(&row.function), (row.own, row.total))).collect();
                prop_assert_eq!(rows, naive::functions(&stays, lines));
            }
            let tree = queries.tree(&selection, Shape { states: true, ..Shape::default() }).unwrap().of;
            let by_path: BTreeMap<Vec<String>, ByState> = pairs(&tree)
                .into_iter()
                .zip(&tree.states)
                .map(|(path, states)| (path, *states))
                .filter(|(_, states)| *states != ByState::default())
                .collect();
            prop_assert_eq!(by_path, naive::states(&stays));
            let threads = queries.threads(&selection).unwrap().of;
            let threads: BTreeMap<_, _> =
                threads.into_iter().map(|row| ((row.profiler_id, row.id), (row.weight, row.idle_us, row.states_us))).collect();
            prop_assert_eq!(threads, naive::threads(&stays));

            let timeline = queries.timeline(&selection, false).unwrap().of;
            let sum: u64 = timeline.intervals.iter().map(|interval| interval.end_us - interval.start_us).sum();
            prop_assert_eq!(sum, stays.iter().map(naive::Stay::us).sum::<u64>());
            let cpu = queries.cpu(&selection, CpuShape { buckets: 7, series: false, threads: true }).unwrap().of;
            prop_assert_eq!(&cpu.series, &Vec::new());
            for lane in cpu.threads.unwrap() {
                let its = |group: fn(StateGroup) -> bool| {
                    let its = stays.iter().filter(|stay| (stay.profiler_id, &stay.thread) == (lane.profiler_id, &lane.id));
                    its.filter(|stay| group(stay.class.group())).map(naive::Stay::us).sum::<u64>()
                };
                prop_assert_eq!(lane.on_cpu_us.iter().sum::<u64>(), its(|group| group == StateGroup::OnCpu));
                prop_assert_eq!(lane.unknown_us.iter().sum::<u64>(), its(|group| group == StateGroup::Unknown));
                let other = its(|group| !matches!(group, StateGroup::OnCpu | StateGroup::Unknown));
                prop_assert_eq!(lane.other_us.iter().sum::<u64>(), other);
            }
            let of = |class: fn(StateClass) -> bool| stays.iter().filter(|stay| class(stay.class)).map(naive::Stay::us).sum::<u64>();
            let on_cpu = of(|class| matches!(class, StateClass::OnCpu | StateClass::OnCpuWithLock));
            prop_assert_eq!(cpu.buckets.iter().map(|bucket| bucket.on_cpu_us).sum::<u64>(), on_cpu);
        }
    }
}

/// Check that blocks answer as the profiles do that they stand for, and that a damaged block costs nothing.
#[test]
fn blocks() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let all: Vec<Received> = (0..120).map(|at| Process::small(1).chunk(START + at * 60_000_000)).collect();
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&now);
    let settings =
        Settings { clock: Arc::new(move || clock.load(Ordering::Relaxed)), merges: false, ..Settings::default() };
    let store = Embedded::open_with(dir.path(), settings).unwrap();
    for received in &all {
        now.store(received.head.end_us, Ordering::Relaxed);
        keep(&store, std::slice::from_ref(received));
    }
    let windows = [(0, u64::MAX), (START + 1, START + 7_200_000_000), (START + 600_000_000, START + 6_000_000_000)];
    let ask = || {
        let queries = queries(Embedded::open_read_only(dir.path()).unwrap());
        let mut text = String::new();
        for (from_us, to_us) in windows {
            let selection = Selection::new(PROJECT, Window { from_us, to_us });
            let parts = queries.store.plan(&selection, crate::chunk_store::Grain::Blocks).unwrap();
            let answer = queries.tree(&selection, Shape::default()).unwrap();
            assert_eq!(paths(&answer.of), naive::tree(&naive::stays(&all, &selection), false, false).0);
            let Covers { profiles, damaged, .. } = answer.covers;
            writeln!(text, "{} parts, {profiles} profiles, {} damaged", parts.len(), damaged.len()).unwrap();
        }
        text
    };
    let before = ask();
    now.store(START + 48 * 3_600_000_000, Ordering::Relaxed);
    store.merge().unwrap();
    let merged = ask();
    // A block that cannot be read is gone around: the last bytes of the last segment are the day's.
    let last =
        std::fs::read_dir(dir.path().join("partitions")).unwrap().map(|hour| hour.unwrap().path()).max().unwrap();
    let last = std::fs::read_dir(last).unwrap().map(|file| file.unwrap().path()).max().unwrap();
    let mut bytes = std::fs::read(&last).unwrap();
    bytes.iter_mut().rev().take(20).for_each(|byte| *byte ^= 0xff);
    std::fs::write(&last, bytes).unwrap();
    assert_eq!(crate::embedded::check(dir.path()).unwrap().damaged.len(), 1);
    assert_eq!(ask(), merged);
    assert_snapshot!(format!("{before}merged:\n{merged}"), @r#"
    120 parts, 120 profiles, 0 damaged
    120 parts, 120 profiles, 0 damaged
    90 parts, 90 profiles, 0 damaged
    merged:
    1 parts, 120 profiles, 0 damaged
    13 parts, 120 profiles, 0 damaged
    18 parts, 90 profiles, 0 damaged
    "#);
}

/// Check that live pieces count until they are kept, and never twice.
#[test]
fn live() {
    #[derive(Debug)]
    struct Pieces(Vec<Arc<Piece>>);
    impl Live for Pieces {
        fn pieces(&self, project: ProjectId) -> Vec<Arc<Piece>> {
            if project == PROJECT { self.0.clone() } else { Vec::new() }
        }
    }
    let all: Vec<Received> = (0..5).map(|at| Process::small(1).chunk(START + at * 3_000_000)).collect();
    let pieces = all.iter().map(|received| Arc::new(Piece::new(PROJECT, received))).collect();
    let dir = tempfile::tempdir().unwrap();
    let queries = Queries { store: Arc::new(open(dir.path())), live: Some(Arc::new(Pieces(pieces))) };
    let selection = Selection::new(PROJECT, Window { from_us: START, to_us: START + 14_000_000 });
    let expected = naive::tree(&naive::stays(&all, &selection), false, false).0;
    let mut text = String::new();
    for kept in 0_usize..=5 {
        if let Some(received) = kept.checked_sub(1).and_then(|at| all.get(at)) {
            keep(&*queries.store, std::slice::from_ref(received));
        }
        let answer = queries.tree(&selection, Shape::default()).unwrap();
        assert_eq!(paths(&answer.of), expected);
        writeln!(text, "{} kept, {} live", answer.covers.profiles, answer.covers.live).unwrap();
    }
    assert_snapshot!(text, @r#"
    0 kept, 5 live
    1 kept, 4 live
    2 kept, 3 live
    3 kept, 2 live
    4 kept, 1 live
    5 kept, 0 live
    "#);
    assert_eq!(queries.services(PROJECT, selection.window()).unwrap().of.sessions.len(), 1);
}

/// A hundred transactions of one trace, the slower the later, every other one with a session's chunk; one with a profile of
/// its own; and a span. Also the chunk and the profile.
fn with_transactions(dir: &Path) -> (Queries, Received, Received) {
    let store = open(dir);
    let process = Process::small(1);
    let mut v1 = Process::small(2).chunk(START + 1_000_000);
    v1.head.transaction = Some(OfTransaction {
        event_id: Uuid::from_u128(99),
        trace_id: Uuid::from_u128(5),
        name: "job".to_owned(),
        thread_id: Some("1001".to_owned()),
    });
    let transaction = |at: u64, name: &str| Transaction {
        event_id: Uuid::from_u128(u128::from(at)),
        trace_id: Uuid::from_u128(5),
        span_id: at,
        name: name.to_owned(),
        op: Some("http.server".to_owned()),
        status: Some("ok".to_owned()),
        start_us: START + at * 1000,
        end_us: START + at * 1000 + at * 10_000,
        platform: None,
        environment: None,
        release: None,
        profiler_id: at.is_multiple_of(2).then(|| process.profiler_id()),
        profile_id: None,
        thread_id: Some("1001".to_owned()),
        thread_name: None,
    };
    let mut transactions: Vec<(ProjectId, Transaction)> =
        (1..=100).map(|at| (PROJECT, transaction(at, "GET /"))).collect();
    let job =
        Transaction { event_id: Uuid::from_u128(1000), profile_id: Some(v1.head.chunk_id), ..transaction(3, "job") };
    transactions.push((PROJECT, job));
    let span = Span {
        trace_id: Uuid::from_u128(5),
        span_id: 1,
        parent_id: None,
        segment_id: None,
        op: None,
        description: None,
        status: None,
        start_us: START,
        end_us: START + 5000,
        profiler_id: None,
        thread_id: None,
    };
    let chunk = process.chunk(START);
    let profiles = vec![(PROJECT, chunk.clone()), (PROJECT, v1.clone())];
    store.append(Batch { profiles, transactions, spans: vec![(PROJECT, span)], refused: Vec::new() }).unwrap();
    (queries(store), chunk, v1)
}

/// Check transactions, their quantiles, their trees, and a trace.
#[test]
fn transactions() {
    let dir = tempfile::tempdir().unwrap();
    let (queries, chunk, v1) = with_transactions(dir.path());
    let window = Window { from_us: 0, to_us: u64::MAX };
    assert_snapshot!(
        queries.transactions(PROJECT, window).unwrap().iter().map(|row| format!("{row:?}")).collect::<Vec<_>>().join("\n"),
        @r#"
        TransactionRow { name: "GET /", op: Some("http.server"), count: 100, with_profile: 50, failed: 0, p50_us: 500000, p75_us: 750000, p95_us: 950000, p99_us: 990000, sum_us: 50500000, spread: [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 4, 8, 14, 25, 43, 1, 0, 0, 0, 0, 0, 0, 0] }
        TransactionRow { name: "job", op: Some("http.server"), count: 1, with_profile: 1, failed: 0, p50_us: 30000, p75_us: 30000, p95_us: 30000, p99_us: 30000, sum_us: 30000, spread: [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] }
        "#
    );
    let tree = |event: u128| queries.transaction_tree(PROJECT, Uuid::from_u128(event), Shape::default()).unwrap();
    let of = |received: &Received, window: Window| {
        let selection = Selection { threads: vec!["1001".to_owned()], ..Selection::new(PROJECT, window) };
        naive::tree(&naive::stays(std::slice::from_ref(received), &selection), false, false).0
    };
    let ten = Window { from_us: START + 10_000, to_us: START + 110_000 };
    assert_eq!(paths(&tree(10).unwrap().of.tree), of(&chunk, ten));
    assert_eq!(paths(&tree(1000).unwrap().of.tree), of(&v1, window));
    assert_eq!(tree(11).unwrap().of.tree, Tree::default());
    assert!(tree(4711).is_none());
    let trace = queries.trace(PROJECT, Uuid::from_u128(5)).unwrap();
    assert_eq!((trace.spans.len(), trace.transactions.len()), (1, 6));
    let named = TransactionFilter { name: Some("GET /".to_owned()), ..TransactionFilter::default() };
    let list = |filter: TransactionFilter| {
        let list = queries.transaction_list(PROJECT, window, &filter, 3).unwrap();
        (list.transactions.iter().map(|(of, has)| (of.span_id, *has)).collect::<Vec<_>>(), list.more)
    };
    assert_eq!(list(named.clone()), (vec![(100, true), (99, false), (98, true)], true));
    let some =
        TransactionFilter { min_us: 30_000, max_us: Some(60_000), profiled: true, slowest: true, ..named.clone() };
    assert_eq!(list(some), (vec![(6, true), (4, true)], false));
}

/// Check what many transactions did: their tree, what the slowest do more, and when they were how long.
#[test]
fn many_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let (queries, ..) = with_transactions(dir.path());
    let window = Window { from_us: 0, to_us: u64::MAX };
    let tree = |event: u128| queries.transaction_tree(PROJECT, Uuid::from_u128(event), Shape::default()).unwrap();
    // What many did is what each did, summed: of some with the profile of a session, and one with a profile of its own.
    let all = queries.transaction_list(PROJECT, window, &TransactionFilter::default(), 200).unwrap();
    let all: Vec<Transaction> = all.transactions.into_iter().map(|(of, _)| of).collect();
    let states = queries.transaction_states(PROJECT, &all).unwrap();
    let mut sum = BTreeMap::<Vec<String>, (Weight, Weight)>::new();
    for (of, states) in all.iter().zip(&states) {
        let tree = queries.transaction_tree(PROJECT, of.event_id, Shape::default()).unwrap().unwrap().of.tree;
        let us: u64 = states.iter().flat_map(|(states, _)| states.0).sum();
        assert_eq!(us, tree.total.us + tree.idle.us, "{}", of.span_id);
        for (path, (total, own)) in paths(&tree) {
            let (totals, owns) = sum.entry(path).or_default();
            totals.add(total);
            owns.add(own);
        }
    }
    let merged = queries.transactions_tree(PROJECT, window, &TransactionFilter::default(), Shape::default()).unwrap();
    assert_eq!(paths(&merged.of.tree), sum);
    assert_eq!(merged.of.transactions, states.iter().flatten().count());

    // The slowest five against the middle half: those from 26 to 75.
    let found = queries.transactions_difference(PROJECT, window, "GET /").unwrap().of;
    let time = |events: &[u128]| -> u64 { events.iter().map(|event| tree(*event).unwrap().of.tree.total.us).sum() };
    let has = |event: &&u128| event.is_multiple_of(2) && time(&[**event]) > 0;
    let side = |events: Vec<u128>| events.iter().filter(has).copied().collect::<Vec<_>>();
    let (middle, slowest) = (side((26..76).collect()), side((96..101).collect()));
    assert_eq!((found.base_transactions, found.transactions), (middle.len(), slowest.len()));
    assert_eq!((found.difference.a.us, found.difference.b.us), (time(&middle), time(&slowest)));

    let heat = queries.transaction_heat(PROJECT, Window { from_us: START, to_us: START + 110_000 }, None, 2).unwrap();
    let cells: Vec<String> = heat.cells.iter().map(|cell| serde_json::to_string(cell).unwrap()).collect();
    assert_snapshot!(format!("{} of {} profiled: {}", heat.profiled, heat.count, cells.join(" ")), @"51 of 101 profiled: [0,8,1,0,0] [0,9,3,0,2] [0,10,2,0,1] [0,11,4,0,2] [0,12,8,0,4] [0,13,14,0,7] [0,14,23,0,12] [1,14,2,0,1] [1,15,43,0,21] [1,16,1,0,1]");
    assert!(
        heat.rows.iter().enumerate().all(|(row, least)| transactions::bucket(*least) == row
            && transactions::bucket(*least - 1) == row.saturating_sub(1))
    );
    let spans = |many| queries.spans(PROJECT, Window { from_us: START, to_us: START + 2000 }, &[], many).unwrap();
    assert_eq!((spans(5).spans.len(), spans(5).more), (1, false));
}

/// Check a difference: what doubled is beyond the error, and the shares of each side add up.
#[test]
fn difference() {
    let all = some();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    keep(&store, &all);
    let queries = queries(store);
    let a = Selection::new(PROJECT, Window { from_us: START, to_us: START + 10_000_000 });
    let b = Selection::new(PROJECT, Window { from_us: START + 10_000_000, to_us: START + 30_000_000 });
    let found = queries.difference(&a, &b, false).unwrap().of;
    for side in [|share: &Share| share.a, |share: &Share| share.b] {
        let sum: f64 = found.functions.iter().map(|row| side(&row.own)).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }
    for (selection, side) in [(&a, 0), (&b, 1)] {
        let expected = naive::functions(&naive::stays(&all, selection), false);
        for row in &found.functions {
            let us = [(row.own.a_us, row.total.a_us), (row.own.b_us, row.total.b_us)][side];
            let (own, total) = expected.get(&naive::show(&row.function)).copied().unwrap_or_default();
            assert_eq!(us, (own.us, total.us), "{}", row.function.name);
        }
    }
    let same = queries.difference(&a, &a, false).unwrap().of;
    assert!(same.functions.iter().all(|row| row.own.difference == 0.0 && row.own.error_95 > 0.0));
    assert_eq!(same.nodes.len(), queries.tree(&a, Shape::default()).unwrap().of.nodes.len());
}

/// Check that whole profiles come back, and what was asked for only.
#[test]
fn received() {
    let all = some();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    keep(&store, &all);
    let queries = queries(store);
    let mut selection = Selection::new(PROJECT, Window { from_us: START, to_us: START + 4_000_000 });
    selection.profilers = vec![Process::small(2).profiler_id()];
    let mut found = Vec::new();
    let take = &mut |_, received: Received| {
        found.push(received);
        true
    };
    assert_eq!(queries.received(&selection, take).unwrap().profiles, 2);
    for (found, sent) in found.iter().zip(&all[10..]) {
        assert_eq!((&found.head, &found.measurements), (&sent.head, &sent.measurements));
        assert_eq!(
            naive::stays(std::slice::from_ref(found), &selection),
            naive::stays(std::slice::from_ref(sent), &selection)
        );
    }
}
