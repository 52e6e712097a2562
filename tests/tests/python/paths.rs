//! Stacks of programs that call and return as fast as they can: each is a path of the call tree, none is torn.

use std::{fmt::Write as _, time::Duration};

use tests::{
    agent::{Stack, collapsed, record},
    pythons::{Python, all, program},
    targets::{Program, turn},
};

/// Much more often than usual, so that a second has many stacks.
const RATE: &str = "499";
const SECONDS: u32 = 2;

/// Check calls: 12 deep, with frames of all sizes, of which the memory is used again at once.
#[test]
fn calls() {
    check("ab", &[], |python, run, _| {
        assert!(!run.contains("  lost "), "{python}: {run}");
    });
}

/// Check generators and coroutines. While one is entered or left, its caller may be nowhere in memory: then that is said.
#[test]
fn generators() {
    check("gc", &["generators"], |python, run, stacks| {
        assert!(!stacks.iter().any(|stack| stack.has("[unplaced]")), "{python}: {run}");
        let cut: u64 = stacks.iter().filter(|stack| stack.has("[truncated: no_caller]")).map(|stack| stack.count).sum();
        let all: u64 = stacks.iter().map(|stack| stack.count).sum();
        println!("{python}: {cut} of {all} without a caller");
        assert!(cut * 20 < all, "{python}: {cut} of {all}");
    });
}

fn check(families: &str, arguments: &[&str], more: impl Fn(&Python, &str, &[Stack])) {
    let _turn = turn();
    let mut wrong = String::new();
    let pythons = all();
    if pythons.is_empty() {
        println!("skipped: no Python of 3.8 to 3.15 here");
    }
    for python in &pythons {
        let mut command = python.command(&program("trees.py"));
        let mut target = Program::spawn(command.arg("60").args(arguments));
        assert_eq!(target.line(), "ready");
        let run = record(target.pid(), SECONDS, &["--rate", RATE]).wait(Duration::from_mins(1));
        let stacks = collapsed(&run.stdout);
        let seen = stacks.iter().filter(|stack| !path(stack, families).is_empty()).count();
        assert!(seen > 5, "{python}: {}\n{}", run.stderr, run.stdout);
        for stack in stacks.iter().filter(|stack| !is_path(stack, families)) {
            let _ = writeln!(wrong, "{python}: {}", stack.frames.join(";"));
        }
        more(python, &run.stderr, &stacks);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The functions of the trees, root first, with their depth.
fn path(stack: &Stack, families: &str) -> Vec<(char, u32)> {
    let function = |frame: &String| {
        let family = frame.chars().next().filter(|family| families.contains(*family))?;
        Some((family, frame.get(1..)?.parse().ok()?))
    };
    stack.frames.iter().filter_map(function).collect()
}

/// Whether they are of one tree, one below the other, from its root on, or from wherever a gap is.
fn is_path(stack: &Stack, families: &str) -> bool {
    let path = path(stack, families);
    let is_step = path.is_sorted_by(|(family, depth), (other, deeper)| family == other && depth + 1 == *deeper);
    let is_rooted = path.first().is_none_or(|(_, depth)| *depth == 1);
    let has_gap = stack.has("[truncated: no_caller]");
    has_gap || is_step && is_rooted
}
