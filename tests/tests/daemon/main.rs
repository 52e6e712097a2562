//! The daemon as its operator has it: targets by the settings file, decisions, start and stop, reload, a restart, the budget, and a control
//! socket that is attacked. What programs say themselves is `samples`.

#[path = "../shared/receiver.rs"]
mod receiver;
mod speakers;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use receiver::Receiver;
use serde_json::Value;
use tests::{
    agent::binary,
    daemon::Daemon,
    targets::{Program, turn},
};

/// One target, by the name of its program, with more keys.
fn settings(comm: &str, more: &str) -> String {
    format!("[[target]]\nname = \"it\"\nmatch.comm = \"{comm}*\"\n{more}\n")
}

/// Check that a process is found within a second of its start, starts by itself where the settings say so, is sent under what they
/// say of it, and that all of it is there when it has ended.
#[test]
fn found_and_started() {
    let _turn = turn();
    let receiver = Receiver::start();
    let options = format!(
        "dsn = \"{}\"\nprofile_session_sample_rate = 1.0\nstart_on_attach = true\nenvironment = \"test\"\nrelease = \"it@1\"\ntags = {{ team = \"shop\" }}",
        receiver.dsn
    );
    let daemon = Daemon::start(&settings("busy_shares", &options));
    let Some(mut program) = Program::start("busy_shares", &["3"]) else { return };
    daemon.wait_for("found", Duration::from_secs(1), |targets| targets.iter().any(|row| row["pid"] == program.pid()));
    daemon
        .wait_for("running", Duration::from_secs(5), |targets| targets.iter().any(|row| !row["profiler_id"].is_null()));
    program.wait(Duration::from_secs(20));
    daemon.wait_for("ended", Duration::from_secs(20), <[Value]>::is_empty);
    let run = daemon.stop();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let all = receiver.store.all();
    let [chunk] = all.as_slice() else { panic!("{} chunks", all.len()) };
    let head = &chunk.head;
    let agent = head.agent.as_ref().unwrap();
    assert_eq!((head.environment.as_deref(), head.release.as_deref()), (Some("test"), Some("it@1")));
    assert_eq!(
        agent.tags,
        BTreeMap::from([("target", "it"), ("team", "shop")].map(|(key, value)| (key.to_owned(), value.to_owned())))
    );
    assert!(agent.ticks > 150, "{agent:?}");
}

/// Check that a daemon that comes after one that was killed sends what that one had not, though its target is gone.
#[test]
fn recovered() {
    let _turn = turn();
    let receiver = Receiver::start();
    let options = format!("dsn = \"{}\"\nprofile_session_sample_rate = 1.0\nstart_on_attach = true", receiver.dsn);
    let mut daemon = Daemon::start(&settings("spin", &options));
    let Some(program) = Program::start("spin", &[]) else { return };
    let running = daemon.wait_for("running", Duration::from_secs(5), |targets| {
        targets.iter().any(|row| row["counters"]["samples"].as_u64() > Some(0))
    });
    // What was sampled is in the journal within a second.
    std::thread::sleep(Duration::from_secs(2));
    daemon.signal(Signal::SIGKILL);
    drop(program);
    daemon.restart();
    let began = Instant::now();
    while receiver.store.all().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing was sent; {:?}", daemon.verb(&["status"]));
        std::thread::sleep(Duration::from_millis(50));
    }
    let all = receiver.store.all();
    let [chunk] = all.as_slice() else { panic!("{} chunks", all.len()) };
    assert_eq!(running[0]["profiler_id"], chunk.head.profiler_id.simple().to_string());
    assert!(chunk.head.end_us - chunk.head.start_us > 1_000_000, "{:?}", chunk.head);
}

