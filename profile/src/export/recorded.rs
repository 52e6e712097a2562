//! Recordings as a [`View`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    export::{
        Recorded,
        view::{Clock, Counted, Entry, Mapping, Place, Run, Shown, Track, View},
    },
    frame::Frame,
    module::{Module, ModuleIndex},
    naming::{file_name, label, truncation_frame},
    record::{Location, RecordedThread},
    stack::StackEnd,
    thread::{Filter, State},
};

impl View {
    /// All recordings as one, on one axis of time; the threads with the most time on a CPU first.
    pub fn of_recordings(recorded: &[Recorded]) -> Self {
        let first = recorded.first();
        let is_cpu = first.is_some_and(|one| one.info.filter == Filter::OnCpu);
        let mut view = Self {
            title: titles(recorded),
            start_us: recorded.iter().map(|one| one.start_us).min().unwrap_or_default(),
            end_us: recorded.iter().map(|one| one.end_us).max().unwrap_or_default(),
            period_ns: first.map_or(0, |one| period_ns(one.info.rate_hz)),
            clock: if is_cpu { Clock::Cpu } else { Clock::Wall },
            counted: Counted::Ticks,
            ..Self::default()
        };
        let mut states = States::default();
        let mut threads: Vec<(u64, Track)> = Vec::new();
        for one in recorded {
            let stacks = Making { view: &mut view, recorded: one, entries: HashMap::new() }.stacks();
            let process: Option<Arc<str>> = (recorded.len() > 1).then(|| process_name(one).into());
            let track = |thread| (on_cpu_us(thread), track(one, thread, process.clone(), &stacks, &mut states));
            threads.extend(one.threads.iter().map(track));
        }
        // Stable: threads with equal time stay in the order in which they were first seen.
        threads.sort_by_key(|(on_cpu_us, _)| Reverse(*on_cpu_us));
        view.threads = threads.into_iter().map(|(_, track)| track).collect();
        view.states = states.list.iter().map(|state| (state.thread.to_string(), gil(*state))).collect();
        view
    }
}

fn gil(state: State) -> Option<String> {
    state.gil.map(|gil| gil.to_string())
}

#[allow(clippy::cast_possible_truncation, reason = "`as` saturates, and a period is a small number")]
fn period_ns(rate_hz: f64) -> i64 {
    if rate_hz > 0.0 { (1e9 / rate_hz).round() as i64 } else { 0 }
}

fn titles(recorded: &[Recorded]) -> String {
    /// More would fill the screen.
    const TITLES: usize = 4;
    let mut titles: Vec<String> = recorded.iter().take(TITLES).map(title).collect();
    let more = recorded.len().saturating_sub(TITLES);
    titles.extend((more > 0).then(|| format!("{more} more")));
    titles.join(", ")
}

fn title(recorded: &Recorded) -> String {
    match &recorded.info.exe {
        Some(exe) => format!("{} ({})", file_name(exe), recorded.info.pid),
        None => format!("pid {}", recorded.info.pid),
    }
}

/// What a process is called: its id and the file name of its program.
fn process_name(recorded: &Recorded) -> String {
    let exe = recorded.info.exe.as_deref().map_or("?", file_name);
    format!("process {}:{exe}", recorded.info.pid)
}

fn on_cpu_us(thread: &RecordedThread) -> u64 {
    let on_cpu = thread.runs.iter().filter(|run| run.state.is_on_cpu());
    on_cpu.map(|run| run.end_us.saturating_sub(run.start_us)).sum()
}

fn track(
    recorded: &Recorded,
    thread: &RecordedThread,
    process: Option<Arc<str>>,
    stacks: &[usize],
    states: &mut States,
) -> Track {
    let runs = thread.runs.iter().filter_map(|run| {
        let (stack, state) = (*stacks.get(run.stack)?, Some(states.place(run.state)));
        Some(Run { stack, state, start_us: run.start_us, end_us: run.end_us, ticks: run.ticks })
    });
    Track {
        process,
        pid: Some(recorded.info.pid.0),
        id: Some(thread.tid.to_string()),
        name: thread.name.clone(),
        runs: runs.collect(),
    }
}

/// States in the order in which they were first seen.
#[derive(Default)]
struct States {
    list: Vec<State>,
    places: BTreeMap<State, usize>,
}

impl States {
    fn place(&mut self, state: State) -> usize {
        *self.places.entry(state).or_insert_with(|| {
            self.list.push(state);
            self.list.len() - 1
        })
    }
}

