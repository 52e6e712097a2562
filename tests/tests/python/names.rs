//! Names of threads: those that the program gives them, not the kernel's.

use std::{collections::BTreeSet, time::Duration};

use tests::{
    agent::run,
    pythons::{all, program},
    targets::{Program, turn},
};

const SOON: Duration = Duration::from_mins(1);

/// So many samples of a thread there may be before its name is known: it may begin as the record ends.
const NAMELESS_MAX: usize = 10;

/// Check that chunks have the names that the program gave its threads, 500 of them, one that ended early and one that was named
/// late among them, and no other name for longer than a moment.
#[test]
fn thread_names() {
    const WORKERS: usize = 500;
    let _turn = turn();
    let mut expected = BTreeSet::from(["MainThread".to_owned(), "brief".to_owned(), "größe 猫".to_owned()]);
    expected.extend((0..WORKERS).map(|index| format!("worker {index}")));
    for python in all() {
        let mut target = Program::spawn(python.command(&program("named.py")).arg(WORKERS.to_string()));
        assert_eq!(target.line(), "ready");
        let pid = target.pid().to_string();
        let run = run(&["record", "--pid", &pid, "--format", "sentry", "-o", "-", "--duration", "5s"], SOON);
        let chunk: serde_json::Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
        let threads = chunk["profile"]["thread_metadata"].as_object().unwrap();
        let samples = chunk["profile"]["samples"].as_array().unwrap();
        let samples_of = |id: &str| samples.iter().filter(|sample| sample["thread_id"] == id).count();
        let mut names = BTreeSet::new();
        for (id, thread) in threads {
            let name = thread["name"].as_str().unwrap();
            if expected.contains(name) {
                names.insert(name.to_owned());
            } else {
                let samples = samples_of(id);
                assert!(samples <= NAMELESS_MAX, "{python}: {name:?} in {samples} samples\n{}", run.stderr);
            }
        }
        let missing: Vec<_> = expected.difference(&names).collect();
        assert!(missing.is_empty(), "{python}: {missing:?}\n{}", run.stderr);
        println!("{python}: {} names; {}", names.len(), run.stderr.trim_end());
    }
}
