//! Several profiles' names and stacks become one: what blocks and trees are made with. The hot loop of every question, so
//! texts are looked up once a profile and never once a frame, and a node costs a look at one that is near in memory, or a lookup
//! of eight bytes.

use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::symbols::{Frame, Node, Symbols, TextRef, Thread};
use crate::in_app;

/// What of a frame makes it another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Likeness {
    /// All of it: nothing is lost.
    Frames,
    /// Function and line.
    Lines,
    /// Function.
    Functions,
}

/// Symbols that grow.
#[derive(Debug)]
pub struct Merger {
    likeness: Likeness,
    symbols: Symbols,
    texts: FxHashMap<Arc<str>, TextRef>,
    frames: FxHashMap<Frame, u32>,
    nodes: FxHashMap<u64, u32>,
    /// For each node, 0 for none: the child of it that was last asked for. Most nodes have one child, made right after them.
    hints: Vec<u32>,
    threads: FxHashMap<TextRef, u32>,
}

impl Merger {
    /// With nothing in it.
    pub fn new(likeness: Likeness) -> Self {
        Self {
            likeness,
            symbols: Symbols::default(),
            texts: FxHashMap::default(),
            frames: FxHashMap::default(),
            nodes: FxHashMap::with_capacity_and_hasher(1 << 12, FxBuildHasher),
            hints: vec![0],
            threads: FxHashMap::default(),
        }
    }

    /// What has become of them.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// The same, and the merger is gone.
    pub fn into_symbols(self) -> Symbols {
        self.symbols
    }

    /// Adds the stacks of a profile: which node each of its nodes is now, the empty stack first.
    pub fn nodes(&mut self, from: &Symbols, platform: &str) -> Vec<u32> {
        let texts = self.map_texts(from);
        let frames: Vec<u32> = from.frames.iter().map(|frame| self.frame(frame, &texts, from, platform)).collect();
        let mut nodes = Vec::with_capacity(from.nodes.len() + 1);
        nodes.push(0_u32);
        for node in &from.nodes {
            // Both are in range: symbols are checked when they are read.
            let parent = nodes.get(node.parent as usize).copied().unwrap_or(0);
            let frame = frames.get(node.frame as usize).copied().unwrap_or(0);
            nodes.push(self.node(Node { parent, frame }));
        }
        nodes
    }

    fn node(&mut self, node: Node) -> u32 {
        let hint = self.hints.get(node.parent as usize).copied().unwrap_or(0);
        if (hint as usize).checked_sub(1).and_then(|at| self.symbols.nodes.get(at)) == Some(&node) {
            return hint;
        }
        let next = u32::try_from(self.symbols.nodes.len() + 1).unwrap_or(u32::MAX);
        let known = *self.nodes.entry(u64::from(node.parent) << 32 | u64::from(node.frame)).or_insert(next);
        if known == next {
            self.symbols.nodes.push(node);
            self.hints.push(0);
        }
        if let Some(hint) = self.hints.get_mut(node.parent as usize) {
            *hint = known;
        }
        known
    }

    /// Adds the threads of a profile: which each of them is now. Of two names the later stands.
    pub fn threads(&mut self, from: &Symbols) -> Vec<u32> {
        let map = |thread: &Thread| {
            let id = self.text(from.texts.get(thread.id).unwrap_or_default());
            let name = from.texts.get(thread.name).map_or(0, |name| self.text(name));
            let threads = &mut self.symbols.threads;
            let at = *self.threads.entry(id).or_insert_with(|| {
                threads.push(Thread { id, name });
                u32::try_from(threads.len() - 1).unwrap_or(u32::MAX)
            });
            if let Some(known) = threads.get_mut(at as usize).filter(|_| name != 0) {
                known.name = name;
            }
            at
        };
        from.threads.iter().map(map).collect()
    }

    fn text(&mut self, text: &str) -> TextRef {
        if let Some(known) = self.texts.get(text) {
            return *known;
        }
        let reference = self.symbols.texts.push(text);
        self.texts.insert(Arc::from(text), reference);
        reference
    }

    fn map_texts(&mut self, from: &Symbols) -> Vec<TextRef> {
        let mut texts = Vec::with_capacity(from.texts.len() + 1);
        texts.push(0);
        for text in from.texts.iter() {
            // Some senders say "" where they know nothing.
            let is_nothing = text.is_empty() && self.likeness != Likeness::Frames;
            let text = if is_nothing { 0 } else { self.text(text) };
            texts.push(text);
        }
        texts
    }

    fn frame(&mut self, frame: &Frame, texts: &[TextRef], from: &Symbols, platform: &str) -> u32 {
        let mut like = *frame;
        if self.likeness != Likeness::Frames {
            let is_named = from.texts.get(frame.function()).is_some_and(|name| !name.is_empty());
            like = Frame {
                in_app: 1 + u8::from(in_app::of(frame, from, platform)),
                line: if self.likeness == Likeness::Lines { frame.line } else { 0 },
                column: 0,
                has_address: frame.has_address && !is_named,
                address: if is_named { 0 } else { frame.address },
                texts: frame.texts,
            };
            like.forget_platform();
        }
        like.texts = like.texts.map(|text| texts.get(text as usize).copied().unwrap_or(0));
        let frames = &mut self.symbols.frames;
        *self.frames.entry(like).or_insert_with(|| {
            frames.push(like);
            u32::try_from(frames.len() - 1).unwrap_or(u32::MAX)
        })
    }
}
