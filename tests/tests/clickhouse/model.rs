//! The store in ClickHouse against a list: whatever is appended, by whichever of two servers, merged, or killed in between.

use std::collections::{BTreeMap, BTreeSet};

use profile::received::Received;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use store::{
    ChunkStore,
    clickhouse::ClickHouse,
    embedded::Embedded,
    item::{ProjectId, Selection, Window},
    query::Queries,
    testing::Process,
    tree::{Shape, Tree, Weight},
};

use super::{DAY, HOUR, PROJECT, batch, encoded, engine, kept, now_us, sums};

/// Each case makes a database of its own; one takes about two seconds.
const CASES: u32 = 8;

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    /// One of the two servers is given profiles: of a process, from a minute on, so many.
    Append { server: usize, seed: u64, minute: u64, many: u64 },
    /// One merges hours.
    Merge { server: usize },
    /// One ends and starts again.
    Reopen { server: usize },
    /// The engine is killed and started again.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..2_usize, 0..3_u64, 0..170_u64, 1..6_u64)
            .prop_map(|(server, seed, minute, many)| Step::Append { server, seed, minute, many }),
        2 => (0..2_usize).prop_map(|server| Step::Merge { server }),
        1 => (0..2_usize).prop_map(|server| Step::Reopen { server }),
        1 => Just(Step::Kill),
    ]
}

/// Check that both servers always have exactly what was appended, and that blocks and cut windows sum up to the same.
#[test]
fn against_a_list() {
    let Some((engine, _folder)) = engine() else { return };
    let engine = std::cell::RefCell::new(engine);
    let case = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let strategy = (prop::collection::vec(step(), 4..14), 0..180_u64, 1..180_u64);
    let result = runner.run(&strategy, |(steps, from, length)| {
        case.set(case.get() + 1);
        let url = engine.borrow().url(&format!("case_{}", case.get()));
        let mut servers = [ClickHouse::open(&url).unwrap(), ClickHouse::open(&url).unwrap()];
        let mut list: BTreeMap<(u64, u64), Received> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Append { server, seed, minute, many } => {
                    let chunks: Vec<((u64, u64), Received)> = (minute..minute + many)
                        .map(|at| ((at, seed), Process::small(seed).chunk(DAY + at * 60_000_000)))
                        .collect();
                    let new = chunks.iter().filter(|(id, _)| !list.contains_key(id)).count();
                    let given = batch(chunks.iter().map(|(_, chunk)| chunk.clone()));
                    prop_assert_eq!(servers[server].append(given).unwrap().profiles, new);
                    list.extend(chunks);
                }
                Step::Merge { server } => {
                    servers[server].merge(now_us()).unwrap();
                }
                Step::Reopen { server } => servers[server] = ClickHouse::open(&url).unwrap(),
                Step::Kill => {
                    engine.borrow_mut().kill();
                    engine.borrow_mut().start_again();
                }
            }
        }
        let window = Window { from_us: DAY + from * 60_000_000, to_us: DAY + (from + length) * 60_000_000 };
        for server in &servers {
            for window in [super::ALL, window] {
                let selection = Selection::new(PROJECT, window);
                let in_window = |it: &&Received| it.head.start_us < window.to_us && it.head.end_us >= window.from_us;
                let expected: Vec<Received> = list.values().filter(in_window).map(encoded).collect();
                prop_assert_eq!(kept(server, &selection), expected);
                let by_profile = sums(server, &selection, store::chunk_store::Grain::Profiles);
                let by_block = sums(server, &selection, store::chunk_store::Grain::Blocks);
                prop_assert_eq!((by_profile.1, by_profile.2, by_profile.3), (by_block.1, by_block.2, by_block.3));
            }
        }
        Ok(())
    });
    result.unwrap();
}

/// Each path with its total and own weight.
fn paths(tree: &Tree) -> BTreeMap<Vec<String>, (Weight, Weight)> {
    let mut path = Vec::new();
    let mut paths = BTreeMap::new();
    for node in &tree.nodes {
        path.truncate(node.depth as usize);
        path.push(format!("{:?}", tree.functions[node.function as usize]));
        paths.insert(path.clone(), (node.total, node.own));
    }
    paths
}

/// Check that questions are answered as by the store in a folder, with blocks and without, over whole hours and cut ones.
#[test]
fn same_answers() {
    let Some((engine, _folder)) = engine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let chunks = (0..150).flat_map(|at| [1, 2, 3].map(|seed| Process::small(seed).chunk(DAY + at * 60_000_000)));
    let clickhouse = ClickHouse::open(&engine.url("a")).unwrap();
    let embedded = Embedded::open(folder.path()).unwrap();
    clickhouse.append(batch(chunks.clone())).unwrap();
    embedded.append(batch(chunks)).unwrap();
    assert!(clickhouse.merge(now_us()).unwrap() > 0);
    let [clickhouse, embedded] =
        [std::sync::Arc::new(clickhouse) as std::sync::Arc<dyn ChunkStore>, std::sync::Arc::new(embedded)]
            .map(|store| Queries { store, live: None });

    let windows = [super::ALL, Window { from_us: DAY + HOUR / 3, to_us: DAY + 2 * HOUR + 1_234_567 }];
    for window in windows {
        let mut selections = vec![Selection::new(PROJECT, window); 4];
        selections[1].profilers = vec![Process::small(1).profiler_id()];
        selections[2].releases = vec![None];
        selections[3].threads = vec!["1001".to_owned()];
        for selection in &selections {
            let ask = |queries: &Queries| {
                let tree = queries.tree(selection, Shape::default()).unwrap();
                let functions = queries.functions(selection, true).unwrap().of;
                // A frequency rests on the mean rate of a block: nearly the same.
                let functions: BTreeSet<String> =
                    functions.iter().map(|row| format!("{:?} {:?} {:?}", row.function, row.own, row.total)).collect();
                let threads: BTreeSet<String> =
                    queries.threads(selection).unwrap().of.iter().map(|row| format!("{row:?}")).collect();
                (paths(&tree.of), tree.of.total, tree.of.idle, tree.covers, functions, threads)
            };
            // Not `assert_eq!`: it would print a megabyte.
            let (ours, theirs) = (ask(&clickhouse), ask(&embedded));
            assert_eq!((ours.1, ours.2, &ours.3), (theirs.1, theirs.2, &theirs.3));
            assert_eq!(ours.5, theirs.5);
            assert!(ours.0 == theirs.0 && ours.4 == theirs.4, "{selection:?}");
        }
        assert_eq!(clickhouse.hours(None, window).unwrap(), embedded.hours(None, window).unwrap());
        let services = |queries: &Queries| {
            let mut services = queries.services(PROJECT, window).unwrap().of;
            // What it takes on disk is the store's own matter.
            services.sessions.iter_mut().for_each(|session| session.bytes = 0);
            services
        };
        assert_eq!(services(&clickhouse), services(&embedded));
    }
    assert_eq!(clickhouse.store.projects().unwrap(), [ProjectId(7)]);
}
