use std::{process::Command, thread, time::Duration};

use tests::{
    agent::{collapsed, dump, record, samples},
    targets::{Program, build, turn},
};

/// Check that a program that its leader replaces again and again is sampled on, under its new addresses.
#[test]
fn exec_by_the_leader() {
    replaced("exec_leader");
}

/// Check the same when another thread execs: the leader's id goes on, the thread's own vanishes.
#[test]
fn exec_by_another_thread() {
    replaced("exec_thread");
}

fn replaced(name: &str) {
    let _turn = turn();
    let Some(path) = build(name) else { return };
    let mut target = Program::spawn(Command::new(path).arg("15"));
    thread::sleep(Duration::from_millis(50));
    let agent = record(target.pid(), 5, &["--rate", "500"]);
    assert_eq!(target.line(), "ready");
    let run = agent.wait(Duration::from_secs(15));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let stacks = collapsed(&run.stdout);
    let (all, spun) = (stacks.iter().map(|stack| stack.count).sum::<u64>(), samples(&stacks, "spin_until"));
    // What is left is the execs themselves, and the leader waiting at the end.
    assert!(spun * 2 > all && spun > 500, "{spun} of {all}\n{}", run.stdout);
    let last = dump(target.pid());
    assert!(last.threads.iter().any(|thread| thread.path().contains("spin_thread;spin_until")), "{last:?}");
    assert_eq!(target.finish()["execs_left"], 0);
}

/// Check that a thread that execs while it is being seized is let go: it has its process's id from then on.
#[test]
fn exec_while_seized() {
    let _turn = turn();
    let Some(mut target) = Program::start("exec_seized", &[]) else { return };
    let run = record(target.pid(), 30, &[]).wait(Duration::from_mins(1));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(target.report()["traced"], 0);
}

/// Check that an exec that ends threads which are being read waits for nobody for long.
#[test]
fn exec_among_many_threads() {
    let _turn = turn();
    let Some(mut target) = Program::start("exec_many", &[]) else { return };
    let run = record(target.pid(), 30, &[]).wait(Duration::from_mins(1));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(target.report()["execs"], "all");
}
