//! The query API of a running server: a client that tries everything its description allows and much that it does not, and
//! the programs that its exports are for. Each says on stderr why it is skipped where such a program is not there
//! (`scripts/setup tests` installs them).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use profile::received::{OfTransaction, Span, Transaction};
use serde_json::Value;
use store::{
    ChunkStore,
    embedded::Embedded,
    item::{Batch, ProjectId, Refused},
    query::Queries,
    testing::Process,
};
use tempfile::TempDir;
use tests::{
    agent,
    compile::build_folder,
    tools::{npm, run},
};
use uuid::Uuid;

/// An hour that begins at a whole hour, microseconds since 1970.
const BEGIN_US: u64 = 1_795_770_000_000_000;
const WINDOW: &str = "from=1795770000&to=1795773600";
/// A question to a small store.
const RUN_MAX: Duration = Duration::from_mins(1);
/// Longest run of the client that tries everything: 40 s on two idle cores.
const TRIES_MAX: Duration = Duration::from_mins(4);
/// How often the importer of the Firefox profiler is started.
const LOADS_MAX: usize = 10;

/// A server with something of everything, for as long as it is held.
struct Served {
    url: String,
    dir: TempDir,
}

fn served() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path()).unwrap();
    store.append(batch()).unwrap();
    let store: Arc<dyn ChunkStore> = Arc::new(store);
    let router = server::api::router(Queries { store, live: None }, server::api::Settings::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Ends with the process.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let serve = async { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await };
        runtime.block_on(serve).unwrap();
    });
    Served { url, dir }
}

fn batch() -> Batch {
    let (one, other) = (Process::small(1), Process::small(2));
    let mut of_transaction = other.chunk(BEGIN_US + 120_000_000);
    let (event_id, trace_id) = (Uuid::from_u128(7), Uuid::from_u128(8));
    of_transaction.head.transaction =
        Some(OfTransaction { event_id, trace_id, name: "GET /".to_owned(), thread_id: None });
    let chunks = [one.chunk(BEGIN_US), one.chunk(BEGIN_US + 60_000_000), other.chunk(BEGIN_US), of_transaction];
    let transaction = Transaction {
        event_id,
        trace_id,
        span_id: 9,
        name: "GET /".to_owned(),
        op: Some("http.server".to_owned()),
        status: Some("ok".to_owned()),
        start_us: BEGIN_US + 1_000_000,
        end_us: BEGIN_US + 2_000_000,
        platform: Some("python".to_owned()),
        environment: None,
        release: None,
        profiler_id: Some(one.profiler_id()),
        profile_id: None,
        thread_id: None,
        thread_name: None,
    };
    let span = Span {
        trace_id,
        span_id: 9,
        parent_id: None,
        segment_id: Some(9),
        op: Some("http.server".to_owned()),
        description: None,
        status: None,
        start_us: BEGIN_US + 1_000_000,
        end_us: BEGIN_US + 2_000_000,
        profiler_id: Some(one.profiler_id()),
        thread_id: None,
    };
    let refused = Refused {
        project: ProjectId(1),
        at_us: BEGIN_US,
        item: "profile_chunk".to_owned(),
        reason: "profiling_invalid_json".to_owned(),
        detail: "line 1".to_owned(),
        client: "test/1".to_owned(),
        head: "{".to_owned(),
        bytes: 1,
    };
    Batch {
        profiles: chunks.into_iter().map(|chunk| (ProjectId(1), chunk)).collect(),
        transactions: vec![(ProjectId(1), transaction)],
        spans: vec![(ProjectId(1), span)],
        refused: vec![refused],
    }
}

impl Served {
    /// Asks by curl, as a script would.
    fn get(&self, path: &str) -> Vec<u8> {
        let done =
            Command::new("curl").args(["-sSf", "--max-time", "60"]).arg(format!("{}/api/v1{path}", self.url)).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{path}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    }

