//! A profile between what was received and its sections: columns, not yet packed.

use std::collections::BTreeMap;

use profile::received::{self, Head, Measurement, Received};
use rustc_hash::FxHashMap;

use super::{
    Broken,
    aggregate::{Aggregate, Row},
    measurements,
    symbols::{Frame, Node, Symbols, TextRef, Thread},
    timeline::{NO_STATE, ThreadSamples, Timeline},
};
use crate::{
    chunk_store::Sections,
    item::{StateClass, Window},
};

/// A stack is not deeper when a profile is made whole again: 1,000 times what a language's own limit allows, and a trie of
/// a hostile file could hold a stack of millions, once for each of its nodes.
const DEPTH_SUM_MAX: usize = 64 << 20;

/// A profile as columns.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plain {
    /// Names and stacks.
    pub symbols: Symbols,
    /// Sums.
    pub aggregate: Aggregate,
    /// Samples.
    pub timeline: Timeline,
    /// Numbers beside them.
    pub measurements: BTreeMap<String, Measurement>,
}

impl Plain {
    /// Of what was received.
    pub fn of(received: &Received) -> Self {
        let mut builder = Builder::default();
        builder.symbols.frames = received.frames.iter().map(|frame| builder.texts.frame(frame)).collect();
        let nodes = builder.nodes(received);
        builder.symbols.states = received.states.iter().map(|state| builder.texts.text(state)).collect();
        let classes: Vec<StateClass> = received.states.iter().map(|state| StateClass::of(state)).collect();
        let mut timeline = Timeline::default();
        let mut aggregate = Aggregate::default();
        for (at, thread) in (0_u32..).zip(&received.threads) {
            let name = thread.name.as_deref().map_or(0, |name| builder.texts.text(name));
            builder.symbols.threads.push(Thread { id: builder.texts.text(&thread.id), name });
            let samples = columns(thread, &nodes);
            sums(at, &samples, &classes, Window { from_us: 0, to_us: u64::MAX }, &mut aggregate.rows);
            timeline.threads.push(samples);
        }
        builder.symbols.texts = builder.texts.texts;
        Self { symbols: builder.symbols, aggregate, timeline, measurements: received.measurements.clone() }
    }

    /// The sections; `None`: larger than any that is kept.
    pub fn encode(&self) -> Option<Sections> {
        Some(Sections {
            symbols: self.symbols.encode()?,
            aggregate: self.aggregate.encode()?,
            timeline: self.timeline.encode()?,
            measurements: measurements::encode(&self.measurements)?,
        })
    }

    /// Of sections; those that are empty stay so, except for the symbols.
    pub fn decode(sections: &Sections) -> Result<Self, Broken> {
        let symbols = Symbols::decode(&sections.symbols)?;
        let (threads, nodes) = (symbols.threads.len(), symbols.nodes.len());
        let aggregate = match sections.aggregate.as_slice() {
            [] => Aggregate::default(),
            section => Aggregate::decode(section, threads, nodes)?,
        };
        let timeline = match sections.timeline.as_slice() {
            [] => Timeline::default(),
            section => Timeline::decode(section, threads, nodes, symbols.states.len())?,
        };
        Ok(Self { symbols, aggregate, timeline, measurements: measurements::decode(&sections.measurements)? })
    }

    /// Sums of the part of it that is in a window, to the microsecond.
    pub fn sums_within(&self, window: Window) -> Aggregate {
        let classes = Self::classes(&self.symbols);
        let mut rows = Vec::new();
        for (thread, samples) in (0_u32..).zip(&self.timeline.threads) {
            sums(thread, samples, &classes, window, &mut rows);
        }
        Aggregate { rows }
    }

    /// The same of one thread.
    pub fn sums_of(&self, thread: u32, window: Window) -> Vec<Row> {
        let mut rows = Vec::new();
        if let Some(samples) = self.timeline.threads.get(thread as usize) {
            sums(thread, samples, &Self::classes(&self.symbols), window, &mut rows);
        }
        rows
    }

    /// The index of each thread by its id.
    pub fn threads(&self) -> FxHashMap<&str, u32> {
        let threads = (0_u32..).zip(&self.symbols.threads);
        threads.filter_map(|(at, thread)| Some((self.symbols.texts.get(thread.id)?, at))).collect()
    }

    /// The class of each state of the symbols.
    pub fn classes(symbols: &Symbols) -> Vec<StateClass> {
        let class = |state: &u32| symbols.texts.get(*state).map_or(StateClass::Unknown, StateClass::of);
        symbols.states.iter().map(class).collect()
    }

