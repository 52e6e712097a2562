//! The JSON of a chunk. What Sentry takes from it stands in its sample format v2; what is ours, under
//! `sentry_profiled`, in `docs/wire-sentry-profiled.md`.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    address::RemoteAddr,
    chunk::{
        ClientSdk, Naming, Platform, SessionInfo, chunk_id,
        draft::{Draft, Sample, Thread},
        marks::{Span, WireMark},
        tally::Usage,
    },
    counters::Counters,
    frame::Frame,
    module::Module,
    received,
};

/// The version of our own key. Raised when a reader of the old one would misread the new.
pub(crate) const SCHEMA: u32 = 1;

#[derive(Serialize)]
pub(crate) struct Payload<'b> {
    version: &'static str,
    chunk_id: String,
    profiler_id: String,
    platform: &'b Platform,
    client_sdk: &'b ClientSdk,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dist: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug_meta: Option<DebugMeta<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measurements: Option<Measurements<'b>>,
    profile: Profile<'b>,
    sentry_profiled: Ours<'b, StateRuns<'b>>,
}

#[derive(Serialize)]
struct Profile<'b> {
    frames: Seq<'b, (Frame, bool)>,
    stacks: Seq<'b, std::sync::Arc<[u32]>>,
    samples: Samples<'b>,
    thread_metadata: Names<'b>,
}

/// Our own key, of a chunk that is made and of one that was kept: they differ in how the runs of states are had.
#[derive(Serialize)]
pub(crate) struct Ours<'b, R> {
    pub(crate) schema: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<&'b str>,
    pub(crate) pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) executable: Option<&'b str>,
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) ticks: u64,
    pub(crate) rate_hz_asked: f64,
    pub(crate) rate_hz_reached: f64,
    pub(crate) stopped_us: u64,
    pub(crate) stop_max_us: u64,
    pub(crate) agent_cpu_us: u64,
    pub(crate) counters: &'b Counters,
    pub(crate) states: Vec<Cow<'b, str>>,
    pub(crate) thread_states: R,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) in_file: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) marks: Vec<WireMark<'b>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: Cow<'b, BTreeMap<String, String>>,
}

impl<'b> Payload<'b> {
    pub(crate) fn of(draft: &'b Draft<'b>) -> Self {
        let info: &SessionInfo = draft.info;
        Self {
            version: "2",
            chunk_id: chunk_id(info.profiler_id, draft.builder.timeline.start_us()).to_string(),
            profiler_id: info.profiler_id.to_string(),
            platform: &info.platform,
            client_sdk: &info.client,
            release: info.release.as_deref(),
            environment: info.environment.as_deref(),
            dist: info.dist.as_deref(),
            debug_meta: DebugMeta::of(draft),
            measurements: Measurements::of(&draft.builder.tally.usage),
            profile: Profile {
                frames: Seq(&draft.tables.frames),
                stacks: Seq(&draft.tables.stacks),
                samples: Samples(&draft.samples, &draft.threads),
                thread_metadata: Names(&draft.threads),
            },
            sentry_profiled: Ours::of(draft),
        }
    }
}

impl<'b> Ours<'b, StateRuns<'b>> {
    fn of(draft: &'b Draft<'b>) -> Self {
        let (builder, info) = (draft.builder, draft.info);
        let start_us = builder.timeline.start_us();
        let span = seconds(draft.end_us.saturating_sub(start_us));
        let ticks = builder.timeline.ticked(draft.end_us);
        let states =
            draft.states.iter().map(|state| state.map_or(Cow::Borrowed("gone"), |state| state.to_string().into()));
        Self {
            schema: SCHEMA,
            host: info.host.as_deref(),
            pid: info.pid.0,
            executable: info.exe.as_deref(),
            start: seconds(start_us),
            end: seconds(draft.end_us),
            ticks,
            rate_hz_asked: finite(info.rate_hz),
            rate_hz_reached: rate(ticks, span),
            stopped_us: builder.tally.stopped_us,
            stop_max_us: builder.tally.stop_max_us,
            agent_cpu_us: builder.tally.agent_cpu_us,
            counters: &draft.counters,
            states: states.collect(),
            thread_states: StateRuns(&draft.threads),
            in_file: draft.tables.in_file.iter().flat_map(|(frame, at)| [u64::from(*frame), at.0]).collect(),
            marks: builder.marks.wire(&info.anchor, Span { from_us: start_us, until_us: draft.end_us }),
            tags: Cow::Borrowed(&info.tags),
        }
    }
}

/// Serializes element by element, so that the JSON is written straight from the tables.
pub(crate) struct Seq<'b, T>(pub(crate) &'b [T]);

impl Serialize for Seq<'_, (Frame, bool)> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|(frame, in_app)| WireFrame::of(frame, *in_app)))
    }
}

impl Serialize for Seq<'_, std::sync::Arc<[u32]>> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(AsRef::<[u32]>::as_ref))
    }
}

/// Samples, and the threads whose ids they say.
struct Samples<'b>(&'b [Sample], &'b [Thread<'b>]);

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|sample| WireSample {
            timestamp: seconds(sample.at_us),
            stack_id: sample.stack,
            thread_id: self.1.get(sample.thread).map(|thread| thread.id.as_str()).unwrap_or_default(),
        }))
    }
}

