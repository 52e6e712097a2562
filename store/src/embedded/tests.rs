//! Crashes, full disks, damage, retention, locks; the common suite; and the store against a list.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use insta::assert_snapshot;
use profile::received::Received;
use proptest::prelude::*;
use uuid::Uuid;

use super::{commit::HOUR_US, *};
use crate::{
    query::Queries,
    testing::{Process, conformance, naive},
};

const PROJECT: ProjectId = ProjectId(1);
const START: u64 = 1_790_000_000_000_000;
const ALL: Window = Window { from_us: 0, to_us: u64::MAX };

/// A clock that stands where it is put.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn settings(&self, segment_bytes_max: u64) -> Settings {
        let hand = Arc::clone(&self.0);
        Settings { clock: Arc::new(move || hand.load(Ordering::Relaxed)), segment_bytes_max, merges: false }
    }

    fn put(&self, at_us: u64) {
        self.0.store(at_us, Ordering::Relaxed);
    }
}

fn keep(store: &Embedded, received: &Received) -> Result<Appended, StoreError> {
    store.append(Batch { profiles: vec![(PROJECT, received.clone())], ..Batch::default() })
}

fn ids(store: &Embedded) -> Vec<Uuid> {
    store.profiles(&Selection::new(PROJECT, ALL)).unwrap().into_iter().map(|kept| kept.head.chunk_id).collect()
}

/// A copy of a folder as it stands: what a crash would leave.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let hours = fs::read_dir(commit::partitions(dir)).unwrap();
    let mut files: Vec<PathBuf> =
        hours.flat_map(|hour| fs::read_dir(hour.unwrap().path()).unwrap().map(|file| file.unwrap().path())).collect();
    files.sort();
    files
}

/// Check the suite that all stores must pass.
#[test]
fn common() {
    let dir = tempfile::tempdir().unwrap();
    conformance::check(&Embedded::open(dir.path()).unwrap(), START);
}

/// Check that a second writer is refused, readers are not, and that the lock goes with its holder.
#[test]
fn locked() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path()).unwrap();
    keep(&store, &Process::small(1).chunk(START)).unwrap();
    let second = Embedded::open(dir.path()).unwrap_err().to_string().replace(&dir.path().display().to_string(), "DIR");
    let reader = Embedded::open_read_only(dir.path()).unwrap();
    assert_eq!(ids(&reader).len(), 1);
    keep(&store, &Process::small(2).chunk(START)).unwrap();
    assert_eq!(ids(&reader).len(), 2);
    let refused = keep(&reader, &Process::small(3).chunk(START)).unwrap_err().to_string();
    // A child of this process has such a copy until it runs its own program.
    let copy = store.writing.as_ref().unwrap().lock.try_clone().unwrap();
    drop(store);
    assert_eq!(ids(&Embedded::open_read_only(dir.path()).unwrap()).len(), 2);
    Embedded::open(dir.path()).unwrap();
    drop(copy);
    let nothing = Embedded::open_read_only(&dir.path().join("nothing")).unwrap_err().to_string();
    assert_snapshot!([second, refused, nothing].join("\n"), @r#"
    another process has DIR open for writing
    the store is open for reading only
    cannot open the catalogue
    "#);
}

