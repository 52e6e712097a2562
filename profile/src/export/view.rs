//! What every format is written from, whatever it was made of: a recording (`recorded`), or what a query answers. Frames
//! are named here already; no format asks for more.

use std::sync::Arc;

/// Frames, stacks, and per thread which stood when.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What it is, for people.
    pub title: String,
    /// Microseconds since 1970.
    pub start_us: u64,
    /// Microseconds since 1970.
    pub end_us: u64,
    /// Between two samples, nanoseconds; 0: nobody knows.
    pub period_ns: i64,
    /// What the time is.
    pub clock: Clock,
    /// What counts where a format has one number a stack.
    pub counted: Counted,
    /// ELF files that places refer to.
    pub mappings: Vec<Mapping>,
    /// What stacks refer to.
    pub places: Vec<Place>,
    /// Every stack as its leaf and the stack below; a parent stands before its children.
    pub stacks: Vec<Entry>,
    /// What runs refer to: state of the thread, and of the interpreter's lock where it is known.
    pub states: Vec<(String, Option<String>)>,
    /// In the order in which they are shown.
    pub threads: Vec<Track>,
}

/// What the time of a view is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Clock {
    /// That of the clock on the wall.
    #[default]
    Wall,
    /// That on a CPU.
    Cpu,
}

/// What is counted where a format has one number a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Counted {
    /// Ticks: every one is a sample, or proved to be like the one before.
    #[default]
    Ticks,
    /// Microseconds: samples that are kept say nothing about time, since runs of an unchanged stack have only their ends.
    Microseconds,
}

/// An ELF file in the memory of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
    /// Its path.
    pub path: String,
    /// As hexadecimal digits; may be empty.
    pub build_id: String,
    /// Every frame in it has its name.
    pub named: bool,
}

/// A place in a program: one frame, or several where calls were inlined, innermost first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Never empty.
    pub frames: Vec<Shown>,
    /// In the memory of its process; 0: unknown.
    pub address: u64,
    /// Index into the mappings.
    pub mapping: Option<usize>,
}

/// A frame as it is shown.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Shown {
    /// Its function, or what stands for it.
    pub name: Arc<str>,
    /// Short path of the source.
    pub file: Option<Arc<str>>,
    /// Whole path of the source.
    pub path: Option<Arc<str>>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Module, class, crate or library.
    pub module: Option<Arc<str>>,
    /// Of the application itself.
    pub in_app: Option<bool>,
}

/// A stack: its leaf, and what is below.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// Index into the places; `None`: a stack without any frame.
    pub place: Option<usize>,
    /// Index into the stacks, smaller than its own.
    pub parent: Option<usize>,
}

/// A thread, or what is shown like one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Track {
    /// What its process is called, where several are shown.
    pub process: Option<Arc<str>>,
    /// Its process.
    pub pid: Option<i32>,
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// In order of time, not overlapping.
    pub runs: Vec<Run>,
}

/// A stack that stood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Index into the stacks.
    pub stack: usize,
    /// Index into the states.
    pub state: Option<usize>,
    /// Microseconds since 1970.
    pub start_us: u64,
    /// Microseconds since 1970.
    pub end_us: u64,
    /// How often it was seen.
    pub ticks: u64,
}

impl View {
    /// The frames of a stack, leaf first.
    pub fn frames(&self, stack: usize) -> impl Iterator<Item = &Shown> {
        self.places_of(stack).filter_map(|place| self.places.get(place)).flat_map(|place| &place.frames)
    }

    /// The places of a stack, leaf first.
    pub fn places_of(&self, stack: usize) -> impl Iterator<Item = usize> {
        self.entries(stack).filter_map(|entry| entry.place)
    }

    fn entries(&self, stack: usize) -> impl Iterator<Item = Entry> {
        let mut next = self.stacks.get(stack).copied().map(|entry| (stack, entry));
        std::iter::from_fn(move || {
            let (at, entry) = next?;
            // A parent is always the smaller: there is no way round in circles.
            let parent = entry.parent.filter(|parent| *parent < at);
            next = parent.and_then(|parent| Some((parent, *self.stacks.get(parent)?)));
            Some(entry)
        })
    }
}

impl Run {
    /// How long it stood, microseconds.
    pub fn us(&self) -> u64 {
        self.end_us.saturating_sub(self.start_us)
    }
}

impl Track {
    /// Its name for people: name and id.
    pub fn title(&self) -> String {
        let name = self.name.as_deref().unwrap_or("thread");
        match (&self.id, &self.process) {
            (Some(id), Some(process)) => format!("{process}: {name} ({id})"),
            (Some(id), None) => format!("{name} ({id})"),
            (None, Some(process)) => format!("{process}: {name}"),
            (None, None) => name.to_owned(),
        }
    }
}