    /// What was received, but for its head, which is not in the sections.
    pub fn received(self, head: Head) -> Result<Received, Broken> {
        let symbols = &self.symbols;
        let mut stacks = Stacks { symbols, known: FxHashMap::default(), all: Vec::new(), depth_sum: 0 };
        let mut threads = Vec::with_capacity(symbols.threads.len());
        for (thread, columns) in symbols.threads.iter().zip(&self.timeline.threads) {
            let mut samples = Vec::with_capacity(columns.at_us.len());
            for ((at_us, node), state) in columns.at_us.iter().zip(&columns.nodes).zip(&columns.states) {
                let state = state.checked_sub(1).and_then(|state| u16::try_from(state).ok());
                samples.push(received::Sample { at_us: *at_us, stack: stacks.index(*node)?, state });
            }
            let id = symbols.texts.get(thread.id).unwrap_or_default().to_owned();
            let name = symbols.texts.get(thread.name).map(str::to_owned);
            threads.push(received::Thread { id, name, samples });
        }
        let stacks = stacks.all;
        let texts: Vec<_> = symbols.texts.iter().map(std::sync::Arc::<str>::from).collect();
        let frames = symbols.frames.iter().map(|frame| frame_of(frame, &texts)).collect();
        let states = symbols.states.iter().filter_map(|state| symbols.texts.shared(*state)).collect();
        Ok(Received { head, frames, stacks, threads, states, measurements: self.measurements })
    }
}

fn frame_of(frame: &Frame, texts: &[std::sync::Arc<str>]) -> received::Frame {
    let text = |reference: TextRef| (reference as usize).checked_sub(1).and_then(|at| texts.get(at)).cloned();
    let [function, module, package, filename, abs_path, platform] = frame.texts.map(text);
    received::Frame {
        function,
        module,
        package,
        filename,
        abs_path,
        platform,
        line: Some(frame.line).filter(|line| *line > 0),
        column: frame.column.checked_sub(1).and_then(|column| u32::try_from(column).ok()),
        address: frame.has_address.then_some(frame.address),
        in_app: match frame.in_app {
            1 => Some(false),
            2 => Some(true),
            _ => None,
        },
    }
}

/// Stacks of a profile that is made whole again.
struct Stacks<'s> {
    symbols: &'s Symbols,
    known: FxHashMap<u32, u32>,
    all: Vec<Vec<u32>>,
    depth_sum: usize,
}

impl Stacks<'_> {
    fn index(&mut self, node: u32) -> Result<u32, Broken> {
        if let Some(index) = self.known.get(&node) {
            return Ok(*index);
        }
        let mut stack = Vec::new();
        let mut at = node;
        while let Some(Node { parent, frame }) = self.symbols.node(at) {
            stack.push(frame);
            at = parent;
            self.depth_sum = self.depth_sum.saturating_add(1);
            if self.depth_sum > DEPTH_SUM_MAX {
                return Err(Broken::TooMany("frames in stacks"));
            }
        }
        let index = u32::try_from(self.all.len()).map_err(|_| Broken::Number)?;
        self.all.push(stack);
        self.known.insert(node, index);
        Ok(index)
    }
}

#[derive(Default)]
struct Builder<'r> {
    symbols: Symbols,
    texts: TextTable<'r>,
}

impl Builder<'_> {
    /// The node of each stack that a sample has; of the others 0. Nodes are in the order of first samples: what happens
    /// together stands together.
    fn nodes(&mut self, received: &Received) -> Vec<u32> {
        let mut nodes = vec![None; received.stacks.len()];
        let mut known = FxHashMap::<(u32, u32), u32>::default();
        for sample in received.threads.iter().flat_map(|thread| &thread.samples) {
            let Some(place @ None) = nodes.get_mut(sample.stack as usize) else { continue };
            let frames = received.stacks.get(sample.stack as usize).map_or(&[][..], Vec::as_slice);
            let mut at = 0;
            for frame in frames.iter().rev() {
                at = *known.entry((at, *frame)).or_insert_with(|| {
                    self.symbols.nodes.push(Node { parent: at, frame: *frame });
                    u32::try_from(self.symbols.nodes.len()).unwrap_or(u32::MAX)
                });
            }
            *place = Some(at);
        }
        nodes.into_iter().map(Option::unwrap_or_default).collect()
    }
}

/// Distinct texts. The same allocation is looked up by its address: readers share texts between frames.
#[derive(Default)]
struct TextTable<'r> {
    texts: super::symbols::Texts,
    by_address: FxHashMap<(usize, usize), TextRef>,
    by_text: FxHashMap<&'r str, TextRef>,
}