/// Check that damage costs what it hits and nothing else, is named, and is mended by who sends the same again.
#[test]
fn damaged() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Hand::default();
    hand.put(START);
    let store = Embedded::open_with(dir.path(), hand.settings(1)).unwrap();
    let all: Vec<Received> = (0..5).map(|at| Process::small(1).chunk(START + at * 3_000_000)).collect();
    all.iter().for_each(|received| _ = keep(&store, received).unwrap());
    drop(store);
    let files = segments(dir.path());
    let mut bytes = fs::read(&files[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&files[1], &bytes).unwrap();
    fs::write(&files[2], &bytes[..40]).unwrap();
    fs::remove_file(&files[3]).unwrap();
    let queries = Queries { store: Arc::new(Embedded::open(dir.path()).unwrap()), live: None };
    let selection = Selection::new(PROJECT, ALL);
    let answer = queries.functions(&selection, false).unwrap();
    let rest = [all[0].clone(), all[4].clone()];
    let expected = naive::functions(&naive::stays(&rest, &selection), false);
    for row in &answer.of {
        assert_eq!(expected[&naive::show(&row.function)], (row.own, row.total));
    }
    let damage = answer.covers.damaged.iter().map(|damage| format!("{}: {}\n", damage.at, damage.what));
    let report = check(dir.path()).unwrap();
    assert_eq!(report.damaged.len(), 3);
    assert!(!report.is_sound() && report.catalogue.is_empty());
    assert_eq!(report.files.len(), 2, "one too short, one missing: {:?}", report.files);
    drop(queries);
    let store = Embedded::open(dir.path()).unwrap();
    let again: Vec<Appended> = all.iter().map(|received| keep(&store, received).unwrap()).collect();
    let (new, known) = (Appended { profiles: 1, known: 0 }, Appended { profiles: 0, known: 1 });
    assert_eq!(again, [known, new, new, new, known]);
    let queries = Queries { store: Arc::new(store), live: None };
    let mended = queries.functions(&selection, false).unwrap();
    assert_eq!((mended.covers.profiles, mended.covers.damaged.len()), (5, 0));
    let expected = naive::functions(&naive::stays(&all, &selection), false);
    assert_eq!(mended.of.len(), expected.len());
    for row in &mended.of {
        assert_eq!(expected[&naive::show(&row.function)], (row.own, row.total));
    }
    assert_snapshot!(damage.collect::<String>(), @r#"
    partitions/2026-09-21T14/segment-2 at 16: the checksum of its symbols is wrong
    partitions/2026-09-21T14/segment-3 at 16: the file ends before
    partitions/2026-09-21T14/segment-4 at 16: it cannot be opened: No such file or directory (os error 2)
    "#);
}

/// Check that the hour which is not over is of ten-minute blocks, with what was alone in its ten minutes beside them.
#[test]
fn blocks_of_ten_minutes() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Hand::default();
    let store = Embedded::open_with(dir.path(), hand.settings(u64::MAX)).unwrap();
    let midnight = START / HOUR_US * HOUR_US;
    let mut all = Vec::new();
    for minute in (0..20).chain([31]).chain(40..47) {
        all.push(Process::small(1).chunk(midnight + minute * 60_000_000));
        hand.put(all.last().unwrap().head.end_us);
        keep(&store, all.last().unwrap()).unwrap();
    }
    let store = Arc::new(store);
    let queries = Queries { store: Arc::clone(&store) as Arc<dyn ChunkStore>, live: None };
    let mut lines = Vec::new();
    for minutes in [48, 62, 24 * 60 + 1] {
        hand.put(midnight + minutes * 60_000_000);
        store.merge().unwrap();
        for to in [ALL.to_us, midnight + 15 * 60_000_000] {
            let selection = Selection::new(PROJECT, Window { from_us: 0, to_us: to });
            let parts = store.plan(&selection, Grain::Blocks).unwrap();
            let of: Vec<u64> = parts.iter().map(|part| part.profiles).collect();
            lines.push(format!("after {minutes} minutes: {of:?}"));
            let rows = queries.functions(&selection, true).unwrap().of;
            let rows: std::collections::BTreeMap<_, _> =
                rows.iter().map(|row| (naive::show(&row.function), (row.own, row.total))).collect();
            assert_eq!(rows, naive::functions(&naive::stays(&all, &selection), true));
        }
    }
    assert_snapshot!(lines.join("\n"), @r"
    after 48 minutes: [10, 10, 1, 1, 1, 1, 1, 1, 1, 1]
    after 48 minutes: [10, 1, 1, 1, 1, 1]
    after 62 minutes: [28]
    after 62 minutes: [10, 1, 1, 1, 1, 1]
    after 1441 minutes: [28]
    after 1441 minutes: [10, 1, 1, 1, 1, 1]
    ");
    assert!(check(dir.path()).unwrap().is_sound());
}

/// Check what of a day's profiles is left by age, by bytes, and of blocks that stood for what is gone.
#[test]
fn retention() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Hand::default();
    let store = Embedded::open_with(dir.path(), hand.settings(u64::MAX)).unwrap();
    for at in 0..48 {
        let received = Process::small(1).chunk(START + at * 1_800_000_000);
        hand.put(received.head.end_us);
        keep(&store, &received).unwrap();
    }
    hand.put(START + 40 * HOUR_US);
    let parts = || {
        let parts = store.plan(&Selection::new(PROJECT, ALL), Grain::Blocks).unwrap();
        format!("{} profiles in {} parts\n", parts.iter().map(|part| part.profiles).sum::<u64>(), parts.len())
    };
    let mut text = parts();
    store.merge().unwrap();
    text += &parts();
    store.retain(Retention { days: 1, bytes: u64::MAX }, START + 30 * HOUR_US).unwrap();
    text += &parts();
    store.merge().unwrap();
    text += &parts();
    let report = check(dir.path()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let half = report.catalogue_bytes + report.segment_bytes / 2;
    store.retain(Retention { days: 9, bytes: half }, START + 30 * HOUR_US).unwrap();
    assert!(check(dir.path()).unwrap().segment_bytes <= report.segment_bytes / 2 + 20_000);
    store.retain(Retention { days: 0, bytes: u64::MAX }, START + 90 * HOUR_US).unwrap();
    text += &parts();
    assert_snapshot!(text, @r#"
    48 profiles in 48 parts
    48 profiles in 2 parts
    36 profiles in 5 parts
    36 profiles in 2 parts
    0 profiles in 0 parts
    "#);
    assert!(check(dir.path()).unwrap().is_sound());
}

/// Check that a flood of small things drives out its own kind and no profile, that what came last stays, and that the disk gets its space
/// back.
#[test]
fn flood_of_small_things() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Hand::default();
    let store = Embedded::open_with(dir.path(), hand.settings(u64::MAX)).unwrap();
    let refused = |at_us: u64| Refused {
        project: PROJECT,
        at_us,
        item: "span".to_owned(),
        reason: "invalid".to_owned(),
        detail: "x".repeat(500),
        client: String::new(),
        head: String::new(),
        bytes: 1,
    };
    for hour in 0..4 {
        let received = Process::small(1).chunk(START + hour * HOUR_US);
        hand.put(received.head.end_us);
        keep(&store, &received).unwrap();
        // The flood is in the second and the third hour.
        let many = if hour == 1 || hour == 2 { 3000 } else { 3 };
        let refused = (0..many).map(|at| refused(received.head.end_us + at)).collect();
        store.append(Batch { refused, ..Batch::default() }).unwrap();
    }
    let now = START + 3 * HOUR_US + 10;
    let left =
        || format!("{} profiles, {} refused\n", ids(&store).len(), store.refused(PROJECT, 10_000).unwrap().len());
    // The log is what a reader may still see of before.
    let catalogue = || {
        let checkpoint = Connection::open(catalogue_path(dir.path())).unwrap();
        checkpoint.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        fs::metadata(catalogue_path(dir.path())).unwrap().len()
    };
    let before = catalogue();
    let mut text = left();
    store.retain(Retention { days: 30, bytes: 1 << 40 }, now).unwrap();
    text += &left();
    store.retain(Retention { days: 30, bytes: 4 << 20 }, now).unwrap();
    text += &left();
    // Everything is too much: the last segment stays.
    store.retain(Retention { days: 30, bytes: 0 }, now).unwrap();
    text += &left();
    assert_snapshot!(text, @r"
    4 profiles, 6006 refused
    4 profiles, 6006 refused
    4 profiles, 3 refused
    1 profiles, 0 refused
    ");
    drop(store);
    let after = catalogue();
    assert!(after < before / 4, "{before} {after}");
    assert!(check(dir.path()).unwrap().is_sound());
}

/// Check that a segment that was removed is not held open, so that its space comes back.
#[test]
fn removed_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Hand::default();
    let store = Embedded::open_with(dir.path(), hand.settings(1)).unwrap();
    for at in 0..6 {
        hand.put(START + at * HOUR_US);
        keep(&store, &Process::small(1).chunk(START + at * HOUR_US)).unwrap();
    }
    let parts = store.plan(&Selection::new(PROJECT, ALL), Grain::Profiles).unwrap();
    store.fetch(&parts, Want::ALL).unwrap();
    assert_eq!(store.reading.files.held(), 6);
    store.retain(Retention { days: 0, bytes: u64::MAX }, START + 5 * HOUR_US).unwrap();
    assert_eq!((ids(&store).len(), store.reading.files.held()), (1, 1));
}

/// Check that a disk that is full refuses, harms nothing, and that it goes on when there is room again. Needs the right to
/// mount a small file system; without it there is nothing to check.
#[test]
fn full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).arg(dir.path()).output();
    let mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=2m", "store-full-disk"]);
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: no file system can be mounted here");
        return;
    }
    let unmount = || _ = mount(&["umount", "-l"]);
    let found = std::panic::catch_unwind(|| {
        let store = Embedded::open(dir.path()).unwrap();
        let ballast = dir.path().join("ballast");
        let mut kept = Vec::new();
        let mut errors = Vec::new();
        for at in 0..400_u64 {
            let received = Process { stacks: 200, ..Process::small(1) }.chunk(START + at * 3_000_000);
            match keep(&store, &received) {
                Ok(_) => kept.push(received.head.chunk_id),
                Err(error) => errors.push(error.to_string()),
            }
            match errors.len() {
                0 if at == 0 => fs::write(&ballast, vec![1; 700_000]).unwrap(),
                3 => _ = fs::remove_file(&ballast),
                _ => (),
            }
            if errors.len() >= 3 && kept.len() > 100 {
                break;
            }
        }
        assert!(errors.len() >= 3, "the disk never was full");
        assert_eq!(ids(&store), kept);
        drop(store);
        fs::remove_file(&ballast).ok();
        let store = Embedded::open(dir.path()).unwrap();
        assert_eq!(ids(&store), kept);
        assert!(check(dir.path()).unwrap().is_sound());
        errors.truncate(1);
        errors
    });
    unmount();
    println!("{:?}", found.unwrap());
}

