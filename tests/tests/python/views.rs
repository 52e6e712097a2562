//! What is shown of a Python program: by what its threads have of the lock, by state, with native frames and without.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tests::{
    agent::{Stack, collapsed, record, run, samples},
    pythons::{Python, all, program},
    targets::{Program, turn},
};

const SOON: Duration = Duration::from_mins(1);

/// The system's interpreter and one of each way to keep the lock and to mark the stack, where they are here.
fn some() -> Vec<Python> {
    let mut pythons = all();
    pythons.retain(|python| python.root.is_none() && (!python.has_symbols || [9, 11, 13].contains(&python.minor)));
    pythons
}

fn start(python: &Python) -> Program {
    let mut target = Program::spawn(&mut python.command(&program("lock.py")));
    assert_eq!(target.line(), "ready");
    target
}

fn index(number: &Value) -> usize {
    usize::try_from(number.as_u64().unwrap()).unwrap()
}

/// Time in seconds by what the thread runs and its state, as a receiver computes it.
fn seconds_by_state(chunk: &Value) -> BTreeMap<(String, String), f64> {
    let ours = &chunk["sentry_profiled"];
    let profile = &chunk["profile"];
    let function_of = |stack: &Value| {
        let frames = profile["stacks"][index(stack)].as_array().unwrap().iter();
        let mut names = frames.map(|frame| profile["frames"][index(frame)]["function"].as_str().unwrap_or(""));
        let known = ["computes", "hashes", "sleeps", "main"];
        names.find(|name| known.contains(name)).unwrap_or("-").to_owned()
    };
    let mut sums = BTreeMap::new();
    for (thread, runs) in ours["thread_states"].as_object().unwrap() {
        let mut states = Vec::new();
        for run in runs.as_array().unwrap().chunks(2) {
            let state = ours["states"][index(&run[0])].as_str().unwrap();
            states.extend(std::iter::repeat_n(state, index(&run[1])));
        }
        let samples =
            profile["samples"].as_array().unwrap().iter().filter(|sample| sample["thread_id"] == thread.as_str());
        let samples: Vec<_> = samples.collect();
        assert_eq!(samples.len(), states.len());
        for (pair, state) in samples.windows(2).zip(states) {
            let width = pair[1]["timestamp"].as_f64().unwrap() - pair[0]["timestamp"].as_f64().unwrap();
            *sums.entry((function_of(&pair[0]["stack_id"]), state.to_owned())).or_default() += width;
        }
    }
    sums
}

/// Check that who computes holds the lock when it runs and waits for it when it does not, that who hashes runs without it,
/// and that who sleeps neither has it nor asks for it.
#[test]
fn lock() {
    let _turn = turn();
    let pythons = some();
    if pythons.is_empty() {
        return println!("skipped: no Python here");
    }
    for python in pythons {
        let target = start(&python);
        let pid = target.pid().to_string();
        let arguments = ["record", "--pid", &pid, "--format", "sentry", "-o", "-", "--duration", "4"];
        let run = run(&arguments, SOON);
        let chunk: Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
        let sums = seconds_by_state(&chunk);
        let of = |function: &str, part: &str| -> f64 {
            sums.iter()
                .filter(|((of, state), _)| of == function && state.contains(part))
                .map(|(_, seconds)| seconds)
                .sum()
        };
        let told = format!("{}: {sums:#?}\n{}", python, run.stderr);
        // Two threads take turns, with a third that wants the lock now and then.
        assert!(of("computes", "gil held") > 2.5, "{told}");
        assert!(of("computes", "gil awaited") > 1.5, "{told}");
        assert!(of("computes", "on_cpu, gil free") < 0.2, "{told}");
        assert!(of("hashes", "gil free") > 1.0, "{told}");
        assert!(of("hashes", "gil held") < 0.4, "{told}");
        assert!(of("sleeps", "gil free") > 2.5, "{told}");
        assert!(of("sleeps", "gil held") + of("sleeps", "gil awaited") + of("sleeps", "on_cpu") < 0.01, "{told}");
    }
}

/// The stacks of two seconds with these flags.
fn shown(target: &Program, flags: &[&str]) -> Vec<Stack> {
    let run = record(target.pid(), 2, flags).wait(SOON);
    assert_eq!(run.code, 0, "{}", run.stderr);
    collapsed(&run.stdout)
}

/// Check what each flag leaves: of states, and of native frames.
#[test]
fn flags() {
    let _turn = turn();
    let Some(python) = some().pop() else { return println!("skipped: no Python here") };
    let target = start(&python);
    let by_function = |flags: &[&str]| {
        let stacks = shown(&target, flags);
        let seen = ["computes", "hashes", "sleeps"].map(|function| samples(&stacks, function) > 20);
        seen.map(|seen| if seen { "yes" } else { "no" }).join(" ")
    };
    assert_eq!(by_function(&[]), "yes yes yes");
    assert_eq!(by_function(&["--no-idle"]), "yes yes no");
    assert_eq!(by_function(&["--on-cpu"]), "yes yes no");
    assert_eq!(by_function(&["--gil"]), "yes no no");

    let native = |stack: &Stack| stack.has("_start") || stack.frames.iter().any(|frame| frame.contains("sha256"));
    let is_python = |stack: &Stack| ["computes", "hashes", "sleeps", "main"].iter().any(|function| stack.has(function));
    let merged = shown(&target, &["--native", "merged"]);
    assert!(merged.iter().any(|stack| native(stack) && is_python(stack)), "{merged:#?}");
    let off = shown(&target, &["--native", "off"]);
    let expected = "<module>;main";
    assert!(off.iter().any(|stack| stack.frames.join(";") == expected), "{off:#?}");
    assert!(off.iter().filter(|stack| is_python(stack)).all(|stack| !native(stack)), "{off:#?}");
    let only = shown(&target, &["--native", "only"]);
    assert!(only.iter().any(native) && !only.iter().any(is_python), "{only:#?}");

    let pid = target.pid().to_string();
    let dump = run(&["dump", "--pid", &pid, "--gil"], SOON);
    assert!(dump.stdout.matches("\nThread ").count() <= 2, "{}", dump.stdout);
    let both = run(&["dump", "--pid", &pid, "--gil", "--on-cpu"], SOON);
    assert_eq!((both.code, both.stderr.contains("cannot be used with")), (2, true), "{}", both.stderr);
}
