//! Several profiles' names and stacks become one: what blocks and trees are made with. The hot loop of every question, so
//! texts are looked up once a profile and never once a frame, and a node costs a look at one that is near in memory, or, if it
//! has siblings, a lookup of eight bytes.

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
    /// Those that have siblings, by parent and frame: most nodes are their parent's only child, and never come in here.
    siblings: FxHashMap<u64, u32>,
    /// By node.
    children: Vec<Children>,
    threads: FxHashMap<TextRef, u32>,
}

/// What is known of a node's children.
#[derive(Clone, Copy, Debug, Default)]
struct Children {
    /// The one that was last asked for; 0: there are none.
    last: u32,
    /// There are others, and all of them are in `siblings`.
    several: bool,
}

impl Merger {
    /// With nothing in it.
    pub fn new(likeness: Likeness) -> Self {
        Self {
            likeness,
            symbols: Symbols::default(),
            texts: FxHashMap::default(),
            frames: FxHashMap::default(),
            siblings: FxHashMap::with_capacity_and_hasher(1 << 12, FxBuildHasher),
            children: vec![Children::default()],
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
        let nodes = &mut self.symbols.nodes;
        let next = u32::try_from(nodes.len() + 1).unwrap_or(u32::MAX);
        // In range: a node that is a parent is there.
        let Some(Children { last, several }) = self.children.get(node.parent as usize).copied() else { return 0 };
        let only = (last as usize).checked_sub(1).and_then(|at| nodes.get(at)).map(|child| child.frame);
        let known = match only {
            Some(frame) if frame == node.frame => return last,
            None => next,
            Some(frame) => {
                if !several {
                    self.siblings.insert(key(Node { frame, ..node }), last);
                }
                *self.siblings.entry(key(node)).or_insert(next)
            }
        };
        if known == next {
            nodes.push(node);
            self.children.push(Children::default());
        }
        if let Some(children) = self.children.get_mut(node.parent as usize) {
            *children = Children { last: known, several: only.is_some() };
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

fn key(node: Node) -> u64 {
    u64::from(node.parent) << 32 | u64::from(node.frame)
}
