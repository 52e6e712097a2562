//! The key `sentry_profiled` of a chunk, `docs/wire-sentry-profiled.md`. It belongs to no format of Sentry's, so nothing in
//! it is a reason to refuse a chunk: what is malformed counts as not there.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::limits::STATES_MAX,
    text::{Interner, Text},
};
use crate::received::{AgentSays, Frame, Thread};

/// The schema that is read here.
const SCHEMA: u64 = 1;
/// More of it is ignored. A chunk of 200 threads that are all busy has about 4 MB of states.
const BYTES_MAX: usize = 8 << 20;

/// More functions and blocks of a chunk are ignored: they are kept with its head.
const MARKS_MAX: usize = 10_000;
/// And more tags.
const TAGS_MAX: usize = 64;
/// Longer names and tags are cut.
const NAME_MAX: usize = 256;

fn short(text: &str) -> String {
    text.chars().take(NAME_MAX).collect()
}

/// The key as sent.
pub(super) struct Own<'a>(&'a str);

#[derive(Deserialize)]
struct Schema {
    schema: u64,
}

#[derive(Deserialize)]
struct States<'a> {
    #[serde(borrow)]
    states: Vec<Text<'a>>,
    thread_states: HashMap<String, Vec<u64>>,
}

impl<'a> Own<'a> {
    /// `None`: of a schema that is not read here, or too long.
    pub(super) fn new(key: &'a RawValue) -> Option<Self> {
        let text = key.get();
        let known =
            text.len() <= BYTES_MAX && serde_json::from_str::<Schema>(text).is_ok_and(|schema| schema.schema == SCHEMA);
        known.then_some(Self(text))
    }

    /// What the agent says of itself.
    pub(super) fn says(&self) -> Option<AgentSays> {
        let says = serde_json::from_str::<AgentSays>(self.0).ok();
        let mut says = says.filter(|says| says.start.is_finite() && says.end.is_finite())?;
        says.marks.retain(|mark| mark.start.is_finite() && mark.start <= mark.end && !mark.name.is_empty());
        says.marks.truncate(MARKS_MAX);
        says.marks.iter_mut().for_each(|mark| mark.name = short(&mark.name));
        says.tags = says.tags.iter().take(TAGS_MAX).map(|(key, value)| (short(key), short(value))).collect();
        Some(says)
    }

    /// Gives frames without a name the address that tells their function in all processes: the one in its file. Those that
    /// are not there, or have a name, are passed over.
    pub(super) fn apply_in_file(&self, frames: &mut [Frame]) {
        #[derive(Deserialize)]
        struct InFile {
            #[serde(default)]
            in_file: Vec<u64>,
        }
        let Ok(InFile { in_file }) = serde_json::from_str(self.0) else { return };
        for pair in in_file.chunks_exact(2) {
            let [frame, at] = pair else { return };
            let frame = usize::try_from(*frame).ok().and_then(|frame| frames.get_mut(frame));
            if let Some(frame) = frame.filter(|frame| frame.function.is_none() && frame.address.is_some()) {
                frame.address = Some(*at);
            }
        }
    }

    /// Gives samples their states, where the states of their thread fit. Returns the names.
    pub(super) fn apply_states(&self, threads: &mut [Thread]) -> Vec<Arc<str>> {
        let Ok(States { states, thread_states }) = serde_json::from_str::<States<'_>>(self.0) else {
            return Vec::new();
        };
        if states.len() > STATES_MAX {
            return Vec::new();
        }
        for thread in threads {
            if let Some(runs) = thread_states.get(&thread.id) {
                apply(runs, states.len(), thread);
            }
        }
        let mut texts = Interner::default();
        states.iter().map(|state| texts.share(&state.0)).collect()
    }
}

/// `[state, count, state, count ...]`; all of it, or nothing.
fn apply(runs: &[u64], states: usize, thread: &mut Thread) {
    if !runs.len().is_multiple_of(2) {
        return;
    }
    let mut total = 0_u64;
    for run in runs.chunks_exact(2) {
        let [state, count] = run else { return };
        total = total.saturating_add(*count);
        if *state >= states as u64 || total > thread.samples.len() as u64 {
            return;
        }
    }
    if total != thread.samples.len() as u64 {
        return;
    }
    let mut samples = thread.samples.iter_mut();
    for run in runs.chunks_exact(2) {
        let [state, count] = run else { return };
        let state = u16::try_from(*state).ok();
        samples.by_ref().take(usize::try_from(*count).unwrap_or(usize::MAX)).for_each(|sample| sample.state = state);
    }
}
