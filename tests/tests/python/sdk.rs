//! The frames of sentry-sdk's own profiler and ours, of the same program in the same seconds: every field equal.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use tests::{
    agent::run,
    pythons::{program, with_module},
    targets::{Program, turn_with_others},
};

const SECONDS: &str = "6";
/// Frames of the profilers themselves: theirs is a thread of the program, ours is none.
const THEIR_OWN: &str = "sentry_sdk";

/// What tells one function from another to a receiver.
type Function = (String, String, String, String, String);
type Functions = BTreeMap<Function, BTreeSet<u64>>;

/// Check `function`, `module`, `filename`, `abs_path` and `in_app` of every function of the program, and of those of the
/// standard library that both have seen; and the lines, where a thread stood still.
#[test]
fn frames() {
    let _turn = turn_with_others();
    let Some(python) = with_module("sentry_sdk") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = python.command(&program("sdk.py"));
    // Its stop waits for its own thread, which waits for its turn.
    let mut target = Program::spawn(command.arg("5").arg(folder.path()));
    assert_eq!(target.line(), "ready");
    let file = folder.path().join("chunk");
    let pid = target.pid().to_string();
    let arguments = ["record", "--pid", &pid, "-f", "sentry", "-d", SECONDS, "-o", file.to_str().unwrap()];
    let recorded = run(&arguments, Duration::from_mins(1));
    assert_eq!(recorded.code, 0, "{}", recorded.stderr);
    let chunk: Value = serde_json::from_str(std::fs::read_to_string(&file).unwrap().lines().next().unwrap()).unwrap();
    let ours = functions(chunk["profile"]["frames"].as_array().unwrap());
    let theirs = functions(target.report().as_array().unwrap());
    let of_program = |all: &Functions| -> BTreeSet<Function> {
        all.keys().filter(|function| function.3.contains("/sdk.py") || function.3.contains("/acme/")).cloned().collect()
    };
    assert_eq!(of_program(&ours), of_program(&theirs));
    // Of the standard library each sees what is there for a moment, not always the same.
    let is_ours = |function: &Function| ours.keys().any(|own| own.0 == function.0 && own.3 == function.3);
    let other: Vec<&Function> =
        theirs.keys().filter(|function| is_ours(function) && !ours.contains_key(function)).collect();
    assert!(other.is_empty(), "{other:#?}\n{:#?}", ours.keys());
    for (function, lines) in theirs.iter().filter(|(function, _)| ["sleeper", "waiter"].contains(&&*function.0)) {
        assert_eq!(&ours[function], lines, "{function:?}");
    }
    println!("{} functions of theirs, {} of ours", theirs.len(), ours.len());
}

/// The Python functions among frames, each with its lines.
fn functions(frames: &[Value]) -> Functions {
    let mut all = Functions::new();
    for frame in frames.iter().filter(|frame| frame["abs_path"].is_string() && frame["package"].is_null()) {
        let field = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        // They leave it out where it is false.
        let in_app = frame["in_app"].as_bool().unwrap_or(false).to_string();
        let function = (field("function"), field("module"), field("filename"), field("abs_path"), in_app);
        // `Thread.start`: of their sampling thread, before we began.
        if !function.1.starts_with(THEIR_OWN) && function.0 != "Thread.start" {
            all.entry(function).or_default().extend(frame["lineno"].as_u64());
        }
    }
    all
}
