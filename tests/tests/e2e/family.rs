use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tests::{
    agent::{Agent, collapsed, record, run},
    targets::{Program, build, turn},
};

const SOON: Duration = Duration::from_secs(20);

/// A family that does what the letters say.
fn family(letters: &str, program: &str) -> Option<Program> {
    Some(Program::spawn(Command::new(build("family")?).args([letters, program])))
}

/// Ends it, and with it its children.
fn end(mut target: Program) {
    target.signal(Signal::SIGTERM);
    target.wait(SOON);
}

/// The pids of the next children that it has, in order.
fn children<const N: usize>(target: &mut Program) -> [i32; N] {
    std::array::from_fn(|_| target.line().split_once(' ').unwrap().1.parse().unwrap())
}

/// Samples on a CPU by `PID:PROGRAM`, of those that have at least `least`.
fn spinning(output: &str, least: u64) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for stack in collapsed(output).iter().filter(|stack| stack.has("spin_until")) {
        // Built programs have their source's digest behind their name.
        let process = stack.frames[0].trim_start_matches("process ").split('-').next().unwrap();
        *found.entry(process.to_owned()).or_default() += stack.count;
    }
    found.retain(|_, samples| *samples >= least);
    found
}

/// Check that children are sampled that were there before, that come later, and that theirs are; one whose parent has
/// ended; one that becomes another program, under its name; and that one that is killed keeps its samples.
#[test]
fn every_generation() {
    let _turn = turn();
    let Some(spin) = build("spin") else { return };
    let Some(mut target) = family("cgrwwwcgdx", spin.to_str().unwrap()) else { return };
    let [child, grandchild] = children(&mut target);
    assert_eq!(target.line(), "ready");
    let agent = record(target.pid(), 5, &[]);
    let [later, inner, orphan, other] = children(&mut target);
    thread::sleep(Duration::from_millis(1500));
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
    let run = agent.wait(SOON);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let mut expected = [child, grandchild, later, inner, orphan].map(|pid| format!("{pid}:family")).to_vec();
    expected.push(format!("{other}:spin"));
    // Five processes spin on what may be two CPUs, and others work there.
    let seen: BTreeSet<String> = spinning(&run.stdout, 20).into_keys().collect();
    assert_eq!(seen, expected.into_iter().collect(), "{}\n{}", run.stdout, run.stderr);
    end(target);
}

/// Check that children are left out where that is asked for.
#[test]
fn no_children() {
    let _turn = turn();
    let Some(mut target) = family("crwwc", "") else { return };
    let _: [i32; 1] = children(&mut target);
    assert_eq!(target.line(), "ready");
    let run = record(target.pid(), 1, &["--no-children"]).wait(SOON);
    let roots: BTreeSet<String> = collapsed(&run.stdout).into_iter().map(|stack| stack.frames[0].clone()).collect();
    assert_eq!(roots, BTreeSet::from(["_start".to_owned()]), "{}", run.stdout);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    end(target);
}

/// Check that each process has a profiler id of its own.
#[test]
fn own_profiler_ids() {
    let _turn = turn();
    let Some(mut target) = family("ccrwwc", "") else { return };
    let _: [i32; 2] = children(&mut target);
    assert_eq!(target.line(), "ready");
    let pid = target.pid().to_string();
    let run = run(&["record", "--pid", &pid, "--format", "sentry", "-o", "-", "--duration", "2s"], SOON);
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["profiler_id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = run.stdout.lines().map(id).collect();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (4, 4), "{}", run.stderr);
    end(target);
}

/// Check that the run of a given process goes on for the child that it leaves behind, and ends with that.
#[test]
fn child_outlives_its_parent() {
    outlives("rwwwcwe");
}

/// Check the same of a child that was not seen before its parent ended, which had begun a session.
#[test]
fn child_of_a_session() {
    outlives("lrwwwce");
}

fn outlives(letters: &str) {
    let _turn = turn();
    let Some(mut target) = family(letters, "") else { return };
    assert_eq!(target.line(), "ready");
    let mut agent = record(target.pid(), 60, &[]);
    let [child] = children(&mut target);
    target.wait(SOON);
    thread::sleep(Duration::from_secs(1));
    assert!(agent.is_running());
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
    let run = agent.wait(Duration::from_secs(5));
    let seen = spinning(&run.stdout, 20);
    assert!(seen.contains_key(&format!("{child}:family")), "{}", run.stdout);
}

/// Check that a command's end is the run's, with its exit code, whatever it leaves behind; and that its children are sampled.
#[test]
fn command_ends_the_run() {
    let _turn = turn();
    let Some(program) = build("family") else { return };
    let agent = Agent::start(&["record", "-o", "-", "--", program.to_str().unwrap(), "cwwwe"]);
    let run = agent.wait(Duration::from_secs(5));
    assert_eq!(run.code, 7, "{}", run.stderr);
    // The command's own output shares the pipe.
    let (own, stacks): (Vec<&str>, Vec<&str>) = run.stdout.lines().partition(|line| line.starts_with("c "));
    let child: i32 = own[0].split_once(' ').unwrap().1.parse().unwrap();
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
    let seen = spinning(&stacks.join("\n"), 20);
    assert!(seen.contains_key(&format!("{child}:family")), "{}", run.stdout);
}

/// Check that a child that cannot be sampled is said once, and ends nothing.
#[test]
fn refused_child() {
    let _turn = turn();
    let Some(narrow) = build("thirty_two_bit") else { return println!("skipped: no 32-bit program can be built here") };
    let Some(mut target) = family("rwwxxc", narrow.to_str().unwrap()) else { return };
    assert_eq!(target.line(), "ready");
    let agent = record(target.pid(), 3, &[]);
    let [_, _, child] = children(&mut target);
    let run = agent.wait(SOON);
    assert_eq!((run.code, run.stderr.matches("is a 32-bit program").count()), (0, 1), "{}", run.stderr);
    let seen = spinning(&run.stdout, 20);
    assert!(seen.contains_key(&format!("{child}:family")), "{}", run.stdout);
    end(target);
}

/// Check that children that end before they are sampled leave nothing.
#[test]
fn nothing_of_short_lives() {
    let _turn = turn();
    let Some(target) = Program::start("fork_storm", &[]) else { return };
    let run = record(target.pid(), 3, &[]).wait(SOON);
    assert!(!run.stderr.contains(" 0 samples"), "{}", run.stderr);
    target.finish();
}
