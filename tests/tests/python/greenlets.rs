//! Greenlets that take turns on one thread: each stack is of one of them alone, from its root on.

use std::{collections::BTreeSet, time::Duration};

use tests::{
    agent::{Stack, collapsed, record},
    pythons::{program, with_module},
    targets::{Program, turn_with_others},
};

const ROOTS: [&str; 3] = ["plain", "mapped", "asleep"];

/// Check gevent's, that no stack has the frames of two, that all that are awake are seen, and that none is cut but while its very
/// stack is being put together.
#[test]
fn gevent() {
    let _turn = turn_with_others();
    let Some(python) = with_module("gevent") else { return };
    let mut target = Program::spawn(&mut python.command(&program("hub.py")));
    assert_eq!(target.line(), "ready");
    let run = record(target.pid(), 3, &["--rate", "499"]).wait(Duration::from_mins(1));
    let stacks = collapsed(&run.stdout);
    let is_cut =
        |stack: &&Stack| stack.frames.iter().any(|frame| frame.starts_with("[truncated") || frame == "[unplaced]");
    assert!(stacks.iter().filter(is_cut).all(|stack| stack.has("slp_switch")), "{}\n{}", run.stderr, run.stdout);
    let seen: BTreeSet<String> = stacks.iter().filter(|stack| stack.has("spin")).map(path).collect();
    let expected = ["mapped called spin", "plain deep deep deep deep spin"];
    assert_eq!(seen, expected.map(str::to_owned).into(), "{}\n{}", run.stderr, run.stdout);
    let of_two: Vec<&Stack> =
        stacks.iter().filter(|stack| ROOTS.iter().filter(|root| stack.has(root)).count() > 1).collect();
    assert!(of_two.is_empty(), "{of_two:?}");
}

/// The functions of the program, root first.
fn path(stack: &Stack) -> String {
    let own = ["deep", "spin", "called"];
    let is_own = |frame: &&str| own.contains(frame) || ROOTS.contains(frame);
    stack.frames.iter().map(String::as_str).filter(is_own).collect::<Vec<_>>().join(" ")
}