    /// Time of each function in itself, microseconds, as the API says it.
    fn own(&self) -> BTreeMap<String, u64> {
        let answer: Value = serde_json::from_slice(&self.get(&format!("/functions?{WINDOW}"))).unwrap();
        let mut own = BTreeMap::new();
        for row in answer["functions"].as_array().unwrap() {
            *own.entry(row["function"]["name"].as_str().unwrap().to_owned()).or_default() +=
                row["own"]["us"].as_u64().unwrap();
        }
        own.retain(|_, us| *us > 0);
        assert!(!own.is_empty());
        own
    }

    /// An export in a file of a folder.
    fn export(&self, folder: &Path, format: &str, view: &str) -> PathBuf {
        let file = folder.join(format!("{view}.{format}"));
        fs::write(&file, self.get(&format!("/export?{WINDOW}&format={format}&view={view}"))).unwrap();
        file
    }
}

/// Sums by name; what has no time is left out.
fn sums(rows: impl Iterator<Item = (String, f64)>) -> BTreeMap<String, u64> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    rows.for_each(|(name, us)| *sums.entry(name).or_default() += us);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sums of times of an hour")]
    let sums = sums.into_iter().map(|(name, us)| (name, us.round() as u64));
    sums.filter(|(_, us)| *us > 0).collect()
}

/// Check that whatever a client sends that knows the description, no answer is one that is not described, and none says that
/// the server has failed.
#[test]
fn everything_described() {
    let venv = std::env::var_os("SENTRY_PROFILED_VENV").map(PathBuf::from);
    let venv = venv.unwrap_or_else(|| build_folder().parent().unwrap().join("venv"));
    let served = served();
    let mut command = Command::new("timeout");
    command.arg(TRIES_MAX.as_secs().to_string()).arg(venv.join("bin/schemathesis"));
    if !venv.join("bin/schemathesis").exists() {
        eprintln!("skipped: no schemathesis in {} (scripts/setup tests installs it)", venv.display());
        return;
    }
    // That a window begins before it ends cannot be described: such a refusal is right.
    // What no client can mean to send, long beyond every limit, may be refused before it is read.
    let settings = "[checks.negative_data_rejection]\nexpected-statuses = [400, 401, 403, 404, 405, 414, 431]\n";
    fs::write(served.dir.path().join("schemathesis.toml"), settings).unwrap();
    command.args(["run", "--checks", "all", "--exclude-checks", "positive_data_acceptance", "--max-examples", "15"]);
    command.args(["--seed", "1", "--no-color", "--request-timeout", "20", "--generation-deterministic", "--url"]);
    command.arg(format!("{}/api/v1", served.url)).arg(format!("{}/api/v1/openapi.json", served.url));
    run(command.current_dir(served.dir.path()), "schemathesis");
}

/// Check that speedscope's own importer reads the same times.
#[test]
fn speedscope() {
    let Some(modules) = npm("speedscope") else { return };
    let (served, folder) = (served(), tempfile::tempdir().unwrap());
    for view in ["tree", "timeline"] {
        let file = served.export(folder.path(), "speedscope", view);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("importers/speedscope.cjs");
        let Some(out) = run(Command::new("node").arg(script).arg(&modules).arg(file), "node") else { return };
        let read: Value = serde_json::from_str(&out).unwrap();
        let rows = read["profiles"].as_array().unwrap().iter().flat_map(|profile| profile["own"].as_object().unwrap());
        let own = sums(rows.map(|(name, us)| (name.clone(), us.as_f64().unwrap())));
        assert_eq!(own, served.own(), "{view}");
    }
}

/// Check that `go tool pprof` reads the same times.
#[test]
fn pprof() {
    let (served, folder) = (served(), tempfile::tempdir().unwrap());
    for view in ["tree", "timeline"] {
        let file = served.export(folder.path(), "pprof", view);
        let mut command = Command::new("go");
        command.args(["tool", "pprof", "-top", "-nodecount=100000", "-nodefraction=0", "-edgefraction=0"]);
        command.args(["-sample_index=wall", "-unit=us"]).arg(file).env("PPROF_TMPDIR", folder.path());
        let Some(out) = run(&mut command, "go") else { return };
        // flat flat% sum% cum cum% name
        let row = |line: &str| {
            let mut cells = line.split_whitespace();
            let us = cells.next()?.trim_end_matches("us").parse::<f64>().ok()?;
            Some((cells.skip(4).collect::<Vec<_>>().join(" "), us))
        };
        let own = sums(out.lines().skip_while(|line| !line.contains("flat%")).skip(1).filter_map(row));
        // Its numbers are rounded to three digits behind the point of microseconds: exact.
        assert_eq!(own, served.own(), "{view}\n{out}");
    }
}

