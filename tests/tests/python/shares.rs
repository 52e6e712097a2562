//! Python functions of known shares of the CPU time, beside threads that wait.

use std::time::Duration;

use tests::{
    agent::{collapsed, has_shares, record, samples},
    pythons::{Python, all, program},
    targets::{Program, turn},
};

const SECONDS: u32 = 10;

/// Check that they get these shares of the samples, within three standard errors, and that threads that wait are never seen
/// on a CPU: in the oldest interpreter that is here (no marks on the C stack) and the newest. Of chance, one of 60 runs is
/// outside: then it is asked again.
#[test]
fn shares() {
    let _turn = turn();
    let pythons = all();
    let mut some: Vec<&Python> = pythons.first().into_iter().chain(pythons.last()).collect();
    some.dedup_by_key(|python| python.minor);
    if some.is_empty() {
        println!("skipped: no Python of 3.8 to 3.15 here");
    }
    for python in some {
        assert!(is_within(python) || is_within(python), "{python}: twice more than three standard errors off");
    }
}

fn is_within(python: &Python) -> bool {
    let mut target = Program::spawn(python.command(&program("shares.py")).arg((SECONDS + 1).to_string()));
    assert_eq!(target.line(), "ready");
    let run = record(target.pid(), SECONDS, &["--on-cpu"]).wait(Duration::from_mins(1));
    let stacks = collapsed(&run.stdout);
    println!("{python}");
    let (is_within, all) = has_shares(&stacks, &target.report());
    assert!(all > 200, "{python}: {}", run.stderr);
    for name in ["sleeper", "waiter"] {
        assert_eq!(samples(&stacks, name), 0, "{python}: {name}\n{}", run.stdout);
    }
    is_within
}
