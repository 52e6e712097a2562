//! What every store must do, whatever it is made of. Panics where one does not.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "it is a test")]

use std::collections::BTreeSet;

use profile::received::{Received, Span, Transaction};
use uuid::Uuid;

use super::{Process, naive};
use crate::{
    chunk_store::{ChunkStore, Grain, Want},
    encoding,
    item::{Appended, Batch, ProjectId, Refused, Selection, Window},
};

/// Checks an empty store. `start_us` is when its profiles are from: recent, where a store drops what is old by itself.
pub fn check(store: &dyn ChunkStore, start_us: u64) {
    let mine = ProjectId(11);
    let other = ProjectId(u64::MAX - 7);
    let profiles: Vec<Received> = (0..6)
        .flat_map(|at| {
            [Process::small(1), Process::small(2), Process::small(3)].map(|of| of.chunk(start_us + at * 3_000_000))
        })
        .collect();
    assert_eq!(store.projects().unwrap(), []);
    appends(store, mine, other, &profiles);
    selects(store, mine, &profiles, start_us);
    whole(store, mine, &profiles);
    small_things(store, mine, start_us);
    // What comes after small things harms nothing of what was before.
    let last = [Process::small(4).chunk(start_us)];
    assert_eq!(store.append(batch(other, &last)).unwrap(), Appended { profiles: 1, known: 0 });
    whole(store, mine, &profiles);
    assert_eq!(store.projects().unwrap(), [mine, other]);
}

fn all() -> Window {
    // What databases have as times ends somewhere.
    Window { from_us: 0, to_us: 4_000_000_000_000_000 }
}

fn batch(project: ProjectId, profiles: &[Received]) -> Batch {
    Batch { profiles: profiles.iter().map(|received| (project, received.clone())).collect(), ..Batch::default() }
}

fn appends(store: &dyn ChunkStore, mine: ProjectId, other: ProjectId, profiles: &[Received]) {
    let (first, rest) = profiles.split_at(4);
    assert_eq!(store.append(batch(mine, first)).unwrap(), Appended { profiles: 4, known: 0 });
    assert_eq!(store.append(batch(mine, profiles)).unwrap(), Appended { profiles: rest.len(), known: 4 });
    assert_eq!(store.append(batch(mine, profiles)).unwrap(), Appended { profiles: 0, known: profiles.len() });
    // The same ids of another project are others; twice in one batch are one.
    let twice = [first, first].concat();
    assert_eq!(store.append(batch(other, &twice)).unwrap(), Appended { profiles: 4, known: 4 });
    assert_eq!(store.append(Batch::default()).unwrap(), Appended::default());
}

/// Check profiles, plans, sessions and hours of several selections.
fn selects(store: &dyn ChunkStore, mine: ProjectId, profiles: &[Received], start_us: u64) {
    let whole = Selection::new(mine, all());
    let at = |from: u64, to: u64| Window { from_us: start_us + from, to_us: start_us + to };
    let end = profiles.first().unwrap().head.end_us - start_us;
    let selections = [
        whole.clone(),
        Selection::new(mine, at(0, 1)),
        Selection::new(mine, at(end, end + 1)),
        Selection::new(mine, at(end + 1, end + 1)),
        Selection::new(mine, at(4_000_000, 10_000_000)),
        Selection { profilers: vec![Process::small(2).profiler_id()], ..whole.clone() },
        Selection { releases: vec![None], ..whole.clone() },
        Selection { releases: vec![None, Some("shop@1.2".to_owned())], ..whole.clone() },
        Selection { environments: vec![Some("staging".to_owned())], ..whole.clone() },
        Selection { profilers: vec![Uuid::from_u128(5)], ..whole },
        Selection::new(ProjectId(12), all()),
    ];
    for selection in selections {
        let expected: Vec<&Received> = profiles
            .iter()
            .filter(|received| {
                let head = &received.head;
                selection.project == mine
                    && selection.takes(head.profiler_id, head.environment.as_deref(), head.release.as_deref())
                    && head.start_us < selection.to_us
                    && head.end_us >= selection.from_us
            })
            .collect();
        let ids: BTreeSet<Uuid> = expected.iter().map(|received| received.head.chunk_id).collect();
        let kept = store.profiles(&selection).unwrap();
        assert_eq!(kept.iter().map(|kept| kept.head.chunk_id).collect::<BTreeSet<_>>(), ids);
        assert!(kept.is_sorted_by_key(|kept| kept.head.start_us));
        for kept in &kept {
            let sent = expected.iter().find(|sent| sent.head.chunk_id == kept.head.chunk_id).unwrap();
            assert_eq!((&kept.head, kept.project), (&sent.head, mine));
            assert_eq!(kept.samples, sent.threads.iter().map(|thread| thread.samples.len() as u64).sum::<u64>());
        }
        let parts = store.plan(&selection, Grain::Profiles).unwrap();
        assert_eq!(parts.len(), expected.len());
        assert_eq!(parts.iter().filter_map(|part| part.chunk_id).collect::<BTreeSet<_>>(), ids);
        let with_blocks = store.plan(&selection, Grain::Blocks).unwrap();
        assert_eq!(with_blocks.iter().map(|part| part.profiles).sum::<u64>(), expected.len() as u64);
        let sessions = store.sessions(&selection).unwrap();
        assert_eq!(sessions.iter().map(|session| session.profiles).sum::<u64>(), expected.len() as u64);
        for session in sessions {
            let its = expected.iter().filter(|received| received.head.profiler_id == session.profiler_id);
            assert_eq!(its.clone().map(|received| received.head.start_us).min(), Some(session.first_us));
            assert_eq!(its.map(|received| received.head.end_us).max(), Some(session.last_us));
        }
    }
    let hours = store.hours(Some(mine), all()).unwrap();
    let spans = profiles.iter().map(|received| received.head.end_us - received.head.start_us);
    assert_eq!(hours.iter().map(|hours| hours.us).sum::<u64>(), spans.clone().sum::<u64>());
    let seconds = spans.map(|us| (us + 500_000) / 1_000_000).sum::<u64>();
    assert_eq!(hours.iter().map(|hours| hours.sentry_seconds).sum::<u64>(), seconds);
    let of_all = store.hours(None, all()).unwrap();
    assert_eq!(of_all.iter().map(|hours| hours.profiles).sum::<u64>(), profiles.len() as u64 + 4);
}

