//! A whole recording in memory, every run with its exact count of ticks: what the exports and the list of hottest
//! functions are made from. Unlike a chunk it is not bound by what a receiver takes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    chunk::Tally,
    counters::Counters,
    feed::{Event, StackId},
    frame::Frame,
    id::Tid,
    machinery::{Folding, Shown, shown},
    module::{Module, ModuleIndex},
    naming::{Namer, named_by_itself},
    session::SessionInfo,
    stack::{RawFrame, StackEnd},
    stacks::{FrameSlot, Interned, Slot, Stacks},
    thread::State,
    timeline::{Doing, Line, Timeline},
};

/// Takes the events of one process.
#[derive(Debug)]
pub struct Recording {
    info: SessionInfo,
    stacks: Stacks,
    timeline: Timeline,
    tally: Tally,
}

impl Recording {
    /// Starts at the anchor of `info`.
    pub fn new(info: SessionInfo) -> Self {
        let timeline = Timeline::new(info.anchor, info.anchor.monotonic_ns, info.filter);
        Self { info, stacks: Stacks::default(), timeline, tally: Tally::default() }
    }

    /// Takes the next event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Module(index, module) => self.stacks.define_module(*index, module),
            Event::Code(index, code) => self.stacks.define_code(*index, code),
            Event::Stack(id, stack) => self.stacks.define(*id, stack),
            Event::Thread { tid, name } => self.timeline.named(*tid, name),
            Event::Tick { at_ns } => self.timeline.tick(*at_ns),
            Event::Sample { tid, stack, state } => self.sample(*tid, *stack, *state),
            Event::Unread { tid } => self.timeline.unread(*tid),
            Event::Ended { tid } => self.timeline.ended(*tid),
            // A file of a recording is read beside the machine's other tools: threads keep the kernel's ids.
            Event::Ident { .. } | Event::Mark(_) => {}
            Event::Begun => self.timeline.begin(),
            Event::Usage { .. } | Event::Counters(_) | Event::Cost { .. } => {
                self.tally.apply(event, &self.info.anchor);
            }
        }
    }

    /// Ends it at `at_ns` and names every frame.
    pub fn finish(self, at_ns: u64, namer: &mut dyn Namer) -> Recorded {
        let end_us = self.timeline.end_us(at_ns);
        let mut places = Places::default();
        let threads = self.timeline.lines().iter().filter_map(|line| self.thread(line, end_us, &mut places)).collect();
        let (stacks, locations) = places.collect(&self.stacks, &self.info, namer);
        Recorded {
            start_us: self.timeline.start_us(),
            end_us,
            ticks: self.timeline.ticked(end_us),
            threads,
            stacks,
            locations,
            modules: self.stacks.into_modules(),
            counters: self.tally.counters,
            stopped_us: self.tally.stopped_us,
            stop_max_us: self.tally.stop_max_us,
            agent_cpu_us: self.tally.agent_cpu_us,
            info: self.info,
        }
    }

    fn sample(&mut self, tid: Tid, stack: StackId, state: State) {
        let Some(slot) = self.stacks.slot(stack) else {
            Counters::count(&mut self.tally.counters.lost, "stack_undefined");
            return self.timeline.unread(tid);
        };
        self.timeline.sample(tid, slot, state);
    }

    fn thread(&self, line: &Line, end_us: u64, places: &mut Places) -> Option<RecordedThread> {
        let mut runs: Vec<RecordedRun> = Vec::new();
        for run in line.runs(self.timeline.now()) {
            let start_us = self.timeline.ticks().get(run.first as usize).copied().unwrap_or(end_us);
            // Until the next is seen, the stack before it stands; also over ticks that were not read.
            if let Some(before) = runs.last_mut().filter(|before| before.end_us == u64::MAX) {
                before.end_us = start_us;
            }
            if let Doing::Stack(Some(slot), state) = run.doing {
                let ticks = u64::from(run.last - run.first) + 1;
                runs.push(RecordedRun { stack: places.stack(slot), state, start_us, end_us: u64::MAX, ticks });
            }
        }
        if let Some(last) = runs.last_mut().filter(|last| last.end_us == u64::MAX) {
            last.end_us = end_us;
        }
        (!runs.is_empty()).then(|| RecordedThread { tid: line.tid, name: line.name.clone(), runs })
    }
}

/// A finished recording of one process.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What is fixed for the process.
    pub info: SessionInfo,
    /// Microseconds since 1970.
    pub start_us: u64,
    /// Microseconds since 1970.
    pub end_us: u64,
    /// How many ticks there were.
    pub ticks: u64,
    /// In the order in which they were first seen.
    pub threads: Vec<RecordedThread>,
    /// What runs refer to.
    pub stacks: Vec<RecordedStack>,
    /// What stacks refer to.
    pub locations: Vec<Location>,
    /// What raw frames refer to.
    pub modules: BTreeMap<ModuleIndex, Module>,
    /// How far it may be trusted.
    pub counters: Counters,
    /// Time that threads of the target were held stopped, microseconds.
    pub stopped_us: u64,
    /// Longest single stop, microseconds.
    pub stop_max_us: u64,
    /// CPU time of the agent for this target, microseconds.
    pub agent_cpu_us: u64,
}

