//! Answers worked out from profiles in the plainest way, to hold the quick ones against.

use std::collections::{BTreeMap, BTreeSet};

use profile::received::{Frame, Received};
use uuid::Uuid;

use crate::{
    item::{ByState, Selection, StateClass},
    tree::{Function, Weight},
};

/// A sample within the window.
#[derive(Clone, PartialEq, Debug)]
pub struct Stay {
    /// The session.
    pub profiler_id: Uuid,
    /// The thread.
    pub thread: String,
    /// Root first.
    pub stack: Vec<Frame>,
    /// Its state.
    pub class: StateClass,
    /// From then.
    pub start_us: u64,
    /// Until then.
    pub end_us: u64,
    /// Whether it began in the window.
    pub begins: bool,
}

impl Stay {
    /// How long.
    pub fn us(&self) -> u64 {
        self.end_us.saturating_sub(self.start_us)
    }

    fn weight(&self) -> Weight {
        Weight { us: self.us(), samples: u64::from(self.begins) }
    }
}

type Paths = BTreeMap<Vec<String>, (Weight, Weight)>;

/// All that is selected.
pub fn stays(all: &[Received], selection: &Selection) -> Vec<Stay> {
    let mut stays = Vec::new();
    for received in all {
        let head = &received.head;
        if !selection.takes(head.profiler_id, head.environment.as_deref(), head.release.as_deref()) {
            continue;
        }
        for thread in &received.threads {
            for (sample, next) in thread.samples.iter().zip(thread.samples.iter().skip(1)) {
                let state = sample.state.and_then(|state| received.states.get(usize::from(state)));
                let stack = received.stacks.get(sample.stack as usize).into_iter().flatten().rev();
                let stay = Stay {
                    profiler_id: head.profiler_id,
                    thread: thread.id.clone(),
                    stack: stack.filter_map(|frame| received.frames.get(*frame as usize)).cloned().collect(),
                    class: state.map_or(StateClass::Unknown, |state| StateClass::of(state)),
                    start_us: sample.at_us.max(selection.from_us),
                    end_us: next.at_us.min(selection.to_us),
                    begins: selection.from_us <= sample.at_us && sample.at_us < selection.to_us,
                };
                let is_asked = selection.threads.is_empty() || selection.threads.contains(&stay.thread);
                if is_asked && stay.class.is_among(selection.states) && (stay.us() > 0 || stay.begins) {
                    stays.push(stay);
                }
            }
        }
    }
    stays
}

/// A function with all that tells it from others.
pub fn show(function: &Function) -> String {
    let Function { name, module, package, file, path, line, in_app } = function;
    format!("{name}|{module:?}|{package:?}|{file:?}|{path:?}|{line:?}|{in_app}")
}

fn name(frame: &Frame, lines: bool) -> String {
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
    show(&Function {
        name: text(&frame.function).unwrap_or_default(),
        module: text(&frame.module),
        package: text(&frame.package),
        file: text(&frame.filename),
        path: text(&frame.abs_path),
        line: frame.line.filter(|_| lines),
        in_app: frame.in_app == Some(true),
    })
}

/// Each path with its total and own weight, and the weight of threads without a stack.
pub fn tree(stays: &[Stay], lines: bool, inverted: bool) -> (Paths, Weight) {
    let mut paths = Paths::new();
    let mut idle = Weight::default();
    for stay in stays {
        let mut names: Vec<String> = stay.stack.iter().map(|frame| name(frame, lines)).collect();
        if inverted {
            names.reverse();
        }
        if names.is_empty() {
            idle.add(stay.weight());
        }
        for depth in 1..=names.len() {
            let (total, own) = paths.entry(names.iter().take(depth).cloned().collect()).or_default();
            total.add(stay.weight());
            if depth == names.len() {
                own.add(stay.weight());
            }
        }
    }
    (paths, idle)
}

/// The own time of each path by state, where it has any.
pub fn states(stays: &[Stay]) -> BTreeMap<Vec<String>, ByState> {
    let mut paths = BTreeMap::<Vec<String>, ByState>::new();
    for stay in stays.iter().filter(|stay| !stay.stack.is_empty() && stay.us() > 0) {
        let path = stay.stack.iter().map(|frame| name(frame, false)).collect();
        paths.entry(path).or_default().add(stay.class.group(), stay.us());
    }
    paths
}

/// Each function with its own and total weight, recursion counted once.
pub fn functions(stays: &[Stay], lines: bool) -> BTreeMap<String, (Weight, Weight)> {
    let mut rows = BTreeMap::<String, (Weight, Weight)>::new();
    for stay in stays {
        let names: Vec<String> = stay.stack.iter().map(|frame| name(frame, lines)).collect();
        if let Some(leaf) = names.last() {
            rows.entry(leaf.clone()).or_default().0.add(stay.weight());
        }
        for name in names.into_iter().collect::<BTreeSet<_>>() {
            rows.entry(name).or_default().1.add(stay.weight());
        }
    }
    rows
}

/// Each thread with its weight, idle time, and time by state.
#[allow(clippy::type_complexity, reason = "read once, by a test")]
pub fn threads(stays: &[Stay]) -> BTreeMap<(Uuid, String), (Weight, u64, BTreeMap<StateClass, u64>)> {
    let mut rows = BTreeMap::<_, (Weight, u64, BTreeMap<StateClass, u64>)>::new();
    for stay in stays {
        let (weight, idle, states) = rows.entry((stay.profiler_id, stay.thread.clone())).or_default();
        weight.add(stay.weight());
        *idle += if stay.stack.is_empty() { stay.us() } else { 0 };
        *states.entry(stay.class).or_default() += stay.us();
    }
    rows
}