/// A sample of format v2.
#[derive(Serialize)]
pub(crate) struct WireSample<'b> {
    pub(crate) timestamp: f64,
    pub(crate) stack_id: u32,
    pub(crate) thread_id: &'b str,
}

/// A frame of format v2.
#[derive(Serialize)]
pub(crate) struct WireFrame<'f> {
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    abs_path: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lineno: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    colno: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instruction_addr: Option<Text<RemoteAddr>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_app: Option<bool>,
}

impl<'f> WireFrame<'f> {
    fn of(frame: &'f Frame, in_app: bool) -> Self {
        Self {
            function: frame.function.as_deref(),
            module: frame.module.as_deref(),
            package: frame.package.as_deref(),
            filename: frame.filename.as_deref(),
            abs_path: frame.abs_path.as_deref(),
            lineno: frame.line,
            colno: None,
            instruction_addr: frame.address.map(Text),
            platform: None,
            in_app: Some(in_app),
        }
    }

    pub(crate) fn of_received(frame: &'f received::Frame) -> Self {
        Self {
            function: frame.function.as_deref(),
            module: frame.module.as_deref(),
            package: frame.package.as_deref(),
            filename: frame.filename.as_deref(),
            abs_path: frame.abs_path.as_deref(),
            lineno: frame.line,
            colno: frame.column,
            instruction_addr: frame.address.map(|address| Text(RemoteAddr(address))),
            platform: frame.platform.as_deref(),
            in_app: frame.in_app,
        }
    }
}

/// A value as JSON string.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// `thread_metadata`
pub(crate) struct Names<'b>(pub(crate) &'b [Thread<'b>]);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for thread in self.0 {
            let name: BTreeMap<_, _> = thread.name.map(|name| ("name", name)).into_iter().collect();
            map.serialize_entry(&thread.id, &name)?;
        }
        map.end()
    }
}

/// `thread_states`: flat, state and count in turn.
struct StateRuns<'b>(&'b [Thread<'b>]);

impl Serialize for StateRuns<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for thread in self.0 {
            let flat: Vec<u32> = thread.states.iter().flat_map(|(state, count)| [*state, *count]).collect();
            map.serialize_entry(&thread.id, &flat)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct DebugMeta<'b> {
    images: Vec<Image<'b>>,
}

/// A module, for a server to name frames in it. Relay refuses type `elf`; `symbolic` makes Symbolicator try all.
#[derive(Serialize)]
struct Image<'b> {
    #[serde(rename = "type")]
    kind: &'static str,
    debug_id: String,
    code_file: &'b str,
    #[serde(rename = "image_addr")]
    addr: String,
    #[serde(rename = "image_size")]
    size: u64,
}

impl<'b> DebugMeta<'b> {
    fn of(draft: &'b Draft<'b>) -> Option<Self> {
        let info = draft.info;
        if info.naming == Naming::Here && info.platform == Platform::RUST {
            return None; // Sentry would send every frame to Symbolicator, the named ones too, and lose them.
        }
        let modules = draft.tables.unnamed.iter().filter_map(|index| draft.builder.stacks.module(*index));
        let images: Vec<_> = modules.filter_map(Image::of).collect();
        (!images.is_empty()).then_some(Self { images })
    }
}

impl<'b> Image<'b> {
    /// `None` without build id: nothing could find its symbols.
    fn of(module: &'b Module) -> Option<Self> {
        Some(Self {
            kind: "symbolic",
            debug_id: module.build_id.as_ref()?.debug_id().to_string(),
            code_file: &module.path,
            addr: module.start.to_string(),
            size: module.size,
        })
    }
}

#[derive(Serialize)]
struct Measurements<'b> {
    cpu_usage: Measurement<'b>,
    memory_footprint: Measurement<'b>,
}

#[derive(Serialize)]
struct Measurement<'b> {
    unit: &'static str,
    values: Readings<'b>,
}

impl<'b> Measurements<'b> {
    fn of(usage: &'b [Usage]) -> Option<Self> {
        (!usage.is_empty()).then_some(Self {
            cpu_usage: Measurement {
                unit: "percent",
                values: Readings(usage, |usage| Value::Float(usage.cpu_percent)),
            },
            memory_footprint: Measurement {
                unit: "byte",
                values: Readings(usage, |usage| Value::Whole(usage.rss_bytes)),
            },
        })
    }
}

struct Readings<'b>(&'b [Usage], fn(&Usage) -> Value);

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Float(f64),
    Whole(u64),
}

#[derive(Serialize)]
struct Reading {
    timestamp: f64,
    value: Value,
}

impl Serialize for Readings<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|usage| Reading { timestamp: seconds(usage.at_us), value: (self.1)(usage) }))
    }
}

/// Seconds as the wire has them. Exact to the microsecond until the year 2106: doubles are 0.24 us apart there, so the
/// shortest decimal that is written is the one with six places, and reading it gives the same number again.
#[allow(clippy::cast_precision_loss, reason = "below 2^53")]
pub(crate) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[allow(clippy::cast_precision_loss, reason = "a rate of ticks is read with three digits")]
fn rate(ticks: u64, span: f64) -> f64 {
    if span > 0.0 { (ticks as f64 / span * 1000.0).round() / 1000.0 } else { 0.0 }
}

fn finite(rate: f64) -> f64 {
    if rate.is_finite() { rate } else { 0.0 }
}
