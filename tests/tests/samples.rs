//! Programs that make the calls of Sentry's documents, unchanged, with the sampling done from outside: each behaves as its head
//! says. A real daemon, the real client package under a real sentry-sdk, the real receiver.

#[path = "shared/receiver.rs"]
mod receiver;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use profile::received::{Received, Transaction};
use receiver::Receiver;
use tests::{
    daemon::{Client, Daemon, sample},
    targets::turn,
};

/// What programs are profiled by, so that those of one daemon are not another's.
const SAMPLE: &str = "1";
const LONG: &str = "long";

/// Whatever a program sets itself wins; of one that sets nothing, `rate` is the operator's setting.
fn settings(of: &str, rate: f64) -> String {
    format!(
        "[daemon]\ndsn_hosts = [\"127.0.0.1\"]\n[budget]\nhost_cpu = \"400%\"\n[[target]]\nname = \"samples\"\n\
         match.env = {{ SENTRY_PROFILED = \"{of}\" }}\nprofile_session_sample_rate = {rate}\n"
    )
}

/// What came of a program's run.
struct Seen {
    profiles: Vec<Received>,
    transactions: Vec<Transaction>,
    stderr: String,
}

/// A daemon and a receiver.
struct Scene {
    daemon: Daemon,
    receiver: Receiver,
    client: Client,
}

impl Scene {
    fn new(rate: f64) -> Option<Self> {
        Self::of(SAMPLE, rate)
    }

    fn of(programs: &str, rate: f64) -> Option<Self> {
        let client = Client::find()?;
        Some(Self { client, daemon: Daemon::start(&settings(programs, rate)), receiver: Receiver::start() })
    }

    fn play(self, program: &Path, arguments: &[&str]) -> Seen {
        let output = self.client.command(&self.daemon, &self.receiver.dsn, program).args(arguments).output().unwrap();
        self.seen(&output)
    }

    /// What the receiver has when the daemon has sent all that there is.
    fn seen(self, output: &Output) -> Seen {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        self.wait_until_sent();
        self.daemon.stop();
        Seen { profiles: self.receiver.store.all(), transactions: self.receiver.store.all_transactions(), stderr }
    }

    fn wait_until_sent(&self) {
        let began = Instant::now();
        loop {
            let (_, status) = self.daemon.ask("GET", "/v1/status", "");
            if status["targets"] == 0 && status["shipping"]["waiting"] == 0 {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(40), "{status:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Seen {
    /// The chunks of continuous profiling in order of time, and the profiles of transactions.
    fn parts(&self) -> (Vec<&Received>, Vec<&Received>) {
        let mut all: Vec<&Received> = self.profiles.iter().collect();
        all.sort_by_key(|profile| profile.head.start_us);
        all.into_iter().partition(|profile| profile.head.transaction.is_none())
    }

    fn lines_with(&self, what: &str) -> usize {
        self.stderr.lines().filter(|line| line.contains(what)).count()
    }
}

/// Microseconds that each of the program's own functions is in the stacks of threads, but for those of the client.
fn times(profile: &Received) -> BTreeMap<String, u64> {
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    for thread in &profile.threads {
        for pair in thread.samples.windows(2) {
            let stack = &profile.stacks[pair[0].stack as usize];
            let names: BTreeSet<&str> =
                stack.iter().filter_map(|frame| profile.frames[*frame as usize].function.as_deref()).collect();
            for name in names {
                *times.entry(name.to_owned()).or_default() += pair[1].at_us - pair[0].at_us;
            }
        }
    }
    times
}

/// All functions that any sample shows.
fn functions(profiles: &[&Received]) -> BTreeSet<String> {
    profiles.iter().flat_map(|profile| times(profile).into_keys()).collect()
}

fn seconds(profile: &Received) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "seconds")]
    let seconds = (profile.head.end_us - profile.head.start_us) as f64 / 1e6;
    seconds
}

