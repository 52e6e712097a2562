//! Threads that the interpreter knows by more than one state, or by one for a moment only.

use std::time::Duration;

use tests::{
    agent::{Stack, collapsed, record, samples},
    compile::{Build, compile},
    pythons::{Python, all, program},
    targets::{Program, turn, turn_with_others},
};

const SOON: Duration = Duration::from_mins(1);

/// A library of ours does not go into another system's root.
fn outside_of_roots() -> Vec<Python> {
    let mut pythons = all();
    pythons.retain(|python| python.root.is_none());
    pythons
}

/// Check a thread of a C library that calls into Python: nearly all of its samples show the Python that it runs.
#[test]
fn callbacks() {
    let _turn = turn_with_others();
    let library = program("calls_back.c");
    let flags = ["-O2", "-shared", "-fPIC", "-pthread"];
    let build = Build { name: "calls_back.so", compiler: "cc", sources: &[&library], flags: &flags, optional: true };
    let Some(library) = compile(build) else { return };
    for python in outside_of_roots() {
        let mut target = Program::spawn(python.command(&program("calls_back.py")).arg(&library));
        assert_eq!(target.line(), "ready");
        let run = record(target.pid(), 4, &[]).wait(SOON);
        let stacks = collapsed(&run.stdout);
        let of_thread = samples(&stacks, "call_back");
        let shown = stacks.iter().filter(|stack| stack.has("call_back") && stack.has("works") && stack.has("called"));
        let shown: u64 = shown.map(|stack| stack.count).sum();
        println!("{python}: {shown} of {of_thread}");
        assert!(of_thread > 50, "{python}: {of_thread}\n{}\n{}", run.stderr, run.stdout);
        // In some it is between two calls.
        assert!(shown * 100 >= of_thread * 85, "{python}: {shown} of {of_thread}\n{}\n{}", run.stderr, run.stdout);
    }
}

/// Check threads that live for five milliseconds: nearly all of their samples show what they do, also the first, and those of
/// others that wait beside them.
#[test]
fn thread_a_request() {
    let _turn = turn();
    for python in outside_of_roots() {
        // States of older ones say no thread's id, so that all are looked at, and not for each thread.
        let (waiting, percent) = if python.minor >= 11 { ("100", 75) } else { ("5", 60) };
        let mut target = Program::spawn(python.command(&program("thread_a_request.py")).arg(waiting));
        assert_eq!(target.line(), "ready");
        let run = record(target.pid(), 3, &[]).wait(SOON);
        let stacks = collapsed(&run.stdout);
        let sum = |which: &dyn Fn(&Stack) -> bool| -> u64 {
            stacks.iter().filter(|stack| which(stack)).map(|stack| stack.count).sum()
        };
        let of_threads = sum(&|stack| !stack.has("accepts") && !stack.has("rests"));
        let shown = sum(&|stack| stack.has("handle"));
        println!("{python}: {shown} of {of_threads}");
        assert!(of_threads > 50, "{python}: {of_threads}\n{}\n{}", run.stderr, run.stdout);
        // Some begin, or end. Before new states were looked for at each tick, it was a third.
        assert!(
            shown * 100 >= of_threads * percent,
            "{python}: {shown} of {of_threads}\n{}\n{}",
            run.stderr,
            run.stdout
        );
    }
}

/// Check a thread that went from one interpreter into another: both are shown, the inner one inside.
#[test]
fn interpreters_in_each_other() {
    let _turn = turn_with_others();
    for python in outside_of_roots() {
        let mut target = Program::spawn(&mut python.command(&program("interpreters.py")));
        assert_eq!(target.line(), "ready");
        let run = record(target.pid(), 3, &[]).wait(SOON);
        let stacks = collapsed(&run.stdout);
        let inner = samples(&stacks, "inner");
        let is_whole = |frames: &[String]| {
            let place = |name: &str| frames.iter().position(|frame| frame == name);
            place("enters").is_some_and(|enters| place("inner").is_some_and(|inner| enters < inner))
        };
        let whole = stacks.iter().filter(|stack| is_whole(&stack.frames)).map(|stack| stack.count).sum::<u64>();
        println!("{python}: {whole} of {inner}");
        assert!(whole > 50 && whole == inner, "{python}: {whole} of {inner}\n{}\n{}", run.stderr, run.stdout);
    }
}
