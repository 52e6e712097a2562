use std::{process::Command, time::Duration};

use tests::{
    agent::{Stack, collapsed, dump, record, run, samples},
    targets::{Program, build, turn},
};

const SOON: Duration = Duration::from_secs(20);

/// Check that a stack of 300 KiB, more than is ever copied at once, is followed to its root.
#[test]
fn deep_recursion_beyond_the_copy() {
    let _turn = turn();
    let Some(target) = Program::start("deep_recursion", &["300"]) else { return };
    let dump = dump(target.pid());
    let deep = dump.threads.iter().find(|thread| thread.path().contains("deeper")).unwrap();
    // GCC may fold the innermost call into its caller.
    let count = deep.path().matches("deeper").count();
    assert!((300..=301).contains(&count), "{count}");
    assert_eq!(deep.end, "complete");
}

/// Check that a stack of 100,000 frames ends in a reason, and soon.
#[test]
fn deep_recursion_beyond_all_limits() {
    let _turn = turn();
    let Some(target) = Program::start("deep_recursion", &["100000"]) else { return };
    let dump = dump(target.pid());
    let deep = dump.threads.iter().find(|thread| thread.path().contains("deeper")).unwrap();
    assert!(deep.end.starts_with("truncated: "), "{}", deep.end);
    assert!(deep.frames.len() >= 30, "{} frames", deep.frames.len());
}

/// Check that every sample of a cut stack is counted as such, those too at which the thread only stood.
#[test]
fn truncated_samples_are_counted() {
    let _turn = turn();
    let Some(target) = Program::start("deep_recursion", &["100000"]) else { return };
    let run = record(target.pid(), 2, &[]).wait(SOON);
    let cut = |stack: &&Stack| stack.frames[0].starts_with("[truncated");
    let stacks = collapsed(&run.stdout);
    let shown: u64 = stacks.iter().filter(cut).map(|stack| stack.count).sum();
    assert_eq!(run.figure("truncated"), shown, "{}", run.stderr);
    assert!(shown > 150, "{}", run.stdout);
}

/// Check that a command is profiled from its start, and that all its time is seen.
#[test]
fn command_from_its_start() {
    let _turn = turn();
    let Some(program) = build("own_exit") else { return };
    let run = run(&["record", "-o", "-", "--", program.to_str().unwrap(), "1000", "0"], SOON);
    assert_eq!(run.code, 0, "{}", run.stderr);
    // The command's own output shares the pipe.
    let text: String = run.stdout.lines().filter(|line| line.contains(';')).fold(String::new(), |a, b| a + b + "\n");
    let main = samples(&collapsed(&text), "main");
    assert!((85..=110).contains(&main), "{main} samples of main in one second\n{}", run.stdout);
}

/// Check that the first sample comes within 100 ms of the attach, whatever the size of the binary.
#[test]
fn first_sample_comes_at_once() {
    let _turn = turn();
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("skipped: no node here");
        return;
    }
    let node = Program::spawn(Command::new("node").args(["-e", "for (;;) {}"]));
    std::thread::sleep(Duration::from_millis(500));
    let pid = node.pid().to_string();
    let run = run(&["record", "-o", "-", "--pid", &pid, "--duration", "100ms"], SOON);
    let all: u64 = collapsed(&run.stdout).iter().map(|stack| stack.count).sum();
    assert!(all > 0, "{}", run.stderr);
}

/// Check that several targets are profiled at once.
#[test]
fn two_targets() {
    let _turn = turn();
    let Some(one) = Program::start("spin", &["1"]) else { return };
    let Some(two) = Program::start("busy_shares", &["30"]) else { return };
    let run = record(one.pid(), 2, &["--pid", &two.pid().to_string()]).wait(SOON);
    let stacks = collapsed(&run.stdout);
    // Of 200 each; on a machine where others work, many come late.
    assert!(samples(&stacks, "spin_until") > 60 && samples(&stacks, "seventy") > 40, "{}", run.stdout);
}

/// Check that `--on-cpu` leaves out what sleeps.
#[test]
fn on_cpu_only() {
    let _turn = turn();
    let Some(target) = Program::start("sleepers", &["5", "1", "1"]) else { return };
    let all = collapsed(&record(target.pid(), 2, &[]).wait(SOON).stdout);
    assert!(samples(&all, "sleeper") > 900, "{all:?}");
    let on_cpu = collapsed(&record(target.pid(), 2, &["--on-cpu"]).wait(SOON).stdout);
    let (asleep, spun) = (samples(&on_cpu, "sleeper"), samples(&on_cpu, "spin_until"));
    assert!(asleep < 20 && spun > 100, "{on_cpu:?}");
}
