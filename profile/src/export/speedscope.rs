//! The file format of speedscope (<https://www.speedscope.app/file-format-schema.json>): one profile a thread, each
//! sample as long as its stack stood.

use std::{collections::HashMap, io};

use serde::Serialize;

use crate::export::{Shown, Track, View};

/// Writes the threads of a view in its order; where there are several processes, with their process's name.
pub fn write(view: &View, out: &mut impl io::Write) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut stacks: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut profiles = Vec::new();
    for thread in &view.threads {
        let mut stack = |stack: usize| stacks.entry(stack).or_insert_with(|| frames.stack(view, stack)).clone();
        profiles.extend(profile(thread, view.start_us, &mut stack));
    }
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: concat!("sentry-profiled@", env!("CARGO_PKG_VERSION")),
        name: &view.title,
        active_profile_index: 0,
        shared: Shared { frames: frames.list },
        profiles,
    };
    serde_json::to_writer(out, &file).map_err(io::Error::from)
}

/// A thread; `None` if nothing of it is to be written. Time in which it is not written (before it was seen, or in a state
/// that is left out) is an empty stack, so that the axis of time is that of the view.
fn profile(thread: &Track, start_us: u64, stack: &mut impl FnMut(usize) -> Vec<usize>) -> Option<Profile> {
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    let mut at_us = start_us;
    for run in &thread.runs {
        if run.start_us > at_us {
            samples.push(Vec::new());
            weights.push(run.start_us - at_us);
        }
        samples.push(stack(run.stack));
        weights.push(run.us());
        at_us = run.end_us;
    }
    let profile = Profile {
        kind: "sampled",
        name: thread.title(),
        unit: "microseconds",
        start_value: 0,
        end_value: at_us.saturating_sub(start_us),
        samples,
        weights,
    };
    (!profile.samples.is_empty()).then_some(profile)
}

/// The shared table of frames.
#[derive(Default)]
struct Frames<'v> {
    list: Vec<Frame<'v>>,
    places: HashMap<Frame<'v>, usize>,
}

impl<'v> Frames<'v> {
    /// Root first.
    fn stack(&mut self, view: &'v View, stack: usize) -> Vec<usize> {
        let frames: Vec<&Shown> = view.frames(stack).collect();
        frames.into_iter().rev().map(|shown| self.place(shown)).collect()
    }

    fn place(&mut self, shown: &'v Shown) -> usize {
        let frame = Frame { name: &shown.name, file: shown.file.as_deref(), line: shown.line };
        *self.places.entry(frame).or_insert_with(|| {
            self.list.push(frame);
            self.list.len() - 1
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'v> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: &'v str,
    active_profile_index: usize,
    shared: Shared<'v>,
    profiles: Vec<Profile>,
}

#[derive(Serialize)]
struct Shared<'v> {
    frames: Vec<Frame<'v>>,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq, Hash)]
struct Frame<'v> {
    name: &'v str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'v str>,
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
    use crate::{export::testing::recorded_of, thread::Filter};

    fn speedscope(filter: Filter) -> String {
        let mut out = Vec::new();
        write(&View::of_recordings(&[recorded_of(filter)]), &mut out).unwrap();
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
        insta::assert_snapshot!(speedscope(Filter::All), @r#"
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

    /// Check that threads of several processes are told apart, and share one axis of time.
    #[test]
    fn several_processes() {
        let (one, mut other) = (recorded_of(Filter::OnCpu), recorded_of(Filter::OnCpu));
        (other.info.pid, other.info.exe) = (crate::id::Pid(20), None);
        other.start_us += 5000;
        let mut out = Vec::new();
        write(&View::of_recordings(&[one, other]), &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let text = |row: &serde_json::Value| format!("{} {} {}", row["name"], row["startValue"], row["weights"]);
        let rows = json["profiles"].as_array().unwrap().iter().map(text).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(format!("{}\n{rows}", json["name"]), @r#"
        "sorter (10), pid 20"
        "process 10:sorter: sorter (10)" 0 [10000,20000,10000,10000]
        "process 20:?: sorter (10)" 0 [10000,20000,10000,10000]
        "#);
    }

    /// Check that off-CPU time is empty, not gone: the axis stays that of the recording.
    #[test]
    fn on_cpu() {
        let json: serde_json::Value = serde_json::from_str(&speedscope(Filter::OnCpu)).unwrap();
        let rows = json["profiles"].as_array().unwrap().iter();
        let text = |row: &serde_json::Value| format!("{} {} {}", row["name"], row["samples"], row["weights"]);
        insta::assert_snapshot!(rows.map(text).collect::<Vec<_>>().join("\n"), @r#"
        "sorter (10)" [[],[0,1,2,3],[0,1,1],[0,1,2,3]] [10000,20000,10000,10000]
        "#);
    }
}
