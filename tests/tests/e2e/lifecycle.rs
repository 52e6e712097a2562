use std::{thread, time::Duration};

use nix::sys::signal::Signal;
use tests::{
    agent::{collapsed, dump, record, run, samples},
    targets::{Program, build, code, held, turn},
};

const SOON: Duration = Duration::from_secs(5);

/// Check that a target that is killed is gone at once for its parent, and that the agent ends and writes what it has.
#[test]
fn killed_in_the_window() {
    let _turn = turn();
    for round in 0..20 {
        let Some(mut target) = Program::start("spin", &["3"]) else { return };
        let agent = record(target.pid(), 60, &["--rate", "1000"]);
        thread::sleep(Duration::from_millis(100 + 7 * round));
        target.signal(Signal::SIGKILL);
        assert_eq!(code(target.wait(SOON)), 137);
        let run = agent.wait(SOON);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.contains("spin_until"), "{}", run.stdout);
    }
}

/// Check that a target that ends by itself does so at once, with its own exit code.
#[test]
fn own_exit() {
    let _turn = turn();
    for round in 0..20 {
        let Some(mut target) = Program::start("own_exit", &[&(150 + 5 * round).to_string(), "7"]) else { return };
        let agent = record(target.pid(), 60, &["--rate", "1000"]);
        assert_eq!(code(target.wait(SOON)), 7);
        assert_eq!(agent.wait(SOON).code, 0);
    }
}

/// Check that a command started by the agent hands its exit code through, and a signal as a shell does.
#[test]
fn exit_code_of_a_command() {
    let _turn = turn();
    let Some(program) = build("own_exit") else { return };
    let program = program.to_str().unwrap();
    assert_eq!(run(&["record", "-o", "/dev/null", "--", program, "100", "42"], SOON).code, 42);
    assert_eq!(run(&["record", "-o", "/dev/null", "--", "sh", "-c", "kill -9 $$"], SOON).code, 137);
    assert_eq!(run(&["record", "-o", "/dev/null", "--", "/nowhere/to/be/found"], SOON).code, 127);
}

/// Check that the exit code of a command is right also when it ends while its threads are read.
#[test]
fn exit_code_of_a_command_that_is_read() {
    let _turn = turn();
    let Some(program) = build("thread_exits") else { return };
    let run = || run(&["record", "--rate", "997", "-o", "/dev/null", "--", program.to_str().unwrap()], SOON).code;
    let codes: Vec<i32> = std::iter::repeat_with(run).take(20).collect();
    assert_eq!(codes, [3; 20]);
}

/// Check that the kernel bounds what our real-time thread may take (docs/decisions/0008-real-time.md), and that a command
/// that we start keeps its own limit.
#[test]
fn real_time_is_bounded() {
    let _turn = turn();
    let limit = |limits: &str| {
        let line = limits.lines().find(|line| line.starts_with("Max realtime timeout")).unwrap().to_owned();
        line.split_whitespace().skip(3).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let ours = limit(&std::fs::read_to_string("/proc/self/limits").unwrap());
    let run = run(&["record", "-o", "/dev/null", "--", "cat", "/proc/self/limits"], SOON);
    assert_eq!(limit(&run.stdout), ours, "of the command");
    let Some(target) = Program::start("spin", &["1"]) else { return };
    let agent = record(target.pid(), 60, &[]);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(limit(&std::fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap()), ["500000"; 2]);
}

/// Check that threads whose leader has ended are read, with names.
#[test]
fn zombie_leader() {
    let _turn = turn();
    let Some(target) = Program::start("zombie_leader", &[]) else { return };
    let paths: Vec<String> = dump(target.pid()).threads.iter().map(tests::agent::DumpThread::path).collect();
    assert!(paths.iter().any(|path| path.contains("start_thread;spin_thread;spin_until")), "{paths:?}");
    assert!(paths.iter().any(|path| path.contains("start_thread;waiter;")), "{paths:?}");
    let run = record(target.pid(), 1, &[]).wait(SOON);
    assert!(samples(&collapsed(&run.stdout), "spin_until") > 50, "{}", run.stdout);
    target.finish();
}

/// Check that a thread that the kernel holds in vfork is neither held longer nor given up.
#[test]
fn vfork_parent() {
    let _turn = turn();
    let Some(target) = Program::start("vfork_parent", &[]) else { return };
    let run = record(target.pid(), 3, &["--rate", "500"]).wait(Duration::from_secs(10));
    assert_eq!(held(target.pid()), [0_i32; 0]);
    let seen = target.finish();
    assert!(seen["children"].as_u64().unwrap() > 8, "{seen}");
    assert!(seen["longest_vfork_ms"].as_u64().unwrap() < 400, "{seen}");
    assert!(seen["longest_freeze_us"].as_u64().unwrap() < 250_000, "{seen}");
    let stacks = collapsed(&run.stdout);
    assert!(samples(&stacks, "one_child") > 500, "{}", run.stdout);
    assert!(samples(&stacks, "spin_until") > 500, "{}", run.stdout);
}

/// Check that a target that forks all the time loses no child and is sampled on.
#[test]
fn fork_storm() {
    let _turn = turn();
    let Some(target) = Program::start("fork_storm", &[]) else { return };
    let run = record(target.pid(), 3, &["--rate", "500"]).wait(Duration::from_secs(10));
    let seen = target.finish();
    assert_eq!((&seen["forked"], &seen["failed"]), (&seen["waited"], &0.into()), "{seen}");
    assert!(seen["forked"].as_u64().unwrap() > 200, "{seen}");
    assert!(samples(&collapsed(&run.stdout), "storm") > 500, "{}", run.stdout);
}

/// Check that 5,000 threads a second come and go unharmed, and that the one that stays is sampled at the full rate.
#[test]
fn short_threads() {
    let _turn = turn();
    let Some(target) = Program::start("short_threads", &["5000"]) else { return };
    let run = record(target.pid(), 3, &[]).wait(Duration::from_secs(10));
    let seen = target.finish();
    assert_eq!(seen["started"], seen["joined"], "{seen}");
    assert!(seen["per_s"].as_u64().unwrap() > 3000, "{seen}");
    let spun = samples(&collapsed(&run.stdout), "spin_until");
    assert!(spun > 250, "{spun} of 303: {}", run.stderr);
}
