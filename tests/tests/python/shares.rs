//! Python functions of known shares of the CPU time, beside threads that wait.

use std::time::Duration;

use tests::{
    agent::{collapsed, record, samples},
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

#[allow(clippy::cast_precision_loss, reason = "some thousand samples")]
fn is_within(python: &Python) -> bool {
    let mut target = Program::spawn(python.command(&program("shares.py")).arg((SECONDS + 1).to_string()));
    assert_eq!(target.line(), "ready");
    let run = record(target.pid(), SECONDS, &["--on-cpu"]).wait(Duration::from_mins(1));
    let stacks = collapsed(&run.stdout);
    let names = ["seventy", "twenty", "ten"];
    let counts = names.map(|name| samples(&stacks, name));
    let all = counts.iter().sum::<u64>() as f64;
    assert!(all > 200.0, "{python}: {}", run.stderr);
    let was = target.report();
    let mut is_within = true;
    for (name, count) in names.iter().zip(counts) {
        let share = was[name].as_f64().unwrap();
        let error = (share * (1.0 - share) / all).sqrt();
        let seen = count as f64 / all;
        println!("{python}: {name} {seen:.4}, was {share:.4} +- {error:.4} ({all} samples)");
        is_within &= (seen - share).abs() < 3.0 * error;
    }
    for name in ["sleeper", "waiter"] {
        assert_eq!(samples(&stacks, name), 0, "{python}: {name}\n{}", run.stdout);
    }
    is_within
}
