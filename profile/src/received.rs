//! A profile as a receiver has it, whatever program made it: frames, stacks, and for each thread what it did when. Comes
//! out of sample format v2 (a chunk) or v1 (the profile of one transaction); what reads them is `wire::read`.
//!
//! Everything in it has been checked: indices are in range, samples are in order of time, ids are there.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::counters::Counters;

/// A chunk, or the profile of a transaction.
#[derive(Clone, PartialEq, Debug)]
pub struct Received {
    /// Whose and when.
    pub head: Head,
    /// Distinct frames, as sent.
    pub frames: Vec<Frame>,
    /// Distinct stacks, leaf first: indices into `frames`. An empty one is a thread that is idle.
    pub stacks: Vec<Vec<u32>>,
    /// Each with its samples; only threads that have some.
    pub threads: Vec<Thread>,
    /// The thread states that samples refer to, as `sentry_profiled.states` names them; empty: nothing is known.
    pub states: Vec<Arc<str>>,
    /// `cpu_usage`, `memory_footprint` ...
    pub measurements: BTreeMap<String, Measurement>,
}

/// What is known of a profile without its samples.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The process's session; of a v1 profile that has none, its own id.
    pub profiler_id: Uuid,
    /// The chunk's id, or the profile's.
    pub chunk_id: Uuid,
    /// The first sample of all threads, microseconds since 1970.
    pub start_us: u64,
    /// The last sample of all threads, microseconds since 1970.
    pub end_us: u64,
    /// `python`, `node`, `rust` ...
    pub platform: String,
    /// Where it is deployed.
    pub environment: Option<String>,
    /// Its version.
    pub release: Option<String>,
    /// Who recorded it: name and version.
    pub sdk: (String, String),
    /// Of a v1 profile: the transaction that it belongs to.
    pub transaction: Option<OfTransaction>,
    /// What our own agent says of itself and of how far the chunk may be trusted; `None`: another program's.
    pub agent: Option<AgentSays>,
}

/// The transaction that a v1 profile belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OfTransaction {
    /// Its event id.
    pub event_id: Uuid,
    /// Its trace.
    pub trace_id: Uuid,
    /// Its name.
    pub name: String,
    /// The thread that ran it, as samples call it.
    pub thread_id: Option<String>,
}

/// The key `sentry_profiled` of a chunk, but for the states: `docs/wire-sentry-profiled.md`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSays {
    /// Name of the machine.
    pub host: Option<String>,
    /// The target.
    pub pid: i32,
    /// The target's program.
    pub executable: Option<String>,
    /// When the chunk opened, Unix seconds.
    pub start: f64,
    /// When it closed; the session's next starts here.
    pub end: f64,
    /// Ticks between the two.
    pub ticks: u64,
    /// Asked for.
    pub rate_hz_asked: f64,
    /// Reached.
    pub rate_hz_reached: f64,
    /// Time that threads of the target were held stopped, microseconds.
    pub stopped_us: u64,
    /// The longest stop, microseconds.
    pub stop_max_us: u64,
    /// CPU of the agent, microseconds.
    pub agent_cpu_us: u64,
    /// How far the chunk may be trusted.
    pub counters: Counters,
    /// Functions and blocks that the process noted.
    pub marks: Vec<Marked>,
    /// What its owner wants to find it by.
    pub tags: BTreeMap<String, String>,
}

/// A function or block of a thread that its process noted.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Marked {
    /// As samples call the thread.
    pub thread_id: String,
    /// `function` or `block`.
    pub kind: String,
    /// As the process names it.
    pub name: String,
    /// Unix seconds.
    pub start: f64,
    /// Unix seconds.
    pub end: f64,
}

/// A frame as sent. Texts are shared: the same path stands in many frames.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Frame {
    /// Function, as the sender names it.
    pub function: Option<Arc<str>>,
    /// Module (Python, JVM), class or crate.
    pub module: Option<Arc<str>>,
    /// Library or program file of a native frame.
    pub package: Option<Arc<str>>,
    /// File, as short as the sender has it.
    pub filename: Option<Arc<str>>,
    /// The whole path.
    pub abs_path: Option<Arc<str>>,
    /// 1 is the first line; `None`: unknown (also where 0 was sent).
    pub line: Option<u32>,
    /// Column.
    pub column: Option<u32>,
    /// `instruction_addr`, of frames that nobody has named; where our own agent says it, where the function begins in its
    /// file instead, which is the same in all processes.
    pub address: Option<u64>,
    /// Of the application itself; `None`: the sender leaves that to the receiver.
    pub in_app: Option<bool>,
    /// A language other than the profile's.
    pub platform: Option<Arc<str>>,
}

/// A thread and what it did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread {
    /// As samples and spans call it (`thread.id`).
    pub id: String,
    /// Its name, where it was sent.
    pub name: Option<String>,
    /// In order of time. Each lasts until the next; the last has no length.
    pub samples: Vec<Sample>,
}

/// A sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Microseconds since 1970.
    pub at_us: u64,
    /// Index into the stacks.
    pub stack: u32,
    /// Index into the states; `None`: unknown.
    pub state: Option<u16>,
}

/// A series of numbers beside the samples.
#[derive(Clone, PartialEq, Debug)]
pub struct Measurement {
    /// `percent`, `byte`, `nanosecond`, `hertz` ...
    pub unit: String,
    /// Microseconds since 1970, and the value; in order of time.
    pub values: Vec<(u64, f64)>,
}

/// A transaction, or the segment span of a span stream: what a request did, and where its profile is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Transaction {
    /// Of a segment span its span id, padded with zeros.
    pub event_id: Uuid,
    /// Its trace.
    pub trace_id: Uuid,
    /// Its root span.
    pub span_id: u64,
    /// `GET /orders/{id}` ...
    pub name: String,
    /// `http.server` ...
    pub op: Option<String>,
    /// `ok`, `internal_error` ...
    pub status: Option<String>,
    /// Microseconds since 1970.
    pub start_us: u64,
    /// Microseconds since 1970.
    pub end_us: u64,
    /// `python`, `node` ...
    pub platform: Option<String>,
    /// Where it is deployed.
    pub environment: Option<String>,
    /// Its version.
    pub release: Option<String>,
    /// The session whose chunks hold it (`contexts.profile.profiler_id`).
    pub profiler_id: Option<Uuid>,
    /// The v1 profile that came with it.
    pub profile_id: Option<Uuid>,
    /// The thread that ran it (`contexts.trace.data["thread.id"]`).
    pub thread_id: Option<String>,
    /// That thread's name.
    pub thread_name: Option<String>,
}

/// A span of a trace. A transaction's root span is one, too.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Span {
    /// Its trace.
    pub trace_id: Uuid,
    /// Its own id within the trace.
    pub span_id: u64,
    /// The span that it is part of.
    pub parent_id: Option<u64>,
    /// The root span of its transaction.
    pub segment_id: Option<u64>,
    /// `db.query` ...
    pub op: Option<String>,
    /// What it did.
    pub description: Option<String>,
    /// `ok`, `internal_error` ...
    pub status: Option<String>,
    /// Microseconds since 1970.
    pub start_us: u64,
    /// Microseconds since 1970.
    pub end_us: u64,
    /// The session whose chunks hold it, where it is said of the span or of its transaction.
    pub profiler_id: Option<Uuid>,
    /// The thread that it began in.
    pub thread_id: Option<String>,
}
