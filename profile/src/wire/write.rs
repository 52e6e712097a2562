//! A profile that was received, as sample format v2 again: what a store gives back. The same samples, frames and
//! threads in our own order; of the profile of a transaction the samples alone, since v2 knows no transaction.

use std::{borrow::Cow, collections::BTreeMap, io};

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    chunk::{
        marks::WireMark,
        payload::{Ours, SCHEMA, WireFrame, WireSample, seconds},
    },
    received::{Frame, Measurement, Received, Thread},
};

/// Writes one chunk as JSON, without a line feed.
pub fn write(received: &Received, out: &mut impl io::Write) -> io::Result<()> {
    serde_json::to_writer(out, &Chunk::of(received)).map_err(io::Error::from)
}

#[derive(Serialize)]
struct Chunk<'r> {
    version: &'static str,
    chunk_id: String,
    profiler_id: String,
    platform: &'r str,
    client_sdk: Sdk<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'r str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    measurements: BTreeMap<&'r str, Series<'r>>,
    profile: Profile<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentry_profiled: Option<Ours<'r, StateRuns<'r>>>,
}

#[derive(Serialize)]
struct Sdk<'r> {
    name: &'r str,
    version: &'r str,
}

#[derive(Serialize)]
struct Profile<'r> {
    frames: Frames<'r>,
    stacks: &'r [Vec<u32>],
    samples: Samples<'r>,
    thread_metadata: Names<'r>,
}

impl<'r> Chunk<'r> {
    fn of(received: &'r Received) -> Self {
        let head = &received.head;
        Self {
            version: "2",
            chunk_id: head.chunk_id.simple().to_string(),
            profiler_id: head.profiler_id.simple().to_string(),
            platform: &head.platform,
            client_sdk: Sdk { name: &head.sdk.0, version: &head.sdk.1 },
            release: head.release.as_deref(),
            environment: head.environment.as_deref(),
            measurements: received.measurements.iter().map(|(name, one)| (name.as_str(), Series::of(one))).collect(),
            profile: Profile {
                frames: Frames(&received.frames),
                stacks: &received.stacks,
                samples: Samples(&received.threads),
                thread_metadata: Names(&received.threads),
            },
            sentry_profiled: ours(received),
        }
    }
}

fn ours(received: &Received) -> Option<Ours<'_, StateRuns<'_>>> {
    let agent = received.head.agent.as_ref()?;
    Some(Ours {
        schema: SCHEMA,
        host: agent.host.as_deref(),
        pid: agent.pid,
        executable: agent.executable.as_deref(),
        start: agent.start,
        end: agent.end,
        ticks: agent.ticks,
        rate_hz_asked: agent.rate_hz_asked,
        rate_hz_reached: agent.rate_hz_reached,
        stopped_us: agent.stopped_us,
        stop_max_us: agent.stop_max_us,
        agent_cpu_us: agent.agent_cpu_us,
        counters: &agent.counters,
        states: received.states.iter().map(|state| Cow::Borrowed(state.as_ref())).collect(),
        thread_states: StateRuns(received),
        // Their address is what tells them apart already.
        in_file: Vec::new(),
        marks: agent.marks.iter().map(WireMark::of_received).collect(),
        tags: Cow::Borrowed(&agent.tags),
    })
}

struct Frames<'r>(&'r [Frame]);

impl Serialize for Frames<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(WireFrame::of_received))
    }
}

struct Samples<'r>(&'r [Thread]);

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().flat_map(|thread| {
            thread.samples.iter().map(|sample| WireSample {
                timestamp: seconds(sample.at_us),
                stack_id: sample.stack,
                thread_id: &thread.id,
            })
        }))
    }
}

struct Names<'r>(&'r [Thread]);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for thread in self.0 {
            let name: BTreeMap<_, _> = thread.name.iter().map(|name| ("name", name)).collect();
            map.serialize_entry(&thread.id, &name)?;
        }
        map.end()
    }
}

/// `thread_states`: flat, state and count in turn; of a thread of which one is unknown nothing.
struct StateRuns<'r>(&'r Received);

impl Serialize for StateRuns<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for thread in &self.0.threads {
            let Some(states) = thread.samples.iter().map(|sample| sample.state).collect::<Option<Vec<u16>>>() else {
                continue;
            };
            let mut runs: Vec<(u16, u32)> = Vec::new();
            for state in states {
                match runs.last_mut() {
                    Some((before, count)) if state == *before => *count += 1,
                    _ => runs.push((state, 1)),
                }
            }
            let flat: Vec<u32> = runs.iter().flat_map(|(state, count)| [u32::from(*state), *count]).collect();
            map.serialize_entry(&thread.id, &flat)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Series<'r> {
    unit: &'r str,
    values: Vec<Reading>,
}

#[derive(Serialize)]
struct Reading {
    timestamp: f64,
    value: f64,
}