/// Check that records stay as long as a crash may bring back the rows that could not be committed, and then go.
#[test]
fn doubtful() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path()).unwrap();
    let keep_at = |at: u64| keep(&store, &Process::small(1).chunk(START + at * 3_000_000));
    let bytes = || segments(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).collect::<Vec<_>>();
    keep_at(0).unwrap();
    let before = bytes();
    let catalogue = Connection::open(catalogue_path(dir.path())).unwrap();
    catalogue
        .execute_batch("CREATE TRIGGER fails BEFORE INSERT ON profiles BEGIN SELECT raise(ABORT, 'no'); END")
        .unwrap();
    keep_at(1).unwrap_err();
    keep_at(2).unwrap_err();
    let in_doubt = bytes();
    catalogue.execute_batch("DROP TRIGGER fails").unwrap();
    keep_at(3).unwrap();
    let after = bytes();
    assert_eq!((before.len(), in_doubt.len(), after.len()), (1, 2, 2), "{before:?} {in_doubt:?} {after:?}");
    assert!(in_doubt.iter().all(|bytes| *bytes > before[0]), "{before:?} {in_doubt:?}");
    assert_eq!(after[0], before[0]);
    assert_eq!(ids(&store).len(), 2);
    drop(store);
    assert!(check(dir.path()).unwrap().is_sound());
}