/// Check that the Firefox profiler's own importer reads the same times.
#[test]
fn firefox() {
    let Some(modules) = npm("@firefox-devtools/profiler-cli") else { return };
    let (served, folder) = (served(), tempfile::tempdir().unwrap());
    let command = |arguments: &[&str]| {
        let mut command = Command::new("node");
        command.arg(modules.join("@firefox-devtools/profiler-cli/dist/profiler-cli.js")).args(arguments);
        command.env("HOME", folder.path()).env("PROFILER_CLI_SESSION_DIR", folder.path());
        command
    };
    let file = served.export(folder.path(), "firefox", "tree");
    // It leaves half a second to a process of its own, which a busy machine does not.
    let loaded = (0..LOADS_MAX).any(|_| {
        let done = command(&["load", file.to_str().unwrap()]).output();
        done.is_ok_and(|done| done.status.success()) || {
            let _ = command(&["stop", "--all"]).output();
            false
        }
    });
    if !loaded {
        eprintln!("skipped: the importer does not start here");
        return;
    }
    let answer = run(&mut command(&["thread", "functions", "--json", "--limit", "0"]), "node");
    let _ = command(&["stop", "--all"]).output();
    let answer: Value = serde_json::from_str(&answer.unwrap()).unwrap();
    let rows = answer["functions"].as_array().unwrap().iter().map(|row| {
        let name = row["name"].as_str().unwrap();
        (name.to_owned(), row["selfSamples"].as_f64().unwrap() * 1000.0)
    });
    assert_eq!(sums(rows), served.own(), "{answer}");
}

/// Check that the command line says the same of a server and of its folder, and how it ends when it cannot.
#[test]
fn command_line() {
    let served = served();
    let store = served.dir.path().to_str().unwrap();
    let window = ["--from", "1795770000", "--to", "1795773600"];
    let said = |source: [&str; 2], command: &[&str]| {
        let run = agent::run(&[command, &source, &window].concat(), RUN_MAX);
        assert_eq!(run.code, 0, "{command:?}: {}", run.stderr);
        (run.stdout, run.stderr)
    };
    for command in [
        &["top", "--json", "-n", "5"][..],
        &["top", "--lines"],
        &["diff", "--base-from", "1795770060", "--base-to", "1795770120"],
        &["export", "-o", "-", "--format", "speedscope", "--timeline"],
        &["export", "-o", "-", "--format", "sentry"],
    ] {
        let of_server = said(["--server", &served.url], command);
        assert_eq!(of_server, said(["--store", store], command), "{command:?}");
        assert!(!of_server.0.is_empty(), "{command:?}");
    }
    let answer = String::from_utf8(served.get(&format!("/functions?{WINDOW}&limit=5"))).unwrap();
    assert_eq!(said(["--store", store], &["top", "--json", "-n", "5"]).0.trim_end(), answer);
    let check = agent::run(&["store", "check", "--store", store], RUN_MAX);
    assert_eq!((check.code, check.stderr.as_str()), (0, ""), "{}", check.stdout);

    let ends = |arguments: &[&str]| {
        let run = agent::run(arguments, RUN_MAX);
        assert_eq!(run.stdout, "", "{arguments:?}");
        (run.code, run.stderr)
    };
    let (code, stderr) = ends(&["top", "--server", "http://127.0.0.1:1"]);
    assert!(
        code == 69 && stderr.starts_with("error: cannot ask the server at http://127.0.0.1:1\ncause: "),
        "{code} {stderr}"
    );
    let (code, stderr) = ends(&["top", "--store", store, "--from", "soon"]);
    assert!(code == 2 && stderr.starts_with("error: parameter `from`: is no point in time\n"), "{code} {stderr}");
    assert_eq!(ends(&["top", "--store", "/nowhere"]).0, 1);
    assert_eq!(ends(&["top"]).0, 2);
}