/// Check start and stop by the operator: an id for each, chunks of that time alone, and the reason where it has no effect.
#[test]
fn operator() {
    let _turn = turn();
    let receiver = Receiver::start();
    let options = format!("dsn = \"{}\"\nprofile_session_sample_rate = 1.0", receiver.dsn);
    let daemon = Daemon::start(&settings("spin", &options));
    let Some(program) = Program::start("spin", &[]) else { return };
    let pid = program.pid().to_string();
    daemon.wait_for("found", Duration::from_secs(1), |targets| !targets.is_empty());
    let start = || daemon.verb(&["start", "--pid", &pid]);
    let ids: Vec<String> = (0..2)
        .map(|_| {
            let (code, id) = start();
            assert_eq!((code, start()), (0, (0, id.clone())), "a second start changes nothing");
            std::thread::sleep(Duration::from_millis(700));
            assert_eq!(daemon.verb(&["stop", "--pid", &pid]), (0, id.clone()));
            id.trim().to_owned()
        })
        .collect();
    let (code, said) = daemon.verb(&["stop", "--pid", &pid]);
    assert_eq!(code, 1, "{said}");
    let (code, said) = daemon.verb(&["start", "--pid", "1"]);
    assert!(code == 1 && said.contains("no target of this agent"), "{code} {said}");
    let began = Instant::now();
    while receiver.store.all().len() < 2 && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut chunks = receiver.store.all();
    chunks.sort_by_key(|chunk| chunk.head.start_us);
    let of_chunks: Vec<String> = chunks.iter().map(|chunk| chunk.head.profiler_id.simple().to_string()).collect();
    assert_eq!(of_chunks, ids);
    for chunk in &chunks {
        let span = chunk.head.end_us - chunk.head.start_us;
        assert!((500_000..1_500_000).contains(&span), "{span}");
    }
    assert!(daemon.verb(&["status"]).1.contains("1 processes"), "{}", daemon.verb(&["status"]).1);
    assert!(daemon.verb(&["targets"]).1.contains(&pid));
    drop(program);
}

/// Check the share of sampled processes, that each decision outlives start, stop and a restart of the agent, and that an unsampled one
/// cannot be started.
#[test]
fn decisions() {
    const MANY: usize = 1000;
    let _turn = turn();
    let sleepers: Vec<Sleeper> = (0..MANY).map(|_| Sleeper::start()).collect();
    let mut daemon = Daemon::start(&settings("sleep", "profile_session_sample_rate = 0.3"));
    let ours = |targets: &[Value]| -> BTreeMap<i64, bool> {
        let ours = targets.iter().filter(|row| sleepers.iter().any(|it| row["pid"] == it.pid()));
        ours.map(|row| (row["pid"].as_i64().unwrap(), row["sampled"].as_bool().unwrap())).collect()
    };
    let all = |targets: &[Value]| ours(targets).len() == MANY;
    let decided = ours(&daemon.wait_for("all found", Duration::from_secs(20), all));
    let sampled = decided.values().filter(|sampled| **sampled).count();
    // Three standard errors: 3 * sqrt(1000 * 0.3 * 0.7).
    assert!(sampled.abs_diff(300) <= 43, "{sampled} of {MANY}");
    for is_sampled in [true, false] {
        for (pid, _) in decided.iter().filter(|(_, sampled)| **sampled == is_sampled).take(3) {
            for verb in ["start", "stop", "start", "stop"] {
                let (code, said) = daemon.verb(&[verb, "--pid", &pid.to_string()]);
                assert_eq!(code == 0, is_sampled, "{verb} {pid}: {said}");
                assert!(is_sampled || said.contains("was not chosen"), "{said}");
            }
        }
    }
    assert_eq!(ours(&daemon.targets()), decided);
    daemon.restart();
    assert_eq!(ours(&daemon.wait_for("all found again", Duration::from_secs(20), all)), decided);
}