/// What happens to a store.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u64>),
    /// A crash, with so many bytes of an append that was not committed.
    Crash(usize),
    Reopen,
    Minutes,
    Hours,
    Merge,
    Retain(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::collection::vec(0_u64..40, 1..5).prop_map(Step::Append),
        1 => (0_usize..5000).prop_map(Step::Crash),
        1 => Just(Step::Reopen),
        3 => Just(Step::Minutes),
        2 => Just(Step::Hours),
        2 => Just(Step::Merge),
        1 => (0_u32..3).prop_map(Step::Retain),
    ];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Check the store against a list: whatever happens, what was acknowledged and is not too old is there, once, and
    /// answers are those of the list.
    #[test]
    fn against_list(steps in steps()) {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::default();
        hand.put(START);
        let mut dir = root.path().join("0");
        let mut store = Some(Embedded::open_with(&dir, hand.settings(3000)).unwrap());
        // With the hour of arrival.
        let mut list: Vec<(u64, Received)> = Vec::new();
        let mut now = START;
        for (number, step) in steps.iter().enumerate() {
            let open = store.as_ref().unwrap();
            match step {
                Step::Append(which) => {
                    let profiles: Vec<Received> = which.iter().map(|at| Process::small(at % 3).chunk(START + at * 3_000_000)).collect();
                    for received in &profiles {
                        if !list.iter().any(|(_, known)| known.head.chunk_id == received.head.chunk_id) {
                            list.push((now / HOUR_US, received.clone()));
                        }
                    }
                    let profiles = profiles.into_iter().map(|received| (PROJECT, received)).collect();
                    open.append(Batch { profiles, ..Batch::default() }).unwrap();
                }
                Step::Crash(tail) => {
                    let next = root.path().join(format!("{}", number + 1));
                    copy(&dir, &next);
                    if let Some(last) = segments(&next).last() {
                        let mut bytes = fs::read(last).unwrap();
                        bytes.extend(std::iter::repeat_n(7, *tail));
                        fs::write(last, bytes).unwrap();
                        fs::write(last.with_file_name("segment-9999"), b"never committed").unwrap();
                    }
                    dir = next;
                    store = Some(Embedded::open_with(&dir, hand.settings(3000)).unwrap());
                }
                Step::Reopen => {
                    drop(store.take());
                    store = Some(Embedded::open_with(&dir, hand.settings(3000)).unwrap());
                }
                Step::Minutes => {
                    now += 420_000_000;
                    hand.put(now);
                }
                Step::Hours => {
                    now += 13 * HOUR_US;
                    hand.put(now);
                }
                Step::Merge => open.merge().unwrap(),
                Step::Retain(days) => {
                    // What is written to stays; so let it be another.
                    now += HOUR_US;
                    hand.put(now);
                    let hour = now / HOUR_US;
                    let extra = Process::small(2).chunk(START + (1000 + number as u64) * 3_000_000);
                    keep(open, &extra).unwrap();
                    list.push((hour, extra));
                    open.retain(Retention { days: *days, bytes: u64::MAX }, now).unwrap();
                    list.retain(|(kept, _)| *kept + u64::from(*days) * 24 >= hour);
                }
            }
            let open = store.as_ref().unwrap();
            let mut expected: Vec<Uuid> = list.iter().map(|(_, received)| received.head.chunk_id).collect();
            let mut found = ids(open);
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
        drop(store);
        prop_assert!(check(&dir).unwrap().is_sound());
        let queries = Queries { store: Arc::new(Embedded::open_read_only(&dir).unwrap()), live: None };
        let list: Vec<Received> = list.into_iter().map(|(_, received)| received).collect();
        for window in [ALL, Window { from_us: START + 5_000_000, to_us: START + 70_000_000 }] {
            let selection = Selection::new(PROJECT, window);
            let rows = queries.functions(&selection, true).unwrap().of;
            let rows: std::collections::BTreeMap<_, _> =
                rows.iter().map(|row| (naive::show(&row.function), (row.own, row.total))).collect();
            prop_assert_eq!(rows, naive::functions(&naive::stays(&list, &selection), true));
        }
    }
}
