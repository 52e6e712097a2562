//! A program of known functions and lines, while it runs: every stack of every thread, and nothing else.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf, process::Command, time::Duration};

use tests::{
    agent::{Run, collapsed, record},
    pythons::{Python, all, line_of, program},
    targets::{Program, turn_with_others},
};

const SOON: Duration = Duration::from_mins(1);

const NAME: &str = "known.py";

fn source() -> PathBuf {
    program(NAME)
}

fn profile(python: &Python) -> Run {
    let target = Program::spawn(&mut python.command(&source()));
    let run = started(target);
    assert_eq!(run.code, 0, "{}", run.stderr);
    run
}

fn started(mut target: Program) -> Run {
    assert_eq!(target.line(), "ready");
    record(target.pid(), 3, &["--lines"]).wait(SOON)
}

/// The chains of functions of the program's own file, root first, each with its line but the leaf: it runs.
fn chains(run: &Run) -> BTreeSet<String> {
    let mut chains = BTreeSet::new();
    for stack in collapsed(&run.stdout) {
        let own: Vec<String> = stack.frames.iter().filter_map(|frame| own(frame)).collect();
        let Some((leaf, callers)) = own.split_last() else { continue };
        let leaf = leaf.split(':').next().unwrap();
        chains.insert(callers.iter().map(String::as_str).chain([leaf]).collect::<Vec<_>>().join(" > "));
    }
    chains
}

/// `function:line` of a frame in the program.
fn own(frame: &str) -> Option<String> {
    let (function, place) = frame.split_once(" (known.py:")?;
    Some(format!("{function}:{}", place.trim_end_matches(')')))
}

fn expected(minor: u32) -> BTreeSet<String> {
    // Before 3.11 a method has the name of its class, and what is defined in a function its own alone.
    let wrapper = if minor >= 11 { "deco.<locals>.wrapper" } else { "wrapper" };
    let at = |name: &str, mark: &str| format!("{name}:{}", line_of(NAME, mark));
    let wrapper = at(wrapper, "wrapper");
    BTreeSet::from([
        format!("{} > Worker.spin", at("Worker.run", "run")),
        format!("{} > by_key", at("sorts", "sorts")),
        format!("{} > generated", at("consumes", "consumes")),
        format!("{} > {wrapper} > größe", at("sleeps", "sleeps")),
        format!("{} > {} > leaf", at("coroutines", "coroutines"), at("middle", "middle")),
        format!("<module>:{} > main", 1 + source_lines() - 1),
    ])
}

fn source_lines() -> usize {
    std::fs::read_to_string(source()).unwrap().lines().count()
}

/// Check the same in a pid namespace of its own, where the interpreter knows its threads by other ids than we do.
#[test]
fn in_a_namespace() {
    let _turn = turn_with_others();
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]);
        command
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        return println!("skipped: unshare is not permitted here");
    }
    // One that has ids of its own for the kernel's, and one that has not.
    for wanted in [9, 11] {
        let Some(python) = all().into_iter().find(|python| python.minor == wanted && python.root.is_none()) else {
            println!("skipped: no Python 3.{wanted} here");
            continue;
        };
        let mut target = Program::spawn(unshare().arg(&python.path).arg(source()));
        assert_eq!(target.line(), "ready");
        let children = format!("/proc/{0}/task/{0}/children", target.pid());
        let child: i32 = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
        let run = record(child, 3, &["--lines"]).wait(SOON);
        assert_eq!(chains(&run), expected(python.minor), "{}\n{}", run.stderr, run.stdout);
    }
}

/// Check that every function of every thread is seen under its caller at the right line: methods, callbacks from C,
/// generators, coroutines, decorated functions with a name beyond ASCII, threads that sleep; and nothing else.
#[test]
fn functions_and_lines() {
    let _turn = turn_with_others();
    let mut table = String::new();
    let mut wrong = Vec::new();
    for python in all() {
        let run = profile(&python);
        let (seen, expected) = (chains(&run), expected(python.minor));
        let verdict = if seen == expected { "ok" } else { "differs" };
        let _ = writeln!(table, "{python}: {verdict}");
        if seen != expected {
            wrong.push(format!("{python}: {seen:#?}\nexpected {expected:#?}\n{}\n{}", run.stderr, run.stdout));
        }
    }
    println!("{table}");
    if table.is_empty() {
        println!("skipped: no Python of 3.8 to 3.15 here");
    }
    assert!(wrong.is_empty(), "{table}\n{}", wrong.join("\n"));
}
