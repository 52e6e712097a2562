//! Chunks as a reader understands them: the samples of each thread, what stands at a border, and from when to when a
//! thread lived. By the documented rules (docs/wire-sentry-profiled.md) alone; shares no code with the writer but the counters.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use profile::counters::Counters;
use serde::Deserialize;
use tests::receiver::Chunk;

use super::run::TrueLife;

/// A chunk's payload.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Payload {
    pub chunk_id: String,
    pub profiler_id: String,
    pub profile: Profile,
    pub sentry_profiled: Ours,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Profile {
    pub frames: Vec<Frame>,
    pub stacks: Vec<Vec<usize>>,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Frame {
    pub function: Option<String>,
    pub instruction_addr: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Sample {
    pub timestamp: f64,
    pub stack_id: usize,
    pub thread_id: String,
}

/// What we say beyond Sentry's format.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Ours {
    pub start: f64,
    pub end: f64,
    pub ticks: u64,
    pub counters: Counters,
    pub stopped_us: u64,
    pub stop_max_us: u64,
}

/// A sample of a thread. No frames: it is idle, or gone.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Point {
    pub at_us: i64,
    pub frames: Arc<str>,
}

/// A chunk that came, read.
pub fn payload(chunk: &Chunk) -> Payload {
    serde_json::from_slice(&chunk.payload).unwrap()
}

/// The wire's seconds in microseconds, exactly.
#[allow(clippy::cast_possible_truncation, reason = "below 2^53")]
pub fn micros(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}

impl Payload {
    /// The samples of each thread, in the order in which they are written.
    pub fn threads(&self) -> BTreeMap<String, Vec<Point>> {
        let name = |frame: &usize| {
            let frame = &self.profile.frames[*frame];
            frame.function.clone().or_else(|| frame.instruction_addr.clone()).unwrap()
        };
        let path = |stack: &Vec<usize>| stack.iter().rev().map(name).collect::<Vec<_>>().join(";").into();
        let stacks: Vec<Arc<str>> = self.profile.stacks.iter().map(path).collect();
        let mut threads: BTreeMap<String, Vec<Point>> = BTreeMap::new();
        for sample in &self.profile.samples {
            let point = Point { at_us: micros(sample.timestamp), frames: stacks[sample.stack_id].clone() };
            threads.entry(sample.thread_id.clone()).or_default().push(point);
        }
        threads
    }

    /// The stack of each thread that has one at this very moment.
    pub fn standing_at(&self, at_us: i64) -> BTreeMap<String, Arc<str>> {
        let standing =
            |points: Vec<Point>| points.into_iter().find(|point| point.at_us == at_us && !point.frames.is_empty());
        self.threads().into_iter().filter_map(|(thread, points)| Some((thread, standing(points)?.frames))).collect()
    }
}

/// The chunks of one profiler id, in order of time, and what is known about them from elsewhere.
#[derive(Debug)]
pub struct Session {
    /// Which.
    pub profiler_id: String,
    /// In order of time.
    pub chunks: Vec<Payload>,
    /// How long it was to last.
    pub lasted: Duration,
    /// How many threads its target had all the time.
    pub threads_that_stay: usize,
    /// The other threads of its target that were there at a tick at least.
    pub short_lives: Vec<TrueLife>,
    /// All of them.
    pub all_lives: Vec<TrueLife>,
    ticks: Vec<i64>,
}

/// From when to when a thread was in the chunks.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Life {
    pub thread: String,
    pub start_us: i64,
    pub end_us: i64,
    /// What a receiver gives it: each sample lasts until the next of its thread and chunk.
    pub total_us: i64,
}

/// The chunks by session, in order of the sessions.
pub fn sessions(chunks: &[Payload]) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for chunk in chunks {
        let known = sessions.iter_mut().find(|session| session.profiler_id == chunk.profiler_id);
        match known {
            Some(session) => session.chunks.push(chunk.clone()),
            None => sessions.push(Session::of(chunk.clone())),
        }
    }
    for session in &mut sessions {
        session.chunks.sort_by(|a, b| a.sentry_profiled.start.total_cmp(&b.sentry_profiled.start));
        let samples = session.chunks.iter().flat_map(|chunk| &chunk.profile.samples);
        session.ticks = samples.map(|sample| micros(sample.timestamp)).collect();
        session.ticks.sort_unstable();
        session.ticks.dedup();
    }
    sessions.sort_by_key(Session::start_us);
    sessions
}

