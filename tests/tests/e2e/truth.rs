use std::time::Duration;

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use tests::{
    agent::{collapsed, has_shares, record, samples},
    targets::{Program, turn},
};

/// Check that functions with known shares of the CPU get these shares of the samples, within three standard errors over
/// 30 s, that every stack reaches its root, and that the rate is kept. Of chance, one of 120 runs is outside: then it is
/// asked again.
#[test]
fn shares() {
    let _turn = turn();
    assert!(is_within() || is_within(), "twice more than three standard errors off");
}

#[allow(clippy::cast_precision_loss, reason = "some thousand samples")]
fn is_within() -> bool {
    let Some(mut target) = Program::start("busy_shares", &["31"]) else { return true };
    let run = record(target.pid(), 30, &["--on-cpu"]).wait(Duration::from_mins(1));
    let stacks = collapsed(&run.stdout);
    let (is_within, _) = has_shares(&stacks, &target.report());
    let rootless: Vec<_> =
        stacks.iter().filter(|stack| !["_start", "clone3", "__clone3"].contains(&stack.frames[0].as_str())).collect();
    assert!(rootless.is_empty(), "{rootless:?}");
    // Less than 101 a second is what others had of the CPU meanwhile; more would be wrong.
    let busy = samples(&stacks, "work") as f64;
    assert!(busy > 0.5 * 30.0 * 101.0 && busy < 1.01 * 30.0 * 101.0, "{busy} samples");
    is_within
}

/// Check that a thread counts as on a CPU although each tick takes that very CPU away from it: there is only one.
#[test]
fn on_the_only_cpu() {
    let _turn = turn();
    let us = Pid::from_raw(0);
    let before = sched_getaffinity(us).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::count()).find(|cpu| before.is_set(*cpu).unwrap()).unwrap()).unwrap();
    // Both inherit it.
    sched_setaffinity(us, &one).unwrap();
    let Some(target) = Program::start("spin", &["1"]) else { return };
    let agent = record(target.pid(), 3, &["--on-cpu"]);
    sched_setaffinity(us, &before).unwrap();
    let idle = target.on_cpu();
    let run = agent.wait(Duration::from_mins(1));
    let had = target.on_cpu().saturating_sub(idle).as_secs_f64().min(3.0);
    let spun = samples(&collapsed(&run.stdout), "spin_until");
    // Of the CPU time that it had, and not of the three seconds: others may want that CPU, too. A handful where waiting
    // for us counts as waiting.
    #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
    let seen = spun as f64;
    assert!(seen > had * 101.0 * 0.75, "{spun} samples in {had} s on the CPU: {}\n{}", run.stderr, run.stdout);
}

/// Check that a process which sleeps most of the time, and is then asked next to nothing, is seen to work from the
/// first tick of each of its short turns of work.
#[test]
fn naps() {
    let _turn = turn();
    let Some(target) = Program::start("naps", &[]) else { return };
    let run = record(target.pid(), 20, &[]).wait(Duration::from_mins(1));
    let was = target.finish();
    let expected = was["worked_s"].as_f64().unwrap() * 101.0;
    let stacks = collapsed(&run.stdout);
    #[allow(clippy::cast_precision_loss, reason = "a hundred samples")]
    let seen = samples(&stacks, "awake") as f64;
    let error = expected.sqrt();
    // The target ran a little longer than the recording; what is late was seen, too, but not where.
    assert!(
        seen > expected - 3.5 * error - 5.0 && seen < expected + 3.5 * error,
        "{seen} of {expected}\n{}",
        run.stderr
    );
    let idle = samples(&stacks, "sleeper");
    assert!(idle > 100 * 19 * 101, "{idle} samples of sleepers\n{}", run.stderr);
}
