//! What questions are answered with. No arithmetic.

use std::collections::BTreeMap;

use profile::received::{Span, Transaction};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    chunk_store::Damage,
    item::{Session, StateClass},
    tree::{Function, Node, Tree, Weight},
};

/// An answer, and what it rests on.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answer<T> {
    /// The answer.
    pub of: T,
    /// What it rests on.
    pub covers: Covers,
}

/// What an answer rests on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Covers {
    /// Profiles that it was made of.
    pub profiles: u64,
    /// Their samples, also those outside the window.
    pub samples: u64,
    /// Pieces of what is not kept yet.
    pub live: u64,
    /// What had to be left out.
    pub damaged: Vec<Damage>,
}

/// Who has profiles.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Services {
    /// Distinct platforms, in order.
    pub platforms: Vec<String>,
    /// Distinct environments, in order; `None`: none was sent.
    pub environments: Vec<Option<String>>,
    /// Distinct releases, in order; `None`: none was sent.
    pub releases: Vec<Option<String>>,
    /// Processes, by first sample.
    pub sessions: Vec<Session>,
}

/// A function's time.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FunctionRow {
    /// Which.
    pub function: Function,
    /// In itself.
    pub own: Weight,
    /// In it and what it calls; recursion counts once.
    pub total: Weight,
    /// In how many ticks it was on a stack: total time times the rate of the profiles. Where unchanged stacks are sent as
    /// runs, samples would be too few.
    pub frequency: f64,
}

/// A thread's time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ThreadRow {
    /// Its process's session.
    pub profiler_id: Uuid,
    /// As samples and spans call it.
    pub id: String,
    /// Its name, where one was sent; the last one.
    pub name: Option<String>,
    /// Time and samples of all the states that were asked for, idle ones too.
    pub weight: Weight,
    /// Microseconds without any stack.
    pub idle_us: u64,
    /// Microseconds by state.
    pub states_us: BTreeMap<StateClass, u64>,
}

/// Who did what when.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Timeline {
    /// Distinct functions.
    pub functions: Vec<Function>,
    /// Distinct stacks, root first: indices into the functions.
    pub stacks: Vec<Vec<u32>>,
    /// Threads, by first sample.
    pub threads: Vec<TimelineThread>,
    /// By start. Samples that follow on each other with one stack and one state are one. Idle threads have the empty stack.
    pub intervals: Vec<Interval>,
    /// The window held more than is answered at once: intervals that begin then or later are left out.
    pub cut_at_us: Option<u64>,
}

/// A thread of a timeline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TimelineThread {
    /// Its process's session.
    pub profiler_id: Uuid,
    /// As samples and spans call it.
    pub id: String,
    /// Its name, where one was sent.
    pub name: Option<String>,
}

/// A span of time in which a thread stood in one stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Interval {
    /// Index into the threads.
    pub thread: u32,
    /// Index into the stacks.
    pub stack: u32,
    /// From then, microseconds since 1970.
    pub start_us: u64,
    /// Until then.
    pub end_us: u64,
    /// Its state.
    pub state: StateClass,
}

/// CPU usage over time.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Cpu {
    /// Length of a bucket; the last may be shorter.
    pub bucket_us: u64,
    /// From the window's start to its end.
    pub buckets: Vec<Bucket>,
    /// `cpu_usage`, `memory_footprint` ... as they were sent, within the window.
    pub series: Vec<Series>,
    /// Where they were asked for: the threads that did most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<Vec<Lane>>,
}

/// What a question about CPU usage asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuShape {
    /// 1 to 10,000, of equal length.
    pub buckets: usize,
    /// Measurements as sent.
    pub series: bool,
    /// The threads that did most, each by itself.
    pub threads: bool,
}

/// A thread's time, by bucket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Lane {
    /// Its process's session.
    pub profiler_id: Uuid,
    /// As samples and spans call it.
    pub id: String,
    /// Its name, where one was sent.
    pub name: Option<String>,
    /// On a CPU.
    pub on_cpu_us: Vec<u64>,
    /// In a state that is not known.
    pub unknown_us: Vec<u64>,
    /// Ready to run, or asleep.
    pub other_us: Vec<u64>,
}

/// Time of threads in a span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Bucket {
    /// From then, microseconds since 1970.
    pub start_us: u64,
    /// Of threads that were on a CPU. Divided by the bucket's length: CPUs in use.
    pub on_cpu_us: u64,
    /// Of threads that were ready to run.
    pub runnable_us: u64,
    /// Of threads that slept.
    pub sleeping_us: u64,
    /// Of threads whose state is not known.
    pub unknown_us: u64,
}

/// A series of numbers as sent.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Series {
    /// The session.
    pub profiler_id: Uuid,
    /// `cpu_usage` ...
    pub name: String,
    /// `percent` ...
    pub unit: String,
    /// Microseconds since 1970, and the value; in order of time.
    pub values: Vec<(u64, f64)>,
}