/// A process that does nothing.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Check that a reload takes in what the file says now, that one with an error in it changes nothing, and that both are told.
#[test]
fn reload() {
    let _turn = turn();
    let daemon = Daemon::start(&settings("nobody", ""));
    let sleeper = Sleeper::start();
    let file = daemon.folder().join("config.toml");
    assert_eq!(daemon.targets(), Vec::<Value>::new());
    fs::write(&file, settings("sleep", "profile_session_sample_rate = 1.0")).unwrap();
    let (code, said) = daemon.verb(&["reload"]);
    assert!(code == 0 && said.starts_with("entries: 1"), "{code} {said}");
    daemon.wait_for("found", Duration::from_secs(1), |targets| targets.iter().any(|row| row["pid"] == sleeper.pid()));
    fs::write(&file, "[[target]]\nmatch.com = \"sleep\"\n").unwrap();
    let (code, said) = daemon.verb(&["reload"]);
    assert!(code == 78 && said.contains("config.toml:2") && said.contains("did you mean `comm`?"), "{code} {said}");
    assert!(!daemon.targets().is_empty());
    fs::write(&file, settings("nobody", "")).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("let go", Duration::from_secs(5), <[Value]>::is_empty);
}

/// Check that what costs more than it may is read less often, that the status says so, and that what we use stays under.
#[test]
fn budget() {
    let _turn = turn();
    let options = "profile_session_sample_rate = 1.0\nstart_on_attach = true\n[budget]\nhost_cpu = \"1%\"";
    let daemon = Daemon::start(&settings("sleepers", options));
    // Two thousand threads that wake five times a second.
    let Some(program) = Program::start("sleepers", &["2000", "5"]) else { return };
    daemon.wait_for("running", Duration::from_secs(20), |targets| {
        targets.iter().any(|row| !row["profiler_id"].is_null())
    });
    std::thread::sleep(Duration::from_secs(10));
    let cpu = || {
        let (_, status) = daemon.ask("GET", "/v1/status", "");
        status["cost"]["cpu_ms"].as_f64().unwrap() - status["cost"]["naming_cpu_ms"].as_f64().unwrap()
    };
    let (before, began) = (cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(10));
    let share = (cpu() - before) / began.elapsed().as_secs_f64() / 1000.0;
    let targets = daemon.targets();
    assert!(targets[0]["every"].as_u64().is_none_or(|every| every > 1), "{targets:#?}");
    assert!(targets[0]["counters"]["skipped"]["budget"].as_u64().is_some_and(|many| many > 1000), "{targets:#?}");
    // A debug build is slower than what the budget is meant for, so its bound is wider than a release's.
    assert!(share < 0.05, "{share}");
    drop(program);
}

/// Check that a daemon with less memory than it would need lets its target go, says so, and goes on; and that the target is taken
/// again when the limit is raised.
#[test]
fn memory() {
    let _turn = turn();
    let text = |memory: &str| {
        let options = "profile_session_sample_rate = 1.0\nstart_on_attach = true";
        settings("spin", &format!("{options}\n[budget]\nmemory = \"{memory}\""))
    };
    let daemon = Daemon::start(&text("4MB"));
    let Some(program) = Program::start("spin", &[]) else { return };
    let held = daemon.wait_for("held back", Duration::from_secs(5), |targets| {
        targets.iter().any(|row| {
            row["reason"].as_str().is_some_and(|why| why.contains("budget.memory")) && row["state"] != "ending"
        })
    });
    assert_eq!((&held[0]["state"], &held[0]["profiler_id"]), (&"off".into(), &Value::Null), "{held:#?}");
    assert_eq!(tests::targets::held(program.pid()), [0; 0], "it was not let go");
    let (_, status) = daemon.ask("GET", "/v1/status", "");
    assert_eq!(status["cost"]["rss_bytes_limit"], 4_000_000, "{status:#?}");
    fs::write(daemon.folder().join("config.toml"), text("1GB")).unwrap();
    assert_eq!(daemon.verb(&["reload"]).0, 0);
    daemon.wait_for("running", Duration::from_secs(10), |targets| {
        targets.iter().any(|row| !row["profiler_id"].is_null() && row["reason"].is_null())
    });
}