/// The shares of `_work.py`: 70, 20 and 10 percent, give or take what some hundred samples may err.
fn has_known_shares(profile: &Received) {
    let times = times(profile);
    let of = |name: &str| times.get(name).copied().unwrap_or(0);
    let all = of("work").max(1);
    for (name, percent) in [("heavy", 70_u64), ("medium", 20), ("light", 10)] {
        let share = of(name) * 100 / all;
        assert!(share.abs_diff(percent) <= 6, "{name}: {share} %, {times:?}");
    }
}

/// Check the head of `continuous_manual.py`: chunks from start to stop alone, a profiler id for each start.
#[test]
fn continuous_manual() {
    let _turn = turn();
    let Some(scene) = Scene::new(0.0) else { return };
    let seen = scene.play(&sample("continuous_manual.py"), &[]);
    let (chunks, of_transactions) = seen.parts();
    assert!(of_transactions.is_empty());
    let [first, second] = chunks.as_slice() else { panic!("{} chunks; {}", chunks.len(), seen.stderr) };
    assert_ne!(first.head.profiler_id, second.head.profiler_id);
    assert!(
        (2.8..4.5).contains(&seconds(first)) && (0.8..2.0).contains(&seconds(second)),
        "{} {}",
        seconds(first),
        seconds(second)
    );
    has_known_shares(first);
    let functions = functions(&chunks);
    assert!(
        functions.contains("work") && !functions.contains("before_start") && !functions.contains("after_stop"),
        "{functions:?}"
    );
    assert_eq!((first.head.platform.as_str(), first.head.environment.as_deref()), ("python", Some("production")));
    assert_eq!(seen.lines_with("WARNING"), 0, "{}", seen.stderr);
}

/// Check that a process which is not chosen sends nothing, whatever it calls, and says why, once.
#[test]
fn unsampled() {
    let _turn = turn();
    let Some(scene) = Scene::new(1.0) else { return };
    let seen = scene.play(&sample("continuous_manual.py"), &["0.0"]);
    assert!(seen.profiles.is_empty());
    assert_eq!(seen.lines_with("profile_session_sample_rate"), 1, "{}", seen.stderr);
}

/// Check the head of `continuous_bare.py`: the operator's setting decides; without one, start says why it has no effect.
#[test]
fn continuous_bare() {
    let _turn = turn();
    let Some(scene) = Scene::new(0.0) else { return };
    let seen = scene.play(&sample("continuous_bare.py"), &[]);
    assert!(seen.profiles.is_empty());
    assert_eq!(seen.lines_with("profile_session_sample_rate is 0"), 1, "{}", seen.stderr);
    let seen = Scene::new(1.0).unwrap().play(&sample("continuous_bare.py"), &[]);
    let (chunks, _) = seen.parts();
    let [chunk] = chunks.as_slice() else { panic!("{} chunks; {}", chunks.len(), seen.stderr) };
    has_known_shares(chunk);
}

/// Each transaction names the profiler that ran, and the thread that ran it is in that profiler's chunks.
fn are_linked(seen: &Seen, chunks: &[&Received]) {
    for transaction in &seen.transactions {
        let id = transaction.profiler_id.unwrap_or_else(|| panic!("{} names no profiler", transaction.name));
        let thread = transaction.thread_id.as_deref().unwrap();
        let own = |chunk: &&&Received| chunk.head.profiler_id == id && chunk.threads.iter().any(|it| it.id == thread);
        let spans =
            |chunk: &Received| chunk.head.start_us < transaction.end_us && transaction.start_us < chunk.head.end_us;
        let found = chunks.iter().find(own).unwrap_or_else(|| panic!("{}: no chunk of {id}", transaction.name));
        assert!(spans(found), "{}: {:?}", transaction.name, found.head);
    }
}

/// Check the head of `lifecycle_trace.py`: profiled while a root span is open in any thread, not between.
#[test]
fn lifecycle_trace() {
    let _turn = turn();
    let Some(scene) = Scene::new(0.0) else { return };
    let seen = scene.play(&sample("lifecycle_trace.py"), &[]);
    let (chunks, _) = seen.parts();
    let ids: BTreeSet<_> = chunks.iter().map(|chunk| chunk.head.profiler_id).collect();
    assert_eq!((chunks.len(), ids.len(), seen.transactions.len()), (2, 2, 3), "{}", seen.stderr);
    are_linked(&seen, &chunks);
    let functions = functions(&chunks);
    assert!(functions.contains("request") && !functions.contains("between"), "{functions:?}");
    assert!(seconds(chunks[1]) > 3.5, "two threads of 2 s each share one core: {}", seconds(chunks[1]));
}

