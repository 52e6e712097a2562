//! Sentry's own processing of our chunks (`tests/vroomrs/check.py`): for every function that it reports, its time is the
//! one that the samples give, within a microsecond.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tests::{
    agent::run,
    compile::{Build, build_folder, compile},
    targets::{Program, turn},
};

use super::outcomes;

/// Recursion, C code and sleep.
const PYTHON: &str = "
import json, time
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
while True:
    fib(18); json.loads(json.dumps([{'a': list(range(50))}] * 20)); sorted(str(i) for i in range(999)); time.sleep(0.003)
";

/// Compiled code, and threads that wait for work.
const NODE: &str = "
function work(n) { let s = 0; for (let i = 0; i < n; i++) s += JSON.stringify({i, s}).length; return s; }
setInterval(() => { work(20000); require('zlib').deflateSync(Buffer.alloc(200000, 'ab')); }, 15);
";

/// Where `scripts/setup tests` puts vroomrs; `None`, said on stderr, where it is not.
fn python() -> Option<PathBuf> {
    let venv = std::env::var_os("SENTRY_PROFILED_VENV").map(PathBuf::from);
    let venv = venv.unwrap_or_else(|| build_folder().parent().unwrap().join("venv"));
    let python = venv.join("bin/python");
    let there = Command::new(&python).args(["-c", "import vroomrs"]).output().is_ok_and(|out| out.status.success());
    if !there {
        eprintln!("skipped: no vroomrs in {} (scripts/setup tests installs it)", venv.display());
    }
    there.then_some(python)
}

/// Runs the check over a file of chunks, one a line. Gives its last line: how many chunks and functions there were.
fn check(python: &Path, chunks: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("vroomrs/check.py");
    let output = Command::new(python).arg(script).arg(chunks).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{said}\n{}", chunks.display(), String::from_utf8_lossy(&output.stderr));
    said.lines().last().unwrap_or_default().to_owned()
}

/// Check every chunk of the run.
#[test]
fn chunks_of_the_run() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    for outcome in outcomes() {
        let file = folder.path().join(outcome.name);
        let lines: Vec<u8> =
            outcome.chunks.iter().flat_map(|chunk| [&chunk.payload, b"\n".as_slice()].concat()).collect();
        fs::write(&file, lines).unwrap();
        let said = check(&python, &file);
        assert!(said.starts_with(&format!("{} chunks, ", outcome.chunks.len())), "{}: {said}", outcome.name);
    }
}

/// Check what `record` writes of a process, for some seconds.
fn record_and_check(pid: i32) {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (pid, file) = (pid.to_string(), folder.path().join("chunks"));
    let arguments = ["record", "--pid", &pid, "--format", "sentry", "--duration", "4", "-o", file.to_str().unwrap()];
    let ended = run(&arguments, Duration::from_mins(1));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let said = check(&python, &file);
    assert!(said.starts_with("1 chunks, "), "{said}");
}

/// Starts an interpreter; `None`, said on stderr, where there is none.
fn interpreter(name: &str, flag: &str, program: &str) -> Option<Program> {
    if Command::new(name).arg("--version").output().is_err() {
        eprintln!("skipped: no {name} here");
        return None;
    }
    let started = Program::spawn(Command::new(name).args([flag, program]));
    // Its own start-up is over by then.
    std::thread::sleep(Duration::from_secs(1));
    Some(started)
}

/// Check a C++ program with templates, inlined calls, exceptions and a thread that sleeps.
#[test]
fn record_of_cxx() {
    let _turn = turn();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/tree.cpp");
    let flags = &["-O2", "-g", "-pthread", "-std=c++17"];
    let build = Build { name: "tree", compiler: "c++", sources: &[&source], flags, optional: true };
    let Some(program) = compile(build) else { return };
    let mut target = Program::spawn(&mut Command::new(program));
    assert_eq!(target.line(), "ready");
    record_and_check(target.pid());
}

/// Check an interpreter whose stacks are deep and change all the time.
#[test]
fn record_of_python() {
    let _turn = turn();
    let Some(target) = interpreter("python3", "-c", PYTHON) else { return };
    record_and_check(target.pid());
}

/// Check a JIT, whose code has no file, among threads that sleep.
#[test]
fn record_of_node() {
    let _turn = turn();
    let Some(target) = interpreter("node", "-e", NODE) else { return };
    record_and_check(target.pid());
}