/// Check that profiles come back with every sample.
fn whole(store: &dyn ChunkStore, mine: ProjectId, profiles: &[Received]) {
    let selection = Selection::new(mine, all());
    let parts = store.plan(&selection, Grain::Profiles).unwrap();
    let want = Want::ALL;
    for (part, sections) in parts.iter().zip(store.fetch(&parts, want).unwrap()) {
        let sent = profiles.iter().find(|sent| Some(sent.head.chunk_id) == part.chunk_id).unwrap();
        let found = encoding::decode(sent.head.clone(), &sections.unwrap()).unwrap();
        assert_eq!(found.measurements, sent.measurements);
        let stays = |received: &Received| naive::stays(std::slice::from_ref(received), &selection);
        assert_eq!(stays(&found), stays(sent));
    }
    let names_only = Want { symbols: true, ..Want::default() };
    let sections = store.fetch(parts.get(..1).unwrap(), names_only).unwrap().remove(0).unwrap();
    assert!(!sections.symbols.is_empty() && sections.timeline.is_empty() && sections.aggregate.is_empty());
}

fn small_things(store: &dyn ChunkStore, mine: ProjectId, start_us: u64) {
    let transaction = |at: u64| Transaction {
        event_id: Uuid::from_u128(u128::from(at)),
        trace_id: Uuid::from_u128(u128::MAX - u128::from(at / 2)),
        span_id: u64::MAX - at,
        name: format!("GET /{at}"),
        op: None,
        status: Some("ok".to_owned()),
        start_us: start_us + at * 1000,
        end_us: start_us + at * 1000 + 500,
        platform: Some("python".to_owned()),
        environment: None,
        release: None,
        profiler_id: Some(Uuid::from_u128(1)),
        profile_id: None,
        thread_id: None,
        thread_name: None,
    };
    let span = |at: u64| Span {
        trace_id: Uuid::from_u128(u128::MAX - u128::from(at / 2)),
        span_id: u64::MAX - at,
        parent_id: (at % 2 == 1).then_some(u64::MAX),
        segment_id: None,
        op: Some("db".to_owned()),
        description: Some("SELECT 'ü'".to_owned()),
        status: None,
        start_us: start_us + at * 1000,
        end_us: start_us + at * 1000 + 500,
        profiler_id: None,
        thread_id: Some("1".to_owned()),
    };
    let refused = |at: u64| Refused {
        project: mine,
        at_us: start_us + at,
        item: "profile_chunk".to_owned(),
        reason: "profiling_invalid_json".to_owned(),
        detail: format!("number {at}"),
        client: "sentry.python/2.75.0".to_owned(),
        head: "{".to_owned(),
        bytes: 1,
    };
    let batch = Batch {
        profiles: Vec::new(),
        transactions: (0..10).map(|at| (mine, transaction(at))).collect(),
        spans: (0..10).map(|at| (mine, span(at))).collect(),
        refused: (0..10).map(refused).collect(),
    };
    // Twice: a client that got no answer sends again.
    store.append(Batch { refused: Vec::new(), ..batch.clone() }).unwrap();
    store.append(batch).unwrap();
    let found = store.transactions(mine, all()).unwrap();
    assert_eq!(found, (0..10).map(transaction).collect::<Vec<_>>());
    let window = Window { from_us: start_us + 2100, to_us: start_us + 4000 };
    assert_eq!(store.transactions(mine, window).unwrap(), [transaction(2), transaction(3)]);
    assert_eq!(store.transaction(mine, Uuid::from_u128(3)).unwrap(), Some(transaction(3)));
    assert_eq!(store.transaction(ProjectId(12), Uuid::from_u128(3)).unwrap(), None);
    assert_eq!(store.spans(mine, Uuid::from_u128(u128::MAX - 2)).unwrap(), [span(4), span(5)]);
    assert_eq!(store.refused(mine, 2).unwrap(), [refused(9), refused(8)]);
    assert_eq!(store.refused(ProjectId(12), 2).unwrap(), []);
}
