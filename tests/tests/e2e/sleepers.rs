use std::time::Duration;

use serde_json::Value;
use tests::{
    agent::{collapsed, record, samples},
    targets::{Program, held, turn},
};

/// Samples sleepers for `seconds` at the default rate; gives what they saw and the samples of them.
fn sampled(threads: u32, wakes: u32, busy: u32, seconds: u32) -> Option<(Value, u64)> {
    let _turn = turn();
    let arguments = [threads, wakes, busy].map(|number| number.to_string());
    let target = Program::start("sleepers", &arguments.each_ref().map(String::as_str))?;
    let run = record(target.pid(), seconds, &[]).wait(Duration::from_mins(1));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(held(target.pid()), [0_i32; 0]);
    Some((target.finish(), samples(&collapsed(&run.stdout), "sleeper")))
}

fn undisturbed(threads: u32) {
    let Some((seen, samples)) = sampled(threads, 1, 1, 5) else { return };
    assert_eq!(seen["eintr"], 0, "{seen}");
    let timeouts = seen["timeouts_per_s"].as_f64().unwrap();
    assert!(timeouts > f64::from(threads) * 0.9, "{seen}");
    // They are all in the recording, at nearly every tick.
    let ticks = 5 * 101 * u64::from(threads);
    assert!(samples * 10 > ticks * 8 && samples <= ticks + ticks / 50, "{samples} samples of {ticks}");
}

/// Check that 60 threads in `epoll_wait` with a timeout see no EINTR, and that their timeouts fire.
#[test]
fn sixty() {
    undisturbed(60);
}

/// Check the same with 200.
#[test]
fn two_hundred() {
    undisturbed(200);
}

/// Check the same with 1,000.
#[test]
fn thousand() {
    undisturbed(1000);
}

/// Check that 1,000 threads that wake ten times a second are not disturbed either.
#[test]
fn thousand_that_wake_often() {
    let Some((seen, _)) = sampled(1000, 10, 1, 5) else { return };
    assert_eq!(seen["eintr"], 0, "{seen}");
    assert!(seen["timeouts_per_s"].as_f64().unwrap() > 8000.0, "{seen}");
}

/// Check that an event loop with 10,000 waits a second sees no EINTR: a wait that a stop aborted is entered again.
#[test]
fn event_loop() {
    let _turn = turn();
    let Some(target) = Program::start("event_loop", &[]) else { return };
    let run = record(target.pid(), 10, &["--rate", "500"]).wait(Duration::from_mins(1));
    let seen = target.finish();
    assert_eq!(seen["eintr"], 0, "{seen}");
    assert!(seen["waits_per_s"].as_u64().unwrap() > 3000, "{seen}");
    // A wait of 100 us is often over before it is read: then the sample is lost, and counted. Two threads.
    let [taken, lost, skipped, late] = ["samples", "lost", "skipped", "late"].map(|figure| run.figure(figure));
    let looks = taken + lost + skipped;
    assert!((9_500..=10_200).contains(&looks), "{looks}: {}", run.stderr);
    let shown: u64 = collapsed(&run.stdout).iter().map(|stack| stack.count).sum();
    assert!(shown + late >= taken - taken / 100 && shown <= taken, "{shown} of {taken}: {}", run.stderr);
    assert!(samples(&collapsed(&run.stdout), "event_loop") > 2000, "{}", run.stderr);
}

/// Check that `read` on a socket with a timeout sees no EINTR.
#[test]
fn read_with_a_timeout() {
    let _turn = turn();
    let Some(mut target) = Program::start("socket_timeout", &["4"]) else { return };
    let run = record(target.pid(), 3, &["--rate", "997"]).wait(Duration::from_mins(1));
    let seen = target.report();
    assert_eq!(seen["eintr"], 0, "{seen} {}", run.stderr);
    assert!(seen["reads"].as_u64().unwrap() > 5000, "{seen}");
}
