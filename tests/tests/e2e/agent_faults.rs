use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tests::{
    agent::{Agent, record},
    targets::{Program, held, held_for, states, turn},
};

/// What an open stop may last before the watchdog ends it, with room for a busy machine.
const FREEZE_MAX: Duration = Duration::from_millis(500);

/// Numbers that look random and are the same at every run.
struct Random(u64);

impl Random {
    fn micros(&mut self, range: std::ops::Range<u64>) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros(range.start + (self.0 >> 33) % (range.end - range.start))
    }
}

/// Check that `kill -9` of the agent in mid-sample leaves nothing stopped and loses no signal (`make fault`: 200 times).
#[test]
fn agent_killed_in_mid_sample() {
    let _turn = turn();
    let Some(target) = Program::start("signal_storm", &["1000000000"]) else { return };
    let mut random = Random(1);
    for _ in 0..20 {
        let agent = record(target.pid(), 60, &["--rate", "1000"]);
        thread::sleep(random.micros(30_000..130_000));
        agent.signal(Signal::SIGKILL);
        drop(agent);
        assert_eq!(held_for(target.pid(), FREEZE_MAX), [0_i32; 0]);
    }
    let seen = target.finish();
    assert_eq!((&seen["received_real_time"], &seen["received_user"]), (&seen["sent"], &seen["sent"]), "{seen}");
}

/// Check that the watchdog ends a stop that the agent, itself stopped, has left open.
#[test]
fn agent_stopped_with_a_stop_open() {
    let _turn = turn();
    let Some(target) = Program::start("spin", &["2"]) else { return };
    let mut agent = record(target.pid(), 600, &["--rate", "1000"]);
    thread::sleep(Duration::from_millis(300));
    let mut random = Random(2);
    let deadline = Instant::now() + Duration::from_mins(1);
    // Most stops of the agent hit it between two samples; then it is let go, and stopped again. One that the watchdog ended
    // before we looked (this test may have to wait for a CPU) had a stop open.
    loop {
        agent.signal(Signal::SIGSTOP);
        // A thread of it that still runs may be about to end its stop.
        await_state(&agent, |stopped| stopped);
        if !held(target.pid()).is_empty() || !agent.is_running() {
            break;
        }
        assert!(Instant::now() < deadline, "no stop of the agent met an open stop");
        agent.signal(Signal::SIGCONT);
        thread::sleep(random.micros(1_000..6_000));
    }
    let begun = Instant::now();
    assert_eq!(held_for(target.pid(), Duration::from_secs(5)), [0_i32; 0]);
    assert!(begun.elapsed() < FREEZE_MAX, "{:?}", begun.elapsed());
    // The target runs again as soon as the agent's tracing thread is gone, a little before the whole process is.
    let deadline = Instant::now() + Duration::from_secs(2);
    while agent.is_running() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!agent.is_running(), "{:?} after {:?}", states(agent.pid()), begun.elapsed());
    let freeze = target.finish()["longest_freeze_us"].as_u64().unwrap();
    assert!(freeze < 750_000, "{freeze} us");
}

/// Check that ^Z suspends the agent with nothing held, and that it goes on afterwards.
#[test]
fn agent_suspended() {
    let _turn = turn();
    let Some(target) = Program::start("spin", &["2"]) else { return };
    let agent = record(target.pid(), 600, &["--rate", "1000"]);
    thread::sleep(Duration::from_millis(300));
    let mut random = Random(3);
    for _ in 0..20 {
        agent.signal(Signal::SIGTSTP);
        await_state(&agent, |stopped| stopped);
        assert_eq!(held(target.pid()), [0_i32; 0]);
        agent.signal(Signal::SIGCONT);
        await_state(&agent, |stopped| !stopped);
        thread::sleep(random.micros(5_000..30_000));
    }
    agent.signal(Signal::SIGINT);
    let run = agent.wait(Duration::from_secs(10));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("spin_until"), "{}", run.stdout);
}

fn await_state(agent: &Agent, wanted: impl Fn(bool) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !wanted(states(agent.pid()).iter().all(|(_, state)| *state == 'T')) {
        assert!(Instant::now() < deadline, "{:?}", states(agent.pid()));
        thread::sleep(Duration::from_millis(1));
    }
}
