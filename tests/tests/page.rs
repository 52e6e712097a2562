//! `--pid` without a DSN: a page that shows a live process at once, and what is left of it afterwards.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use tests::{
    agent::{Agent, run},
    serving::{Answer, Connection, free_port},
    targets::{Program, turn},
};

const SOON: Duration = Duration::from_secs(30);

/// What is answered for a path; `None`: nobody listens yet.
fn get(port: u16, path: &str) -> Option<Answer> {
    Connection::open(port).and_then(|mut to| to.get(path)).ok()
}

/// Functions of the call tree of the last half minute.
fn functions(port: u16) -> Vec<String> {
    let Some(answer) = get(port, "/api/v1/tree?from=-30s") else { return Vec::new() };
    assert_eq!(answer.status, 200, "{answer:?}");
    let tree: Value = serde_json::from_slice(&answer.body).unwrap();
    let functions = tree["functions"].as_array().unwrap().iter();
    functions.map(|function| function[0].as_str().unwrap().to_owned()).collect()
}

/// Check that the page and its data are there within seconds, long before the first chunk is closed; and that everything
/// is in the store when the target has ended, once.
#[test]
fn live() {
    let _turn = turn();
    let state = tempfile::tempdir().unwrap();
    let mut target =
        Program::spawn(Command::new("python3").args(["-c", "print('ready', flush=True)\nwhile True: pass"]));
    assert_eq!(target.line(), "ready");
    let port = free_port();
    let (pid, listen) = (target.pid().to_string(), format!("127.0.0.1:{port}"));
    let arguments = ["--pid", &pid, "--listen", &listen, "--duration", "12"];
    let agent = Agent::start_with(&arguments, &[("STATE_DIRECTORY", state.path().to_str().unwrap())]);
    let began = Instant::now();
    let mut seen = Vec::new();
    while !seen.iter().any(|function| function == "<module>") {
        assert!(began.elapsed() < Duration::from_secs(10), "not shown: {seen:?}");
        std::thread::sleep(Duration::from_millis(500));
        seen = functions(port);
    }
    let page = get(port, "/").unwrap();
    assert!(
        page.headers.contains("content-security-policy: default-src 'none'")
            && String::from_utf8_lossy(&page.body).contains("flame"),
        "{page:?}"
    );
    let ended = agent.wait(SOON);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("The page: http://{listen}/")), "{}", ended.stderr);

    let store = state.path().join("store");
    assert!(ended.stdout.contains(&format!("sentry-profiled serve --store {}", store.display())), "{}", ended.stdout);
    let top = run(&["top", "--store", store.to_str().unwrap(), "--last", "1h", "--json"], SOON);
    assert_eq!(top.code, 0, "{}", top.stderr);
    let top: Value = serde_json::from_str(&top.stdout).unwrap();
    let module = top["functions"].as_array().unwrap().iter().find(|row| row["function"]["name"] == "<module>");
    let seconds = module.unwrap()["total"]["us"].as_f64().unwrap() / 1e6;
    assert!((9.0..12.5).contains(&seconds), "{seconds} s of 12");
}

/// Check that a second agent on the same machine has a page and a store of its own.
#[test]
fn side_by_side() {
    let _turn = turn();
    let state = tempfile::tempdir().unwrap();
    let target = Program::spawn(Command::new("sleep").arg("60"));
    let (pid, port) = (target.pid().to_string(), free_port());
    let variables = [("STATE_DIRECTORY", state.path().to_str().unwrap())];
    let listen = format!("127.0.0.1:{port}");
    let first = Agent::start_with(&["--pid", &pid, "--listen", &listen, "--duration", "6"], &variables);
    let began = Instant::now();
    while get(port, "/").is_none() {
        assert!(began.elapsed() < SOON, "no page");
        std::thread::sleep(Duration::from_millis(100));
    }
    let other = Program::spawn(Command::new("sleep").arg("60"));
    let pid = other.pid().to_string();
    let second = Agent::start_with(&["--pid", &pid, "--listen", &listen, "--duration", "2"], &variables).wait(SOON);
    let first = first.wait(SOON);
    assert_eq!((first.code, second.code), (0, 0), "{} {}", first.stderr, second.stderr);
    assert!(
        second.stderr.contains("The page: http://127.0.0.1:") && !second.stderr.contains(&listen),
        "{}",
        second.stderr
    );
    assert!(second.stdout.contains("store.2"), "{}", second.stdout);
}
