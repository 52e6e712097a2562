//! What queries answer, as a [`View`] that every export format is written from.

use std::{collections::HashMap, sync::Arc};

use profile::export::{Clock, Counted, Entry, Place, Run, Shown, Track, View};
use store::{
    item::{Selection, StateClass, States},
    query::{Interval, Timeline},
    tree::{Function, Tree},
};

/// A tree as one track: each stack once, as long as it took, one behind the other in the tree's order. A stack of the view
/// is a node of the tree.
pub(crate) fn of_tree(tree: &Tree, selection: &Selection) -> View {
    let mut view = empty(selection, &tree.functions);
    // The nodes on the way from the root to the node at hand.
    let mut way: Vec<usize> = Vec::new();
    let mut track = Track { name: Some("all threads".to_owned()), ..Track::default() };
    let mut at_us = selection.from_us;
    for (place, node) in tree.nodes.iter().enumerate() {
        way.truncate(node.depth as usize);
        view.stacks.push(Entry { place: Some(node.function as usize), parent: way.last().copied() });
        way.push(place);
        if node.own.us > 0 {
            let end_us = at_us.saturating_add(node.own.us);
            track.runs.push(Run { stack: place, state: None, start_us: at_us, end_us, ticks: node.own.samples });
            at_us = end_us;
        }
    }
    view.threads.extend((!track.runs.is_empty()).then_some(track));
    view
}

/// A timeline: a track a thread, idle time left empty.
pub(crate) fn of_timeline(timeline: &Timeline, selection: &Selection) -> View {
    let mut view = empty(selection, &timeline.functions);
    let leaves = stacks(&mut view, &timeline.stacks);
    view.threads = timeline
        .threads
        .iter()
        .map(|thread| Track { id: Some(thread.id.clone()), name: thread.name.clone(), ..Track::default() })
        .collect();
    for interval in &timeline.intervals {
        let Some(Some(stack)) = leaves.get(interval.stack as usize).copied() else { continue };
        let state = Some(state(&mut view, interval.state));
        if let Some(track) = view.threads.get_mut(interval.thread as usize) {
            track.runs.push(run(interval, stack, state));
        }
    }
    view.threads.retain(|thread| !thread.runs.is_empty());
    // Of a window of a month with one minute in it, that minute is to be seen.
    let runs = || view.threads.iter().flat_map(|thread| &thread.runs);
    let (first, last) = (runs().map(|run| run.start_us).min(), runs().map(|run| run.end_us).max());
    (view.start_us, view.end_us) = (first.unwrap_or(view.start_us), last.unwrap_or(view.end_us));
    view
}

fn run(interval: &Interval, stack: usize, state: Option<usize>) -> Run {
    Run { stack, state, start_us: interval.start_us, end_us: interval.end_us, ticks: 1 }
}

fn state(view: &mut View, class: StateClass) -> usize {
    let name = match class {
        StateClass::Unknown => "unknown",
        StateClass::OnCpu | StateClass::OnCpuWithLock => "on_cpu",
        StateClass::Runnable | StateClass::RunnableWithLock => "runnable",
        StateClass::AwaitsLock | StateClass::Sleeping | StateClass::SleepingWithLock => "sleeping",
    };
    let gil = match class {
        StateClass::OnCpuWithLock | StateClass::RunnableWithLock | StateClass::SleepingWithLock => Some("held"),
        StateClass::AwaitsLock => Some("awaited"),
        StateClass::Unknown | StateClass::OnCpu | StateClass::Runnable | StateClass::Sleeping => None,
    };
    let state = (name.to_owned(), gil.map(str::to_owned));
    view.states.iter().position(|known| *known == state).unwrap_or_else(|| {
        view.states.push(state);
        view.states.len() - 1
    })
}

fn empty(selection: &Selection, functions: &[Function]) -> View {
    View {
        title: format!("project {}", selection.project.0),
        start_us: selection.from_us,
        end_us: selection.to_us,
        clock: if selection.states == States::OnCpu { Clock::Cpu } else { Clock::Wall },
        counted: Counted::Microseconds,
        places: functions.iter().map(place).collect(),
        ..View::default()
    }
}

fn place(function: &Function) -> Place {
    let shared = |text: &Option<String>| text.as_deref().map(Arc::from);
    let shown = Shown {
        name: Arc::from(function.name.as_str()),
        file: shared(&function.file),
        path: shared(&function.path),
        line: function.line,
        module: shared(&function.module).or_else(|| shared(&function.package)),
        in_app: Some(function.in_app),
    };
    Place { frames: vec![shown], ..Place::default() }
}

/// The view's stack of each stack of a timeline, which are root first; `None`: it has no frame.
fn stacks(view: &mut View, stacks: &[Vec<u32>]) -> Vec<Option<usize>> {
    let mut known: HashMap<Entry, usize> = HashMap::new();
    let mut leaves = Vec::with_capacity(stacks.len());
    for stack in stacks {
        let leaf = stack.iter().fold(None, |parent, function| {
            let entry = Entry { place: Some(*function as usize), parent };
            Some(*known.entry(entry).or_insert_with(|| {
                view.stacks.push(entry);
                view.stacks.len() - 1
            }))
        });
        leaves.push(leaf);
    }
    leaves
}