impl<'r> Series<'r> {
    fn of(measurement: &'r Measurement) -> Self {
        let reading = |(at_us, value): &(u64, f64)| Reading { timestamp: seconds(*at_us), value: *value };
        Self { unit: &measurement.unit, values: measurement.values.iter().map(reading).collect() }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::received::{AgentSays, Head, Sample};

    fn received() -> Received {
        let frame = |function: &str, line| Frame {
            function: Some(function.into()),
            filename: Some("app.py".into()),
            line,
            in_app: Some(true),
            ..Frame::default()
        };
        let native = Frame { address: Some(0x1000), package: Some("/lib/libc.so.6".into()), ..Frame::default() };
        let sample = |at_us, stack, state| Sample { at_us, stack, state: Some(state) };
        let thread = |id: &str, name: Option<&str>, samples| Thread {
            id: id.to_owned(),
            name: name.map(str::to_owned),
            samples,
        };
        let agent = AgentSays { pid: 7, start: 10.0, end: 70.0, ticks: 6000, ..AgentSays::default() };
        Received {
            head: Head {
                profiler_id: Uuid::from_u128(1),
                chunk_id: Uuid::from_u128(2),
                start_us: 10_000_000,
                end_us: 10_020_001,
                platform: "python".to_owned(),
                environment: None,
                release: Some("1.0".to_owned()),
                sdk: ("sentry.native".to_owned(), "0.1".to_owned()),
                transaction: None,
                agent: Some(agent),
            },
            frames: vec![frame("main", Some(3)), frame("work", None), native],
            stacks: vec![vec![2, 1, 0], vec![]],
            threads: vec![
                thread(
                    "140",
                    Some("MainThread"),
                    vec![sample(10_000_000, 0, 0), sample(10_010_000, 0, 0), sample(10_020_001, 1, 1)],
                ),
                thread("141", None, vec![sample(10_000_000, 1, 1), sample(10_020_000, 1, 1)]),
            ],
            states: vec!["on_cpu".into(), "gone".into()],
            measurements: BTreeMap::from([(
                "cpu_usage".to_owned(),
                Measurement { unit: "percent".to_owned(), values: vec![(10_500_000, 12.5)] },
            )]),
        }
    }

    fn written(received: &Received) -> String {
        let mut out = Vec::new();
        write(received, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Check the whole chunk, with states, a frame without a name and an idle thread.
    #[test]
    fn whole() {
        insta::assert_snapshot!(written(&received()).replace(",\"", ",\n\""), @r#"
        {"version":"2",
        "chunk_id":"00000000000000000000000000000002",
        "profiler_id":"00000000000000000000000000000001",
        "platform":"python",
        "client_sdk":{"name":"sentry.native",
        "version":"0.1"},
        "release":"1.0",
        "measurements":{"cpu_usage":{"unit":"percent",
        "values":[{"timestamp":10.5,
        "value":12.5}]}},
        "profile":{"frames":[{"function":"main",
        "filename":"app.py",
        "lineno":3,
        "in_app":true},{"function":"work",
        "filename":"app.py",
        "in_app":true},{"package":"/lib/libc.so.6",
        "instruction_addr":"0x1000"}],
        "stacks":[[2,1,0],[]],
        "samples":[{"timestamp":10.0,
        "stack_id":0,
        "thread_id":"140"},{"timestamp":10.01,
        "stack_id":0,
        "thread_id":"140"},{"timestamp":10.020001,
        "stack_id":1,
        "thread_id":"140"},{"timestamp":10.0,
        "stack_id":1,
        "thread_id":"141"},{"timestamp":10.02,
        "stack_id":1,
        "thread_id":"141"}],
        "thread_metadata":{"140":{"name":"MainThread"},
        "141":{}}},
        "sentry_profiled":{"schema":1,
        "pid":7,
        "start":10.0,
        "end":70.0,
        "ticks":6000,
        "rate_hz_asked":0.0,
        "rate_hz_reached":0.0,
        "stopped_us":0,
        "stop_max_us":0,
        "agent_cpu_us":0,
        "counters":{"samples":0,
        "late":0,
        "skipped":{},
        "lost":{},
        "truncated":{},
        "guessed":0,
        "dropped":{}},
        "states":["on_cpu",
        "gone"],
        "thread_states":{"140":[0,2,1,1],
        "141":[1,2]}}}
        "#);
    }

    /// Check that a thread of which some state is not known says none, and that another program's profile says nothing of
    /// ours.
    #[test]
    fn unknown_states() {
        let mut one = received();
        one.threads[0].samples[1].state = None;
        let json: serde_json::Value = serde_json::from_str(&written(&one)).unwrap();
        assert_eq!(json["sentry_profiled"]["thread_states"].to_string(), r#"{"141":[1,2]}"#);
        one.head.agent = None;
        let json: serde_json::Value = serde_json::from_str(&written(&one)).unwrap();
        assert!(json["sentry_profiled"].is_null());
    }
}
