//! The key `sentry_profiled`.

use super::*;

fn with(own: &str) -> Received {
    let text = format!(
        r#"{{"version":"2","profiler_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c","chunk_id":"c3a94e17d0b84f5e9a6b2c81f7e05d34",
        "platform":"native","client_sdk":{{"name":"acme","version":"0.1.0"}},"profile":{{"frames":[{{"function":"f"}}],
        "stacks":[[0]],"samples":[{{"timestamp":1,"stack_id":0,"thread_id":"7"}},{{"timestamp":2,"stack_id":0,"thread_id":"7"}},
        {{"timestamp":3,"stack_id":0,"thread_id":"7"}}]}},"sentry_profiled":{own}}}"#
    );
    chunk(text.as_bytes(), None).unwrap().received
}

fn states(received: &Received) -> String {
    let of = |sample: &crate::received::Sample| {
        sample.state.and_then(|state| received.states.get(usize::from(state))).map_or("?", |state| state)
    };
    received.threads[0].samples.iter().map(of).collect::<Vec<_>>().join(" ")
}

/// Check that runs become states of samples, where they fit, and that nothing of the key makes a chunk be refused.
#[test]
fn states_of_samples() {
    let rows = [
        (r#"{"schema":1,"states":["on_cpu","blocked"],"thread_states":{"7":[0,1,1,2]}}"#, "on_cpu blocked blocked"),
        (r#"{"schema":1,"states":["on_cpu","blocked"],"thread_states":{"7":[0,1,1,1]}}"#, "? ? ?"),
        (r#"{"schema":1,"states":["on_cpu"],"thread_states":{"7":[0,1,1,2]}}"#, "? ? ?"),
        (r#"{"schema":1,"states":["on_cpu"],"thread_states":{"7":[0,18446744073709551615,0,4]}}"#, "? ? ?"),
        (r#"{"schema":1,"states":["on_cpu"],"thread_states":{"7":[0]}}"#, "? ? ?"),
        (r#"{"schema":2,"states":["on_cpu"],"thread_states":{"7":[0,3]}}"#, "? ? ?"),
        (r#"{"schema":1,"states":7,"thread_states":{"7":[0,3]}}"#, "? ? ?"),
        ("null", "? ? ?"),
        ("[]", "? ? ?"),
    ];
    for (own, expected) in rows {
        assert_eq!(states(&with(own)), expected, "{own}");
    }
}

/// Check what the agent says of itself.
#[test]
fn agent() {
    let says = with(r#"{"schema":1,"host":"vm","pid":42,"ticks":5,"stopped_us":7,"counters":{"samples":3,"late":1}}"#)
        .head
        .agent;
    let says = says.unwrap();
    assert_eq!((says.host.as_deref(), says.pid, says.ticks, says.stopped_us), (Some("vm"), 42, 5, 7));
    assert_eq!(with(r#"{"schema":1,"pid":"x"}"#).head.agent, None);
}

/// Check that frames without a name get the address that is the same in all processes, and others keep what they have.
#[test]
fn in_file() {
    let text = r#"{"version":"2","profiler_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c","chunk_id":"c3a94e17d0b84f5e9a6b2c81f7e05d34",
        "platform":"native","client_sdk":{"name":"acme","version":"0.1.0"},"profile":{"frames":[{"function":"f"},
        {"instruction_addr":"0x7f0000001234","package":"/usr/lib/libz.so"},{"instruction_addr":"0x99"}],
        "stacks":[[0,1,2]],"samples":[{"timestamp":1,"stack_id":0,"thread_id":"7"},{"timestamp":2,"stack_id":0,"thread_id":"7"}]},
        "sentry_profiled":{"schema":1,"in_file":IN_FILE}}"#;
    let addresses = |in_file: &str| {
        let received = chunk(text.replace("IN_FILE", in_file).as_bytes(), None).unwrap().received;
        received.frames.iter().map(|frame| frame.address).collect::<Vec<_>>()
    };
    let as_sent = vec![None, Some(0x7f00_0000_1234), Some(0x99)];
    assert_eq!(addresses("[0,16,1,4096,7,5]"), [None, Some(4096), Some(0x99)]);
    for odd in ["[]", "[1]", "7", "[-1,3]", "[18446744073709551615,1]", "null"] {
        assert_eq!(addresses(odd), as_sent, "{odd}");
    }
}