/// Check the head of `continuous_auto_start.py`: profiled with transactions, no call of start anywhere.
#[test]
fn continuous_auto_start() {
    let _turn = turn();
    let Some(scene) = Scene::new(0.0) else { return };
    let seen = scene.play(&sample("continuous_auto_start.py"), &[]);
    let (chunks, _) = seen.parts();
    assert_eq!(seen.transactions.len(), 3);
    assert!(!chunks.is_empty(), "{}", seen.stderr);
    let all: f64 = chunks.iter().map(|chunk| seconds(chunk)).sum();
    assert!((2.8..5.0).contains(&all), "{all}");
    are_linked(&seen, &chunks);
}

/// The profile of a transaction, by its name.
fn of_transaction<'s>(seen: &'s Seen, name: &str) -> Option<&'s Received> {
    seen.profiles.iter().find(|profile| profile.head.transaction.as_ref().is_some_and(|of| of.name == name))
}

/// Check the head of `transaction_rate.py`: every sampled transaction carries a profile that covers it.
#[test]
fn transaction_rate() {
    let _turn = turn();
    let Some(scene) = Scene::new(0.0) else { return };
    let seen = scene.play(&sample("transaction_rate.py"), &[]);
    let (chunks, of_transactions) = seen.parts();
    assert_eq!((chunks.len(), of_transactions.len(), seen.transactions.len()), (0, 1, 1), "{}", seen.stderr);
    let profile = of_transaction(&seen, "nightly report").unwrap();
    let of = profile.head.transaction.as_ref().unwrap();
    let transaction = &seen.transactions[0];
    assert_eq!((of.event_id, of.trace_id), (transaction.event_id, transaction.trace_id));
    assert!(profile.threads.iter().any(|thread| Some(&thread.id) == of.thread_id.as_ref()), "{of:?}");
    let late = profile.head.start_us.abs_diff(transaction.start_us) + profile.head.end_us.abs_diff(transaction.end_us);
    assert!(late < 60_000, "begun and ended {late} us beside its transaction");
    has_known_shares(profile);
}

/// Check that one of more than 90 s has the profile of its first 30 s. It waits for most of them, beside the other tests, of which it
/// is the first by name.
#[test]
fn beyond_what_is_kept() {
    let turn = turn();
    let Some(scene) = Scene::of(LONG, 0.0) else { return };
    let program = sample("../python/long_transaction.py");
    let mut command = scene.client.command(&scene.daemon, &scene.receiver.dsn, &program);
    command.arg("95").env("SENTRY_PROFILED", LONG).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // Until it works no more.
    std::thread::sleep(Duration::from_secs(8));
    drop(turn);
    let output = child.wait_with_output().unwrap();
    let (_, status) = scene.daemon.ask("GET", "/v1/status", "");
    assert_eq!(status["transactions"]["dropped"], serde_json::json!({}), "{status:#}");
    let seen = scene.seen(&output);
    let profile = of_transaction(&seen, "import").unwrap_or_else(|| panic!("none; {}", seen.stderr));
    assert!((29.9..=30.0).contains(&seconds(profile)), "{}", seconds(profile));
    let transaction = &seen.transactions[0];
    assert!(transaction.end_us - transaction.start_us >= 95_000_000);
    let times = times(profile);
    let is_about = |name: &str, range: std::ops::Range<u64>| range.contains(&times[name]);
    assert!(is_about("import_rows", 2_500_000..9_000_000), "{times:?}");
    assert!(is_about("wait_for_the_other_side", 20_000_000..27_500_000), "{times:?}");
}

/// Check that a profile is cut after 30 s, and comes with its transaction all the same.
#[test]
fn cut_after_30_seconds() {
    let _turn = turn();
    let Some(scene) = Scene::new(0.0) else { return };
    let seen = scene.play(&sample("transaction_rate.py"), &["33"]);
    let profile = of_transaction(&seen, "nightly report").unwrap_or_else(|| panic!("none; {}", seen.stderr));
    assert!((29.9..=30.0).contains(&seconds(profile)), "{}", seconds(profile));
    let transaction = &seen.transactions[0];
    assert!(transaction.end_us - transaction.start_us >= 33_000_000);
}

