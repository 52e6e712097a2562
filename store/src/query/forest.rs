//! Merged stacks with their weights: what trees, tables of functions and differences are made of.

use super::read::Sink;
use crate::{
    chunk_store::Part,
    encoding::{
        Symbols,
        aggregate::Row,
        merge::{Likeness, Merger},
        symbols::{Frame, Node},
    },
    item::ByState,
    tree::{Function, Shape, Weight},
};

/// Merged stacks.
#[derive(Debug)]
pub(super) struct Forest {
    merger: Merger,
    /// By node; 0 is no stack.
    pub(super) weights: Vec<Sum>,
    /// By node, where it was asked for.
    pub(super) states: Option<Vec<ByState>>,
}

/// A weight with the ticks that its time amounts to.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Sum {
    pub(super) weight: Weight,
    pub(super) ticks: f64,
}

impl Sum {
    pub(super) fn add(&mut self, other: Self) {
        self.weight.add(other.weight);
        self.ticks += other.ticks;
    }
}

impl Forest {
    /// Of functions, or of lines of them.
    pub(super) fn new(lines: bool) -> Self {
        let likeness = if lines { Likeness::Lines } else { Likeness::Functions };
        Self { merger: Merger::new(likeness), weights: vec![Sum::default()], states: None }
    }

    /// For a tree.
    pub(super) fn shaped(shape: Shape) -> Self {
        let states = (shape.states && !shape.inverted).then(|| vec![ByState::default()]);
        Self { states, ..Self::new(shape.lines) }
    }

    pub(super) fn symbols(&self) -> &Symbols {
        self.merger.symbols()
    }

    /// The nodes, behind their parents; the first is node 1.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.symbols().nodes
    }

    /// What a frame is called.
    pub(super) fn functions(&self) -> Vec<Function> {
        let symbols = self.symbols();
        symbols.frames.iter().map(|frame| function(frame, symbols)).collect()
    }

    /// Time of threads without a stack.
    pub(super) fn idle(&self) -> Sum {
        self.weights.first().copied().unwrap_or_default()
    }

    /// Weights with those of all nodes below.
    pub(super) fn totals(&self) -> Vec<Sum> {
        let mut totals = self.weights.clone();
        totals.resize(self.nodes().len() + 1, Sum::default());
        // Node 0 is every root's parent, but idle time is no total.
        if let Some(idle) = totals.first_mut() {
            *idle = Sum::default();
        }
        for (at, node) in self.nodes().iter().enumerate().rev() {
            let sum = totals.get(at + 1).copied().unwrap_or_default();
            if let Some(parent) = totals.get_mut(node.parent as usize) {
                parent.add(sum);
            }
        }
        totals
    }

    /// Adds the weights of other stacks: which node each of its nodes is here.
    pub(super) fn map(&mut self, from: &Symbols, platform: &str) -> Vec<u32> {
        let map = self.merger.nodes(from, platform);
        let many = self.nodes().len() + 1;
        self.weights.resize(many, Sum::default());
        if let Some(states) = &mut self.states {
            states.resize(many, ByState::default());
        }
        map
    }

    fn add(&mut self, node: u32, sum: Sum) {
        if let Some(weight) = self.weights.get_mut(node as usize) {
            weight.add(sum);
        }
    }

    fn by_state(&mut self, node: u32) -> Option<&mut ByState> {
        self.states.as_mut().and_then(|states| states.get_mut(node as usize))
    }
}

impl Sink for Forest {
    fn take(&mut self, part: &Part, symbols: &Symbols, rows: &[Row]) {
        let map = self.map(symbols, &part.platform);
        let ticks_a_us = part.rate_hz / 1e6;
        for row in rows {
            let weight = Weight { us: row.us, samples: row.samples };
            let node = map.get(row.node as usize).copied().unwrap_or(0);
            self.add(node, Sum { weight, ticks: row.us as f64 * ticks_a_us });
            if let Some(states) = self.by_state(node) {
                states.add(row.class.group(), row.us);
            }
        }
    }

    fn join(&mut self, other: Self) {
        let map = self.map(other.symbols(), "");
        for (node, sum) in map.iter().zip(other.weights) {
            self.add(*node, sum);
        }
        for (node, theirs) in map.into_iter().zip(other.states.into_iter().flatten()) {
            if let Some(states) = self.by_state(node) {
                states.join(theirs);
            }
        }
    }
}

/// A frame as trees name it.
pub(super) fn function(frame: &Frame, symbols: &Symbols) -> Function {
    let text = |reference| symbols.texts.get(reference).filter(|text| !text.is_empty()).map(str::to_owned);
    let (file, path) = (text(frame.file()), text(frame.path()));
    let stand_in = || {
        let file = file.as_deref().or(path.as_deref()).map(|file| format!("[{file}]"));
        if frame.has_address { format!("{:#x}", frame.address) } else { file.unwrap_or_else(|| "[unknown]".to_owned()) }
    };
    Function {
        name: text(frame.function()).unwrap_or_else(stand_in),
        module: text(frame.module()),
        package: text(frame.package()),
        line: Some(frame.line).filter(|line| *line > 0),
        in_app: frame.in_app == 2,
        file,
        path,
    }
}
