//! The file format of speedscope (<https://www.speedscope.app/file-format-schema.json>): one profile a thread, each
//! sample as long as its stack stood.

use std::{collections::HashMap, io};

use serde::Serialize;

use crate::{
    export::{Options, Recorded, Shown, root_first},
    record::RecordedThread,
};

/// Writes the threads of all recordings, those with the most time on a CPU first.
pub fn write(recorded: &[Recorded], options: Options, out: &mut impl io::Write) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut profiles: Vec<(u64, Profile)> = Vec::new();
    for one in recorded {
        let mut stacks: HashMap<usize, Vec<usize>> = HashMap::new();
        for thread in &one.threads {
            let mut stack = |stack: usize| stacks.entry(stack).or_insert_with(|| frames.stack(one, stack)).clone();
            profiles.extend(profile(one, thread, options, &mut stack));
        }
    }
    // Stable: threads with equal time stay in the order in which they were first seen.
    profiles.sort_by_key(|(on_cpu_us, _)| std::cmp::Reverse(*on_cpu_us));
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: concat!("sentry-profiled@", env!("CARGO_PKG_VERSION")),
        name: recorded.iter().map(title).collect::<Vec<_>>().join(", "),
        active_profile_index: 0,
        shared: Shared { frames: frames.list },
        profiles: profiles.into_iter().map(|(_, profile)| profile).collect(),
    };
    serde_json::to_writer(out, &file).map_err(io::Error::from)
}

fn title(recorded: &Recorded) -> String {
    match &recorded.info.exe {
        Some(exe) => format!("{} ({})", crate::naming::file_name(exe), recorded.info.pid),
        None => format!("pid {}", recorded.info.pid),
    }
}

/// A thread with its time on a CPU; `None` if nothing of it is to be written. Time in which it is not written (before
/// it was seen, or off CPU where only that counts) is an empty stack, so that the axis of time is that of the
/// recording.
fn profile(
    recorded: &Recorded,
    thread: &RecordedThread,
    options: Options,
    stack: &mut impl FnMut(usize) -> Vec<usize>,
) -> Option<(u64, Profile)> {
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    let (mut at_us, mut on_cpu_us) = (recorded.start_us, 0);
    for run in thread.runs.iter().filter(|run| options.takes(run)) {
        if run.start_us > at_us {
            samples.push(Vec::new());
            weights.push(run.start_us - at_us);
        }
        samples.push(stack(run.stack));
        weights.push(run.end_us - run.start_us);
        at_us = run.end_us;
        on_cpu_us += if run.state.is_on_cpu() { run.end_us - run.start_us } else { 0 };
    }
    let name = thread.name.as_deref().unwrap_or("thread");
    let profile = Profile {
        kind: "sampled",
        name: format!("{name} ({})", thread.tid),
        unit: "microseconds",
        start_value: 0,
        end_value: at_us - recorded.start_us,
        samples,
        weights,
    };
    (!profile.samples.is_empty()).then_some((on_cpu_us, profile))
}

/// The shared table of frames.
#[derive(Default)]
struct Frames {
    list: Vec<Frame>,
    places: HashMap<Frame, usize>,
}

impl Frames {
    fn stack(&mut self, recorded: &Recorded, stack: usize) -> Vec<usize> {
        root_first(recorded, stack).map(|shown| self.place(shown)).collect()
    }

    fn place(&mut self, shown: Shown<'_>) -> usize {
        let frame = Frame { name: shown.name.into_owned(), file: shown.file.map(str::to_owned), line: shown.line };
        *self.places.entry(frame.clone()).or_insert_with(|| {
            self.list.push(frame);
            self.list.len() - 1
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: String,
    active_profile_index: usize,
    shared: Shared,
    profiles: Vec<Profile>,
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<Frame>,
}

#[derive(Serialize, Clone, PartialEq, Eq, Hash)]
struct Frame {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::recorded;

    fn speedscope(options: Options) -> String {
        let mut out = Vec::new();
        write(&[recorded()], options, &mut out).unwrap();
        // A line for each frame, sample list and weight list: as it is, it is one line.
        String::from_utf8(out)
            .unwrap()
            .replace("},{", "},\n{")
            .replace(",\"", ",\n\"")
            .replace(",\n\"line", ", \"line")
            .replace(",\n\"file", ", \"file")
    }

    /// Check the whole file.
    #[test]
    fn all_threads() {
        insta::assert_snapshot!(speedscope(Options::default()), @r#"
        {"$schema":"https://www.speedscope.app/file-format-schema.json",
        "exporter":"sentry-profiled@0.1.0",
        "name":"sorter (10)",
        "activeProfileIndex":0,
        "shared":{"frames":[{"name":"main", "file":"main.cc", "line":12},
        {"name":"sort(int*; int*)", "file":"sort.cc", "line":40},
        {"name":"merge", "file":"sort.cc", "line":77},
        {"name":"compare", "file":"compare.h", "line":5},
        {"name":"libpool.so.1+0x123"},
        {"name":"[truncated: beyond_copy]"}]},
        "profiles":[{"type":"sampled",
        "name":"sorter (10)",
        "unit":"microseconds",
        "startValue":0,
        "endValue":60000,
        "samples":[[],[0,1,2,3],[0,1,1],[0,1,2,3],[0,4]],
        "weights":[10000,20000,10000,10000,10000]},
        {"type":"sampled",
        "name":"pool; 1 (11)",
        "unit":"microseconds",
        "startValue":0,
        "endValue":50000,
        "samples":[[],[0,4],[0,4]],
        "weights":[10000,30000,10000]},
        {"type":"sampled",
        "name":"thread (12)",
        "unit":"microseconds",
        "startValue":0,
        "endValue":60000,
        "samples":[[],[5,2,3]],
        "weights":[30000,30000]}]}
        "#);
    }

    /// Check that off-CPU time is empty, not gone: the axis stays that of the recording.
    #[test]
    fn on_cpu() {
        let json: serde_json::Value =
            serde_json::from_str(&speedscope(Options { on_cpu: true, ..Options::default() })).unwrap();
        let rows = json["profiles"].as_array().unwrap().iter();
        let text = |row: &serde_json::Value| format!("{} {} {}", row["name"], row["samples"], row["weights"]);
        insta::assert_snapshot!(rows.map(text).collect::<Vec<_>>().join("\n"), @r#"
        "sorter (10)" [[],[0,1,2,3],[0,1,1],[0,1,2,3]] [10000,20000,10000,10000]
        "#);
    }
}