/// Two selections side by side: `a` is before, `b` after.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Difference {
    /// Time in `a`, idle threads left out: what shares are of.
    pub a: Weight,
    /// Time in `b`, idle threads left out.
    pub b: Weight,
    /// Ticks in `a` that the time amounts to: what the error rests on.
    pub ticks_a: f64,
    /// Ticks in `b`.
    pub ticks_b: f64,
    /// Functions, the largest difference of own shares first.
    pub functions: Vec<DifferenceRow>,
    /// Distinct functions of the nodes.
    pub tree_functions: Vec<Function>,
    /// Both trees laid over each other, depth first, the largest sum of both shares first.
    pub nodes: Vec<DifferenceNode>,
}

/// A function in both.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DifferenceRow {
    /// Which.
    pub function: Function,
    /// In itself.
    pub own: Share,
    /// In it and what it calls; recursion counts once.
    pub total: Share,
}

/// Shares of the time of two selections.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Share {
    /// Microseconds in `a`.
    pub a_us: u64,
    /// Microseconds in `b`.
    pub b_us: u64,
    /// Part of all time in `a`, 0 to 1.
    pub a: f64,
    /// Part of all time in `b`, 0 to 1.
    pub b: f64,
    /// `b - a`.
    pub difference: f64,
    /// Half the width of the difference's 95 % interval: a difference that is not larger may well be noise.
    pub error_95: f64,
}

/// A call in both.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct DifferenceNode {
    /// Where it stands; its weights are the sums of both.
    pub node: Node,
    /// In it and what it calls.
    pub total: Share,
    /// In itself.
    pub own: Share,
}

/// Transactions of one name.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TransactionRow {
    /// `GET /orders/{id}` ...
    pub name: String,
    /// `http.server` ...
    pub op: Option<String>,
    /// How many.
    pub count: u64,
    /// Of how many there is a profile.
    pub with_profile: u64,
    /// How many have a status other than `ok`.
    pub failed: u64,
    /// Half of them took no longer, microseconds. Quantiles are those of the durations themselves (nearest rank).
    pub p50_us: u64,
    /// Three quarters.
    pub p75_us: u64,
    /// 95 of 100.
    pub p95_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// All of them together.
    pub sum_us: u64,
    /// Durations on a logarithmic scale: four buckets a decade, from 100 µs to 100 s. What is shorter is in the first, what is
    /// longer in the last.
    pub spread: [u64; DURATIONS],
}

/// Buckets of durations.
pub(super) const DURATIONS: usize = 24;

/// Transactions, the newest first.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Transactions {
    /// Each, and whether there is a profile of it.
    pub transactions: Vec<(Transaction, bool)>,
    /// There are more.
    pub more: bool,
}

/// A trace.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Trace {
    /// By start.
    pub spans: Vec<Span>,
    /// Its transactions, by start, and whether there is a profile of each.
    pub transactions: Vec<(Transaction, bool)>,
}

/// What many transactions did.
#[derive(Clone, PartialEq, Debug)]
pub struct TransactionsTree {
    /// So many have a profile, and are in the tree.
    pub transactions: usize,
    /// Their call trees, merged.
    pub tree: Tree,
}

/// What the slowest transactions of a name do more than those in the middle.
#[derive(Clone, PartialEq, Debug)]
pub struct TransactionsDifference {
    /// So many of the middle half have a profile, and are in `a`.
    pub base_transactions: usize,
    /// So many of the slowest 5 % have one, and are in `b`.
    pub transactions: usize,
    /// What they did.
    pub difference: Difference,
}

/// Which transactions a list has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TransactionFilter {
    /// Of this name; `None`: of any.
    pub name: Option<String>,
    /// That took at least so long, microseconds.
    pub min_us: u64,
    /// That took no longer.
    pub max_us: Option<u64>,
    /// Only those with a profile.
    pub profiled: bool,
    /// Only those that began in the window.
    pub started: bool,
    /// The slowest first; else the newest first.
    pub slowest: bool,
}

/// Durations by time: for a heat map.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Heat {
    /// Length of a column; the last may be shorter.
    pub column_us: u64,
    /// The least duration of each row, rising. What is shorter is in the first one, what is longer in the last.
    pub rows: Vec<u64>,
    /// Those with anything in them, by column and row.
    pub cells: Vec<HeatCell>,
    /// All transactions in it.
    pub count: u64,
    /// Of how many there is a profile.
    pub profiled: u64,
}

/// Transactions of one span of time and duration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeatCell {
    /// Which column, by start; what began before the window is in the first one.
    pub column: usize,
    /// Which row.
    pub row: usize,
    /// How many.
    pub count: u64,
    /// How many have a status other than `ok`.
    pub failed: u64,
    /// Of how many there is a profile.
    pub profiled: u64,
}

impl Serialize for HeatCell {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.column, self.row, self.count, self.failed, self.profiled).serialize(to)
    }
}

/// Spans of a window.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Spans {
    /// By start.
    pub spans: Vec<Span>,
    /// There are more.
    pub more: bool,
}

/// What a transaction did.
#[derive(Clone, PartialEq, Debug)]
pub struct TransactionTree {
    /// Which.
    pub transaction: Transaction,
    /// Its call tree; empty if there is no profile of it.
    pub tree: Tree,
    /// Whether the tree is of its thread alone; `false`: the thread is not known, and all threads are in it.
    pub of_its_thread: bool,
}
