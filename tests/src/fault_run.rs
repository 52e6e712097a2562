//! The fault run: kills the agent with `kill -9` at random moments of its work on a busy, signalled target, again and
//! again, and prints what became of the target. Ends non-zero when a thread was left stopped or a signal was lost.
//!
//!     fault-run [TIMES]      (200)

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tests::{
    agent::Agent,
    targets::{Program, held_for, turn},
};

/// A stop lasts some 50 us; the kernel lets go within 1.4 ms of the tracer's death. On a busy machine, longer.
const LET_GO: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let times: u32 = std::env::args().nth(1).and_then(|times| times.parse().ok()).unwrap_or(200);
    let _turn = turn();
    let Some(target) = Program::start("signal_storm", &["1000000000"]) else { return ExitCode::FAILURE };
    let pid = target.pid().to_string();
    let mut left_stopped = 0;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let began = Instant::now();
    for _ in 0..times {
        let mut agent = Agent::start(&["--pid", &pid, "--rate", "1000"]);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_micros(30_000 + (random >> 32) % 120_000));
        assert!(agent.is_running(), "the agent ended by itself: {:?}", agent.wait(Duration::from_secs(1)));
        agent.signal(Signal::SIGKILL);
        drop(agent);
        left_stopped += u32::from(!held_for(target.pid(), LET_GO).is_empty());
    }
    println!("kill -9 of the agent: {times} times in {:.1} s", began.elapsed().as_secs_f64());
    let seen = target.finish();
    let count = |name: &str| seen[name].as_u64().unwrap();
    let lost = (2 * count("sent")).abs_diff(count("received_real_time") + count("received_user"));
    println!("left stopped:         {left_stopped}");
    println!("signals lost:         {lost} of {}", 2 * count("sent"));
    println!("longest freeze:       {:.1} ms", seen["longest_freeze_us"].as_f64().unwrap() / 1000.0);
    if left_stopped == 0 && lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
