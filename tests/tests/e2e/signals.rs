use std::time::Duration;

use tests::{
    agent::{collapsed, record, samples},
    targets::{Program, turn},
};

/// Check that no signal is lost, real-time ones among them, while their target is sampled a thousand times a second.
#[test]
fn storm() {
    let _turn = turn();
    let Some(mut target) = Program::start("signal_storm", &["10000"]) else { return };
    let agent = record(target.pid(), 120, &["--rate", "1000"]);
    let seen = target.report();
    let run = agent.wait(Duration::from_secs(10));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let counts = ["sent", "received_real_time", "received_user", "disorder"].map(|name| seen[name].as_u64().unwrap());
    assert_eq!(counts, [10_000, 10_000, 10_000, 0], "{seen}");
    assert!(samples(&collapsed(&run.stdout), "spin_until") > 1000, "{}", run.stdout);
}