/// Check the head of `transaction_sampler.py`: /api/ ones are all profiled, of the others a tenth.
#[test]
fn transaction_sampler() {
    let _turn = turn();
    let Some(scene) = Scene::new(0.0) else { return };
    let seen = scene.play(&sample("transaction_sampler.py"), &[]);
    let (chunks, of_transactions) = seen.parts();
    let names = of_transactions.iter().filter_map(|profile| Some(profile.head.transaction.as_ref()?.name.as_str()));
    let (api, others): (Vec<&str>, Vec<&str>) = names.partition(|name| name.starts_with("/api/"));
    assert_eq!((chunks.len(), seen.transactions.len(), api.len()), (0, 40, 20), "{}", seen.stderr);
    // Of 20 at a tenth: more than 9 in one of 60,000 runs.
    assert!(others.len() <= 9, "{others:?}");
}

/// Check the head of `both_modes.py`: transaction mode takes precedence, and a warning says so, once.
#[test]
fn both_modes() {
    let _turn = turn();
    let Some(scene) = Scene::new(0.0) else { return };
    let seen = scene.play(&sample("both_modes.py"), &[]);
    let (chunks, of_transactions) = seen.parts();
    assert_eq!((chunks.len(), of_transactions.len()), (0, 1), "{}", seen.stderr);
    assert_eq!(seen.lines_with("transactions are profiled, and"), 1, "{}", seen.stderr);
}

/// Check the head of `function_and_block.py`: only what runs in them is in the profile, and they are named.
#[test]
fn function_and_block() {
    let _turn = turn();
    let Some(scene) = Scene::new(0.0) else { return };
    let seen = scene.play(&sample("function_and_block.py"), &[]);
    let (chunks, _) = seen.parts();
    assert_eq!(chunks.len(), 2, "{}", seen.stderr);
    let all: f64 = chunks.iter().map(|chunk| seconds(chunk)).sum();
    assert!((3.8..6.0).contains(&all), "{all}");
    for chunk in &chunks {
        has_known_shares(chunk);
        assert_eq!(chunk.threads.len(), 1);
    }
    let marks: Vec<(&str, &str)> = chunks
        .iter()
        .flat_map(|chunk| &chunk.head.agent.as_ref().unwrap().marks)
        .map(|mark| (mark.kind.as_str(), mark.name.as_str()))
        .collect();
    let [("function", function), ("block", "Data processing")] = marks.as_slice() else { panic!("{marks:?}") };
    assert!(function.ends_with("expensive_operation"), "{function}");
    // In `complex_function`, `heavy` alone runs for a second before and after its block.
    assert!(times(chunks[1])["heavy"] <= times(chunks[1])["work"], "{:?}", times(chunks[1]));
}

/// Check that without an agent the client says so, once, and the SDK's own profiler does the work.
#[test]
fn without_an_agent() {
    let _turn = turn();
    let Some(scene) = Scene::new(0.0) else { return };
    let mut command = scene.client.command(&scene.daemon, &scene.receiver.dsn, &sample("continuous_manual.py"));
    command.env("SENTRY_PROFILED_CONTROL", "/nonexistent/control.sock");
    let output = command.output().unwrap();
    let seen = scene.seen(&output);
    let (chunks, _) = seen.parts();
    assert!(
        chunks.iter().all(|chunk| chunk.head.sdk.0.starts_with("sentry.python")) && !chunks.is_empty(),
        "{}",
        seen.stderr
    );
    assert_eq!(seen.lines_with("/nonexistent/control.sock"), 1, "{}", seen.stderr);
}

/// Where the samples are, for those who look for them by this file.
#[test]
fn samples_are_there() {
    let all: Vec<PathBuf> = std::fs::read_dir(sample(".")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(all.iter().filter(|path| path.extension().is_some_and(|it| it == "py")).count(), 9);
}