impl Session {
    fn of(chunk: Payload) -> Self {
        let profiler_id = chunk.profiler_id.clone();
        Self {
            profiler_id,
            chunks: vec![chunk],
            lasted: Duration::ZERO,
            threads_that_stay: 0,
            short_lives: Vec::new(),
            all_lives: Vec::new(),
            ticks: Vec::new(),
        }
    }

    /// Takes in what is true.
    pub fn is_told(&mut self, lasted: Duration, threads_that_stay: usize, lives: &[TrueLife]) {
        self.lasted = lasted;
        self.threads_that_stay = threads_that_stay;
        let (first, last) = (self.ticks[0], self.end_us());
        let is_here =
            |life: &&TrueLife| self.ticks_around(life.ended_us).0 > first && self.ticks_around(life.begun_us).1 < last;
        self.short_lives = lives.iter().filter(is_here).copied().collect();
        self.all_lives = lives.to_vec();
    }

    /// When its first chunk began.
    pub fn start_us(&self) -> i64 {
        micros(self.chunks[0].sentry_profiled.start)
    }

    /// When its last chunk ended.
    pub fn end_us(&self) -> i64 {
        micros(self.chunks.last().unwrap().sentry_profiled.end)
    }

    /// The last tick that shows before a moment, and the first after it.
    pub fn ticks_around(&self, at_us: i64) -> (i64, i64) {
        let after = self.ticks.partition_point(|tick| *tick < at_us);
        let last = self.ticks.len() - 1;
        (self.ticks[after.saturating_sub(1).min(last)], self.ticks[after.min(last)])
    }

    /// How many ticks show after `from_us`, up to `to_us`.
    pub fn ticks_between(&self, from_us: i64, to_us: i64) -> u64 {
        let until = |at_us| self.ticks.partition_point(|tick| *tick <= at_us);
        until(to_us).saturating_sub(until(from_us)) as u64
    }

    /// The lives of all threads.
    pub fn lives(&self) -> Vec<Life> {
        let mut open: BTreeMap<String, Life> = BTreeMap::new();
        let mut over = Vec::new();
        for chunk in &self.chunks {
            for (thread, points) in chunk.threads() {
                for (place, point) in points.iter().enumerate() {
                    if point.frames.is_empty() {
                        over.extend(open.remove(&thread));
                        continue;
                    }
                    let next_us = points.get(place + 1).map_or(point.at_us, |next| next.at_us);
                    let new = || Life { thread: thread.clone(), start_us: point.at_us, end_us: 0, total_us: 0 };
                    let life = open.entry(thread.clone()).or_insert_with(new);
                    life.end_us = next_us;
                    life.total_us += next_us - point.at_us;
                }
            }
        }
        over.extend(open.into_values());
        over.sort_by_key(|life| (life.start_us, life.end_us));
        over
    }
}

/// What the agent says of a session at its end.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Told(BTreeMap<String, u64>);

impl Told {
    /// What it must say by what the chunks say.
    pub fn of(counters: &Counters, stopped_us: u64, stop_max_us: u64) -> Self {
        let rows = [
            ("samples", counters.samples),
            ("late", counters.late),
            ("skipped", Counters::total(&counters.skipped)),
            ("lost", Counters::total(&counters.lost)),
            ("truncated", Counters::total(&counters.truncated)),
            ("guessed", counters.guessed),
            ("dropped", Counters::total(&counters.dropped)),
            ("stopped", stopped_us),
            ("at most", stop_max_us),
        ];
        Self(rows.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect())
    }
}

/// Reads `pid 1: 9.9 s, 101.0 Hz, 42 samples  late 3; stopped 5 us in all, 2 us at most; own CPU 7 ms`.
pub fn told(stderr: &str) -> Told {
    let line = stderr.lines().find(|line| line.starts_with("pid ")).unwrap_or_else(|| panic!("no summary: {stderr}"));
    let number_before = |what: &str| {
        let (before, _) = line.split_once(what)?;
        before.rsplit([' ', ',']).next()?.parse::<u64>().ok()
    };
    let number_after = |what: &str| {
        let (_, after) = line.split_once(&format!("  {what} "))?;
        after.split([' ', ';']).next()?.parse::<u64>().ok()
    };
    let mut told = Told::default();
    let names = ["late", "skipped", "lost", "truncated", "guessed", "dropped"];
    let after = names.map(|name| (name, number_after(name)));
    let before = [("samples", " samples"), ("stopped", " us in all"), ("at most", " us at most")];
    let before = before.map(|(name, what)| (name, number_before(what)));
    for (name, count) in after.into_iter().chain(before) {
        if let Some(count) = count.filter(|count| *count > 0) {
            told.0.insert(name.to_owned(), count);
        }
    }
    told
}