/// One thread of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedThread {
    /// Which.
    pub tid: Tid,
    /// Its last name.
    pub name: Option<String>,
    /// In order of time, not overlapping.
    pub runs: Vec<RecordedRun>,
}

/// A stack that stood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordedRun {
    /// Index into [`Recorded::stacks`].
    pub stack: usize,
    /// What the thread did.
    pub state: State,
    /// Microseconds since 1970.
    pub start_us: u64,
    /// When the next stack was seen, or the thread's end.
    pub end_us: u64,
    /// At how many ticks this was seen or proved to stand.
    pub ticks: u64,
}

/// A stack of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedStack {
    /// Indices into [`Recorded::locations`], leaf first.
    pub locations: Vec<usize>,
    /// How it ended.
    pub end: StackEnd,
}

/// An address with its names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// What was found in the target.
    pub raw: RawFrame,
    /// Innermost inlined frame first.
    pub frames: Arc<[Frame]>,
}

impl Recorded {
    /// Ticks per second of the recording.
    #[allow(clippy::cast_precision_loss, reason = "a rate is read with three digits")]
    pub fn rate_reached(&self) -> f64 {
        let span_us = self.end_us.saturating_sub(self.start_us);
        if span_us == 0 { 0.0 } else { self.ticks as f64 * 1e6 / span_us as f64 }
    }

    /// The frames of a stack, leaf first, each with the location it is at.
    pub fn frames(&self, stack: usize) -> impl DoubleEndedIterator<Item = (&Frame, &Location)> {
        let locations = self.stacks.get(stack).map(|stack| stack.locations.as_slice()).unwrap_or_default();
        let known = locations.iter().filter_map(|place| self.locations.get(*place));
        known.flat_map(|location| location.frames.iter().map(move |frame| (frame, location)))
    }
}

/// Gives the stacks and frames that are used their places, in order of first use.
#[derive(Default)]
struct Places {
    stacks: Vec<Slot>,
    by_slot: HashMap<Slot, usize>,
}

impl Places {
    fn stack(&mut self, slot: Slot) -> usize {
        *self.by_slot.entry(slot).or_insert_with(|| {
            self.stacks.push(slot);
            self.stacks.len() - 1
        })
    }

    fn collect(self, raw: &Stacks, info: &SessionInfo, namer: &mut dyn Namer) -> (Vec<RecordedStack>, Vec<Location>) {
        let mut shown = Locations { raw, info, namer, found: Vec::new(), by_slot: HashMap::new() };
        let known = self.stacks.iter().filter_map(|slot| raw.get(*slot));
        let stacks = known.map(|stack| RecordedStack { locations: shown.stack(stack), end: stack.end }).collect();
        (stacks, shown.found)
    }
}

/// Names the frames that are used.
struct Locations<'l> {
    raw: &'l Stacks,
    info: &'l SessionInfo,
    namer: &'l mut dyn Namer,
    found: Vec<Location>,
    /// By the frame, and whether it is in a stack in which the machinery of interpreters is left out.
    by_slot: HashMap<(FrameSlot, bool), Option<(usize, bool)>>,
}

impl Locations<'_> {
    fn stack(&mut self, stack: &Interned) -> Vec<usize> {
        let condensed = !self.info.keep_interpreter_frames && self.raw.is_interpreted(stack);
        let mut places = Vec::with_capacity(stack.frames.len());
        let mut folding = Folding::default();
        for slot in &stack.frames {
            let Some((place, folds)) = self.place(*slot, condensed) else { continue };
            if folding.writes(folds) {
                places.push(place);
            }
        }
        places
    }

    /// The place of a frame, if it is shown, and whether it is a fold.
    fn place(&mut self, slot: FrameSlot, condensed: bool) -> Option<(usize, bool)> {
        if let Some(known) = self.by_slot.get(&(slot, condensed)) {
            return *known;
        }
        let found = self.raw.frame(slot).copied().and_then(|raw| self.find(raw, condensed));
        self.by_slot.insert((slot, condensed), found);
        found
    }

    fn find(&mut self, raw: RawFrame, condensed: bool) -> Option<(usize, bool)> {
        let named = names(&raw, self.raw, self.info, self.namer);
        let module = raw.native().and_then(|native| self.raw.module(native.module?));
        let was_named = !named.is_empty();
        let (frames, folds) = match if condensed { shown(&named, module) } else { Shown::Frames(named) } {
            Shown::Frames(left) if left.is_empty() && was_named => return None,
            Shown::Frames(left) => (left, false),
            Shown::Fold(frame) => ([frame].into(), true),
        };
        self.found.push(Location { raw, frames });
        Some((self.found.len() - 1, folds))
    }
}

fn names(frame: &RawFrame, raw: &Stacks, info: &SessionInfo, namer: &mut dyn Namer) -> Arc<[Frame]> {
    match (frame, named_by_itself(frame, info.cwd.as_deref(), |index| raw.code(index))) {
        (_, Some(named)) => [named].into(),
        (RawFrame::Native(native), None) => namer.name(native),
        _ => Arc::default(),
    }
}
