//! Names of threads: those that the program gives them, not the kernel's.

use std::{collections::BTreeSet, time::Duration};

use tests::{
    agent::run,
    pythons::{all, program},
    targets::{Program, turn},
};

const SOON: Duration = Duration::from_mins(1);

/// Check that chunks have the names that the program gave its threads, 500 of them, one that ended early and one that was named
/// late among them, and no other name.
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
        let names: BTreeSet<_> = threads.values().map(|thread| thread["name"].as_str().unwrap().to_owned()).collect();
        let differing: Vec<_> = names.symmetric_difference(&expected).collect();
        assert!(differing.is_empty(), "{python}: {differing:?}\n{}", run.stderr);
        println!("{python}: {} names; {}", names.len(), run.stderr.trim_end());
    }
}