impl<'r> TextTable<'r> {
    fn text(&mut self, text: &'r str) -> TextRef {
        let address = (text.as_ptr().addr(), text.len());
        if let Some(known) = self.by_address.get(&address) {
            return *known;
        }
        let texts = &mut self.texts;
        let reference = *self.by_text.entry(text).or_insert_with(|| texts.push(text));
        self.by_address.insert(address, reference);
        reference
    }

    fn frame(&mut self, frame: &'r received::Frame) -> Frame {
        let fields =
            [&frame.function, &frame.module, &frame.package, &frame.filename, &frame.abs_path, &frame.platform];
        Frame {
            texts: fields.map(|field| field.as_deref().map_or(0, |text| self.text(text))),
            line: frame.line.unwrap_or(0),
            column: frame.column.map_or(0, |column| u64::from(column) + 1),
            has_address: frame.address.is_some(),
            address: frame.address.unwrap_or(0),
            in_app: frame.in_app.map_or(0, |in_app| 1 + u8::from(in_app)),
        }
    }
}

fn columns(thread: &received::Thread, nodes: &[u32]) -> ThreadSamples {
    let samples = &thread.samples;
    ThreadSamples {
        at_us: samples.iter().map(|sample| sample.at_us).collect(),
        nodes: samples.iter().map(|sample| nodes.get(sample.stack as usize).copied().unwrap_or(0)).collect(),
        states: samples.iter().map(|sample| sample.state.map_or(NO_STATE, |state| u32::from(state) + 1)).collect(),
    }
}

/// Each sample's time to the next, summed, as far as it is in the window. A sample counts where it begins.
fn sums(thread: u32, samples: &ThreadSamples, classes: &[StateClass], window: Window, rows: &mut Vec<Row>) {
    let mut sums = FxHashMap::<(StateClass, u32), (u64, u64)>::default();
    let before = samples.at_us.partition_point(|at| *at < window.from_us).saturating_sub(1);
    let stays = intervals(samples, classes).skip(before);
    for stay in stays.take_while(|stay| stay.start_us < window.to_us) {
        let us = stay.end_us.min(window.to_us).saturating_sub(stay.start_us.max(window.from_us));
        let begins = window.from_us <= stay.start_us && stay.start_us < window.to_us;
        if us > 0 || begins {
            let (sum, samples) = sums.entry((stay.class, stay.node)).or_default();
            *sum = sum.saturating_add(us);
            *samples = samples.saturating_add(u64::from(begins));
        }
    }
    let before = rows.len();
    rows.extend(sums.into_iter().map(|((class, node), (us, samples))| Row { thread, class, node, us, samples }));
    if let Some(new) = rows.get_mut(before..) {
        new.sort_unstable_by_key(|row| (row.class, row.node));
    }
}

/// A sample and how long it lasted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stay {
    /// From then.
    pub start_us: u64,
    /// Until then.
    pub end_us: u64,
    /// In this stack.
    pub node: u32,
    /// In this state.
    pub class: StateClass,
}

/// The samples of a thread but the last, each until the next.
pub fn intervals<'s>(samples: &'s ThreadSamples, classes: &'s [StateClass]) -> impl Iterator<Item = Stay> + 's {
    let ends = samples.at_us.iter().skip(1);
    samples.at_us.iter().zip(ends).zip(&samples.nodes).zip(&samples.states).map(|(((start, end), node), state)| Stay {
        start_us: *start,
        end_us: *end,
        node: *node,
        class: state_class(*state, classes),
    })
}

fn state_class(state: u32, classes: &[StateClass]) -> StateClass {
    (state as usize).checked_sub(1).and_then(|at| classes.get(at)).copied().unwrap_or(StateClass::Unknown)
}

impl Plain {
    /// Samples a second and thread, had no unchanged stack been left out: what our agent reached; of others, who leave out
    /// none, what their samples come to.
    pub fn rate_hz(&self, head: &Head) -> f64 {
        let reached =
            head.agent.as_ref().map(|agent| agent.rate_hz_reached).filter(|rate| rate.is_finite() && *rate > 0.0);
        let rows = &self.aggregate.rows;
        let sum = |of: fn(&Row) -> u64| rows.iter().fold(0_u64, |sum, row| sum.saturating_add(of(row)));
        let (us, samples) = (sum(|row| row.us), sum(|row| row.samples));
        reached.unwrap_or(if us == 0 { 0.0 } else { samples as f64 * 1e6 / us as f64 })
    }
}