/// Asks as another user.
fn as_nobody(arguments: &[&str]) -> Option<(i32, String)> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary()).args(arguments);
    let output = command.output().ok()?;
    Some((output.status.code()?, String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Check that other users cannot act on anybody else, and that garbage and floods neither get through nor end the daemon.
#[test]
fn attacked() {
    let _turn = turn();
    let daemon = Daemon::start(&settings("sleep", "profile_session_sample_rate = 1.0"));
    let sleeper = Sleeper::start();
    daemon.wait_for("found", Duration::from_secs(1), |targets| !targets.is_empty());
    fs::set_permissions(daemon.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let socket = daemon.socket();
    let (pid, path) = (sleeper.pid().to_string(), socket.to_str().unwrap());
    // The binary may be where others cannot reach it.
    if as_nobody(&["--version"]).is_some_and(|(code, _)| code == 0) {
        for arguments in [
            &["start", "--pid", &pid, "--control", path][..],
            &["targets", "--control", path],
            &["reload", "--control", path],
        ] {
            let (code, said) = as_nobody(arguments).unwrap();
            assert!(code == 77 && said.contains("only root may do that"), "{arguments:?}: {code} {said}");
        }
    } else {
        println!("skipped: other users cannot run {}", binary().display());
    }
    // Root of a container, so to speak.
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc"]).arg(binary()).args(["targets", "--control", path]);
    let output = unshare.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(77) && said.contains("not from another container"), "{output:?}");
    for (method, path, body, expected) in [
        ("POST", "/v1/self", "{", 400),
        ("POST", "/v1/self", "[1, 2]", 400),
        ("POST", "/v1/self", r#"{"board": {"version": 2, "address": 8, "size": 32768}}"#, 400),
        ("POST", "/v1/self", r#"{"board": {"version": 1, "address": 12, "size": 32768}}"#, 400),
        ("POST", "/v1/self", r#"{"options": {"dsn": 7, "profile_session_sample_rate": "often"}}"#, 404),
        ("GET", "/v1/self", "", 404),
        ("GET", "/v1/self?wait=never", "", 400),
        ("GET", "/v1/self/profiles/../../etc/passwd", "", 404),
        ("GET", "/v1/self/profiles/zz", "", 400),
        ("POST", "/v1/targets/99999999999/start", "", 400),
        ("DELETE", "/v1/targets", "", 405),
        ("GET", "/", "", 404),
    ] {
        let (status, answer) = daemon.ask(method, path, body);
        assert_eq!(status, expected, "{method} {path} {body}: {answer}");
    }
    assert!(too_long(&socket).starts_with("HTTP/1.1 413"));
    let mut garbage = UnixStream::connect(&socket).unwrap();
    garbage.write_all(&vec![0xff; 20_000]).unwrap();
    let mut answer = Vec::new();
    let _ = garbage.read_to_end(&mut answer);
    flood(&socket);
    assert_eq!(daemon.ask("GET", "/v1/status", "").0, 200, "it lives, and others are heard");
}

/// What is said of a body that is too long, which is not read to its end.
fn too_long(socket: &std::path::Path) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"POST /v1/self HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut head = [0; 64];
    let read = stream.read(&mut head).unwrap();
    String::from_utf8_lossy(&head[..read]).into_owned()
}

/// More connections than a process may have, that say nothing.
fn flood(socket: &std::path::Path) {
    let held: Vec<UnixStream> = (0..500).filter_map(|_| UnixStream::connect(socket).ok()).collect();
    let closed = held.iter().filter(|stream| {
        let mut byte = [0];
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        matches!((&mut &**stream).read(&mut byte), Ok(0) | Err(_)) && stream.take_error().is_ok() && is_closed(stream)
    });
    assert!(closed.count() > 400, "most were refused");
}

/// Whether the other side has closed it.
fn is_closed(mut stream: &UnixStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    matches!(stream.read(&mut [0]), Ok(0)) || stream.write(&[0]).is_err()
}