/// Adds a recording's stacks to a view.
struct Making<'v> {
    view: &'v mut View,
    recorded: &'v Recorded,
    entries: HashMap<(Option<usize>, Option<usize>), usize>,
}

impl Making<'_> {
    /// The place in the view of each stack of the recording.
    fn stacks(&mut self) -> Vec<usize> {
        let mappings = self.mappings();
        let first = self.view.places.len();
        let places = self.recorded.locations.iter().map(|location| place(self.recorded, location, &mappings));
        self.view.places.extend(places);
        let mut truncations = BTreeMap::new();
        let mut found = Vec::with_capacity(self.recorded.stacks.len());
        for stack in &self.recorded.stacks {
            let cut = self.truncation(stack.end, &mut truncations);
            let known =
                stack.locations.iter().rev().filter(|place| self.recorded.locations.get(**place).is_some_and(is_named));
            let places: Vec<usize> = cut.into_iter().chain(known.map(|place| first + place)).collect();
            found.push(self.entry(&places));
        }
        found
    }

    /// Root first.
    fn entry(&mut self, places: &[usize]) -> usize {
        let below = places.iter().fold(None, |parent, place| Some(self.child(Some(*place), parent)));
        below.unwrap_or_else(|| self.child(None, None))
    }

    fn child(&mut self, place: Option<usize>, parent: Option<usize>) -> usize {
        let stacks = &mut self.view.stacks;
        *self.entries.entry((place, parent)).or_insert_with(|| {
            stacks.push(Entry { place, parent });
            stacks.len() - 1
        })
    }

    /// The frame at the root side that says why a stack was cut.
    fn truncation(&mut self, end: StackEnd, known: &mut BTreeMap<Arc<str>, usize>) -> Option<usize> {
        let name = truncation_frame(end)?.function?;
        let places = &mut self.view.places;
        let add = || {
            let frames = vec![Shown { name: Arc::clone(&name), ..Shown::default() }];
            places.push(Place { frames, ..Place::default() });
            places.len() - 1
        };
        Some(*known.entry(Arc::clone(&name)).or_insert_with(add))
    }

    fn mappings(&mut self) -> HashMap<ModuleIndex, usize> {
        let module = |location: &Location| location.raw.native().and_then(|raw| raw.module);
        let used: BTreeSet<_> = self.recorded.locations.iter().filter_map(module).collect();
        let is_unnamed = |location: &&Location| location.frames.iter().any(|one| one.function.is_none());
        // pprof may look for the names of these itself, where it finds the file.
        let unnamed: BTreeSet<_> = self.recorded.locations.iter().filter(is_unnamed).filter_map(module).collect();
        let mut known: Vec<_> =
            used.into_iter().filter_map(|index| Some((index, self.recorded.modules.get(&index)?))).collect();
        // By convention the first is the main binary.
        known.sort_by_key(|(_, module)| self.recorded.info.exe.as_deref() != Some(module.path.as_str()));
        let mut places = HashMap::new();
        for (index, module) in known {
            places.insert(index, self.view.mappings.len());
            self.view.mappings.push(mapping(module, !unnamed.contains(&index)));
        }
        places
    }
}

fn is_named(location: &Location) -> bool {
    !location.frames.is_empty()
}

fn mapping(module: &Module, named: bool) -> Mapping {
    Mapping {
        start: module.start.0,
        end: module.start.0.saturating_add(module.size),
        path: module.path.clone(),
        build_id: module.build_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        named,
    }
}

fn place(recorded: &Recorded, location: &Location, mappings: &HashMap<ModuleIndex, usize>) -> Place {
    let native = location.raw.native();
    Place {
        frames: location.frames.iter().map(|frame| shown(recorded, frame, location)).collect(),
        address: native.map_or(0, |raw| raw.lookup().0),
        mapping: native.and_then(|raw| mappings.get(&raw.module?).copied()),
    }
}

fn shown(recorded: &Recorded, frame: &Frame, location: &Location) -> Shown {
    Shown {
        name: name(recorded, frame, location),
        file: frame.filename.clone(),
        path: frame.abs_path.clone(),
        line: frame.line,
        module: frame.module.clone(),
        in_app: None,
    }
}

/// A frame's function, or what stands for it.
pub(super) fn name(recorded: &Recorded, frame: &Frame, location: &Location) -> Arc<str> {
    let module = location.raw.native().and_then(|raw| raw.module).and_then(|index| recorded.modules.get(&index));
    match &frame.function {
        Some(function) => Arc::clone(function),
        None => label(frame, &location.raw, module).into(),
    }
}
