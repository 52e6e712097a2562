//! Python stacks beside those of py-spy and pystack, of the same stopped process: every thread, function and line.

use std::{collections::BTreeMap, path::Path, process::Command};

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::{
    agent::dump,
    pythons::{all, program, with_module},
    targets::{Program, turn},
};

/// Stacks by thread id, leaf first: `function file:line`.
type Stacks = BTreeMap<i64, Vec<String>>;

/// Check against py-spy 0.4.3 and pystack 1.7.2, in every interpreter that is here.
///
/// | differs | why |
/// |---|---|
/// | class names before 3.11 | neither has them; only the last part of the name is compared |
/// | names beyond ASCII | pystack writes NUL for each character up to 3.11; such names are not compared |
/// | lines of 3.10 | py-spy gives the entry before where an instruction begins one: a `yield` long past; not compared |
/// | file names | py-spy and we write them as short as a module is, each in its way; the last part is compared |
/// | pystack's 3.14 and later | reads none of the threads in some; left out where it fails |
#[test]
fn rivals() {
    let _turn = turn();
    let Some(peers) = with_module("pystack") else { return };
    let bin = peers.path.parent().unwrap().to_owned();
    let mut pythons = all();
    pythons.retain(|python| python.root.is_none());
    for python in &pythons {
        for name in ["merged.py", "known.py"] {
            let mut target = Program::spawn(&mut python.command(&program(name)));
            while target.line() != "ready" {}
            target.signal(Signal::SIGSTOP);
            let ours = ours(target.pid());
            let mut of_ours: Vec<_> = ours.values().cloned().collect();
            of_ours.sort();
            match py_spy(&bin, target.pid()) {
                Some(theirs) if python.minor == 10 => assert_eq!(without_lines(&of_ours), without_lines(&theirs)),
                Some(theirs) => assert_eq!(of_ours, theirs, "py-spy, {python}, {name}"),
                None => println!("skipped: py-spy cannot read {python}"),
            }
            match pystack(&bin, target.pid()) {
                Some(theirs) => assert_eq!(ours, theirs, "pystack, {python}, {name}"),
                None => println!("skipped: pystack cannot read {python}"),
            }
            println!("{python} {name}: {} threads", ours.len());
        }
    }
}

fn frame(function: &str, file: &str, line: u64) -> String {
    let function = function.rsplit('.').next().unwrap();
    let function = if function.contains('\0') || !function.is_ascii() { "?" } else { function };
    format!("{function} {}:{line}", file.rsplit('/').next().unwrap())
}

fn without_lines(stacks: &[Vec<String>]) -> Vec<Vec<String>> {
    let functions = |frames: &Vec<String>| -> Vec<String> {
        frames.iter().filter_map(|frame| Some(frame.rsplit_once(':')?.0.to_owned())).collect()
    };
    let mut without: Vec<Vec<String>> = stacks.iter().map(functions).collect();
    without.sort();
    without
}

fn ours(pid: i32) -> Stacks {
    let stack = |frames: Vec<tests::agent::DumpFrame>| {
        let python = frames.into_iter().filter(|frame| frame.address.is_none() && frame.file.is_some());
        let text = python
            .map(|found| frame(&found.function.unwrap(), &found.file.unwrap(), found.line.unwrap_or_default().into()));
        text.collect::<Vec<_>>()
    };
    let threads = dump(pid).threads.into_iter().map(|thread| (thread.tid.into(), stack(thread.frames)));
    threads.filter(|(_, frames)| !frames.is_empty()).collect()
}

/// The stacks, sorted: of what is stopped it tells no thread ids up to 3.10.
fn py_spy(bin: &Path, pid: i32) -> Option<Vec<Vec<String>>> {
    // It cannot stop what is stopped.
    let arguments = ["dump", "--json", "--nonblocking", "--pid", &pid.to_string()];
    let output = Command::new(bin.join("py-spy")).args(arguments).output().ok()?;
    let threads: Value = serde_json::from_slice(&output.stdout).ok()?;
    let stack = |thread: &Value| {
        let text = |found: &Value| {
            let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
            frame(&text("name"), &text("filename"), found["line"].as_u64().unwrap_or_default())
        };
        thread["frames"].as_array().unwrap().iter().map(text).collect::<Vec<_>>()
    };
    let mut stacks: Vec<_> = threads.as_array()?.iter().map(stack).collect();
    stacks.sort();
    Some(stacks)
}

/// `Traceback for thread 42 (name) [state] (most recent call last):`, then `(Python) File "x.py", line 3, in f`, root first.
fn pystack(bin: &Path, pid: i32) -> Option<Stacks> {
    let pid = pid.to_string();
    let output = Command::new(bin.join("pystack")).args(["remote", "--no-color", "--no-block", &pid]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let mut stacks = Stacks::new();
    let mut thread = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("Traceback for thread ") {
            thread = rest.split(' ').next()?.parse().ok()?;
        } else if let Some(rest) = line.trim().strip_prefix("(Python) File \"") {
            let (file, rest) = rest.split_once("\", line ")?;
            let (line, function) = rest.split_once(", in ")?;
            stacks.entry(thread).or_default().insert(0, frame(function, file, line.parse().ok()?));
        }
    }
    Some(stacks)
}
